"""Data with a known truth."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from backend.domain.frame import Frame
from backend.domain.model.project import ProjectModel
from backend.domain.questions import Choices, Decision, Question, decisions
from backend.domain.questions.forms import ABSTAIN, Gold, Posteriors, Votes
from backend.domain.questions.units import Units
from backend.domain.votes import VoteMatrix

SENTIMENT = Choices("sentiment", "text", ("Positive", "Negative", "Neutral"))
GENRE = Choices("genre", "text", ("drama", "comedy", "horror"), multiple=True)
Value = TypeVar("Value")
WORDS = ("splendid", "dreadful", "ordinary")


def planted_votes(
    truth: NDArray[np.int64], accuracies: Sequence[float], coverage: Sequence[float], n_classes: int, seed: int
) -> Votes:
    """Votes of independent sources, each right as often as planted where it votes."""
    random = np.random.default_rng(seed)
    votes = np.full((truth.size, len(accuracies)), ABSTAIN, dtype=np.int16)
    for column, (accuracy, share) in enumerate(zip(accuracies, coverage, strict=True)):
        wrong = (truth + random.integers(1, n_classes, truth.size)) % n_classes
        vote = np.where(random.random(truth.size) < accuracy, truth, wrong)
        votes[:, column] = np.where(random.random(truth.size) < share, vote, ABSTAIN)
    return votes


def texts_about(truth: NDArray[np.int64], seed: int, clear: float = 0.9) -> list[dict[str, object]]:
    """Task data whose text holds the word of its class in a share `clear` of the tasks, among noise."""
    random = np.random.default_rng(seed)
    noise = [f"word{index}" for index in range(60)]
    data: list[dict[str, object]] = []
    for label in truth:
        words = list(random.choice(noise, 6))
        if random.random() < clear:
            words.append(WORDS[label])
        data.append(
            {"text": " ".join(random.permutation(words)), "image": f"/data/upload/1/{random.integers(9**9)}.png"}
        )
    return data


def matrix(question: Question, votes: Votes, sources: Sequence[str] | None = None) -> dict[str, VoteMatrix]:
    """Votes on a question with one decision."""
    decision = decisions(question)[0]
    names = tuple(sources or (f"rule{column}" for column in range(votes.shape[1])))
    return {decision.key: VoteMatrix(decision, names, votes)}


def only_first(gold: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Gold of the first n rows; the others unknown."""
    return np.where(np.arange(gold.size) < n, gold, -1)


def abstaining(decision: Decision, n: int) -> VoteMatrix:
    """No sources at all."""
    return VoteMatrix(decision, (), np.empty((n, 0), dtype=np.int16))


def frame_with(
    questions: Sequence[Question],
    *,
    n: int | None = None,
    votes: Mapping[str, VoteMatrix] | None = None,
    gold: Gold | None = None,
    posteriors: Posteriors | None = None,
    held_out: Posteriors | None = None,
    members: Mapping[str, Posteriors] | None = None,
) -> Frame:
    """A frame in which each of n tasks is one unit; as many as there are rows when None."""
    rows = [*(gold or {}).values(), *(posteriors or {}).values(), *(held_out or {}).values()]
    sizes = [len(array) for array in rows] + [len(item.votes) for item in (votes or {}).values()]
    units = Units(sizes[0] if n is None and sizes else n or 0)
    asked = {question.name: units for question in questions}
    return Frame(tuple(questions), asked, votes or {}, gold or {}, posteriors or {}, held_out or {}, members or {})


def said_by(
    model: ProjectModel, data: Sequence[Mapping[str, object]], votes: Mapping[str, VoteMatrix]
) -> dict[str, NDArray[np.float64]]:
    """A model's posteriors."""
    return model.posteriors(data, frame_with(model.questions, n=len(data), votes=votes))


def known(value: Value | None) -> Value:
    """A figure that there must be."""
    assert value is not None
    return value
