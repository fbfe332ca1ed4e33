"""The `VectorStore` port in SQL."""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from backend.adapters.sql.engine import Sql, chunks, save
from backend.adapters.sql.tables import vectors

KEPT = np.dtype("<f2")
"""Half precision: an embedding's components differ by far more than its rounding."""


class SqlVectors:
    """Vectors in one table."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    def vectors(self, model: str, contents: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """See the port: float32 (d,) by content."""
        found: dict[str, NDArray[np.float32]] = {}
        with self._sql.begin() as connection:
            for some in chunks(sorted(contents)):
                wanted = select(vectors.c.content, vectors.c.vector).where(
                    vectors.c.model == model, vectors.c.content.in_(some)
                )
                for content, vector in connection.execute(wanted):
                    found[content] = np.frombuffer(vector, dtype=KEPT).astype(np.float32)
        return found

    def save_vectors(self, model: str, vectors_by_content: Mapping[str, NDArray[np.float32]]) -> None:
        """See the port: float32 (d,) by content."""
        rows = [
            {"model": model, "content": content, "vector": np.asarray(vector).astype(KEPT).tobytes()}
            for content, vector in vectors_by_content.items()
        ]
        with self._sql.begin() as connection:
            save(connection, vectors, rows)
