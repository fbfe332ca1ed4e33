"""Rules that `prelabel rules suggest` proposes: whether their stated intervals hold, and what the best ten bring.

`--data` names a folder with text sets (`ws_*`, `al_*`), each with `texts.jsonl.gz` or `data.jsonl.gz`, as for
`benchmarks.active_learning`. People label random tasks of a pool. Rules are made from one half of these labels and
measured on the other half; whether an interval holds is told by all tasks that nobody labeled. Accuracy is of the
product's suggestions for tasks outside of the pool, with the proposed rules and with none.
"""

import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from backend.adapters.rules.rule_files import RuleFiles
from backend.domain.features import FeatureExtractor
from backend.domain.features.vectors import Vectors
from backend.domain.frame import Frame, frame_of
from backend.domain.mining.measure import is_mined, precision
from backend.domain.mining.propose import Material, propose
from backend.domain.model.training import Features, Known, train
from backend.domain.questions import Choices
from backend.domain.rules import Rule
from backend.domain.tasks import content_hash
from backend.domain.votes import apply_rules
from benchmarks.common import OURS, Row, options, report
from benchmarks.learning_sets import embed, folders, labeled_texts

WITHOUT = f"{OURS} without rules"
POOL, REST = 3_000, 2_000
"""Tasks that people may label, and tasks that suggestions are measured on."""
N_RULES = 10
ENOUGH = 50
"""Votes on unlabeled tasks from which these tell how often a rule is right."""


@dataclass(frozen=True)
class Told:
    """A set: its tasks' data, and the true class of each, int64 (n,). The first `n_pool` tasks are the pool."""

    name: str
    question: Choices
    data: Sequence[Mapping[str, object]]
    truth: NDArray[np.int64]
    vectors: NDArray[np.float32]
    n_pool: int

    def part(self, rows: slice) -> tuple[Sequence[Mapping[str, object]], Vectors]:
        """Data and embeddings of some tasks."""
        return self.data[rows], Vectors("builtin", self.vectors[rows])


@dataclass(frozen=True)
class Run:
    """One draw. accuracy, macro_f1: by method, 0..1. held: of each rule whether its interval holds, where that can be
    told. covered: share of the unlabeled tasks on which a rule votes. n_held_out: votes that measure a rule, mean."""

    accuracy: Mapping[str, float]
    macro_f1: Mapping[str, float]
    n_rules: int
    held: Sequence[bool]
    covered: float
    n_held_out: float


def main() -> None:
    """Run on all sets, print and write the rows."""
    parser = options(__doc__ or "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the sets")
    parser.add_argument("--sets", nargs="*", default=["ws_agnews", "ws_sms", "ws_trec"], help="only these")
    parser.add_argument("--seeds", type=int, default=3, help="draws of the labeled tasks")
    parser.add_argument("--labels", type=int, default=100, help="labeled tasks")
    rows = list(_measure(parser.parse_args()))
    if not rows:
        print("No set was found: nothing is measured. See --data.")
    report(rows, parser.parse_args().json)


def _measure(typed: Namespace) -> Iterator[Row]:
    """Rows of each set, then how many of all intervals hold."""
    held: list[bool] = []
    for folder in folders(typed.data, typed.sets):
        told = _told(folder)
        if told is None:
            continue
        began = time.monotonic()
        runs = [_run(told, typed.labels, seed) for seed in range(typed.seeds)]
        seconds = (time.monotonic() - began) / len(runs)
        of_set = [item for run in runs for item in run.held]
        held += of_set

        def row(method: str, metric: str, value: float, name: str = told.name, seconds: float = seconds) -> Row:
            return Row(name, method, metric, value, seconds)

        for method in (WITHOUT, OURS):
            yield row(method, "accuracy", 100 * float(np.mean([run.accuracy[method] for run in runs])))
            yield row(method, "macro_f1", 100 * float(np.mean([run.macro_f1[method] for run in runs])))
        gained = [100 * (run.accuracy[OURS] - run.accuracy[WITHOUT]) for run in runs]
        yield row(OURS, "accuracy gained, lowest seed", min(gained))
        yield row(OURS, "accuracy gained, highest seed", max(gained))
        yield row(OURS, "rules", float(np.mean([run.n_rules for run in runs])))
        yield row(OURS, "covered, %", 100 * float(np.mean([run.covered for run in runs])))
        yield row(OURS, "held-out votes a rule", float(np.mean([run.n_held_out for run in runs])))
        yield from _held(told.name, of_set)
    yield from _held("all sets", held)


def _held(name: str, held: Sequence[bool]) -> Iterator[Row]:
    if held:
        yield Row(name, OURS, "intervals", float(len(held)), 0.0)
        yield Row(name, OURS, "intervals that hold, %", 100 * float(np.mean(held)), 0.0)


def _told(folder: Path) -> Told | None:
    """A set of one label a task; None for one of several."""
    found = labeled_texts(folder)
    if found.multiple:
        return None
    item = found.rows(np.random.default_rng(0).permutation(len(found.texts))[: POOL + REST])
    question = Choices("answer", "text", item.classes)
    vectors = embed([str(text) for text in item.texts])
    return Told(folder.name, question, item.data, item.truth, vectors, min(POOL, 3 * len(item.texts) // 5))


def _run(told: Told, n_labels: int, seed: int) -> Run:
    """One draw of the labeled tasks."""
    question, n = told.question, told.n_pool
    pool, rest = slice(0, n), slice(n, None)
    labeled = np.random.default_rng(seed).permutation(n)[:n_labels]
    mined = np.array([is_mined(f"{told.name} {seed}", row) for row in labeled.tolist()], dtype=np.bool_)
    data, vectors = told.part(pool)
    extractor = FeatureExtractor().fit(data)
    features = Features(extractor, extractor.transform(data))
    hashes = [content_hash(item) for item in data]
    known = Known(features=features, vectors=vectors, hashes=hashes)
    frame = _frame(told, data, (), _gold(told, labeled[mined], n))
    specs = propose(Material(question, frame, data, features, vectors, hashes), N_RULES, seed=seed)
    named = [{"name": f"rule_{place}", **spec} for place, spec in enumerate(specs)]
    rules = RuleFiles.read(named).rules
    accuracy, macro_f1 = {}, {}
    for method, used in ((WITHOUT, ()), (OURS, rules)):
        taught = train(_frame(told, data, used, _gold(told, labeled, n)), data, known, seed=seed)
        unseen, vectors_of_unseen = told.part(rest)
        votes = _frame(told, unseen, used)
        chosen = taught.model.posteriors(unseen, votes, vectors_of_unseen)[question.name].argmax(axis=1)
        accuracy[method] = float((chosen == told.truth[rest]).mean())
        macro_f1[method] = float(f1_score(told.truth[rest], chosen, average="macro", zero_division=0))
    held, covered, n_held_out = _stated(told, rules, labeled[~mined], labeled)
    return Run(accuracy, macro_f1, len(rules), held, covered, n_held_out)


def _stated(
    told: Told, rules: Sequence[Rule], measuring: NDArray[np.int64], labeled: NDArray[np.int64]
) -> tuple[list[bool], float, float]:
    """Whether the intervals hold on the tasks that nobody labeled; see `Run`."""
    matrix = _frame(told, told.data, rules).votes[told.question.name]
    unseen = np.setdiff1d(np.arange(len(told.data)), labeled)
    held, n_votes = [], []
    for column, rule in enumerate(rules):
        part = [(matrix.rows(measuring), told.truth[measuring])]
        stated = precision(part, rule.name, np.zeros(len(measuring), dtype=np.bool_))
        voted = unseen[matrix.votes[unseen, column] >= 0]
        n_votes.append(stated.n)
        # An interval from 0 to 1 holds always: it says nothing.
        if stated.n and voted.size >= ENOUGH:
            right = float((matrix.votes[voted, column] == told.truth[voted]).mean())
            held.append(stated.interval[0] <= right <= stated.interval[1])
    covered = float((matrix.votes[unseen] >= 0).any(axis=1).mean()) if rules else 0.0
    return held, covered, float(np.mean(n_votes or [0]))


def _gold(told: Told, rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    gold = np.full(n, -1, dtype=np.int64)
    gold[rows] = told.truth[rows]
    return gold


def _frame(
    told: Told,
    data: Sequence[Mapping[str, object]],
    rules: Sequence[Rule],
    gold: NDArray[np.int64] | None = None,
) -> Frame:
    votes, _ = apply_rules(rules, data, (told.question,))
    known = {} if gold is None else {told.question.name: gold}
    return frame_of((told.question,), data, votes=votes, gold=known)


if __name__ == "__main__":
    main()
