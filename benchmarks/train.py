"""Train and score: 10,000 human labels among 100,000 tasks, in seconds and peak memory of a process of its own.

Measured: the first training (all texts are read), a second one after 10 new labels (features come from `MODEL_DIR`),
and one suggestion for a single task. The peer, in the same run: scikit-learn's TfidfVectorizer and LogisticRegression,
fitted on the labels and predicting for all tasks, without any out-of-fold figure.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from backend.adapters.versions.folders import VersionFolders
from backend.domain.frame import frame_of
from backend.domain.model.project import ProjectModel
from backend.domain.model.training import Known, train
from backend.domain.questions import Choices, decisions
from backend.domain.votes import VoteMatrix
from benchmarks.common import OURS, Row, report

SKLEARN = "scikit-learn"
N_CLASSES, N_WORDS, LENGTH = 4, 30_000, 30
QUESTION = Choices("topic", "text", tuple(f"topic {index}" for index in range(N_CLASSES)))
ROUNDS = 300


def make(n_tasks: int, n_labels: int) -> tuple[list[dict[str, object]], NDArray[np.int64], NDArray[np.int64]]:
    """Texts of words with the frequencies of a language (Zipf), a tenth of them of the topic; truth; and gold."""
    random = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(random.choice(letters, random.integers(2, 11))) for _ in range(N_WORDS)]
    shares = 1 / np.arange(10, N_WORDS + 10)
    truth = random.integers(0, N_CLASSES, n_tasks)
    drawn = random.choice(N_WORDS, (n_tasks, LENGTH), p=shares / shares.sum())
    topical = random.random((n_tasks, LENGTH)) < 0.1
    drawn = np.where(topical, drawn // N_CLASSES * N_CLASSES + truth[:, None], drawn) % N_WORDS
    data: list[dict[str, object]] = [{"text": " ".join([words[index] for index in row])} for row in drawn.tolist()]
    gold = np.where(np.arange(n_tasks) < n_labels, truth, -1)
    return data, truth, gold


def ours(n_tasks: int, n_labels: int, folder: Path) -> dict[str, float]:
    """First training, training after 10 more labels, and a single task."""
    data, truth, gold = make(n_tasks, n_labels)
    decision = decisions(QUESTION)[0]
    votes = {decision.key: VoteMatrix(decision, (), np.empty((n_tasks, 0), dtype=np.int16))}
    base = _peak_mib()
    figures: dict[str, float] = {}
    model: ProjectModel | None = None
    for name, known in (("train and score", n_labels), ("after 10 labels", n_labels + 10)):
        started, cpu = time.perf_counter(), time.process_time()
        features = VersionFolders(folder, f"sqlite:///{folder}/prelabel.sqlite3").features("benchmark", data)
        gold = np.where(np.arange(n_tasks) < known, truth, -1)
        frame = frame_of([QUESTION], data, votes=votes, gold={decision.key: gold})
        trained = train(frame, data, Known(features, previous=model))
        model = trained.model
        posterior = model.posteriors_of(trained.frame)[decision.key]
        figures[f"{name}: s"], figures[f"{name}: CPU s"] = time.perf_counter() - started, time.process_time() - cpu
    assert model is not None
    took = []
    for item in data[:ROUNDS]:
        started = time.perf_counter()
        model.posteriors([item], frame_of([QUESTION], [item]))
        took.append(1000 * (time.perf_counter() - started))
    right = float((posterior.argmax(axis=1) == truth)[n_labels:].mean())
    return figures | {
        "one task ms (median)": float(np.median(took)),
        "peak MiB": _peak_mib(),
        "of it the data MiB": base,
        "accuracy": 100 * right,
    }


def peer(n_tasks: int, n_labels: int, _folder: Path) -> dict[str, float]:
    """The same by scikit-learn's own parts."""
    data, truth, gold = make(n_tasks, n_labels)
    base = _peak_mib()
    texts = [str(item["text"]) for item in data]
    started, cpu = time.perf_counter(), time.process_time()
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, max_features=50_000, sublinear_tf=True).fit(texts)
    model = make_pipeline(vectorizer, LogisticRegression(C=10, max_iter=300))
    model[-1].fit(vectorizer.transform(texts[:n_labels]), gold[:n_labels])
    chosen = model.predict(texts)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    took = []
    for text in texts[:ROUNDS]:
        began = time.perf_counter()
        model.predict_proba([text])
        took.append(1000 * (time.perf_counter() - began))
    return {
        "train and score: s": seconds,
        "train and score: CPU s": cpu_seconds,
        "one task ms (median)": float(np.median(took)),
        "peak MiB": _peak_mib(),
        "of it the data MiB": base,
        "accuracy": 100 * float((chosen == truth)[n_labels:].mean()),
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _alone(call: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The call's result from a fresh process, whose memory is only its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(call).result()


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=10_000)
    arguments = parser.parse_args()
    name = f"{arguments.tasks:,} tasks, {arguments.labels:,} labels"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for method, call in ((SKLEARN, peer), (OURS, ours)):
            figures = _alone(partial(call, arguments.tasks, arguments.labels, Path(folder)))
            rows += [Row(name, method, metric, value, 0.0) for metric, value in figures.items()]
    of_peer = {row.metric: row.value for row in rows if row.method == SKLEARN}
    rows += [
        Row(name, OURS, f"{row.metric} / {SKLEARN}", row.value / of_peer[row.metric], 0.0)
        for row in rows
        if row.method == OURS and row.metric in of_peer
    ]
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
