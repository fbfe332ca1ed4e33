"""Votes per second of 20 rules on 50,000 texts: ours, as Python functions and as YAML, and Snorkel's PandasLFApplier.

The Python functions are the same code on both sides (`spam_rules.py`), the YAML says the same (`spam_rules.yaml`). All
must give the same votes. Texts are real ones, repeated to 50,000; the other fields are made from the row's number.
"""

import argparse
import json
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.adapters.rules.tables import Tables
from backend.adapters.rules.yaml_rules import load_yaml_rules
from backend.domain.questions import Choices
from backend.domain.rules import Rule, labeling_function
from backend.domain.votes import apply_rules
from benchmarks import sets, spam_rules
from benchmarks.common import Row, peers_command, report

HERE = Path(__file__).parent
PEER = "snorkel PandasLFApplier"
PYTHON, YAML = "prelabel, Python", "prelabel, YAML"
N_TASKS = 50_000
SETS = ("ws_youtube", "ws_sms", "ws_agnews")
QUESTION = Choices("kind", "text", ("spam", "ham"))


def texts(folder: Path, name: str) -> list[str]:
    """All texts of a data set; none without the set."""
    return [text for text in sets.read(folder / name).texts if text is not None] if (folder / name).is_dir() else []


def synthetic() -> list[str]:
    """Texts of made-up words, for want of data."""
    random = np.random.default_rng(0)
    words = np.array([*(f"word{number}" for number in range(2000)), "free", "call", "love", "http://a", "please!"])
    return [" ".join(random.choice(words, random.integers(3, 40))) for _ in range(5000)]


def tasks_of(given: Sequence[str]) -> list[dict[str, Any]]:
    """50,000 tasks."""
    return [
        {"text": given[row % len(given)], "likes": row % 13, "replies": row % 5, "sender": f"user{row % 101}"}
        for row in range(N_TASKS)
    ]


def python_rules() -> list[Rule]:
    """The functions as they are."""
    return [labeling_function(question="kind")(function) for function in spam_rules.FUNCTIONS]


def yaml_rules(folder: Path) -> list[Rule]:
    """The rules of the YAML file; their tables are written to a folder."""
    for name, senders in (("blocked", spam_rules.BLOCKED), ("known", spam_rules.KNOWN)):
        (folder / f"{name}.csv").write_text("\n".join(["sender", *sorted(senders)]))
    path = HERE / "spam_rules.yaml"
    loaded = load_yaml_rules(path.read_bytes(), path.name, Tables(folder, {}))
    assert not loaded.set_aside, loaded.set_aside
    return list(loaded.rules)


def ours(rules: Sequence[Rule], tasks: Sequence[dict[str, Any]]) -> tuple[float, NDArray[np.int16]]:
    """Seconds and votes."""
    started = time.perf_counter()
    matrices, faults = apply_rules(rules, tasks, [QUESTION])
    seconds = time.perf_counter() - started
    assert not faults.counts, faults.reasons
    return seconds, matrices["kind"].votes


def peers(folder: Path) -> tuple[float, NDArray[np.int16]]:
    """Seconds and votes of Snorkel, in its own environment, on `tasks.json` in a folder."""
    environment = peers_command(("snorkel", "pandas"), platform.python_version())
    script = [str(HERE / "snorkel_peer.py"), str(folder / "tasks.json"), str(folder / "votes.npy")]
    ran = subprocess.run([*environment, *script], check=True, capture_output=True, text=True)
    return float(ran.stdout.split()[-1]), np.load(folder / "votes.npy").astype(np.int16)


def measure(name: str, given: Sequence[str], rounds: int) -> list[Row]:
    """Rows of one set: the median over the rounds."""
    tasks = tasks_of(given)
    took: dict[str, list[float]] = {PEER: [], PYTHON: [], YAML: []}
    votes: dict[str, NDArray[np.int16]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "tasks.json").write_text(json.dumps(tasks))
        rules = {PYTHON: python_rules(), YAML: yaml_rules(folder)}
        for _ in range(rounds):
            seconds, votes[PEER] = peers(folder)
            took[PEER].append(seconds)
            for method, written in rules.items():
                seconds, votes[method] = ours(written, tasks)
                took[method].append(seconds)
    rows = []
    for method, times in took.items():
        seconds = statistics.median(times)
        rows.append(Row(name, method, "votes per second", votes[method].size / seconds, seconds))
        rows.append(Row(name, method, "times the peer's speed", statistics.median(took[PEER]) / seconds, seconds))
        same = float((votes[method] == votes[PEER]).mean())
        assert same == 1.0, f"{method} votes otherwise than the peer: {same}"
        rows.append(Row(name, method, "same votes as the peer", same, seconds))
    return rows


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--seeds", type=int, default=3, help="rounds; the median is reported")
    arguments = parser.parse_args()
    found = [name for name in SETS if texts(arguments.data, name)]
    print(f"sets found in {arguments.data}: {', '.join(found) or 'none, so texts are synthetic'}")
    rows = []
    for name in found or ["synthetic"]:
        rows += measure(name, texts(arguments.data, name) if found else synthetic(), arguments.seeds)
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
