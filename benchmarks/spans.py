"""Spans: the vote of rules, our tagger that sees it, and peers, on public sets with votes of labeling functions.

uv run python -m benchmarks.spans [--data DIR] [--json FILE] [--seeds N] [--sets NAME ...] [--parts NAME ...]

On every folder `ner_*` of DIR:

f1      exact F1 on the test part after 0, 10, 20, 50, 100 and all documents of the train part were labeled, drawn at
        random, other ones for each seed. `vote`: the rules alone; `crf`: a tagger that doesn't see them; `prelabel`:
        ours. Peers, each in an environment of its own: spaCy's blank NER on the same documents, and skweak's HMM on the
        same votes. The rules that vote are those that the set's authors recommend; others are hints for the tagger.
next    tokens read until 95 % of the F1 with all documents: the next documents by us, or at random.
errors  5 or 10 % of people's spans are dropped, shifted or given another label: average precision of finding the tokens
        that are wrong, by us, by the out-of-fold tagger's probabilities alone, and by cleanlab on those.
speed   20,000 documents with 30 rules, and training on 100,000 tokens: seconds.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from backend.domain.spans.fit import fit
from backend.domain.spans.scores import span_scores
from backend.domain.spans.text import Run
from backend.domain.spans.vote import Runs, Voted, greedy, vote
from benchmarks.common import OURS, Row, peers_command
from benchmarks.spans_errors import error_rows
from benchmarks.spans_next import next_rows
from benchmarks.spans_peers import NAMES, PACKAGES
from benchmarks.spans_sets import SpanSet, load, without_votes

N_LABELED = (0, 10, 20, 50, 100)
LARGE = (20_000, 30)
"""Documents and rules that have to be voted on within a minute."""
MANY_TOKENS = 100_000

Result = TypeVar("Result")


def f1_rows(item: SpanSet, n_seeds: int) -> list[Row]:
    """Ours, the vote alone and the tagger that doesn't see it."""
    marked, seconds = _timed(lambda: [_plain_vote(text) for text in item.test.texts])
    rows = [Row(item.name, "vote", "0 f1", span_scores(marked, item.test.gold).f1, seconds)]
    blind = without_votes(item.train.texts), without_votes(item.test.texts)
    for n in (*N_LABELED, len(item.train.texts)):
        for seed in range(n_seeds if 0 < n < len(item.train.texts) else 1):
            rows += show([_row(item, OURS, n, seed, item.train.texts, item.test.texts)])
            if n:
                rows += show([_row(item, "crf", n, seed, *blind)])
    return rows


def _plain_vote(text: Voted) -> Runs:
    """The rules' votes counted, and nothing else: no short forms."""
    return tuple(greedy(Counter(run for runs in text.votes for run in set(runs))))


def _row(item: SpanSet, method: str, n: int, seed: int, train: Sequence[Voted], test: Sequence[Voted]) -> Row:
    labeled = set(item.order(seed)[:n])
    gold = [runs if row in labeled else None for row, runs in enumerate(item.train.gold)]
    fitted, seconds = _timed(lambda: fit(train, gold, item.labels, seed=seed))
    marked = [tuple(found.runs) for found in fitted.model.suggest(test)]
    return Row(item.name, method, _metric(item, n), span_scores(marked, item.test.gold).f1, seconds)


def _metric(item: SpanSet, n: int) -> str:
    return "all f1" if n == len(item.train.texts) else f"{n} f1"


def peer_rows(item: SpanSet, peer: str, n_seeds: int) -> list[Row]:
    """F1 of one peer."""
    runs: list[dict[str, Any]] = [{"rows": [], "seed": 0, "n": 0}]
    if peer == "spacy":
        ns = [n for n in N_LABELED if n]
        runs = [{"rows": item.order(seed)[:n], "seed": seed, "n": n} for n in ns for seed in range(n_seeds)]
        runs.append({"rows": item.order(0), "seed": 0, "n": len(item.train.texts)})
    data = {
        "labels": item.labels,
        "train": [text.words for text in item.train.texts],
        "gold": item.train.gold,
        "train_votes": [text.votes for text in item.train.texts],
        "test": [text.words for text in item.test.texts],
        "test_votes": [text.votes for text in item.test.texts],
        "runs": runs,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documents.json"
        path.write_text(json.dumps(data))
        command = [*peers_command(PACKAGES[peer]), "-W", "ignore", "-m", "benchmarks.spans_peers", peer, str(path)]
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        if done.returncode:
            print(f"{NAMES[peer]} ended with {done.returncode} on {item.name}: left out")
            return []
        found = json.loads(Path(f"{path}.out").read_text())
    rows = []
    for run, result in zip(runs, found, strict=True):
        marked = [tuple(Run(*span) for span in spans) for spans in result["spans"]]
        f1 = span_scores(marked, item.test.gold).f1
        rows.append(Row(item.name, NAMES[peer], _metric(item, run["n"]), f1, result["seconds"]))
    return show(rows)


def speed_rows(items: Sequence[SpanSet]) -> list[Row]:
    """Time of what has to be quick, on the first set's documents, over and over."""
    n, m = LARGE
    texts: list[Voted] = []
    for item in items:
        texts += item.train.texts
    random = np.random.default_rng(0)
    many = [Voted(text.words, _spread(text, m, random)) for text in islice(cycle(texts[:2_000]), n)]
    n_tokens = sum(len(text.words) for text in many)
    _, seconds = _timed(lambda: [vote(text) for text in many])
    rows = [Row(f"{n:,} documents, {n_tokens:,} tokens", OURS, f"vote of {m} rules s", seconds, seconds)]
    parts = [(text, gold) for item in items for text, gold in zip(item.train.texts, item.train.gold, strict=True)]
    labels = sorted({label for item in items for label in item.labels})
    chosen: list[tuple[Voted, Runs]] = []
    total = 0
    for text, gold in islice(cycle(parts[::-1]), 100_000):
        if total >= MANY_TOKENS:
            break
        chosen.append((text, gold))
        total += len(text.words)
    n_sources = max(len(text.votes) for text, _ in chosen)
    even = [Voted(text.words, (*text.votes, *[()] * (n_sources - len(text.votes)))) for text, _ in chosen]
    _, seconds = _timed(lambda: fit(even, [gold for _, gold in chosen], labels))
    rows.append(Row(f"{len(chosen):,} documents, {total:,} tokens", OURS, "training s", seconds, seconds))
    return rows


def _spread(text: Voted, m: int, random: np.random.Generator) -> tuple[Runs, ...]:
    """Its votes as those of m rules, each run marked by two of them."""
    votes: list[list[Run]] = [[] for _ in range(m)]
    for runs in text.votes:
        for run in runs:
            for source in random.integers(0, m, 2):
                votes[source].append(run)
    return tuple(map(tuple, votes))


def _timed(call: Callable[[], Result]) -> tuple[Result, float]:
    started = time.perf_counter()
    result = call()
    return result, time.perf_counter() - started


def show(rows: list[Row]) -> list[Row]:
    """Print rows as soon as they are there."""
    for row in rows:
        print(f"{row.set:28} {row.method:18} {row.metric:26} {row.value:10.4f} {row.seconds:8.2f} s", flush=True)
    return rows


def means(rows: Sequence[Row]) -> list[Row]:
    """Rows of several seeds as their mean, and the spread (standard deviation) of the F1s."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.set, row.method, row.metric), []).append(row)
    found = []
    for (name, method, metric), some in groups.items():
        values, seconds = [row.value for row in some], float(np.mean([row.seconds for row in some]))
        found.append(Row(name, method, metric, float(np.mean(values)), seconds))
        if len(some) > 1:
            found.append(Row(name, method, f"{metric}, spread", float(np.std(values, ddof=1)), seconds))
    return found


def ratios(rows: list[Row]) -> list[Row]:
    """The rows, and ours over those that a bar is set by."""
    values = {(row.set, row.metric, row.method): row.value for row in rows}
    found = []
    for (name, metric, method), value in values.items():
        other = {"tokens to 95 %": "random"}.get(metric, "cleanlab")
        theirs = values.get((name, metric, other))
        if method == OURS and theirs:
            found.append(Row(name, OURS, f"{metric} / {other}'s", value / theirs, 0.0))
    return [*rows, *found]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with ner_* folders")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each measurement")
    parser.add_argument("--sets", nargs="*", help="only these; all that are found when left out")
    parser.add_argument("--parts", nargs="*", default=["f1", "next", "errors", "speed"], help="only these")
    parser.add_argument("--no-peers", action="store_true", help="leave spaCy and skweak out")
    arguments = parser.parse_args()
    folders = sorted(path for path in arguments.data.glob("ner_*") if path.is_dir())
    items = [item for path in folders if _wanted(path, arguments.sets) and (item := load(path)) is not None]
    if not items:
        print(f"no folder ner_* with spans in {arguments.data}: nothing to measure")
        return
    print("found", ", ".join(item.name for item in items))
    peers = [] if arguments.no_peers or "f1" not in arguments.parts else [name for name in PACKAGES if _usable(name)]
    rows: list[Row] = []
    for item in items:
        if "f1" in arguments.parts:
            rows += f1_rows(item, arguments.seeds)
            for peer in peers:
                rows += peer_rows(item, peer, arguments.seeds)
        if "next" in arguments.parts:
            rows += show(next_rows(item, arguments.seeds))
        if "errors" in arguments.parts:
            rows += show(error_rows(item, arguments.seeds))
    if "speed" in arguments.parts:
        rows += show(speed_rows(items))
    print("means")
    rows = show(ratios(means(rows)))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


def _wanted(path: Path, names: Sequence[str] | None) -> bool:
    return not names or path.name in names


def _usable(peer: str) -> bool:
    """Whether a peer can be installed here; says so if not."""
    try:
        peers_command(PACKAGES[peer])
    except SystemExit as error:
        print(f"{NAMES[peer]} is left out. {error}")
        return False
    return True


if __name__ == "__main__":
    main()
