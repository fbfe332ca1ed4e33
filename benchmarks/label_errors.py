"""Wrong labels found: ours against cleanlab, Datalab and doubtlab with the same probabilities.

uv run python -m benchmarks.label_errors [--data DIR] [--json FILE] [--seeds N] [--rows N] [--sets NAME ...]

Injected errors: on `al_*`, and on `ws_*` and `llm_*` with text, where rules or language models vote, labels of at most
`--rows` tasks are made wrong: uniformly (5, 10, 20 %), by class (each class goes to another one at a rate of its own)
and by annotator (five, from 1 % to 35 %). Every method gets the probabilities of our classifier alone, out of fold.
Ours also gets what a project has: votes, features and annotators. In sets of labels one label is swapped for another.

Real errors: `label_errors` (labels that people reviewed; probabilities only) and `crowd_sets` (consensus of several
annotators, against majority vote and Dawid-Skene, and which consensus labels are wrong). Then time and memory of
100,000 labels in 4 classes. Peers run in an environment of their own, which uv makes.
"""

import argparse
import csv
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cleanlab.multilabel_classification import get_label_quality_scores as multilabel_scores
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.metrics import average_precision_score

from backend.domain.features import FeatureExtractor
from backend.domain.frame import frame_of
from backend.domain.label_errors.held_out import Apart, groups_of, held_out_classifier
from backend.domain.label_errors.records import SearchInputs
from backend.domain.label_errors.search import search
from backend.domain.questions import Choices, Decision, decisions
from backend.domain.questions.forms import ABSTAIN, Votes
from backend.domain.tasks import content_hash
from backend.domain.votes import VoteMatrix
from benchmarks import sets
from benchmarks.common import OURS, Row, peers_command
from benchmarks.label_errors_crowd import consensus_rows
from benchmarks.label_errors_large import large_rows
from benchmarks.learning_sets import labeled_texts

CLEANLAB = "cleanlab"
PEERS = ("cleanlab[datalab]==2.9.0", "doubtlab==0.2.4")
NOISE = ("uniform 5 %", "uniform 10 %", "uniform 20 %", "class", "annotator")
MULTILABEL_NOISE = NOISE[:3]
ANNOTATORS = (0.01, 0.03, 0.06, 0.12, 0.35)
"""How often each annotator is wrong."""
MULTILABEL_ROWS = 1_000
FIRST = 100

Doubt = NDArray[np.float64]
"""(n,), how much each label is doubted; higher is worse."""


@dataclass(frozen=True)
class Set:
    """Tasks with true labels: int64 (n,), or bool (n, k) for sets of labels."""

    name: str
    data: list[dict[str, object]]
    truth: NDArray[np.int64]
    n_classes: int
    votes: Votes | None

    @property
    def features(self) -> csr_matrix:
        """Of all tasks."""
        return FeatureExtractor().fit(self.data).transform(self.data)


def load(folder: Path, n_rows: int, seed: int) -> Set | None:
    """At most so many rows of a set, drawn at random; None without labeled texts."""
    item = labeled_texts(folder)
    is_train = item.of_splits("train")
    item = item.rows(is_train) if is_train.any() else item
    if not item.texts:
        return None
    n_rows = min(n_rows, MULTILABEL_ROWS) if item.multiple else n_rows
    if item.truth.shape[0] > n_rows:
        item = item.rows(np.sort(np.random.default_rng(seed).choice(len(item.texts), n_rows, replace=False)))
    return Set(item.name, item.data, item.truth, len(item.classes), item.votes if item.votes.shape[1] else None)


def with_errors(
    truth: NDArray[np.int64], k: int, noise: str, annotators: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Labels of which some are wrong."""
    n = len(truth)
    if noise == "class":
        rates = np.minimum(random.dirichlet(np.ones(k)) * 0.1 * k, 0.4)
        target = (np.arange(k) + random.integers(1, k, k)) % k
        return np.where(random.random(n) < rates[truth], target[truth], truth)
    rates = np.array(ANNOTATORS)[annotators] if noise == "annotator" else np.full(n, float(noise.split()[1]) / 100)
    wrong = random.random(n) < rates
    if truth.ndim == 1:
        return np.where(wrong, (truth + random.integers(1, k, n)) % k, truth)
    given = truth.copy()
    for row in np.flatnonzero(wrong):
        given[row, random.choice(np.flatnonzero(truth[row]))] = 0
        given[row, random.choice(np.flatnonzero(truth[row] == 0))] = 1
    return given


@dataclass(frozen=True)
class Run:
    """One measurement: labels, which are wrong, and the doubts of each method.

    scored: rows that `wrong` and `doubts` are of; all when None.
    """

    set: str
    noise: str
    seed: int
    proba: NDArray[np.float64]
    given: NDArray[np.int64]
    wrong: NDArray[np.bool_]
    doubts: dict[str, tuple[Doubt, float]]
    scored: NDArray[np.int64] | None = None


def injected(item: Set, features: csr_matrix, noise: str, seed: int) -> Run:
    """Ours and cleanlab on a set with injected errors."""
    random = np.random.default_rng([seed, NOISE.index(noise)])
    annotators = random.integers(0, len(ANNOTATORS), len(item.truth))
    given = with_errors(item.truth, item.n_classes, noise, annotators, random)
    groups = groups_of([content_hash(row) for row in item.data])
    multiple = given.ndim == 2
    labels = tuple(f"label {label}" for label in range(item.n_classes))
    question = Choices("question", "text", labels, multiple)
    asked = decisions(question)
    columns = given.T if multiple else [given]
    gold = {decision.key: column for decision, column in zip(asked, columns, strict=True)}
    posteriors = {
        decision.key: held_out_classifier(
            features, gold[decision.key], len(decision.classes), Apart(groups), repeats=1, seed=1_000
        )
        for decision in asked
    }
    votes = _matrix(asked[0], item.votes)
    started = time.perf_counter()
    frame = replace(frame_of([question], item.data, votes=votes, gold=gold), held_out=posteriors)
    found = search(question, frame, SearchInputs(features, groups, annotators))
    seconds = time.perf_counter() - started
    doubts = {OURS: (1 - np.nan_to_num(found.quality, nan=1.0), seconds)}
    started = time.perf_counter()
    if multiple:
        # A label that everybody or nobody was given has no classifier: the probability is its share.
        proba = np.column_stack(
            [np.where(np.isfinite(item[:, 1]), item[:, 1], gold[key].mean()) for key, item in posteriors.items()]
        )
        scores = multilabel_scores([np.flatnonzero(row).tolist() for row in given], proba)
    else:
        proba = posteriors[asked[0].key]
        scores = get_label_quality_scores(given, proba)
    doubts[CLEANLAB] = (1 - scores, time.perf_counter() - started)
    wrong = (given != item.truth).any(axis=1) if multiple else given != item.truth
    return Run(item.name, noise, seed, proba, given, wrong, doubts)


def _matrix(decision: Decision, votes: Votes | None) -> dict[str, VoteMatrix]:
    if votes is None or not (votes != ABSTAIN).any():
        return {}
    return {decision.key: VoteMatrix(decision, tuple(f"source {column}" for column in range(votes.shape[1])), votes)}


def reviewed(folder: Path) -> list[Run]:
    """Published labels that five people each looked at: wrong if fewer than three of them agree with the label."""
    runs = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            proba, given = file["pred_probs"].astype(np.float64), file["given"].astype(np.int64)
        # Some are above 1 by a rounding error, which cleanlab refuses.
        proba = np.clip(proba, 0.0, 1.0)
        with (folder / f"{path.stem}_mturk.csv").open() as lines:
            seen = {int(row["index"]): int(row["n_given"]) < 3 for row in csv.DictReader(lines)}
        rows = np.array(sorted(seen))
        question = Choices("question", "text", tuple(str(label) for label in range(proba.shape[1])))
        started = time.perf_counter()
        frame = replace(frame_of([question], [{}] * given.size, gold={"question": given}), held_out={"question": proba})
        quality = search(question, frame).quality
        seconds = time.perf_counter() - started
        scores = get_label_quality_scores(given, proba)
        doubts = {OURS: (1 - quality[rows], seconds), CLEANLAB: (1 - scores[rows], 0.0)}
        wrong = np.array([seen[row] for row in rows.tolist()])
        runs.append(Run(f"label_errors {path.stem}", "reviewed", 0, proba, given, wrong, doubts, rows))
    return runs


def add_peers(runs: Sequence[Run]) -> None:
    """Datalab's and doubtlab's doubts, in `Run.doubts`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        single = [run for run in runs if run.given.ndim == 1]
        for number, run in enumerate(single):
            np.savez(folder / f"{number}.npz", proba=run.proba, given=run.given)
        subprocess.run([*peers_command(PEERS), "-m", "benchmarks.label_errors_peers", name], check=True)
        for number, run in enumerate(single):
            with np.load(folder / f"{number}.peer.npz") as file:
                for method in ("Datalab", "doubtlab"):
                    doubt = file[method] if run.scored is None else file[method][run.scored]
                    run.doubts[method] = (doubt, float(file[f"{method} s"]))


def rows_of(run: Run) -> list[Row]:
    """Average precision, precision among the first 100 and recall at the true number of errors."""
    rows = []
    for method, (doubt, seconds) in run.doubts.items():
        # Ties in random order.
        jitter = np.random.default_rng(run.seed).random(doubt.size) * 1e-12
        order = np.argsort(-(doubt + jitter), kind="stable")
        n_wrong = int(run.wrong.sum())
        values = {
            "average precision": float(average_precision_score(run.wrong, doubt)),
            f"precision at {FIRST}": float(run.wrong[order[:FIRST]].mean()),
            "recall at errors": float(run.wrong[order[:n_wrong]].mean()),
        }
        name = f"{run.set} {run.noise}"
        rows += [Row(name, method, f"{metric}, seed {run.seed}", value, seconds) for metric, value in values.items()]
    return rows


def ratios(runs: Sequence[Run], voting: set[str]) -> list[Row]:
    """Our average precision over cleanlab's, geometric means: by set, by noise, with votes and without."""
    logs: dict[str, list[float]] = {}
    for run in runs:
        if not run.wrong.any():
            continue
        ours, theirs = (average_precision_score(run.wrong, run.doubts[method][0]) for method in (OURS, CLEANLAB))
        group = "with votes" if run.set in voting else "without votes"
        for name in (run.set, f"{group}, {run.noise}", group):
            logs.setdefault(name, []).append(float(np.log(ours / theirs)))
    return [
        Row(name, OURS, "average precision / cleanlab's", float(np.exp(np.mean(values))), 0.0)
        for name, values in logs.items()
    ]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the data sets")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--seeds", type=int, default=2, help="runs of each measurement")
    parser.add_argument("--rows", type=int, default=2_000, help="tasks of each set at most")
    parser.add_argument("--sets", nargs="*", help="only these; all that are found when left out")
    parser.add_argument("--no-peers", action="store_true", help="leave Datalab and doubtlab out")
    arguments = parser.parse_args()
    folders = sets.folders(arguments.data, ("al_*", "ws_*", "llm_*"), arguments.sets or ())
    if not arguments.no_peers:
        # Before hours of measuring, not after them.
        peers_command(PEERS)
    rows: list[Row] = []
    runs: list[Run] = []
    voting: set[str] = set()
    for seed in range(arguments.seeds):
        for folder in folders:
            item = load(folder, arguments.rows, seed)
            if item is None:
                continue
            voting |= {item.name} if item.votes is not None else set()
            features = item.features
            for noise in NOISE if item.truth.ndim == 1 else MULTILABEL_NOISE:
                run = injected(item, features, noise, seed)
                runs.append(run)
                rows += show(rows_of(run))
    if not arguments.sets:
        found = reviewed(arguments.data / "label_errors")
        runs += found
        rows += show([row for run in found for row in rows_of(run)])
    if not arguments.no_peers and runs:
        add_peers(runs)
        rows += show([row for run in runs for row in rows_of(run) if row.method not in (OURS, CLEANLAB)])
    rows += show(ratios(runs, voting))
    if not arguments.sets:
        rows += show(consensus_rows(arguments.data / "crowd_sets"))
        rows += show(large_rows())
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([row.__dict__ for row in rows], indent=1))


def show(rows: list[Row]) -> list[Row]:
    """Print rows as soon as they are there."""
    for row in rows:
        print(f"{row.set:36} {row.method:16} {row.metric:34} {row.value:10.3f} {row.seconds:8.2f} s", flush=True)
    return rows


if __name__ == "__main__":
    main()
