"""Forms of an answer: how one label, or a set of labels, is made of decisions among exclusive classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backend.domain.posterior import is_known
from backend.domain.tasks import Answer

ABSTAIN = -1

Posteriors = Mapping[str, NDArray[np.float64]]
"""By `Decision.key`: float64 (n_units, n_classes), a NaN row where nothing is known."""
Gold = Mapping[str, NDArray[np.int64]]
"""By `Decision.key`: int64 (n_units,), the class that people chose, -1 = unknown."""
Votes = NDArray[np.int16]
"""int16 (n_units, n_sources): a class index, or -1 = abstain."""


@dataclass(frozen=True)
class Decision:
    """One thing to decide with exclusive classes: what label models and classifiers work on.

    A question with one answer is one decision over its labels. A question with several answers is one yes/no decision
    for each label, with class 0 = no and 1 = yes. `ordered`: the classes are a scale.
    """

    question: str
    classes: tuple[str, ...]
    label: str | None = None
    ordered: bool = False

    @cached_property
    def key(self) -> str:
        """Unique name within a project: "sentiment", or "genre=drama" for one label of a multiple question.

        A "=" in the question's own name is escaped, so that no question is named like another one's label.
        """
        name = self.question.replace("%", "%25").replace("=", "%3D")
        return name if self.label is None else f"{name}={self.label}"

    def choose(self, posterior: NDArray[np.float64]) -> NDArray[np.int64]:
        """The class to answer in each row of a posterior (n, k): int64 (n,), -1 where nothing is known.

        The most probable class; on a scale the median of the posterior, of which the least distance from the truth is
        expected.
        """
        known = is_known(posterior)
        # -1 never beats a probability, so NaN rows don't disturb argmax.
        best = median_class(posterior) if self.ordered else np.where(known[:, None], posterior, -1.0).argmax(axis=1)
        return np.where(known, best, -1)

    def told(self, index: int) -> str:
        """What a vote for a class says, for a person: the class, or that a label is meant, or not."""
        if self.label is None:
            return self.classes[index]
        return self.label if index else f"not {self.label}"


def median_class(posterior: NDArray[np.float64]) -> NDArray[np.int64]:
    """The first class at which half of the probability of a row (n, k) is reached: int64 (n,); any for a NaN row."""
    # Rounded, because sums of floats may end just below a half that is reached.
    return np.asarray((np.round(np.cumsum(posterior, axis=1), 9) >= 0.5).argmax(axis=1))


class AnswerForm(Protocol):
    """The interface of an answer's form. Labels are places in the question's labels, rows are units."""

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The decisions, in the order of the labels."""

    @property
    def most_labels(self) -> int:
        """Labels in one answer at most."""

    @property
    def quality_is_share(self) -> bool:
        """Whether an answer is as good as it is probable, so that it shares one whole with all others."""

    def classes(self, places: Sequence[int]) -> tuple[int, ...]:
        """The class of each decision in an answer of these labels, one at least and `most_labels` at most."""

    def answer(self, classes: Sequence[int]) -> Answer:
        """The labels that one class for each decision means."""

    def gold(self, given: Sequence[Sequence[Sequence[int]]]) -> dict[str, NDArray[np.int64]]:
        """Labels that people chose, int64 (n_units,) by `Decision.key`, see `Gold`; the majority of several annotators,
        unknown on a tie.

        given: for each unit the answers of each of its annotators, none of them empty.
        """

    def is_gold(self, places: Sequence[int], gold: Gold, row: int) -> bool:
        """Whether the labels of an answer are what is learned from a task; gold: int64 (n_units,) by `Decision.key`."""

    def chosen(self, posteriors: Posteriors) -> NDArray[np.bool_]:
        """The labels that are answered: bool (n, n_labels); none in rows of which nothing is known."""

    def confidences(self, posteriors: Posteriors) -> NDArray[np.float64]:
        """Probability, float64 (n,), that the answer is right as a whole; NaN where nothing is known."""

    def counts(self, gold: Gold) -> NDArray[np.int64]:
        """Units that have each label: int64 (n_labels,)."""

    def guessed(self, gold: Gold) -> float:
        """Accuracy (0..1) of always giving the most frequent answer; 0 for sets, of which hardly two are the same.
        gold: int64 (n_units,) by `Decision.key`."""

    def cast(
        self, n_units: int, columns: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]]
    ) -> tuple[list[Votes], Votes | None]:
        """Votes, int16 (n_units, n_sources), by decision, and the classes that are ruled out (None when none are), see
        `VoteMatrix`.

        columns: of each source the rows, int64 (n_votes,), the labels, the same, and whether it speaks against them,
            bool.
        """

    def mistaken(
        self, truth: Gold, rows: NDArray[np.int64], random: np.random.Generator
    ) -> dict[str, NDArray[np.int64]]:
        """The truth, int64 (n_units,) by `Decision.key`, with other answers in some rows, as careless people give
        them."""


class OneLabel:
    """An answer is one label: one decision over all labels."""

    most_labels = 1

    def __init__(self, question: str, labels: tuple[str, ...], *, ordered: bool) -> None:
        self._labels = labels
        self._decision = Decision(question, labels, ordered=ordered)
        self.decisions = (self._decision,)
        self.quality_is_share = not ordered

    def classes(self, places: Sequence[int]) -> tuple[int, ...]:
        """See `AnswerForm`."""
        return (places[0],)

    def answer(self, classes: Sequence[int]) -> Answer:
        """See `AnswerForm`."""
        return (self._labels[classes[0]],)

    def gold(self, given: Sequence[Sequence[Sequence[int]]]) -> dict[str, NDArray[np.int64]]:
        """See `AnswerForm`: the label that most annotators chose."""
        picks = [[labels[0] for labels in task if len(labels) == 1] for task in given]
        return {self._decision.key: np.array([_majority(task) for task in picks], dtype=np.int64)}

    def is_gold(self, places: Sequence[int], gold: Gold, row: int) -> bool:
        """See `AnswerForm`."""
        return set(places) == {int(gold[self._decision.key][row])}

    def chosen(self, posteriors: Posteriors) -> NDArray[np.bool_]:
        """See `AnswerForm`."""
        best = self._decision.choose(posteriors[self._decision.key])
        return np.asarray(np.arange(len(self._labels)) == best[:, None])

    def confidences(self, posteriors: Posteriors) -> NDArray[np.float64]:
        """See `AnswerForm`."""
        posterior = posteriors[self._decision.key]
        best = self._decision.choose(posterior)
        return np.where(best < 0, np.nan, posterior[np.arange(len(best)), best])

    def counts(self, gold: Gold) -> NDArray[np.int64]:
        """See `AnswerForm`."""
        known = gold[self._decision.key]
        return np.bincount(known[known >= 0], minlength=len(self._labels))

    def guessed(self, gold: Gold) -> float:
        """See `AnswerForm`."""
        counts = self.counts(gold)
        return float(counts.max() / counts.sum())

    def cast(
        self, n_units: int, columns: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]]
    ) -> tuple[list[Votes], Votes | None]:
        """See `AnswerForm`: of two classes, ruling one out is a vote for the other."""
        votes = np.full((n_units, len(columns)), ABSTAIN, dtype=np.int16)
        excluded = votes.copy()
        for column, (rows, labels, against) in enumerate(columns):
            if len(self._labels) == 2:
                votes[rows, column] = np.where(against, 1 - labels, labels)
            else:
                votes[rows[~against], column] = labels[~against]
                excluded[rows[against], column] = labels[against]
        return [votes], excluded if (excluded != ABSTAIN).any() else None

    def mistaken(
        self, truth: Gold, rows: NDArray[np.int64], random: np.random.Generator
    ) -> dict[str, NDArray[np.int64]]:
        """See `AnswerForm`: any other label is as likely."""
        k, given = len(self._labels), truth[self._decision.key].copy()
        given[rows] = (given[rows] + random.integers(1, max(k, 2), rows.size)) % k
        return {self._decision.key: given}


class LabelSet:
    """An answer is a set of labels: a yes or no to each of them, taken as independent."""

    quality_is_share = False

    def __init__(self, question: str, labels: tuple[str, ...], *, ordered: bool) -> None:  # noqa: ARG002 - yes and no
        self._labels = labels
        self.decisions = tuple(Decision(question, ("no", "yes"), label) for label in labels)
        self.most_labels = len(labels)

    def classes(self, places: Sequence[int]) -> tuple[int, ...]:
        """See `AnswerForm`."""
        chosen = set(places)
        return tuple(int(place in chosen) for place in range(len(self._labels)))

    def answer(self, classes: Sequence[int]) -> Answer:
        """See `AnswerForm`."""
        return tuple(self._labels[place] for place in np.flatnonzero(np.asarray(classes) == 1))

    def gold(self, given: Sequence[Sequence[Sequence[int]]]) -> dict[str, NDArray[np.int64]]:
        """See `AnswerForm`: an answer says yes or no to each label. Labels that nobody chose share one array: there may
        be thousands."""
        n_answers = np.array([len(task) for task in given], dtype=np.int64)
        n_chosen: dict[int, NDArray[np.int64]] = {}
        for row, task in enumerate(given):
            for index in (index for labels in task for index in set(labels)):
                n_chosen.setdefault(index, np.zeros_like(n_answers))[row] += 1
        nobody = np.where(n_answers > 0, 0, -1)
        gold: dict[str, NDArray[np.int64]] = {}
        for index, decision in enumerate(self.decisions):
            yes = n_chosen.get(index)
            gold[decision.key] = nobody if yes is None else np.where(2 * yes == n_answers, -1, 2 * yes > n_answers)
        return gold

    def is_gold(self, places: Sequence[int], gold: Gold, row: int) -> bool:
        """See `AnswerForm`."""
        return set(places) == {place for place, item in enumerate(self.decisions) if gold[item.key][row] == 1}

    def chosen(self, posteriors: Posteriors) -> NDArray[np.bool_]:
        """See `AnswerForm`: labels with P(yes) >= 0.5."""
        return np.stack([posteriors[decision.key][:, 1] >= 0.5 for decision in self.decisions], axis=1)

    def confidences(self, posteriors: Posteriors) -> NDArray[np.float64]:
        """See `AnswerForm`: the product of max(p, 1 - p) over the labels of which something is known."""
        best = np.column_stack([posteriors[decision.key].max(axis=1) for decision in self.decisions])
        return np.where(np.isnan(best).all(axis=1), np.nan, np.nanprod(best, axis=1))

    def counts(self, gold: Gold) -> NDArray[np.int64]:
        """See `AnswerForm`."""
        return np.array([(gold[decision.key] == 1).sum() for decision in self.decisions], dtype=np.int64)

    def guessed(self, gold: Gold) -> float:  # noqa: ARG002 - as the other form's
        """See `AnswerForm`."""
        return 0.0

    def cast(
        self, n_units: int, columns: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]]
    ) -> tuple[list[Votes], Votes | None]:
        """See `AnswerForm`: a source that names some labels says nothing about the others."""
        shape = (n_units, len(columns))
        # Labels that nothing votes on share one matrix: there may be thousands.
        matrices = [np.full(shape, ABSTAIN, dtype=np.int16)] * len(self._labels)
        voted_on: set[int] = set()
        for column, (rows, labels, against) in enumerate(columns):
            order = np.argsort(labels, kind="stable")
            named, n_votes = np.unique(labels, return_counts=True)
            ends = n_votes.cumsum()
            for index, start, end in zip(named.tolist(), ends - n_votes, ends, strict=True):
                of_label = order[start:end]
                if index not in voted_on:
                    voted_on.add(index)
                    matrices[index] = np.full(shape, ABSTAIN, dtype=np.int16)
                matrices[index][rows[of_label], column] = ~against[of_label]
        return matrices, None

    def mistaken(
        self, truth: Gold, rows: NDArray[np.int64], random: np.random.Generator
    ) -> dict[str, NDArray[np.int64]]:
        """See `AnswerForm`: one label is left out, and another one chosen instead."""
        keys = [decision.key for decision in self.decisions]
        given = {key: truth[key].copy() for key in keys}
        for row in rows.tolist():
            chosen = np.array([truth[key][row] for key in keys])
            for value in (1, 0):
                places = np.flatnonzero(chosen == value)
                if places.size:
                    given[keys[int(random.choice(places))]][row] = 1 - value
        return given


def _majority(picks: Sequence[int]) -> int:
    if not picks:
        return -1
    counts = np.bincount(picks)
    best = np.flatnonzero(counts == counts.max())
    return int(best[0]) if best.size == 1 else -1
