import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rq.timeouts import JobTimeoutException

from backend.domain.questions import Choices
from backend.domain.questions.forms import ABSTAIN
from backend.domain.rules import History, Not, Rule, TaskFields, Tasks, Vote, labeling_function
from backend.domain.votes import RuleFaults, apply_rules, votes_on
from backend.errors import RuleError
from tests.conftest import wait_for
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


@pytest.mark.parametrize(
    "vote",
    [
        "Positiv",
        ["Positive", "Negative"],
        ["Positive", "wrong"],
        Not("wrong"),
        ["Positive", Not("Negative")],
        5,
        True,
        [5],
    ],
)
def test_a_vote_that_does_not_fit_the_question_is_a_fault(vote: Any) -> None:
    matrices, faults = apply_rules([rule("odd", vote)], TASKS[:1], [SENTIMENT])
    assert matrices["sentiment"].votes.tolist() == [[ABSTAIN]]
    assert matrices["sentiment"].excluded is None
    assert faults.counts == {"odd": 1}
    assert "sentiment" in faults.reasons["odd"] or "isn't a label" in faults.reasons["odd"]


def test_against_one_of_two_labels_is_for_the_other() -> None:
    question = Choices("spam", "text", ("spam", "ham"))
    matrices, _ = apply_rules([rule("never_spam", Not("spam"), "spam")], TASKS[:1], [question])
    assert matrices["spam"].votes.tolist() == [[1]]
    assert matrices["spam"].excluded is None


def test_against_one_of_more_labels_is_kept_apart_from_the_votes() -> None:
    @labeling_function(labels=["Positive", "Neutral"])
    def not_praise(task: TaskFields) -> Vote:
        return Not("Positive") if task.stars == 1 else "Neutral" if task.stars else None

    matrices, faults = apply_rules([not_praise], TASKS, [SENTIMENT])
    matrix = matrices["sentiment"]
    assert matrix.votes.tolist() == [[2], [ABSTAIN], [ABSTAIN]]
    assert matrix.excluded is not None
    assert matrix.excluded.tolist() == [[ABSTAIN], [0], [ABSTAIN]]
    assert matrix.excluded.dtype == np.int16
    assert faults.counts == {}


def test_against_a_label_of_a_set_is_a_no_to_that_label_only() -> None:
    matrices, faults = apply_rules([rule("odd", ["comedy", Not("horror")], "genre")], TASKS[:1], [GENRE])
    votes = {key: matrix.votes.tolist() for key, matrix in matrices.items()}
    assert votes == {"genre=drama": [[ABSTAIN]], "genre=comedy": [[1]], "genre=horror": [[0]]}
    assert faults.counts == {}


def test_for_and_against_the_same_label_is_a_fault() -> None:
    _, faults = apply_rules([rule("torn", ["comedy", Not("comedy")], "genre")], TASKS[:1], [GENRE])
    assert "and against it" in faults.reasons["torn"]


def test_batch_rule_votes_on_all_tasks_at_once() -> None:
    calls = []

    @labeling_function(question="sentiment", labels=["Positive"], batch=True)
    def above_average(tasks: Tasks) -> list[Vote]:
        """More stars than the mean."""
        calls.append(len(tasks))
        stars = tasks.numbers("stars")
        return ["Positive" if above else None for above in stars > np.nanmean(stars)]

    matrices, _ = apply_rules([above_average], TASKS, [SENTIMENT])
    assert matrices["sentiment"].votes.ravel().tolist() == [0, ABSTAIN, ABSTAIN]
    assert calls == [3]
    assert above_average.description == "More stars than the mean."
    assert above_average.function(TaskFields({"stars": 3})) is None


@pytest.mark.parametrize(("votes", "reason"), [(["Positive"], "1 votes for 3 tasks"), (7, "TypeError")])
def test_batch_rule_without_a_vote_for_each_task_is_a_fault(votes: Any, reason: str) -> None:
    @labeling_function(batch=True)
    def short(tasks: Tasks) -> list[Vote]:
        voted: list[Vote] = votes
        return voted

    matrices, faults = apply_rules([short, by_stars], TASKS, [SENTIMENT])
    assert matrices["sentiment"].votes.tolist() == [[ABSTAIN, 0], [ABSTAIN, 1], [ABSTAIN, ABSTAIN]]
    assert faults.counts == {"short": 3}
    assert reason in faults.reasons["short"]


def test_rule_that_wants_to_leave_is_a_fault() -> None:
    def leaving(_: TaskFields) -> Vote:
        raise SystemExit(1)

    _, faults = apply_rules([Rule("leaving", leaving)], TASKS, [SENTIMENT])
    assert faults.counts == {"leaving": 3}


class Odd(str):
    """A text that can't be told from others, nor looked up."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise KeyboardInterrupt

    def __eq__(self, _: object) -> bool:
        raise SystemExit


class Mute(BaseException):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class Numbers(Sequence[str]):
    """Says that it has no end."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, _: Any) -> Any:
        return "comedy"


def endless() -> Iterator[str]:
    while True:
        yield "comedy"


def raising(error: BaseException) -> Callable[[], Vote]:
    def vote() -> Vote:
        raise error

    return vote


AWFUL: list[tuple[Callable[[], Any], str]] = [
    (lambda: Not(["comedy"]), "isn't a label"),  # type: ignore[arg-type]
    (lambda: Not(None), "isn't a label"),  # type: ignore[arg-type]
    (lambda: [Not({})], "isn't a label"),  # type: ignore[arg-type]
    (lambda: {"comedy": 1}, "isn't a label"),
    (lambda: b"comedy", "isn't a label"),
    (lambda: np.nan, "isn't a label"),
    (lambda: np.array(["comedy"]), "isn't a label"),
    (object, "isn't a label"),
    (endless, "isn't a label"),
    (Numbers, "more than 100,000 labels"),
    (lambda: set(range(200_000)), "more than 100,000 labels"),
    (lambda: ["x" * 1000] * 50_000, "doesn't have"),
    (raising(KeyboardInterrupt("mine")), "KeyboardInterrupt: mine"),
    (raising(GeneratorExit()), "GeneratorExit"),
    (raising(StopIteration()), "StopIteration"),
    (raising(MemoryError()), "MemoryError"),
    (raising(RecursionError("deep")), "RecursionError: deep"),
    (raising(RuleError(*["x" * 10_000_000])), "xxx…"),
    (raising(ValueError("half \ud800 and \0")), "half \ufffd and \ufffd"),
    (raising(Mute()), "text can't be read"),
]


@pytest.mark.parametrize(("vote", "reason"), AWFUL)
@pytest.mark.parametrize("batch", [False, True])
def test_whatever_a_rule_does_on_one_task_is_its_fault_there(
    vote: Callable[[], Any], reason: str, *, batch: bool
) -> None:
    def one(task: TaskFields) -> Any:
        return vote() if task.row == 70 else "comedy"

    def many(tasks: Tasks) -> list[Any]:
        return [one(task) for task in tasks]

    data = [{"row": row} for row in range(100)]
    bad = labeling_function(question="genre", name="bad", batch=True)(many) if batch else Rule("bad", one, "genre")
    matrices, faults = apply_rules([bad, rule("good", "comedy", "genre")], data, [GENRE])
    votes = matrices["genre=comedy"].votes
    assert np.flatnonzero(votes[:, 0] != 1).tolist() == [70]
    assert (votes[:, 1] == 1).all()
    assert faults.counts == {"bad": 1}
    assert reason in faults.reasons["bad"]
    assert len(faults.reasons["bad"].encode()) < 10_000


def test_a_text_that_cant_be_compared_is_the_label_that_it_says() -> None:
    matrices, faults = apply_rules([rule("odd", Odd("comedy"), "genre")], TASKS, [GENRE])
    assert (matrices["genre=comedy"].votes == 1).all()
    assert faults.counts == {}


def test_a_rule_that_raises_everywhere_is_not_asked_about_each_task() -> None:
    asked = []

    @labeling_function(question="genre", batch=True)
    def broken(tasks: Tasks) -> list[Vote]:
        asked.append(len(tasks))
        raise ValueError

    _, faults = apply_rules([broken], [{}] * 10_000, [GENRE])
    assert faults.counts == {"broken": 10_000}
    assert len(asked) < 200


def test_a_batch_rule_without_end_is_a_fault() -> None:
    @labeling_function(question="genre", batch=True)
    def going_on(_: Tasks) -> Any:
        return endless()

    _, faults = apply_rules([going_on], TASKS, [GENRE])
    assert "more than 3 votes for 3 tasks" in faults.reasons["going_on"]


def test_what_annotators_answered_stays_with_its_task_when_tasks_are_divided() -> None:
    history = History([{}] * 4, [[]] * 4, [3, -1, 0, 2])
    seen = []

    @labeling_function(question="genre", batch=True)
    def divided(tasks: Tasks) -> list[Vote]:
        assert tasks.history is not None
        if len(tasks) > 1:
            raise ValueError
        seen.append((tasks[0].row, tasks.history.own[0], tasks.question))
        return ["comedy"]

    apply_rules([divided], [{"row": row} for row in range(4)], [GENRE], history)
    assert seen == [(0, 3, GENRE), (1, -1, GENRE), (2, 0, GENRE), (3, 2, GENRE)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, JobTimeoutException])
def test_what_ends_a_job_is_no_fault_of_the_rule_that_runs(error: type[BaseException]) -> None:
    def interrupt(*_: object) -> None:
        raise error

    def hit(_: TaskFields) -> Vote:
        os.kill(os.getpid(), signal.SIGALRM)
        # Until the main thread has seen it; a rule's own loop would be left alone likewise.
        threading.Event().wait(60)
        return None

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(error):
            apply_rules([Rule("hit", hit)], TASKS[:1], [SENTIMENT])
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_process_that_a_rule_forks_does_not_go_on_as_a_second_one_of_us(tmp_path: Path) -> None:
    def forking(_: TaskFields) -> Vote:
        os.fork()
        (tmp_path / str(os.getpid())).touch()
        return "Positive"

    pid = os.fork()
    if pid == 0:
        apply_rules([Rule("forking", forking)], TASKS, [SENTIMENT])
        (tmp_path / f"done-{os.getpid()}").touch()
        os._exit(0)
    os.waitpid(pid, 0)
    assert [path.name for path in tmp_path.glob("done-*")] == [f"done-{pid}"]
    # One child a task, and none of them went on to the next task.
    wait_for(lambda: len(list(tmp_path.iterdir())) == 2 + len(TASKS), 10, "the forked processes come back")


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
    faults, more = RuleFaults(), RuleFaults()
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
