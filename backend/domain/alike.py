"""Decisions about which the same is known.

Of a question's thousands of labels, most are chosen by nobody and voted for by nothing. What is learned of one of them,
or computed, holds for all the others, so it is done once.
"""

import hashlib
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Result = TypeVar("Result")


def fingerprint(*arrays: NDArray[Any] | None) -> bytes:
    """A hash of arrays that is equal only where types, shapes and values are equal."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(b"-" if array is None else f"{array.dtype.str}{array.shape}".encode())
        digest.update(b"" if array is None else np.ascontiguousarray(array).data)
    return digest.digest()


class Alike(Generic[Result]):
    """Remembers results by what they were made of."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Result] = {}

    def get(self, basis: Hashable, make: Callable[[], Result]) -> Result:
        """The thing that was made of this basis; it is made now if there is none."""
        if basis not in self._made:
            self._made[basis] = make()
        return self._made[basis]
