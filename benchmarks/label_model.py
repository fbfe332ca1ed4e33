"""Label models on public votes: ours, majority vote, crowd-kit's Dawid-Skene and Snorkel's LabelModel.

uv run python -m benchmarks.label_model [--data DIR] [--json FILE] [--seeds N] [--no-peers] [--no-text]

On every folder `ws_*` and `llm_*` of DIR with votes and gold labels, all methods are fitted on the same rows and scored
on those with a vote, ties broken at random: votes alone without gold (`votes`); all of `backend.domain.model.train`
without gold where there is text (`text`); and with 20, 50 and 100 human labels drawn from the rows with votes, scored
on the others (`20 labels`, ...), which the peers can't use, and the same for each class against the rest. Peers run in
an environment of their own, which uv makes.
The constants of our label model were chosen on every other set in alphabetical order, see `CHOSEN`.
"""

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from backend.domain.frame import frame_of
from backend.domain.label_model.base import LabelModel
from backend.domain.label_model.choose import choose
from backend.domain.label_model.majority import MajorityVote
from backend.domain.model.training import train
from backend.domain.questions import Choices, decisions
from backend.domain.questions.forms import ABSTAIN, Votes
from backend.domain.votes import VoteMatrix
from benchmarks import sets
from benchmarks.common import OURS, Row, peers_command, report
from benchmarks.memory import peak_mib

MAJORITY = "majority vote"
SNORKEL = ("Snorkel default", "Snorkel 500 epochs")
PEERS = ("snorkel==0.9.9", "crowd-kit==1.4.1", "torch")
CHOSEN = ("ws_agnews", "ws_hausa", "ws_moviereviews8", "ws_tennis", "ws_youtube")
"""The sets on which constants were chosen: the first, third, ... of the nine."""
N_LABELS = (20, 50, 100)
N_BINS = 10
SMALLEST = 1e-6
"""Probabilities count as no less than this in the log-loss."""
LARGE = (1_000_000, 100, 0.1)
"""Tasks, sources and coverage of the synthetic set for time and memory."""

Posterior = NDArray[np.float64]


@dataclass(frozen=True)
class VoteSet:
    """Votes with gold labels, and task data where there is text.

    sources: their names. rows: int64 (n,), places in the split, of which rows without a label are left out.
    """

    name: str
    votes: Votes
    gold: NDArray[np.int64]
    n_classes: int
    data: list[dict[str, object]] | None
    sources: tuple[str, ...]
    rows: NDArray[np.int64]

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Rows with a vote: bool (n,)."""
        return np.asarray((self.votes != ABSTAIN).any(axis=1))


def load(folder: Path) -> VoteSet | None:
    """The training split, or the first one with gold labels and votes; None without any."""
    item = sets.read(folder)
    usable = item.labeled if item.votes.shape[1] and not item.multiple else np.zeros(len(item.texts), dtype=np.bool_)
    for split in dict.fromkeys(("train", "valid", "test", *item.splits.tolist())):
        of_split = item.of_splits(split)
        found = item.rows(of_split & usable)
        if found.truth.size:
            rows = np.flatnonzero(usable[of_split])
            data = found.data if found.has_text.all() else None
            return VoteSet(item.name, found.votes, found.truth, len(item.classes), data, item.sources, rows)
    return None


def against_rest(item: VoteSet) -> list[VoteSet]:
    """Each class against the others: two classes, most of them unbalanced; votes alone. None of a set of two."""
    if item.n_classes < 3:
        return []
    return [
        replace(
            item,
            name=f"{item.name.removeprefix('ws_')}, {place} against the rest",
            votes=np.where(item.votes == ABSTAIN, ABSTAIN, item.votes == place).astype(np.int16),
            gold=(item.gold == place).astype(np.int64),
            n_classes=2,
            data=None,
        )
        for place in range(item.n_classes)
    ]


def scores(posterior: Posterior, gold: NDArray[np.int64], seed: int) -> dict[str, float]:
    """Macro-F1 and accuracy in %, log-loss, and expected calibration error (Naeini et al. 2015), ten bins."""
    # Ties in the posterior are broken at random; sums in another order differ by less than the rounding.
    jitter = np.random.default_rng(seed).random(posterior.shape) * 1e-9
    chosen = (posterior.round(8) + jitter).argmax(axis=1)
    right = chosen == gold
    confidence = posterior.max(axis=1)
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    gaps = np.abs(np.bincount(bins, right - confidence, minlength=N_BINS))
    return {
        "macro_f1": 100 * float(f1_score(gold, chosen, average="macro")),
        "accuracy": 100 * float(right.mean()),
        "log_loss": float(-np.log(np.clip(posterior[np.arange(gold.size), gold], SMALLEST, 1.0)).mean()),
        "ece": float(gaps.sum() / gold.size),
    }


def fit_ours(votes: Votes, n_classes: int, gold: NDArray[np.int64]) -> LabelModel:
    """What `train` does: choose, then fit."""
    return choose(votes, n_classes, gold).fit(votes, n_classes, gold)


def fit_majority(votes: Votes, n_classes: int, gold: NDArray[np.int64]) -> LabelModel:
    """The baseline."""
    return MajorityVote().fit(votes, n_classes, gold)


def timed(call: Callable[[], LabelModel]) -> tuple[LabelModel, float]:
    """A result and the seconds it took."""
    started = time.perf_counter()
    result = call()
    return result, time.perf_counter() - started


def measured(
    item: VoteSet, method: str, setting: str, runs: Iterable[tuple[Posterior, NDArray[np.bool_], float]]
) -> list[Row]:
    """Rows of one method: means over runs, each a posterior of all rows, the rows to score and the seconds it took."""
    results = [
        (scores(posterior[rows], item.gold[rows], seed), seconds)
        for seed, (posterior, rows, seconds) in enumerate(runs)
    ]
    seconds = float(np.mean([took for _, took in results]))
    return [
        Row(
            item.name,
            method,
            f"{setting}: {metric}",
            float(np.mean([values[metric] for values, _ in results])),
            seconds,
        )
        for metric in results[0][0]
    ]


def with_labels(
    item: VoteSet, fit: Callable[..., LabelModel], n_labels: int, n_seeds: int
) -> Iterator[tuple[Posterior, NDArray[np.bool_], float]]:
    """Runs of `measured` with gold for a random sample, each of another seed; 0 labels for none."""
    for seed in range(n_seeds):
        gold = np.full(item.gold.size, -1)
        taught = np.random.default_rng(seed).choice(np.flatnonzero(item.covered), n_labels, replace=False)
        gold[taught] = item.gold[taught]
        model, seconds = timed(partial(fit, item.votes, item.n_classes, gold))
        yield model.predict_proba(item.votes), item.covered & (gold < 0), seconds


def with_text(item: VoteSet, n_seeds: int) -> Iterator[tuple[Posterior, NDArray[np.bool_], float]]:
    """Runs of `measured` with the classifier in the loop, no gold."""
    assert item.data is not None
    question = Choices("question", "text", tuple(f"label {label}" for label in range(item.n_classes)))
    key = decisions(question)[0].key
    sources = tuple(f"source {column}" for column in range(item.votes.shape[1]))
    votes = {key: VoteMatrix(decisions(question)[0], sources, item.votes)}
    for seed in range(n_seeds):
        started = time.perf_counter()
        frame = frame_of([question], item.data, votes=votes, gold={key: np.full(item.gold.size, -1)})
        trained = train(frame, item.data, seed=seed)
        seconds = time.perf_counter() - started
        yield trained.model.posteriors(item.data, frame)[key], item.covered, seconds


def ours(item: VoteSet, n_seeds: int, *, text: bool) -> list[Row]:
    """All rows of our label model and majority vote on one set."""
    rows = []
    nothing = np.full(item.gold.size, -1)
    for method, fit in ((OURS, fit_ours), (MAJORITY, fit_majority)):
        fit(item.votes, item.n_classes, nothing)  # Warm, as the peers are.
        rows += measured(item, method, "votes", with_labels(item, fit, 0, n_seeds))
        mib = peak_mib(partial(fit, item.votes, item.n_classes, nothing))
        rows.append(Row(item.name, method, "votes: peak MiB", mib, 0.0))
        for n_labels in N_LABELS:
            if item.covered.sum() > 2 * n_labels:
                rows += measured(item, method, f"{n_labels} labels", with_labels(item, fit, n_labels, n_seeds))
    if text and item.data is not None:
        rows += measured(item, OURS, "text", with_text(item, n_seeds))
    return rows


def peers(items: Sequence[VoteSet], n_seeds: int) -> list[Row]:
    """All rows of the peers."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for item in items:
            np.savez(folder / f"{item.name}.npz", votes=item.votes, n_classes=item.n_classes)
        subprocess.run([*peers_command(PEERS), "-m", "benchmarks.label_model_peers", name, str(n_seeds)], check=True)
        for item in items:
            rows += _peer_rows(item, sorted(folder.glob(f"{item.name}.*.peer.npz")), n_seeds)
    return rows


def _peer_rows(item: VoteSet, paths: Sequence[Path], n_seeds: int) -> list[Row]:
    runs: dict[str, list[tuple[Posterior, NDArray[np.bool_], float]]] = {}
    rows = []
    for path in paths:
        with np.load(path) as file:
            method = str(file["method"])
            runs.setdefault(method, []).append((file["posterior"], item.covered, float(file["seconds"])))
            if np.isfinite(file["mib"]):
                rows.append(Row(item.name, method, "votes: peak MiB", float(file["mib"]), 0.0))
    for method, found in runs.items():
        # A deterministic method was fitted once; each seed still breaks its ties.
        rows += measured(item, method, "votes", found if len(found) == n_seeds else found * n_seeds)
    return rows


def summaries(rows: Sequence[Row]) -> list[Row]:
    """Means over the `ws_*` sets, the two halves of them, and fit times compared by their geometric means."""
    groups: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        if row.set.startswith("ws_"):
            groups.setdefault((row.method, row.metric), {})[row.set] = row
    found = []
    for (method, metric), by_set in groups.items():
        for name, chosen in (("mean of ws", None), ("mean of chosen half", True), ("mean of held-out half", False)):
            some = [row for row in by_set.values() if chosen is None or (row.set in CHOSEN) == chosen]
            if some:
                values, seconds = [row.value for row in some], [row.seconds for row in some]
                found.append(
                    Row(f"{name} ({len(some)})", method, metric, float(np.mean(values)), float(np.mean(seconds)))
                )
    text, votes = (groups.get((OURS, f"{setting}: macro_f1"), {}) for setting in ("text", "votes"))
    if text:
        values = [text.get(name, row).value for name, row in votes.items()]
        metric = "text, or votes without text: macro_f1"
        found.append(Row(f"mean of ws ({len(values)})", OURS, metric, float(np.mean(values)), 0.0))
    found += changes(rows)
    times = {
        method: {name: row.seconds for name, row in by_set.items()}
        for (method, metric), by_set in groups.items()
        if metric == "votes: macro_f1"
    }
    for peer in SNORKEL:
        if peer in times:
            ratios = [times[OURS][name] / times[peer][name] for name in times[peer]]
            found.append(
                Row("geometric mean of ws", OURS, f"fit time / {peer}", float(np.exp(np.mean(np.log(ratios)))), 0)
            )
    return found


def changes(rows: Sequence[Row]) -> Iterator[Row]:
    """What labels bring against none, in points of macro-F1 over all sets: the mean and the worst."""
    ours = {(row.set, row.metric): row.value for row in rows if row.method == OURS}
    for n_labels in N_LABELS:
        metric = f"{n_labels} labels: macro_f1"
        values = {name: value - ours[name, "votes: macro_f1"] for (name, one), value in ours.items() if one == metric}
        if values:
            worst = min(values, key=lambda name: values[name])
            mean = float(np.mean(list(values.values())))
            yield Row(f"mean of all ({len(values)})", OURS, f"{metric}, change", mean, 0.0)
            yield Row(f"worst of all: {worst}", OURS, f"{metric}, change", values[worst], 0.0)


def large() -> list[Row]:
    """Fit and posterior of 10⁶ × 100 votes: seconds and memory, the votes themselves (200 MB) included."""
    n, m, coverage = LARGE
    random = np.random.default_rng(0)
    truth = random.integers(0, 4, n).astype(np.int16)
    votes = np.full((n, m), ABSTAIN, dtype=np.int16)
    for column in range(m):
        fires = np.flatnonzero(random.random(n) < coverage)
        wrong = random.random(fires.size) > random.uniform(0.5, 0.95)
        votes[fires, column] = (truth[fires] + wrong * random.integers(1, 4, fires.size)) % 4
    nothing = np.full(n, -1)

    def run() -> Posterior:
        return fit_ours(votes, 4, nothing).predict_proba(votes)

    peak = peak_mib(run)
    started = time.perf_counter()
    posterior = run()
    seconds = time.perf_counter() - started
    name = f"synthetic {n:,} x {m}"
    covered = np.isfinite(posterior[:, 0])
    right = float((posterior.argmax(axis=1) == truth)[covered].mean())
    return [
        Row(name, OURS, "fit and posterior s", seconds, seconds),
        Row(name, OURS, "peak MiB", peak, seconds),
        Row(name, OURS, "accuracy", 100 * right, seconds),
    ]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with ws_* and llm_* folders")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each measurement")
    parser.add_argument("--no-peers", action="store_true", help="measure ours and majority vote only")
    parser.add_argument("--no-text", action="store_true", help="leave the classifier out")
    arguments = parser.parse_args()
    folders = sets.folders(arguments.data, ("ws_*", "llm_*"))
    items = [item for folder in folders if (item := load(folder)) is not None]
    if left := sorted({folder.name for folder in folders} - {item.name for item in items}):
        print("no votes or no gold labels, left out:", ", ".join(left))
    if not items:
        print(f"no folder ws_* or llm_* with votes.npz and gold labels in {arguments.data}: nothing to measure")
        return
    print("found", ", ".join(item.name for item in items))
    if not arguments.no_peers:
        # Before hours of measuring, not after them.
        peers_command(PEERS)
    rows = large()
    for item in items:
        rows += ours(item, arguments.seeds, text=not arguments.no_text)
        for binary in against_rest(item):
            rows += ours(binary, arguments.seeds, text=False)
    if not arguments.no_peers:
        rows += peers(items, arguments.seeds)
    report([*rows, *summaries(rows)], arguments.json)


if __name__ == "__main__":
    main()
