"""The peers of `benchmarks.label_errors`: Datalab with its defaults, and doubtlab.

python -m benchmarks.label_errors_peers FOLDER

Runs in an environment of its own. Reads FOLDER/<name>.npz (proba, given), writes FOLDER/<name>.peer.npz: a doubt for
each label and method, higher is worse, and the seconds both took.
"""

import contextlib
import io
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from cleanlab import Datalab
from doubtlab.ensemble import DoubtEnsemble
from doubtlab.reason import LongConfidenceReason, ProbaReason, ShortConfidenceReason, WrongPredictionReason
from numpy.typing import NDArray


class Known:
    """A classifier whose probabilities are known: features are row numbers."""

    def __init__(self, proba: NDArray[np.float64]) -> None:
        self.proba = proba
        self.classes_ = np.arange(proba.shape[1])

    def predict_proba(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Probabilities of rows (n, 1)."""
        return np.asarray(self.proba[rows[:, 0]])

    def predict(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The most probable class."""
        return np.asarray(self.predict_proba(rows).argmax(axis=1))


def datalab(proba: NDArray[np.float64], given: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 - label score, flagged labels first."""
    with contextlib.redirect_stdout(io.StringIO()):
        lab = Datalab(data={"label": given}, label_name="label", verbosity=0)
        lab.find_issues(pred_probs=proba, issue_types={"label": {}})
        found = lab.get_issues("label")
    return np.asarray(1 - found["label_score"].to_numpy(dtype=float), dtype=np.float64)


def doubtlab(proba: NDArray[np.float64], given: NDArray[np.int64]) -> NDArray[np.float64]:
    """How many of the reasons of doubtlab's documentation that need no second model apply."""
    model: Any = Known(proba)
    doubt = DoubtEnsemble(
        proba=ProbaReason(model=model),
        wrong=WrongPredictionReason(model=model),
        short=ShortConfidenceReason(model=model),
        long=LongConfidenceReason(model=model),
    )
    rows = np.arange(given.size)[:, None]
    # It sorts the rows by the number of reasons.
    reasons = doubt.get_predicates(rows, given).sort_index().sum(axis=1)
    return np.asarray(reasons.to_numpy(dtype=float), dtype=np.float64)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for path in sorted(Path(sys.argv[1]).glob("*.npz")):
        with np.load(path) as file:
            known, labels = file["proba"], file["given"]
        results: dict[str, Any] = {}
        for name, method in (("Datalab", datalab), ("doubtlab", doubtlab)):
            started = time.perf_counter()
            results[name] = method(known, labels)
            results[f"{name} s"] = np.array(time.perf_counter() - started)
        np.savez(path.with_suffix(".peer.npz"), **results)
