"""A question with thousands of labels costs what the labels cost that somebody chose or voted for."""

import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.domain.alike import Alike, fingerprint
from backend.domain.classifier import train_classifier
from backend.domain.label_model.propensity import PropensityVote
from backend.domain.metrics import is_right
from backend.domain.model import training
from backend.domain.model.gold import gold_of
from backend.domain.model.project import DecisionModel
from backend.domain.model.storage import from_parts, to_parts
from backend.domain.model.training import Trained, train
from backend.domain.posterior import fit_exponents
from backend.domain.questions import Decision, Question, Taxonomy, decisions
from backend.domain.votes import votes_on
from tests.unit.planted import frame_with, said_by

N_TASKS = 30
USED = 6
"""Labels that somebody chose or voted for, whatever their number."""


def question_of(n_labels: int) -> Question:
    labels = tuple(f"label {index}" for index in range(n_labels))
    return Taxonomy("topics", "text", labels, multiple=True, paths=tuple((label,) for label in labels))


def trained_on(question: Question) -> Trained:
    data: list[dict[str, object]] = [{"text": f"text {row} about word{row % USED}"} for row in range(N_TASKS)]
    chosen = [(row % USED,) for row in range(N_TASKS)]
    answers = [[{"topics": tuple(question.labels[index] for index in picks)}] for picks in chosen[:20]]
    gold = gold_of([question], [*answers, *([] for _ in range(10))])
    votes = votes_on(question, ("rule", "other"), [[picks, ()] for picks in chosen])
    return train(frame_with([question], votes=votes, gold=gold), data)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the expensive parts were called."""
    counted: Counter[str] = Counter()

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **kwargs: Any) -> Any:
            counted[name] += 1
            return function(*args, **kwargs)

        return count

    monkeypatch.setattr(PropensityVote, "fit", counting("label model", PropensityVote.fit))
    monkeypatch.setattr(training, "train_classifier", counting("classifier", train_classifier))
    monkeypatch.setattr(training, "fit_exponents", counting("exponents", fit_exponents))
    monkeypatch.setattr(DecisionModel, "posterior", counting("posterior", DecisionModel.posterior))
    return counted


def test_labels_that_nobody_chose_are_learned_once(calls: Counter[str]) -> None:
    def work(n_labels: int) -> dict[str, int]:
        calls.clear()
        question = question_of(n_labels)
        found = trained_on(question)
        model = from_parts(*to_parts(found.model))
        votes = votes_on(question, ("rule", "other"), [[(1,), ()]])
        assert len(said_by(model, [{"text": "word1"}], votes)) == n_labels
        return dict(calls)

    few, many = work(20), work(400)
    assert few == many
    # Three kinds of labels without a human "yes" in the sample: chosen in this task, voted for in it, and all others.
    assert many["posterior"] <= USED + 2


def test_each_label_learns_what_it_would_alone() -> None:
    few, many = trained_on(question_of(USED + 1)), trained_on(question_of(200))
    for key, posterior in few.frame.held_out.items():
        np.testing.assert_allclose(many.frame.held_out[key], posterior, atol=1e-12)
    # All that nobody chose are answered alike, and each is named as itself.
    assert many.model.decisions["topics=label 150"].decision.label == "label 150"
    np.testing.assert_array_equal(many.frame.held_out["topics=label 150"], many.frame.held_out["topics=label 6"])
    assert many.metrics.questions["topics"].n_labels == 20


def test_unused_labels_take_no_memory_of_their_own() -> None:
    question, n_tasks = question_of(5_000), 1_000
    answers = [[{"topics": ("label 3",)}] for _ in range(n_tasks)]
    tracemalloc.start()
    gold = gold_of([question], answers)
    votes = votes_on(question, ("rule",), [[(7,)]] * n_tasks)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (gold["topics=label 3"] == 1).all()
    assert (gold["topics=label 4"] == 0).all()
    assert (votes["topics=label 7"].votes == 1).all()
    assert (votes["topics=label 8"].votes == -1).all()
    # One array of numbers for each label would be 40 MB.
    assert peak < 20_000_000


def test_what_is_right_is_asked_without_making_the_decisions_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    question = question_of(300)
    made, make = [], Decision.__init__

    def init(decision: Decision, *args: Any) -> None:
        made.append(decision)
        make(decision, *args)

    monkeypatch.setattr(Decision, "__init__", init)
    keys = [decision.key for decision in decisions(question)]
    truth: dict[str, NDArray[np.int64]] = {key: np.zeros(4, dtype=np.int64) for key in keys}
    sure = np.tile([1.0, 0.0], (4, 1))
    assert is_right(question, frame_with([question], posteriors=dict.fromkeys(keys, sure), gold=truth)).all()
    assert len(made) == 300


def test_gold_of_several_annotators_is_the_majority_for_each_label() -> None:
    question = question_of(3)
    answers: list[list[dict[str, tuple[str, ...]]]] = [
        [{"topics": ("label 0",)}, {"topics": ("label 0", "label 1")}],
        [{"topics": ("label 2", "label 2")}, {"topics": ("label 0",)}, {"topics": ("label 2",)}],
        [],
        [{"topics": ("unknown",)}],
    ]
    gold = gold_of([question], answers)
    assert [gold[decision.key].tolist() for decision in decisions(question)] == [
        [1, 0, -1, -1],
        [-1, 0, -1, -1],
        [0, 1, -1, -1],
    ]


def test_only_equal_arrays_are_alike() -> None:
    ones = np.ones((2, 3), dtype=np.int16)
    assert fingerprint(ones) == fingerprint(np.ones((3, 2), dtype=np.int16).T.reshape(2, 3))
    others: list[NDArray[Any] | None] = [ones.T, ones.astype(np.int64), ones - 1, ones[:1], None]
    assert len({fingerprint(item) for item in [ones, *others]}) == 6
    assert fingerprint(ones, None) != fingerprint(None, ones)
    made: Alike[int] = Alike()
    assert [made.get("a", lambda: 1), made.get("a", lambda: 2), made.get("b", lambda: 3)] == [1, 1, 3]
