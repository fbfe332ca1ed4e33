"""The `Embedder` port on an installed sentence-transformers model."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.adapters.embedding.inputs import embed_parts
from backend.errors import LlmRefused
from backend.ports.embeddings import ToEmbed

LOCAL = "local:"
"""Begins the name of a model on this machine."""


class LocalEmbedder:
    """One model on this machine; loaded at the first call."""

    is_local = True

    def __init__(self, model: str, *, takes_images: bool) -> None:
        """`model`: a name that sentence-transformers knows, or a folder."""
        self._model = model
        self._takes_images = takes_images
        self._loaded: Any = None

    @property
    def name(self) -> str:
        """See the port."""
        return f"{LOCAL}{self._model}"

    @property
    def takes_images(self) -> bool:
        """See the port."""
        return self._takes_images

    def quick_characters(self) -> int:
        """See the port: nobody waits for it."""
        return 0

    def embed(self, contents: Sequence[ToEmbed]) -> NDArray[np.float32]:
        """See the port: float32 (n, d), in the order of the contents."""
        return embed_parts(contents, str, _image, self._encode)

    def _encode(self, parts: Sequence[object]) -> NDArray[np.float32]:
        made = self._load().encode(list(parts), convert_to_numpy=True, show_progress_bar=False)
        return np.asarray(made, dtype=np.float32)

    def _load(self) -> Any:
        if self._loaded is not None:
            return self._loaded
        try:
            from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - it is no dependency of ours
        except ImportError:
            raise LlmRefused(
                "EMBEDDING_MODEL begins with local:, but sentence-transformers isn't installed beside Prelabel. "
                "Install it (pip install sentence-transformers), or name a model of an endpoint."
            ) from None
        try:
            self._loaded = SentenceTransformer(self._model)
        except (OSError, ValueError) as error:
            raise LlmRefused(
                f"sentence-transformers can't load {self._model} ({type(error).__name__}). Is EMBEDDING_MODEL right, "
                "and is the model on this machine?"
            ) from None
        return self._loaded


def _image(url: str) -> Any:
    """A data URL as an image."""
    from PIL import Image  # noqa: PLC0415 - comes with sentence-transformers

    if not url.startswith("data:"):
        raise LlmRefused("A local model embeds uploaded images only: an image's address leads to another server.")
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
