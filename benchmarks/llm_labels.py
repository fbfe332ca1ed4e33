"""Whether suggestions are worse than an LLM alone, by the number of human labels.

uv run python -m benchmarks.llm_labels [--data DIR] [--json FILE] [--seeds N] [--labels 0 20] [--as-rule] [--planted]

On every folder `llm_*` of DIR with votes, gold labels and texts, each recorded LLM that passes the validation gate is
asked about all tasks, beside the mined rules of `benchmarks.llm`. With `--planted`, on the folders `ws_*` with texts
instead: the rules are the set's own, and LLMs are made up from gold, right on 60 to 90 % of the tasks; a wrong answer
is mostly the one class that its class is mistaken for, and a stated confidence is higher for right answers, or not.

For each LLM and number of labels: accuracy of the LLM alone, of rules and classifier without it, and of all together,
on tasks that nobody labeled; and what all together are over the LLM alone, in points. `--as-rule`: the LLM is
trusted as any rule is, for comparison. An LLM that doesn't pass has no vote, and is named.
"""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.domain.frame import frame_of
from backend.domain.llm.confidence import apply, calibrate, confidences_of
from backend.domain.llm.records import LlmAnswer, LlmSource
from backend.domain.llm.votes import choose_split, join, llm_columns
from backend.domain.model.training import train
from backend.domain.questions import Choices, decisions
from backend.domain.questions.forms import ABSTAIN, Votes
from backend.domain.votes import VoteMatrix
from benchmarks.common import OURS, Row, report
from benchmarks.label_model import VoteSet, load
from benchmarks.llm import GATE_KAPPA, N_LABELS, N_SAMPLE, Figures, Project, answer_of, gate, project_of, scores

LABELS = (0, 20, 50, 100, 300)
ACCURACIES = (0.6, 0.7, 0.8, 0.9)
MISTAKEN = 0.7
"""Share of a planted LLM's wrong answers that go to the one class that its class is mistaken for."""
MAX_TASKS = 3000
"""Of a set, drawn at random where there are more."""


@dataclass(frozen=True)
class Voter:
    """An LLM in a project. answers: class of each task, -1 = abstains. stated: float64 (n,), its confidence, or NaN."""

    name: str
    answers: Votes
    stated: NDArray[np.float64]


def recorded(folder: Path, item: VoteSet, seed: int) -> Iterator[tuple[Project, Voter]]:
    """Each LLM of a set, in its project."""
    names = json.loads((folder / "meta.json").read_text())["lfs"]
    project, kept = project_of(item, seed)
    for column, name in enumerate(names):
        yield project, Voter(name, item.votes[kept, column], np.full(kept.size, np.nan))


def planted(item: VoteSet, seed: int) -> Iterator[tuple[Project, Voter]]:
    """Made-up LLMs, in a project with the set's own rules."""
    assert item.data is not None
    random = np.random.default_rng(seed)
    rows = np.sort(random.permutation(item.gold.size)[:MAX_TASKS])
    truth, k = item.gold[rows], item.n_classes
    question = Choices("question", "text", tuple(f"label {label}" for label in range(k)))
    decision = decisions(question)[0]
    labeled = random.permutation(truth.size)[:N_LABELS]
    gold = np.full(truth.size, -1)
    gold[labeled] = truth[labeled]
    rules = VoteMatrix(decision, tuple(f"rule {place}" for place in range(item.votes.shape[1])), item.votes[rows])
    data = [item.data[row] for row in rows]
    sample = random.permutation(labeled)[:N_SAMPLE]
    project = Project(question, data, {decision.key: rules}, gold, truth, np.flatnonzero(gold < 0), sample)
    mistaken = (np.arange(k) + random.integers(1, k, k)) % k
    for accuracy in ACCURACIES:
        right = random.random(truth.size) < accuracy
        other = (truth + random.integers(1, k, truth.size)) % k
        wrong = np.where(random.random(truth.size) < MISTAKEN, mistaken[truth], other)
        answers = np.where(right, truth, wrong).astype(np.int16)
        for telling in (0.0, 1.0):
            stated = 1 / (1 + np.exp(-random.normal(1.5 + telling * right, 1.0)))
            yield project, Voter(f"planted {accuracy:.0%}{', telling' * bool(telling)}", answers, stated)


def columns_of(project: Project, voter: Voter, *, as_rule: bool) -> dict[str, VoteMatrix]:
    """What the LLM votes, as in a project: in two columns where its confidence tells right from wrong."""
    labels = project.question.labels
    stated = [None if np.isnan(value) else float(value) for value in voter.stated]
    said: list[LlmAnswer | None] = [
        answer_of(labels, int(vote), value) for vote, value in zip(voter.answers, stated, strict=True)
    ]
    sample = np.isin(np.arange(project.gold.size), project.sample) & (project.gold >= 0)
    confidence, right = confidences_of(said)[sample], (voter.answers == project.gold)[sample]
    calibration = calibrate(confidence, right)
    split = choose_split(apply(calibration, confidence), right)
    found = llm_columns(project.question, LlmSource("question", voter.name, "0"), said, calibration, split)
    if not as_rule:
        return found
    return {key: replace(item, sources=tuple(f"as {name}" for name in item.sources)) for key, item in found.items()}


def accuracy_with(project: Project, votes: dict[str, VoteMatrix], seed: int) -> float:
    """Accuracy, in %, of suggestions for the tasks that nobody labeled."""
    frame = frame_of([project.question], project.data, votes=votes, gold={project.key: project.gold})
    trained = train(frame, project.data, seed=seed)
    answers = trained.model.posteriors_of(trained.frame)[project.key].argmax(axis=1)
    return scores(answers[project.scored], project.truth[project.scored])["accuracy"]


def one_seed(folder: Path, labels: Sequence[int], as_rule: bool, is_planted: bool, seed: int) -> Figures:
    """All figures of one set and one seed."""
    item = load(folder)
    assert item is not None
    figures: Figures = {}
    without: dict[int, float] = {}
    for project, voter in planted(item, seed) if is_planted else recorded(folder, item, seed):
        figures |= gate(project, voter.answers, voter.name)
        if not figures[voter.name, "passes the gate"]:
            continue
        scored = project.scored
        alone = scores(voter.answers[scored].astype(np.int64), project.truth[scored])["accuracy"]
        figures[voter.name, "alone"] = alone
        order = np.random.default_rng(seed).permutation(np.flatnonzero(project.gold >= 0))
        for n in labels:
            gold = np.full_like(project.gold, ABSTAIN)
            gold[order[:n]] = project.truth[order[:n]]
            part = replace(project, gold=gold)
            if n not in without:
                without[n] = accuracy_with(part, part.rules, seed)
            together = accuracy_with(part, join(part.rules, columns_of(part, voter, as_rule=as_rule)), seed)
            figures[voter.name, f"{n} labels: without it"] = without[n]
            figures[voter.name, f"{n} labels: together"] = together
            figures[voter.name, f"{n} labels: over it alone"] = together - alone
    return figures


def rows_of(name: str, runs: Sequence[Figures]) -> list[Row]:
    """Means over the seeds in which an LLM passed, with their lowest."""
    rows = []
    for method, metric in dict.fromkeys(key for figures in runs for key in figures):
        values = [figures[method, metric] for figures in runs if (method, metric) in figures]
        rows.append(Row(name, f"{OURS} + {method}", metric, float(np.mean(values)), 0.0))
        if metric.endswith("alone"):
            rows.append(Row(name, f"{OURS} + {method}", f"{metric} (lowest)", min(values), 0.0))
    return rows


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with llm_* or ws_* folders")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each measurement")
    parser.add_argument("--labels", type=int, nargs="+", default=LABELS, help="numbers of human labels")
    parser.add_argument("--as-rule", action="store_true", help="trust the LLM as any rule")
    parser.add_argument("--planted", action="store_true", help="made-up LLMs on the folders ws_*")
    parser.add_argument("--sets", nargs="+", help="names of folders; all by default")
    arguments = parser.parse_args()
    pattern = "ws_*" if arguments.planted else "llm_*"
    folders = sorted(path.parent for path in arguments.data.glob(f"{pattern}/votes.npz"))
    folders = [folder for folder in folders if not arguments.sets or folder.name in arguments.sets]
    usable = [folder for folder in folders if (item := load(folder)) is not None and item.data is not None]
    for folder in sorted(set(folders) - set(usable)):
        print(f"{folder.name}: no gold labels or no texts, skipped")
    if not usable:
        print(f"no folder {pattern} with votes.npz, gold labels and texts in {arguments.data}: nothing to measure")
        return
    print(f"gate: kappa of {GATE_KAPPA} on {N_SAMPLE} labels")
    # One thread for each process: they would only wait for each other.
    os.environ["OMP_NUM_THREADS"] = "1"
    rows: list[Row] = []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for folder in usable:
            measure = partial(one_seed, folder, arguments.labels, arguments.as_rule, arguments.planted)
            rows += rows_of(folder.name, list(pool.map(measure, range(arguments.seeds))))
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
