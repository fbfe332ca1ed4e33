"""`visibleWhen`: a question that the suggested answers hide is neither suggested, nor counted, nor asked."""

import numpy as np
import pytest

from backend.adapters.label_studio.config import parse_label_config
from backend.domain.model.gold import gold_of
from backend.domain.questions import Choices, Condition, Question, decisions
from backend.domain.suggestions import suggest
from backend.domain.visibility import hidden_rows
from tests.unit.planted import frame_with

Answer = tuple[str, ...]
DECIDER = '<Choices name="d" toName="t"><Choice value="A"/><Choice value="B" alias="b"/><Choice value="C"/></Choices>'
SEVERAL = DECIDER.replace('toName="t"', 'toName="t" choice="multiple"')
NESTED = """<Choices name="d" toName="t" allowNested="true">
<Choice value="N"><Choice value="A"/><Choice value="b"/></Choice><Choice value="C"/></Choices>"""
TAXONOMY = """<Taxonomy name="d" toName="t">
<Choice value="N"><Choice value="A"/></Choice><Choice value="A"/><Choice value="b"/></Taxonomy>"""
WHEN = 'visibleWhen="choice-selected" whenTagName="d"'
UNLESS = 'visibleWhen="choice-unselected" whenTagName="d"'


def read(*parts: str) -> tuple[Question, ...]:
    return parse_label_config(f'<View><Text name="t" value="$t"/>{"".join(parts)}</View>').questions


def choices(attributes: str, name: str = "q") -> str:
    return f'<Choices name="{name}" toName="t" {attributes}><Choice value="x"/><Choice value="y"/></Choices>'


def around(attributes: str) -> str:
    return f'<View {attributes}><Header value="h"/><View>{choices("")}</View></View>'


def is_hidden(questions: tuple[Question, ...], **answers: Answer) -> bool:
    found = hidden_rows(questions, {question.name: [answers.get(question.name, ())] for question in questions})
    return bool(found["q"][0]) if "q" in found else False


@pytest.mark.parametrize(
    ("decider", "attributes", "shown_by", "hidden_by"),
    [
        (DECIDER, WHEN, [("A",), ("C",)], [()]),
        (DECIDER, f'{WHEN} whenChoiceValue="A"', [("A",)], [("C",), ()]),
        (DECIDER, f'{WHEN} whenChoiceValue="A,B"', [("A",), ("b",)], [("C",), ()]),
        (DECIDER, f'{WHEN} whenChoiceValue="A,b"', [("b",)], [("C",)]),
        (DECIDER, f'{WHEN} whenChoiceValue="A, C"', [("A",)], [("C",)]),
        (DECIDER, 'VISIBLEWHEN="choice-selected" whentagname="d" whenchoicevalue="A"', [("A",)], [("C",)]),
        (DECIDER, UNLESS, [()], [("A",)]),
        (DECIDER, f'{UNLESS} whenChoiceValue="A"', [("C",), ()], [("A",)]),
        (DECIDER, f'{UNLESS} whenChoiceValue="Z"', [("A",), ()], []),
        (DECIDER, 'visibleWhen="choice-selected"', [("A",)], [()]),
        (DECIDER, 'whenChoiceValue="A"', [("A",)], [("C",), ()]),
        (DECIDER, 'visibleWhen="no-region-selected"', [("A",), ()], []),
        (DECIDER, 'visibleWhen="some-day"', [("A",), ()], []),
        (SEVERAL, f'{WHEN} whenChoiceValue="A"', [("A", "C")], [("b", "C"), ()]),
        (NESTED, f'{WHEN} whenChoiceValue="N"', [("N",)], [("N / A",), ("C",), ()]),
        (NESTED, f'{WHEN} whenChoiceValue="A"', [("N",), ("N / A",)], [("N / b",), ("C",)]),
        (TAXONOMY, f'{WHEN} whenChoiceValue="A"', [("N / A",), ("A", "b")], [("N", "b"), ()]),
    ],
)
def test_a_question_is_shown_by_some_answers_only(
    decider: str, attributes: str, shown_by: list[Answer], hidden_by: list[Answer]
) -> None:
    for asked in (choices(attributes), around(attributes)):
        for questions in (read(decider, asked), read(asked, decider)):
            assert [is_hidden(questions, d=answer) for answer in shown_by] == [False] * len(shown_by)
            assert [is_hidden(questions, d=answer) for answer in hidden_by] == [True] * len(hidden_by)


def test_conditions_add_up_and_a_hidden_answer_shows_nothing() -> None:
    after_e = choices('visibleWhen="choice-selected" whenTagName="e"')
    both = read(DECIDER, choices("", "e"), f'<View {WHEN} whenChoiceValue="A">{after_e}</View>')
    assert not is_hidden(both, d=("A",), e=("x",))
    assert is_hidden(both, d=("A",))
    assert is_hidden(both, d=("b",), e=("x",))
    chain = read(DECIDER, choices(f'{WHEN} whenChoiceValue="A"', "e"), after_e)
    assert not is_hidden(chain, d=("A",), e=("x",))
    assert is_hidden(chain, d=("b",), e=("x",))
    circle = read(choices('visibleWhen="choice-selected" whenTagName="q"', "e"), after_e)
    assert is_hidden(circle, e=("x",), q=("x",))


@pytest.mark.parametrize(
    "asked",
    [
        choices('visibleWhen="region-selected"'),
        choices('visibleWhen="choice-selected" whenTagName="of_data"'),
        choices('visibleWhen="choice-selected" whenTagName="nowhere" whenChoiceValue="A"'),
        choices('visibleWhen="choice-selected" whenTagName="stars"'),
        choices(f'{WHEN} whenChoiceValue="Z"'),
        choices('visibleWhen="choice-selected" whenTagName="lost"'),
        '<View visibleWhen="region-selected"><Rating name="q" toName="t"/></View>',
    ],
)
def test_a_question_that_no_suggestion_of_ours_shows_is_left_empty(asked: str) -> None:
    others = '<Choices name="of_data" toName="t" value="$options"/><Rating name="stars" toName="t"/>'
    lost = choices('visibleWhen="region-selected"', "lost")
    config = parse_label_config(f'<View><Text name="t" value="$t"/>{DECIDER}{others}{lost}{asked}</View>')
    assert "it is shown only" in config.unsupported["q"]
    assert [question.name for question in config.questions] == ["d", "stars"]


def test_what_an_unanswered_control_may_hide_later_is_suggested() -> None:
    others = '<Choices name="of_data" toName="t" value="$options"/>'
    (question,) = read(others, choices('visibleWhen="choice-unselected" whenTagName="of_data"'))
    assert not question.shown_when


ANY = 'visibleWhen="choice-selected" whenChoiceValue="x"'
UNNAMED = 'visibleWhen="choice-unselected"'
AFTER_A = 'visibleWhen="choice-selected" whenTagName="a"'


@pytest.mark.parametrize(
    "asked",
    [
        choices(f'allowNested="true" {ANY}'),
        choices(ANY),
        choices('whenChoiceValue="x"'),
        f"<View {AFTER_A}>{choices(ANY)}</View>",
        f'<View whenChoiceValue="x">{choices(AFTER_A)}</View>',
    ],
)
def test_a_question_that_waits_for_a_text_where_all_others_save_paths_is_left_empty(asked: str) -> None:
    nested = choices('allowNested="true"', "a")
    config = parse_label_config(f'<View><Text name="t" value="$t"/>{nested}{asked}</View>')
    assert [question.name for question in config.questions] == ["a"]
    assert "of which none can be suggested" in config.unsupported["q"]
    (left,) = suggest(frame_with(config.questions, posteriors={"a": np.array([[0.9, 0.1]])}))
    assert left.answers == {"a": ("x",)}


def test_a_condition_that_no_question_counts_for_hides_row_by_row() -> None:
    waits = Choices("q", "t", ("x", "y"), paths=(("x",), ("y",)), shown_when=(Condition("", (("x",),)),))
    either = Choices("r", "t", ("x", "y"), shown_when=(Condition("", (("x",),), chosen=False),))
    found = hidden_rows((waits, either), {"q": [("x",), ()], "r": [("x",), ("x",)]})
    assert found["q"].tolist() == [False, False]
    assert found["r"].tolist() == [False, False]
    assert hidden_rows((waits,), {"q": [("x",), ()]})["q"].tolist() == [True, True]


def test_a_questions_own_answer_never_hides_it_however_many_questions_wait() -> None:
    answers: dict[str, list[Answer]] = {name: [("x",), ()] for name in "acde"} | {"q": [("x",), ("x",)]}
    a, asked, more = choices("", "a"), choices(UNNAMED), [choices(AFTER_A, name) for name in "cde"]
    for n_more in range(len(more) + 1):
        for parts in ([a, asked, *more[:n_more]], [*more[:n_more], asked, a]):
            assert hidden_rows(read(*parts), answers)["q"].tolist() == [True, False]


def test_questions_that_hide_each_other_are_hidden_however_many_questions_wait() -> None:
    answers: dict[str, list[Answer]] = {name: [("x",)] for name in "acdfqe"}
    parts = [choices(f'{UNNAMED} whenTagName="q"', "f"), choices(f'{UNNAMED} whenTagName="f"')]
    for waiting in ("", "c", "cd", "cde"):
        found = hidden_rows(read(choices("", "a"), *(choices(AFTER_A, name) for name in waiting), *parts), answers)
        assert found["f"].tolist() == found["q"].tolist() == [True]


def test_a_rating_is_shown_whatever_stands_in_it() -> None:
    _, stars = read(DECIDER, f'<Rating name="q" toName="t" {WHEN} whenChoiceValue="A"/>')
    assert not stars.shown_when


def test_a_repeated_control_is_left_empty() -> None:
    config = parse_label_config(f'<View><Repeater on="$items">{choices("", "rel_{{idx}}")}</Repeater></View>')
    assert not config.questions
    assert "repeated" in config.unsupported["rel_{{idx}}"]


def test_what_is_hidden_is_neither_suggested_nor_part_of_the_score() -> None:
    questions = read(DECIDER, choices(f'{WHEN} whenChoiceValue="A"'))
    posteriors = {"d": np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05]]), "q": np.array([[0.6, 0.4]] * 2)}
    shown, hidden = suggest(frame_with(questions, posteriors=posteriors))
    assert (shown.answers, shown.score) == ({"d": ("A",), "q": ("x",)}, 0.6)
    assert (hidden.answers, hidden.score) == ({"d": ("b",)}, 0.9)
    assert "q" not in hidden.per_question


def test_a_question_that_nobody_was_asked_has_no_label() -> None:
    questions = read(DECIDER, choices(f'choice="multiple" {WHEN} whenChoiceValue="A"'))
    gold = gold_of(questions, [[{"d": ("A",), "q": ("x",)}], [{"d": ("b",)}]])
    assert [gold[decision.key].tolist() for decision in decisions(questions[1])] == [[1, -1], [0, -1]]
