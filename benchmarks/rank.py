"""Ranking a pool: our queue for 100,000 tasks, as a ratio to modAL's ranked batch for a pool that it can do.

modAL compares each task with each chosen one anew for each pick, so it gets a smaller pool, which we rank too. The
ratios are of seconds in the same run. Both get the same kind of features; ours also finds the space tasks lie in.
"""

import json
import resource
import time
from dataclasses import asdict, replace

import numpy as np
from modAL.batch import uncertainty_batch_sampling
from modAL.models import ActiveLearner
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from backend.domain.frame import CLASSIFIER, LABEL_MODEL, frame_of
from backend.domain.priorities.pool_state import PoolState
from backend.domain.priorities.queue import choose_next
from backend.domain.priorities.strategy import Strategy
from backend.domain.questions import Choices, decisions
from backend.domain.votes import VoteMatrix
from benchmarks.common import OURS, Row, options

MODAL = "modAL ranked batch"
QUESTION = Choices("topic", "text", ("a", "b", "c", "d"))
N_TERMS = 20_000
N_WORDS = 25
N_LABELED = 200


def main() -> None:
    """Measure and report."""
    parser = options(__doc__ or "")
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks that we rank")
    parser.add_argument("--modal-tasks", type=int, default=5_000, help="tasks that modAL ranks")
    parser.add_argument("--served", type=int, default=50, help="how many are chosen, by either")
    arguments = parser.parse_args()
    peer = modal_seconds(arguments.modal_tasks, arguments.served)
    rows = [Row(f"{arguments.modal_tasks} tasks", MODAL, "seconds", peer, peer)]
    same = our_seconds(arguments.modal_tasks, arguments.served, Strategy.MARGIN, N_LABELED)
    rows.append(Row(f"{arguments.modal_tasks} tasks", OURS, f"margin, {N_LABELED} labels", same, same))
    compared = (Strategy.AUTO, Strategy.MARGIN, Strategy.VARIANCE, Strategy.REPRESENTATIVE)
    for strategy in (*compared, Strategy.DENSITY, Strategy.VOTE_ENTROPY):
        for n_labeled in (0, N_LABELED) if strategy is Strategy.AUTO else (N_LABELED,):
            seconds = our_seconds(arguments.tasks, arguments.served, strategy, n_labeled)
            name = f"{strategy}, {n_labeled} labels"
            rows.append(Row(f"{arguments.tasks} tasks", OURS, name, seconds, seconds))
    rows.append(Row(f"{arguments.tasks} tasks", OURS, "peak MiB", peak_mib(), 0.0))
    for row in rows:
        ratio = f"   {row.seconds / peer:.2f} of modAL's" if row.method == OURS and row.seconds else ""
        print(f"{row.set:16} {row.method:20} {row.metric:28} {row.value:10.2f}{ratio}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


def modal_seconds(n: int, served: int) -> float:
    """Seconds of modAL for one batch."""
    features, truth = pool(n)
    learner = ActiveLearner(LogisticRegression(), X_training=features[:N_LABELED], y_training=truth[:N_LABELED])
    started = time.perf_counter()
    uncertainty_batch_sampling(learner, features[N_LABELED:], n_instances=served)
    return time.perf_counter() - started


def our_seconds(n: int, served: int, strategy: Strategy, n_labeled: int) -> float:
    """Seconds of ours for one queue, features and posteriors given."""
    features, truth = pool(n)
    random = np.random.default_rng(1)
    posterior = random.dirichlet(np.ones(len(QUESTION.labels)), n) if n_labeled else np.full((n, 4), np.nan)
    votes = np.where(random.random((n, 5)) < 0.3, random.integers(0, 4, (n, 5)), -1).astype(np.int16)
    gold = np.where(np.arange(n) < n_labeled, truth, -1)
    decision = decisions(QUESTION)[0]
    matrix, said = VoteMatrix(decision, tuple("vwxyz"), votes), {decision.key: posterior}
    frame = frame_of([QUESTION], [{}] * n, votes={decision.key: matrix}, gold={decision.key: gold})
    frame = replace(frame, posteriors=said, members={LABEL_MODEL: said, CLASSIFIER: said})
    state = PoolState(frame, gold < 0, features)
    confidence = np.nan_to_num(posterior.max(axis=1))
    started = time.perf_counter()
    choose_next(state, confidence, strategy=strategy, n=served, seed=0)
    return time.perf_counter() - started


def pool(n: int) -> tuple[csr_matrix, NDArray[np.int64]]:
    """Features like TF-IDF of short texts, words as frequent as in a language, some of them a topic's own."""
    random = np.random.default_rng(0)
    truth = random.integers(0, len(QUESTION.labels), n)
    words = np.minimum(random.zipf(1.3, (n, N_WORDS)) - 1, N_TERMS - 1)
    words[:, :3] = 100 * (truth[:, None] + 1) + random.integers(0, 100, (n, 3))
    rows = np.repeat(np.arange(n), N_WORDS)
    features = csr_matrix((np.full(n * N_WORDS, N_WORDS**-0.5), (rows, words.ravel())), shape=(n, N_TERMS))
    return features, truth


def peak_mib() -> float:
    """Most memory that this process ever had, in MiB; modAL's part included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
