import numpy as np
import pytest

from backend.domain.rules import Rule, TaskFields, Vote, labeling_function
from backend.domain.votes import ABSTAIN, Faults, apply_rules, votes_on
from backend.errors import RuleError
from tests.unit.planted import GENRE, SENTIMENT

TASKS: list[dict[str, object]] = [
    {"text": "splendid", "stars": 5},
    {"text": "dreadful", "stars": 1},
    {"text": "funny and scary"},
]


@labeling_function(question="sentiment", labels=["Positive", "Negative"])
def by_stars(task: TaskFields) -> Vote:
    """Stars tell."""
    if task.stars is None:
        return None
    return "Positive" if task.stars > 3 else "Negative"


@labeling_function(question="genre")
def by_words(task: TaskFields) -> Vote:
    return [label for label, word in [("comedy", "funny"), ("horror", "scary")] if word in task.text]


def rule(name: str, vote: Vote, question: str | None = "sentiment") -> Rule:
    return Rule(name, lambda _: vote, question)


def test_votes_are_class_indices_in_task_and_rule_order() -> None:
    neutral = rule("neutral", "Neutral")
    matrices, faults = apply_rules([by_stars, neutral], TASKS, [SENTIMENT])
    assert matrices["sentiment"].sources == ("by_stars", "neutral")
    assert matrices["sentiment"].votes.tolist() == [[0, 2], [1, 2], [ABSTAIN, 2]]
    assert matrices["sentiment"].votes.dtype == np.int16
    assert faults.counts == {}


def test_a_rule_votes_only_on_its_own_question() -> None:
    matrices, _ = apply_rules([by_stars, by_words], TASKS, [SENTIMENT, GENRE])
    assert matrices["sentiment"].sources == ("by_stars",)
    assert matrices["genre=drama"].sources == ("by_words",)


def test_a_rule_without_a_question_votes_wherever_its_labels_exist() -> None:
    anywhere = Rule("anywhere", lambda _: "comedy", labels=("comedy",))
    matrices, faults = apply_rules([anywhere], TASKS, [SENTIMENT, GENRE])
    assert matrices["sentiment"].sources == ()
    assert (matrices["genre=comedy"].votes == 1).all()
    assert faults.counts == {}


def test_naming_some_labels_of_a_set_says_nothing_about_the_others() -> None:
    matrices, _ = apply_rules([by_words], TASKS, [GENRE])
    assert matrices["genre=comedy"].votes.ravel().tolist() == [ABSTAIN, ABSTAIN, 1]
    assert matrices["genre=horror"].votes.ravel().tolist() == [ABSTAIN, ABSTAIN, 1]
    assert matrices["genre=drama"].votes.ravel().tolist() == [ABSTAIN] * 3


def test_a_rule_that_raises_abstains_there_and_the_others_go_on() -> None:
    def broken(task: TaskFields) -> Vote:
        return "Positive" if task.stars > 3 else "Negative"

    matrices, faults = apply_rules([Rule("broken", broken), by_stars], TASKS, [SENTIMENT])
    assert matrices["sentiment"].votes.tolist() == [[0, 0], [1, 1], [ABSTAIN, ABSTAIN]]
    assert faults.counts == {"broken": 1}
    assert faults.reasons["broken"].startswith("TypeError: ")


@pytest.mark.parametrize("vote", ["Positiv", ["Positive", "Negative"], ["Positive", "wrong"]])
def test_a_vote_that_does_not_fit_the_question_is_a_fault(vote: Vote) -> None:
    matrices, faults = apply_rules([rule("odd", vote)], TASKS[:1], [SENTIMENT])
    assert matrices["sentiment"].votes.tolist() == [[ABSTAIN]]
    assert faults.counts == {"odd": 1}
    assert "sentiment" in faults.reasons["odd"]


def test_rules_do_not_see_what_we_wrote_into_the_task() -> None:
    def peeking(task: TaskFields) -> Vote:
        return "Positive" if task.prelabel_expected or "prelabel_expected" in dict(task) else None

    data = [{"text": "x", "prelabel_expected": "Positive"}]
    matrices, _ = apply_rules([Rule("peeking", peeking)], data, [SENTIMENT])
    assert matrices["sentiment"].votes.tolist() == [[ABSTAIN]]


def test_no_tasks_and_no_rules_keep_their_shapes() -> None:
    matrices, _ = apply_rules([by_stars], [], [SENTIMENT])
    assert matrices["sentiment"].votes.shape == (0, 1)
    matrices, _ = apply_rules([], TASKS, [SENTIMENT])
    assert matrices["sentiment"].votes.shape == (3, 0)


def test_votes_from_label_indices() -> None:
    (single,) = votes_on(SENTIMENT, ("a", "b"), [[(2,), ()]]).values()
    assert single.votes.tolist() == [[2, ABSTAIN]]
    assert votes_on(GENRE, ("a",), [[(0, 2)]])["genre=horror"].votes.tolist() == [[1]]


def test_faults_keep_the_first_reason_and_add_up() -> None:
    faults, more = Faults(), Faults()
    faults.add("rule", "first")
    faults.add("rule", "second")
    more.add("rule", "third")
    more.add("other", "fourth")
    faults.merge(more)
    assert faults.counts == {"rule": 3, "other": 1}
    assert faults.reasons == {"rule": "first", "other": "fourth"}


def test_labels_that_are_not_a_list_say_what_to_write() -> None:
    with pytest.raises(RuleError, match="labels must be a list"):
        labeling_function(labels="Positive")
