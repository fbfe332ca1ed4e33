"""Propose: rules for one question, made from a part of what people labeled."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.codec import Json
from backend.domain.features.vectors import Vectors
from backend.domain.frame import Frame
from backend.domain.mining.mine import mine
from backend.domain.mining.signs import rule_of, signs_of
from backend.domain.model.training import Features, Known, train
from backend.domain.questions import Question, decisions
from backend.domain.questions.forms import Posteriors

MOST_TASKS = 3_000
"""Tasks that rules are looked for in."""
RARE = 0.002
"""Share of them that has a sign, at least."""
LEAST_TASKS = 3
NAME_CHARS = 60


@dataclass(frozen=True)
class Material:
    """Tasks with what is known of them, all rows in the same order.

    frame: of one question: votes of the rules in use, weights, and the gold that rules may be made from. data, hashes:
    of its tasks.
    """

    question: Question
    frame: Frame
    data: Sequence[Mapping[str, object]]
    features: Features
    vectors: Vectors | None
    hashes: Sequence[bytes]

    def some(self, seed: int) -> "Material":
        """The same of `MOST_TASKS` tasks at most, of which half may be labeled ones."""
        if len(self.data) <= MOST_TASKS:
            return self
        drawn = np.random.default_rng(seed).permutation(len(self.data))
        labeled = self.frame.labeled(self.question)[drawn]
        first = drawn[labeled][: MOST_TASKS // 2]
        rows = np.sort(np.concatenate([first, drawn[~labeled][: MOST_TASKS - first.size]]))
        kept = rows.tolist()
        return Material(
            self.question,
            self.frame.tasks(rows),
            [self.data[row] for row in kept],
            replace(self.features, matrix=self.features.matrix[rows]),
            None if self.vectors is None else replace(self.vectors, rows=self.vectors.rows[rows]),
            [self.hashes[row] for row in kept],
        )


def propose(material: Material, n: int, *, seed: int = 0) -> list[dict[str, Json]]:
    """Rules as YAML has them, without names; the one first that says most.

    A model learns from the labels, and says of all tasks, labeled or not, what they are likely to be: so words are
    found that no labeled task has. Rules are made of the signs that go with what it says.

    Args:
        material: see there.
        n: how many at most.
        seed: makes the result reproducible.
    """
    some = material.some(seed)
    question, frame = some.question, some.frame
    known = Known(features=some.features, vectors=some.vectors, hashes=some.hashes)
    trained = train(frame, some.data, known, seed=seed)
    posteriors = trained.model.posteriors_of(trained.frame)
    signs = signs_of(some.data, least=max(LEAST_TASKS, int(RARE * len(some.data))))
    rules = mine(signs, _likely(question, posteriors, frame), _said(question, frame), n)
    return [{"question": question.name, **rule_of(rule.signs), "vote": question.labels[rule.label]} for rule in rules]


def _likely(question: Question, posteriors: Posteriors, frame: Frame) -> NDArray[np.float64]:
    """The chance that each task has each label, float64 (n_tasks, n_labels); what people chose is certain."""
    columns = []
    for decision in decisions(question):
        gold = frame.gold[decision.key]
        certain = np.eye(len(decision.classes))[gold]
        chance = np.where(gold[:, None] >= 0, certain, posteriors[decision.key])
        columns.append(chance if decision.label is None else chance[:, 1:])
    return np.concatenate(columns, axis=1)


def _said(question: Question, frame: Frame) -> NDArray[np.bool_]:
    """Where rules in use vote for each label: bool (n_tasks, n_labels)."""
    columns = []
    for decision in decisions(question):
        votes = frame.votes[decision.key].votes
        classes = range(len(decision.classes)) if decision.label is None else (1,)
        columns += [(votes == index).any(axis=1) for index in classes]
    return np.column_stack(columns)


def named(rule: Mapping[str, Json], signs: str, taken: set[str]) -> dict[str, Json]:
    """A rule with a name of its own that tells its label and what it looks at; `taken` gets it."""
    words = re.sub(r"\W+", "_", f"suggested {rule['vote']} {signs}".casefold()).strip("_")[:NAME_CHARS]
    name, number = words, 2
    while name in taken:
        name, number = f"{words}_{number}", number + 1
    taken.add(name)
    return {"name": name, **{part: value for part, value in rule.items() if part != "name"}}


def told(rule: Mapping[str, Json]) -> str:
    """What a rule looks at, in a few words, for its name."""
    keywords = rule.get("keywords")
    if isinstance(keywords, Sequence) and not isinstance(keywords, str):
        return " ".join(map(str, keywords[:2]))
    parts = [rule.get("measure"), rule.get("pattern"), rule.get("when")]
    return " ".join(str(part) for part in parts if part)
