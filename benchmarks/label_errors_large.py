"""The part of `benchmarks.label_errors` on 100,000 labels in 4 classes: seconds and memory, in a process of its own."""

import json
import resource
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np

from backend.domain.frame import frame_of
from backend.domain.label_errors.records import SearchInputs
from backend.domain.label_errors.search import search
from backend.domain.questions import Choices, decisions
from backend.domain.questions.forms import ABSTAIN
from backend.domain.votes import VoteMatrix
from benchmarks.common import OURS, Row
from benchmarks.rank import pool

N, K, N_SOURCES = 100_000, 4, 10
SETTINGS = ("posterior", "posterior and votes", "posterior, votes, features and annotators")


def large_rows() -> list[Row]:
    """One process for each setting."""
    rows = []
    for setting in SETTINGS:
        command = [sys.executable, "-m", "benchmarks.label_errors_large", setting]
        seconds, mib = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        name = f"{N:,} labels, {K} classes"
        rows.append(Row(name, OURS, f"s, {setting}", seconds, seconds))
        rows.append(Row(name, OURS, f"peak MiB, {setting}", mib, seconds))
    return rows


def main() -> None:
    """Search once; print seconds of the search, and peak MiB of the process."""
    setting = sys.argv[1]
    random = np.random.default_rng(0)
    question = Choices("question", "text", tuple("abcd"))
    decision = decisions(question)[0]
    features, truth = pool(N)
    given = np.where(random.random(N) < 0.1, random.integers(0, K, N), truth)
    scores = random.normal(0, 1, (N, K)) * 1.5
    scores[np.arange(N), truth] += 2.5
    posterior = np.exp(scores)
    posterior /= posterior.sum(axis=1, keepdims=True)
    votes = np.full((N, N_SOURCES), ABSTAIN, dtype=np.int16)
    for column in range(N_SOURCES):
        fires = np.flatnonzero(random.random(N) < 0.3)
        wrong = random.random(fires.size) > 0.75
        votes[fires, column] = (truth[fires] + wrong * random.integers(1, K, fires.size)) % K
    matrix = VoteMatrix(decision, tuple(f"source {column}" for column in range(N_SOURCES)), votes)
    inputs = SearchInputs(
        features=features if "features" in setting else None,
        annotators=random.integers(0, 20, N) if "annotators" in setting else None,
    )
    known = {decision.key: matrix} if "votes" in setting else {}
    frame = frame_of([question], [{}] * N, votes=known, gold={decision.key: given})
    frame = replace(frame, held_out={decision.key: posterior})
    started = time.perf_counter()
    search(question, frame, inputs)
    seconds = time.perf_counter() - started
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


if __name__ == "__main__":
    main()
