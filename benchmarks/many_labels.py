"""A multiple question with thousands of labels on 100 tasks: seconds of processor time, by labels and human answers.

Measured is what a training does: rules vote, label models and classifiers are learned and measured, suggestions are
made, and all is stored.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from backend.adapters.versions.folders import VersionFolders
from backend.domain.frame import frame_of
from backend.domain.model.gold import gold_of
from backend.domain.model.training import train
from backend.domain.questions import Choices
from backend.domain.rules import Rule, TaskFields, Vote
from backend.domain.suggestions import suggest
from backend.domain.votes import apply_rules
from backend.ports import VersionContents
from benchmarks.common import OURS, Row, report

N_TASKS = 100
SIZES, ANSWERS = (1_000, 5_000, 20_000), (0, 100)


def measure(n_labels: int, n_answers: int, folder: Path) -> dict[str, float]:
    """Processor seconds of each step; each task has one to four of the labels, which its text and two rules tell."""
    random = np.random.default_rng(0)
    question = Choices("topics", "text", tuple(f"topic{i}" for i in range(n_labels)), multiple=True)
    chosen = [random.choice(question.labels, random.integers(1, 5), replace=False).tolist() for _ in range(N_TASKS)]
    data: list[dict[str, object]] = [
        {"text": f"Text {row} about {' '.join(labels)}"} for row, labels in enumerate(chosen)
    ]

    def says(place: int) -> Rule:
        def vote(task: TaskFields) -> Vote:
            return str(task.text.split()[place])

        return Rule(f"word {place}", vote, question.name)

    figures, started = {}, time.process_time()

    def done(step: str) -> None:
        nonlocal started
        figures[f"{step}: CPU s"] = time.process_time() - started
        started = time.process_time()

    votes, faults = apply_rules([says(3), says(-1)], data, [question])
    assert not faults.counts, faults.reasons
    done("vote")
    answers = [[{question.name: tuple(labels)}] for labels in chosen[:n_answers]]
    gold = gold_of([question], [*answers, *([] for _ in range(N_TASKS - n_answers))])
    trained = train(frame_of([question], data, votes=votes, gold=gold), data)
    done("train")
    suggest(replace(trained.frame, posteriors=trained.model.posteriors_of(trained.frame)))
    done("suggest")
    built = VersionContents(trained, np.arange(N_TASKS), [], trained.metrics)
    VersionFolders(folder, f"sqlite:///{folder}/prelabel.sqlite3").write("benchmark", 1, built)
    done("store")
    return figures


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--labels", type=int, nargs="*", default=SIZES)
    arguments = parser.parse_args()
    rows = []
    for n_labels in arguments.labels:
        for n_answers in ANSWERS:
            with tempfile.TemporaryDirectory() as folder:
                figures = measure(n_labels, n_answers, Path(folder))
            name = f"{n_labels:,} labels, {n_answers} of {N_TASKS} tasks answered"
            rows += [Row(name, OURS, metric, value, 0.0) for metric, value in figures.items()]
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
