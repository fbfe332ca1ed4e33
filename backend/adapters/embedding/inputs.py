"""From contents to what a model embeds one by one, and back."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.ports.embeddings import ToEmbed


def embed_parts(
    contents: Sequence[ToEmbed],
    text_of: Callable[[str], object],
    image_of: Callable[[str], object],
    embed: Callable[[Sequence[object]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Vectors, float32 (n, d): of a content with text and images, or several images, the mean of their vectors."""
    parts: list[object] = []
    owners: list[int] = []
    for place, content in enumerate(contents):
        own = [image_of(url) for url in content.images] + ([text_of(content.text)] if content.text else [])
        parts += own
        owners += [place] * len(own)
    made = embed(parts)
    total = np.zeros((len(contents), made.shape[1]))
    np.add.at(total, owners, made)
    return np.asarray(total / np.bincount(owners, minlength=len(contents))[:, None], dtype=np.float32)
