"""Which task next: labels to 95 % of what all labels of the pool give, ours (`auto`) against random and peers.

uv run python -m benchmarks.active_learning [--data DIR] [--json FILE] [--seeds N] [--sets NAME ...]
    [--methods NAME ...] [--max-labels N] [--batch N] [--record FILE]

On every folder `al_*` and `ws_*` of DIR with text, people label ten tasks at a time, chosen by each method from a pool
of at most 5,000. After each batch the same classifier (`train_classifier`, its default recipe, human labels only)
learns from the same features, built-in embeddings among them, so methods differ in nothing but their choice; only
"random, words alone" does without embeddings. Ours begins with no labels, by its own cold start.
"Without rules" it sees no more than the peers do, otherwise also what rules vote. "Rules teach too" is
another comparison: the classifier learns from the rules' votes and answers together with them, as in the product.
Peers begin with a random batch, drawn anew until two classes are in it. With each seed another tenth of the pool is
left out, so that methods that draw nothing have a band, too.

The figure: labels at which the mean over five checkpoints reaches 95 % of the accuracy with all labels of the pool, and
stays there for five more, interpolated; the mean over seeds. Accuracy is micro-F1 where answers are sets of labels;
macro-F1 has its own figures. A curve that ends before that counts with its last checkpoint. Curves are kept in the
record file as they come, and not computed again by a later run.

Peers: modAL's uncertainty, margin and ranked batch (distances between `places`: in the space of all terms it takes
minutes a batch), and small-text in an environment of its own. Its LeastConfidence and BreakingTies choose what modAL's
uncertainty and margin do. For sets of labels: modAL's average confidence, small-text's category vectors.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from modAL.batch import ranked_batch
from modAL.multilabel import avg_confidence
from modAL.uncertainty import classifier_uncertainty, margin_sampling, uncertainty_sampling
from numpy.typing import NDArray

from backend.domain.classifier import Classifier, train_classifier
from backend.domain.frame import CLASSIFIER, LABEL_MODEL, frame_of
from backend.domain.label_model.choose import choose
from backend.domain.posterior import Exponents, first_known
from backend.domain.priorities.classes import is_cold
from backend.domain.priorities.pool_state import PoolState
from backend.domain.priorities.queue import choose_next
from backend.domain.priorities.strategy import Strategy
from benchmarks.active_learning_peers import SMALL_TEXT, SmallText
from benchmarks.common import OURS, Row, report
from benchmarks.learning_curves import METRICS, NO_RULES, RANDOM, SHARE, WHOLE, WORDS, crossing, figures, summaries
from benchmarks.learning_sets import TextSet, folders, load

MAX_LABELS = 3_000
UNCERTAINTY, MARGIN, RANKED = "modAL uncertainty", "modAL margin", "modAL ranked batch"
METHODS = (RANDOM, WORDS, UNCERTAINTY, MARGIN, RANKED, *SMALL_TEXT, NO_RULES, OURS, WHOLE)

Proba = list[NDArray[np.float64]]


@dataclass(frozen=True)
class State:
    """Where a run stands: what a method sees when it chooses the next batch.

    labeled: rows of the pool, in the order they were labeled. proba: what the classifier says of the pool, (n, k) of
    each decision; NaN where there is none yet.
    """

    item: TextSet
    labeled: NDArray[np.int64]
    proba: Proba
    seed: int
    batch: int

    @property
    def gold(self) -> list[NDArray[np.int64]]:
        """int64 (n,) of each decision, -1 = not labeled."""
        gold = np.full_like(self.item.truth, -1)
        gold[self.labeled] = self.item.truth[self.labeled]
        return list(gold.T)

    @cached_property
    def open_rows(self) -> NDArray[np.int64]:
        """Rows that may be chosen."""
        return np.setdiff1d(offered(self.item, self.seed), self.labeled)

    @property
    def random(self) -> np.random.Generator:
        """Another one for each batch of each seed."""
        return np.random.default_rng([self.seed, self.labeled.size])


def offered(item: TextSet, seed: int) -> NDArray[np.int64]:
    """Rows of the pool that a seed may choose from."""
    n = item.n_pool
    return np.sort(np.random.default_rng([seed, 1]).permutation(n)[: n - n // 10])


Choose = Callable[[State], NDArray[np.int64]]


@dataclass(frozen=True)
class _Pool:
    """A classifier to modAL: it already knows what it says of the open rows."""

    proba: NDArray[np.float64]

    def predict_proba(self, _: object) -> NDArray[np.float64]:
        return self.proba


@dataclass(frozen=True)
class _Ranked:
    """An active learner to modAL's ranked batch."""

    X_training: NDArray[np.float32]
    on_transformed: bool = False

    def transform_without_estimating(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return rows


def flat(state: State) -> NDArray[np.float64]:
    """What the classifier says of the open rows: (n, k), of a set of labels the probability of each."""
    if not state.item.question.multiple:
        return state.proba[0][state.open_rows]
    return np.column_stack([one[state.open_rows, 1] for one in state.proba])


def choose_random(state: State) -> NDArray[np.int64]:
    """Any."""
    return state.random.choice(state.open_rows, min(state.batch, state.open_rows.size), replace=False)


def modal(query: Callable[..., Any]) -> Choose:
    """One of modAL's query strategies; ties are broken by its own draws."""

    def choose_rows(state: State) -> NDArray[np.int64]:
        shuffled = state.random.permutation(state.open_rows.size)
        places, *_ = query(_Pool(flat(state)[shuffled]), shuffled, n_instances=state.batch)
        return np.asarray(state.open_rows[shuffled[places]])

    return choose_rows


def modal_ranked(state: State) -> NDArray[np.int64]:
    """modAL's ranked batch."""
    doubt = classifier_uncertainty(_Pool(flat(state)), None)
    learner = _Ranked(state.item.where[state.labeled])
    open_rows = state.open_rows
    places, *_ = ranked_batch(learner, state.item.where[open_rows], doubt, state.batch, "euclidean", None)
    return np.asarray(open_rows[places])


def ours(strategy: str = Strategy.AUTO, *, rules: bool = True, teach: bool = False) -> Choose:
    """`choose_next`, as the product calls it, with the classifier of the run in place of its own.

    `rules`: they vote. `teach`: the classifier learns from them, too.
    """

    def choose_rows(state: State) -> NDArray[np.int64]:
        item, gold = state.item, state.gold
        keys = [decision.key for decision in item.decisions]
        classifier = dict(zip(keys, state.proba, strict=True))
        voted = {
            key: voted_by_rules(item, key, known)[0] if rules else np.full(one.shape, np.nan)
            for key, known, one in zip(keys, gold, state.proba, strict=True)
        }
        posteriors = {key: Exponents().combine(voted[key], classifier[key]) for key in keys}
        if not teach and not is_cold([item.question], dict(zip(keys, gold, strict=True))):
            posteriors = {key: first_known(classifier[key], posteriors[key]) for key in keys}
        units = frame_of([item.question], [{}] * item.n_pool, votes=item.votes, gold=dict(zip(keys, gold, strict=True)))
        frame = replace(units, posteriors=posteriors, members={LABEL_MODEL: voted, CLASSIFIER: classifier})
        is_open = np.isin(np.arange(item.n_pool), state.open_rows)
        pool_state = PoolState(frame, is_open, item.features)
        # They don't change, and finding them takes longer than all the rest.
        vars(pool_state).update(space=item.space, where=item.where)
        confidence = np.nan_to_num(item.question.form.confidences(posteriors))
        seed = int(state.random.integers(2**31))
        return choose_next(pool_state, confidence, strategy=strategy, n=state.batch, seed=seed).order[: state.batch]

    return choose_rows


def unknown(n: int, n_classes: int) -> NDArray[np.float64]:
    """What is said where nothing is known."""
    return np.full((n, n_classes), np.nan)


def voted_by_rules(item: TextSet, key: str, gold: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What rules say, weighed by a label model that knows the labels so far: of the pool and the test rows, (n, k)."""
    votes, n_classes = item.votes[key].votes, len(item.votes[key].decision.classes)
    if not votes.shape[1]:
        return unknown(item.n_pool, n_classes), unknown(len(item.test_truth), n_classes)
    model = choose(votes, n_classes, gold, seed=0).fit(votes, n_classes, gold)
    return model.predict_proba(votes), model.predict_proba(item.test_votes[key].votes)


@dataclass(frozen=True)
class Models:
    """What was learned: a classifier of each decision, None where too little is known; what rules say of test rows."""

    classifiers: list[Classifier | None]
    voted: Proba


def learn(item: TextSet, labeled: NDArray[np.int64], seed: int, *, rules: bool = False) -> Models:
    """Learn from the labels of some rows; with `rules`, from what rules say of the others, too."""
    gold = np.full_like(item.truth, -1)
    gold[labeled] = item.truth[labeled]
    found, voted = [], []
    for decision, known in zip(item.decisions, gold.T, strict=True):
        k = len(decision.classes)
        weak = unknown(len(known), k)
        if rules:
            weak, of_test = voted_by_rules(item, decision.key, known)
            voted.append(of_test)
            weak[np.isin(np.arange(item.n_pool), offered(item, seed), invert=True)] = np.nan
        found.append(train_classifier(item.features, known, weak, seed=seed, n_vectors=item.n_vectors))
    return Models(found, voted)


def said(item: TextSet, models: Models, *, test: bool) -> Proba:
    """What classifiers say of the pool, or they and the rules of the test rows; the same of all classes without any."""
    features = item.test_features if test else item.features
    found: Proba = []
    for place, (decision, model) in enumerate(zip(item.decisions, models.classifiers, strict=True)):
        proba = unknown(features.shape[0], len(decision.classes)) if model is None else model.predict_proba(features)
        if test and models.voted:
            proba = Exponents().combine(models.voted[place], proba)
        found.append(np.where(np.isfinite(proba), proba, 1 / len(decision.classes)))
    return found


def checkpoints(last: int, batch: int) -> list[int]:
    """Numbers of labels after which a curve is measured: after each batch at first, then in steps of about 5 %."""
    found: list[int] = []
    n = batch
    while n < last:
        found.append(n)
        n += max(1, round(n / 20 / batch)) * batch
    return [*found, last]


def first_batch(item: TextSet, seed: int, batch: int) -> NDArray[np.int64]:
    """A peer's: random, drawn anew until two classes are among them."""
    random = np.random.default_rng(seed)
    while True:
        rows = random.choice(offered(item, seed), batch, replace=False)
        if item.question.multiple or np.unique(item.truth[rows]).size > 1:
            return rows


def curve(
    item: TextSet, method: str, choose_rows: Choose, seed: int, max_labels: int, batch: int, full: Mapping[str, float]
) -> list[dict[str, float]]:
    """Accuracy and macro-F1 at the checkpoints, until both have stayed above their targets."""
    last = min(offered(item, seed).size, max_labels)
    measured_at = set(checkpoints(last, batch))
    labeled = np.zeros(0, dtype=np.int64) if method.startswith(OURS) else first_batch(item, seed, batch)
    models = Models([None] * len(item.decisions), [])
    points: list[dict[str, float]] = []
    while True:
        n = labeled.size
        if n and (n in measured_at or needs_classifier(method)):
            models = learn(item, labeled, seed, rules=method == WHOLE)
        if n in measured_at:
            points.append({"n": float(n)} | item.scores(said(item, models, test=True)))
            if all(crossing(points, metric, SHARE * full[metric]) is not None for metric in METRICS):
                return points
        if n >= last:
            return points
        proba = said(item, models, test=False) if needs_classifier(method) else []
        if method.startswith(OURS):
            proba = [
                np.full_like(one, np.nan) if model is None else one
                for one, model in zip(proba, models.classifiers, strict=True)
            ]
        labeled = np.concatenate([labeled, choose_rows(State(item, labeled, proba, seed, batch))[: last - n]])


def needs_classifier(method: str) -> bool:
    """Whether a method looks at what the classifier says; others are trained at checkpoints only."""
    return method not in (RANDOM, WORDS, *(name for name, needs in SMALL_TEXT.items() if not needs))


def methods(names: Sequence[str], item: TextSet, peer: SmallText | None) -> dict[str, Choose]:
    """What can be measured on a set."""
    multiple = item.question.multiple
    found: dict[str, Choose] = {RANDOM: choose_random, WORDS: choose_random, OURS: ours()}
    if next(iter(item.votes.values())).votes.shape[1]:
        found |= {NO_RULES: ours(rules=False), WHOLE: ours(teach=True)}
    if multiple:
        found[UNCERTAINTY] = modal(avg_confidence)
    else:
        found |= {UNCERTAINTY: modal(uncertainty_sampling), MARGIN: modal(margin_sampling), RANKED: modal_ranked}
    if peer is not None:
        for name in SMALL_TEXT:
            if peer.suits(name, multiple=multiple):
                found[name] = _small_text(peer, name)
    return {name: found[name] for name in names if name in found}


def _small_text(peer: SmallText, name: str) -> Choose:
    def choose_rows(state: State) -> NDArray[np.int64]:
        proba = flat(state) if state.proba else np.zeros((state.open_rows.size, 1))
        item, seed = state.item, int(state.random.integers(2**31))
        return peer.query(name, proba, item.where, state.open_rows, state.labeled, item.truth, state.batch, seed)

    return choose_rows


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with al_* and ws_* folders")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each method")
    parser.add_argument("--sets", nargs="*", default=[], help="names of folders; all when left out")
    parser.add_argument("--methods", nargs="*", default=METHODS, help="; ".join(METHODS))
    parser.add_argument("--max-labels", type=int, default=MAX_LABELS, help="where a curve ends at the latest")
    parser.add_argument("--batch", type=int, default=10, help="labels between two trainings")
    parser.add_argument("--record", type=Path, help="curves as JSON lines: read, and added to as they come")
    arguments = parser.parse_args()
    found = folders(arguments.data, arguments.sets)
    if not found:
        print(f"no folder al_* or ws_* with text and gold labels in {arguments.data}: nothing to measure")
        return
    print("found", ", ".join(path.name for path in found))
    rows = []
    with ExitStack() as stack:
        peer = stack.enter_context(SmallText()) if any(name in SMALL_TEXT for name in arguments.methods) else None
        for path in found:
            words = load(path) if WORDS in arguments.methods else None
            rows += measure(load(path, embedded=True), words, arguments, peer)
    report([*rows, *summaries(rows)], arguments.json)


def measure(item: TextSet, words: TextSet | None, arguments: argparse.Namespace, peer: SmallText | None) -> list[Row]:
    """All rows of one set. words: the same without embeddings, for the method that does without."""
    full = item.scores(said(item, learn(item, np.arange(item.n_pool), 0), test=True))
    rows = [Row(item.name, "all labels", metric, full[metric], 0.0) for metric in METRICS]
    known: dict[tuple[str, int], dict[str, Any]] = {}
    if arguments.record is not None and arguments.record.exists():
        for line in arguments.record.read_text().splitlines():
            run = json.loads(line)
            if (run["set"], run["max_labels"], run["batch"]) == (item.name, arguments.max_labels, arguments.batch):
                known[run["method"], run["seed"]] = run
    for method, choose_rows in methods(arguments.methods, item, peer).items():
        runs = []
        for seed in range(arguments.seeds):
            run = known.get((method, seed))
            if run is None:
                started = time.perf_counter()
                shown = words if method == WORDS and words is not None else item
                points = curve(shown, method, choose_rows, seed, arguments.max_labels, arguments.batch, full)
                run = {"set": item.name, "method": method, "seed": seed, "max_labels": arguments.max_labels}
                run["batch"] = arguments.batch
                run |= {"seconds": time.perf_counter() - started, "points": points}
                if arguments.record is not None:
                    with arguments.record.open("a") as file:
                        file.write(json.dumps(run) + "\n")
            runs.append(run)
        rows += figures(item.name, method, runs, full)
        print(f"{item.name} {method}: {rows[-1].seconds:.0f} s a run", flush=True)
    return rows


if __name__ == "__main__":
    main()
