"""What embedding tasks needs from outside."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ToEmbed:
    """Content of one task. images: http or data URLs; empty for an embedder that takes none."""

    text: str = field(repr=False)
    images: tuple[str, ...] = field(default=(), repr=False)


class Embedder(Protocol):
    """A model that turns content into vectors. Raises LlmUnavailable (try later) or LlmRefused (a setting is wrong)."""

    @property
    def name(self) -> str:
        """Of the model. Vectors of different names are never mixed."""

    @property
    def is_local(self) -> bool:
        """Whether content stays on this machine."""

    @property
    def takes_images(self) -> bool:
        """Whether images can be embedded."""

    def quick_characters(self) -> int:
        """Characters that a text may have to be embedded while an annotator waits, in 20 ms; 0: no text is."""

    def embed(self, contents: Sequence[ToEmbed]) -> NDArray[np.float32]:
        """Vectors, float32 (n, d), in the order of the contents; all NaN for one of which the model gave no usable
        numbers."""


class VectorStore(Protocol):
    """Vectors by content, whichever project they were made for."""

    def vectors(self, model: str, contents: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """Vectors that are known, by content hash; each float32 (d,)."""

    def save_vectors(self, model: str, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Insert or replace vectors, float32 (d,), by content hash; they are kept with half precision."""


@dataclass(frozen=True, slots=True)
class EmbeddingPorts:
    """All that embedding needs. fetch_image: see `LlmPorts.fetch_image`."""

    embedder: Embedder
    store: VectorStore
    fetch_image: Callable[[str], str]
