"""small-text's query strategies for `benchmarks.active_learning`, in an environment of their own.

`SmallText` starts this module there and asks it for one batch after the other: a message is the length of what follows
(8 bytes) and an .npz of arrays.
"""

import io
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

PACKAGES = ("small-text==1.4.1",)
SMALL_TEXT: Mapping[str, bool] = {
    "small-text PredictionEntropy": True,
    "small-text ContrastiveActiveLearning": True,
    "small-text EmbeddingKMeans": False,
    "small-text GreedyCoreset": False,
    "small-text LightweightCoreset": False,
    "small-text CategoryVectorInconsistencyAndRanking": True,
}
"""Strategies that need no network of neurons, and whether they look at what the classifier says."""
MULTI_LABEL = "small-text CategoryVectorInconsistencyAndRanking"
ONE_LABEL = ("small-text PredictionEntropy", "small-text ContrastiveActiveLearning")


class SmallText:
    """A process with small-text in it; a context manager."""

    def __enter__(self) -> Self:
        # Here, since the peer's own environment doesn't have what that module needs.
        from benchmarks.common import peers_command  # noqa: PLC0415

        self._process = subprocess.Popen(
            [*peers_command(PACKAGES), "-W", "ignore", "-m", "benchmarks.active_learning_peers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def suits(self, name: str, *, multiple: bool) -> bool:
        """Whether a strategy is made for one label a task, or for sets of labels."""
        return name not in ONE_LABEL if multiple else name != MULTI_LABEL

    def query(
        self,
        name: str,
        proba: NDArray[np.float64],
        where: NDArray[np.float32],
        open_rows: NDArray[np.int64],
        labeled: NDArray[np.int64],
        truth: NDArray[np.int64],
        n: int,
        seed: int,
    ) -> NDArray[np.int64]:
        """The next batch: rows.

        Args:
            name: of `SMALL_TEXT`.
            proba: (n_open, k), what the classifier says of the open rows.
            where: (n_pool, d), used as the embeddings.
            open_rows: rows that may be chosen.
            labeled: rows that are labeled.
            truth: (n_pool, number of decisions).
            n: how many.
            seed: of its draws.
        """
        full = np.full((len(where), proba.shape[1]), 1 / proba.shape[1])
        full[open_rows] = proba
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        write(
            self._process.stdin,
            {
                "name": np.array(name),
                "proba": full,
                "where": where,
                "open_rows": open_rows,
                "labeled": labeled,
                "labels": truth[labeled],
                "n": np.array(n),
                "seed": np.array(seed),
            },
        )
        answer = read(self._process.stdout)
        if answer is None:
            raise RuntimeError("small-text's process ended; what it said stands above")
        return answer["rows"].astype(np.int64)


def write(stream: BinaryIO | Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Send a message."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    stream.write(len(buffer.getvalue()).to_bytes(8))
    stream.write(buffer.getvalue())
    stream.flush()


def read(stream: BinaryIO | Any) -> dict[str, NDArray[Any]] | None:
    """Receive a message; None when there is none any more."""
    size = stream.read(8)
    if len(size) < 8:
        return None
    with np.load(io.BytesIO(stream.read(int.from_bytes(size)))) as file:
        return dict(file)


class _Known:
    """A classifier to small-text: it already knows the answers. A data set is the rows that it has."""

    def __init__(self, proba: NDArray[np.float64], where: NDArray[np.float32]) -> None:
        self.proba, self.where = proba, where

    def predict_proba(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.proba[rows]

    def embed(
        self,
        rows: NDArray[np.int64],
        return_proba: bool = False,
        pbar: object = None,  # noqa: ARG002
    ) -> NDArray[np.float32] | tuple[NDArray[np.float32], NDArray[np.float64]]:
        return (self.where[rows], self.proba[rows]) if return_proba else self.where[rows]


def answer(message: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """What small-text chooses."""
    # Only this process has it.
    import small_text.query_strategies as strategies  # noqa: PLC0415
    from small_text.query_strategies.multi_label import CategoryVectorInconsistencyAndRanking  # noqa: PLC0415

    name = str(message["name"]).removeprefix("small-text ")
    known = {"CategoryVectorInconsistencyAndRanking": CategoryVectorInconsistencyAndRanking}
    strategy = (known.get(name) or getattr(strategies, name))()
    np.random.seed(int(message["seed"]))
    model = _Known(message["proba"], message["where"])
    labels = message["labels"]
    return np.asarray(
        strategy.query(
            model,
            np.arange(len(message["where"])),
            message["open_rows"],
            message["labeled"],
            csr_matrix(labels) if labels.shape[1] > 1 else labels[:, 0],
            n=int(message["n"]),
        )
    )


def main() -> None:
    """Answer until nothing more is asked."""
    # What small-text prints must not get between the messages.
    output, sys.stdout = sys.stdout.buffer, sys.stderr
    while (message := read(sys.stdin.buffer)) is not None:
        write(output, {"rows": answer(message)})


if __name__ == "__main__":
    main()
