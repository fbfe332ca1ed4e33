"""The common kinds of rules, each on a handful of tasks."""

import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from backend.domain.rules import (
    Field,
    History,
    Not,
    Rule,
    TaskFields,
    Tasks,
    Vote,
    When,
    compare_rule,
    heuristic_rule,
    history_rule,
    keyword_rule,
    lookup_rule,
    model_rule,
    regex_rule,
)
from backend.domain.rules.texts import SPLITTING
from backend.domain.votes import apply_rules
from backend.errors import RuleError
from tests.unit.planted import GENRE, SENTIMENT

NEGATIONS = ("not", "no", "never", "n't")


def votes(rule: Rule, *data: Mapping[str, object]) -> list[str | None]:
    """What a rule says of tasks, as labels of the sentiment question."""
    matrices, faults = apply_rules([rule], data, [SENTIMENT])
    assert faults.counts == {}
    return [None if vote < 0 else SENTIMENT.labels[vote] for vote in matrices["sentiment"].votes[:, 0]]


def finds(text: str, *keywords: str, **options: Any) -> bool:
    rule = keyword_rule("rule", field="text", keywords=keywords, vote="Positive", **options)
    return votes(rule, {"text": text}) == ["Positive"]


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ("A GREAT film.", "great"),
        ("great", "great"),
        ("a waste\nof  time", "waste of time"),
        ("Delightfully odd", "delight*"),
        ("unwatchable", "*watchable"),
        ("it wasn\u2019t", "wasn't"),
        ("the film's end", "film"),
        ("so-so", "so-so"),
        ("I \u2764 it", "\u2764"),
        ("written in C++", "c++"),
        ("gro\u00dfe Klasse", "GROSSE"),
        ("un cafe\u0301 noir", "caf\u00e9"),
        ("\u8fd9\u90e8\u7535\u5f71\u5f88\u597d\u770b", "\u597d\u770b"),
        ("iPhone\u624b\u673a", "iphone"),
        ("\u092f\u0939 \u0939\u093f\u0928\u094d\u0926\u0940 \u0939\u0948", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        ("*** splendid", "***"),
    ],
)
def test_keyword_is_found(text: str, keyword: str) -> None:
    assert finds(text, keyword)


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ("a greatcoat", "great"),
        ("ungreat", "great"),
        ("waste of all time", "waste of time"),
        ("", "great"),
        ("wasn", "wasn't"),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928"),
        ("delicate", "delight*"),
    ],
)
def test_keyword_is_not_found(text: str, keyword: str) -> None:
    assert not finds(text, keyword)


@pytest.mark.parametrize(
    ("text", "keyword", "found"),
    [
        ("abcbd", "a*bd", True),
        ("abcbd", "a*b*d", True),
        ("ab", "a*b*b", False),
        ("axbxb", "a*b*b", True),
        ("axxb", "a**b", True),
        ("xaxbx", "*a*b*", True),
        ("xbxax", "*a*b*", False),
    ],
)
def test_several_stars_stand_for_any_letters_each(text: str, keyword: str, found: bool) -> None:
    assert finds(text, keyword) is found


@pytest.mark.timeout(60)
def test_many_stars_and_one_long_word_take_no_years() -> None:
    assert not finds("a" * 2000, "a*" * 20 + "b")


def test_case_counts_when_asked_for() -> None:
    assert finds("made in the US", "US", ignore_case=False)
    assert not finds("tell us", "US", ignore_case=False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("not a good film", False),
        ("It isn't good", False),
        ("never, good", True),
        ("Not for me. Good", True),
        ("not one of the very good ones", True),
        ("not good, but good", True),
        ("good", True),
    ],
)
def test_a_negation_shortly_before_takes_a_keyword_out(text: str, found: bool) -> None:
    assert finds(text, "good", negated_by=NEGATIONS, window=3) is found
    pattern = regex_rule("rule", field="text", pattern="good", vote="Positive", negated_by=NEGATIONS)
    assert (votes(pattern, {"text": text}) == ["Positive"]) is found


def test_a_negation_of_one_task_does_not_reach_into_the_next() -> None:
    rule = keyword_rule("rule", field="text", keywords=["good"], vote="Positive", negated_by=["not"])
    assert votes(rule, {"text": "not"}, {"text": "good"}, {"text": "not good"}) == [None, "Positive", None]


def test_a_phrase_does_not_reach_into_the_next_task() -> None:
    rule = keyword_rule("rule", field="text", keywords=["so good"], vote="Positive")
    assert votes(rule, {"text": "so"}, {"text": "good"}) == [None, None]


def test_as_many_keywords_as_asked_for() -> None:
    assert not finds("good", "good", "fun", min_count=2)
    assert finds("good, good", "good", "fun", min_count=2)
    assert finds("good fun", "good", "fun", min_count=2)


@pytest.mark.parametrize("keywords", [[""], [" "], "great"])
def test_keywords_have_to_be_a_list_of_words(keywords: Sequence[str]) -> None:
    with pytest.raises(RuleError, match=r"a keyword is empty|keywords are a list"):
        keyword_rule("rule", field="text", keywords=keywords, vote="Positive")


@given(
    st.lists(st.text(st.sampled_from("ab *n't.\u00e9\u0301\u597d"), max_size=12), max_size=6),
    st.lists(st.text(st.sampled_from("ab*'tn\u00e9\u597d"), min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_all_texts_together_and_each_alone_give_the_same(texts: list[str], keywords: list[str]) -> None:
    rule = keyword_rule("rule", field="text", keywords=keywords, vote="Positive", negated_by=["a"], window=2)
    assert rule.batch is not None
    tasks = [TaskFields({"text": text}) for text in texts]
    assert list(rule.batch(Tasks(tasks))) == [rule.function(task) for task in tasks]


WORDS = st.sampled_from(
    ["do", "don't", "not", "t", "n", "good", "b_d", "caf\u00e9", "\u597d", "x\u0301", "a.b", "'", "-", "good\u0301"]
)


@given(st.lists(st.lists(WORDS, max_size=5).map(" ".join) | st.lists(WORDS, max_size=4).map("".join), max_size=8))
@pytest.mark.parametrize("negations", [[], ["not"]])
def test_few_keywords_and_many_find_the_same(negations: list[str], texts: list[str]) -> None:
    keywords = ["do", "good", "t", "b"]
    few = keyword_rule("rule", field="text", keywords=keywords, vote="Positive", negated_by=negations)
    never = [f"never{number}" for number in range(SPLITTING)]
    many = keyword_rule("rule", field="text", keywords=[*keywords, *never], vote="Positive", negated_by=negations)
    data: list[dict[str, object]] = [{"text": text} for text in texts]
    assert votes(few, *data) == votes(many, *data)


@given(
    st.text("aAbB .\u212a\u017f\u0131\u0130kKsSiI", max_size=12),
    st.sampled_from(["a.*b", "ks", "ab*", "a+b", "sk ", "I.*k", "b.k", ".*", "A"]),
)
@pytest.mark.parametrize("ignore_case", [True, False])
def test_regex_finds_what_python_finds(ignore_case: bool, text: str, pattern: str) -> None:
    rule = regex_rule("rule", field="text", pattern=pattern, vote="Positive", ignore_case=ignore_case)
    found = re.search(pattern, text, re.IGNORECASE if ignore_case else 0)
    assert rule.function(TaskFields({"text": text})) == ("Positive" if found else None)


ENDLESS = [("(a|aa)+$", "a" * 80 + "b"), (r"\s+$", " " * 1_000_000 + "b")]
"""A regular expression, and a text that it would be done with in years, or hours."""


@pytest.mark.parametrize(("pattern", "text"), ENDLESS)
@pytest.mark.timeout(120)
def test_a_regex_that_would_not_end_is_a_fault_of_that_text_and_nothing_else_waits(pattern: str, text: str) -> None:
    rule = regex_rule("rule", field="text", pattern=pattern, vote="Positive")
    done = threading.Event()
    ticks: list[int] = []

    def tick() -> None:
        while not done.wait(0.01):
            ticks.append(1)

    beside = threading.Thread(target=tick)
    beside.start()
    try:
        matrices, faults = apply_rules([rule], [{"text": "a "}, {"text": text}, {"text": "a "}], [SENTIMENT])
    finally:
        done.set()
        beside.join()
    assert faults.counts == {"rule": 1}
    assert "takes more than 1 s" in faults.reasons["rule"]
    others = [0] if pattern.startswith(r"\s") else [-1]
    assert matrices["sentiment"].votes.tolist() == [others, [-1], others]
    # Python's own `re` lets no other thread run while it searches.
    assert len(ticks) > 2


@pytest.mark.timeout(120)
def test_a_regex_that_was_late_a_few_times_is_not_tried_on_the_rest() -> None:
    pattern, text = ENDLESS[0]
    rule = regex_rule("rule", field="text", pattern=pattern, vote="Positive", negated_by=["not"])
    _, faults = apply_rules([rule], [{"text": text}] * 1000, [SENTIMENT])
    assert faults.counts == {"rule": 1000}


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 60 + "b"),
        (r"(\w+\s?)*;", "many words " * 20),
        ("(?:a?){30}a{30}", "a" * 29),
        ("(x+x+)+y", "x" * 60),
    ],
)
@pytest.mark.timeout(120)
def test_other_regexes_that_python_would_not_end_are_done_with(pattern: str, text: str) -> None:
    rule = regex_rule("rule", field="text", pattern=pattern, vote="Positive")
    assert rule.function(TaskFields({"text": text})) is None


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [("(a{e})+", "a{e}" * 99, True), ("(a{e})+b", "ab" * 99, False), (r"(\N{DIGIT ONE}|x)+", "1" * 99, True)],
)
def test_a_brace_that_repeats_nothing_is_a_brace(pattern: str, text: str, found: bool) -> None:
    rule = regex_rule("rule", field="text", pattern=pattern, vote="Positive")
    assert rule.function(TaskFields({"text": text})) == ("Positive" if found else None)


def test_regex_and_its_whole_words() -> None:
    plain = regex_rule("rule", field="text", pattern="win(s|ner)?", vote="Positive")
    bounded = regex_rule("rule", field="text", pattern="win(s|ner)?", vote="Positive", whole_words=True)
    data: list[dict[str, object]] = [{"text": "The WINNER"}, {"text": "windy"}, {"text": 7}, {}]
    assert votes(plain, *data) == ["Positive", "Positive", None, None]
    assert votes(bounded, *data) == ["Positive", None, None, None]


def test_regex_that_is_none_says_why() -> None:
    with pytest.raises(RuleError, match=r"rule: '\(' is not a regular expression: missing"):
        regex_rule("rule", field="text", pattern="(", vote="Positive")


@pytest.mark.parametrize(
    ("measure", "text", "value"),
    [
        ("characters", "abcde", 5),
        ("words", "one two  three", 3),
        ("lines", "a\nb", 2),
        ("numbers", "3 of 1,200.5", 2),
        ("links", "see http://x.y and www.z.w", 2),
        ("exclamation_marks", "a! b\uff01", 2),
        ("question_marks", "why?", 1),
        ("punctuation", "a-b!", 2),
        ("uppercase_share", "ABcd", 0.5),
        ("digit_share", "a1", 0.5),
    ],
)
def test_heuristic_measures(measure: str, text: str, value: float) -> None:
    def rule(**bounds: Any) -> Rule:
        return heuristic_rule("rule", field="text", measure=measure, vote="Positive", **bounds)

    assert votes(rule(at_least=value, at_most=value), {"text": text}, {}, {"text": ""}) == ["Positive", None, None]
    assert votes(rule(above=value), {"text": text}) == [None]
    assert votes(rule(below=value), {"text": text}) == [None]


def test_heuristic_without_measure_or_bound_says_so() -> None:
    with pytest.raises(RuleError, match="'size' is no measure; there are characters"):
        heuristic_rule("rule", field="text", measure="size", vote="Positive", above=3)
    with pytest.raises(RuleError, match="give above"):
        heuristic_rule("rule", field="text", measure="words", vote="Positive")


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        (When("rating", above=8), [True, False, True, False, False]),
        (When("rating", at_most=8), [False, True, False, False, False]),
        (When("rating", above=Field("critics")), [True, False, False, False, False]),
        (When("country", equals="fr"), [True, False, False, False, False]),
        (When("rating", equals=8), [False, True, False, False, False]),
        (When("country", one_of=["FR", "de"]), [True, True, False, False, False]),
        (When("country", missing=True), [False, False, True, True, True]),
        (When("rating", above=3, below=9), [True, True, False, False, False]),
        (When("country", equals=Field("made_in")), [False, True, False, False, False]),
    ],
)
def test_conditions_on_fields(when: When, holds: list[bool]) -> None:
    data: list[dict[str, object]] = [
        {"rating": 8.5, "critics": 6, "country": " FR "},
        {"rating": 8, "critics": 9, "country": "DE", "made_in": "de"},
        {"rating": "9"},
        {"rating": None, "country": ""},
        {"rating": "n/a", "critics": [1], "country": ["FR"]},
    ]
    rule = compare_rule("rule", when=when, vote="Positive")
    assert votes(rule, *data) == ["Positive" if held else None for held in holds]


def test_all_conditions_have_to_hold() -> None:
    rule = compare_rule("rule", when=[When("awards", at_least=3), When("cost", below=20)], vote="Positive")
    assert votes(rule, {"awards": 3, "cost": 2}, {"awards": 3, "cost": 20}, {"awards": 3}) == ["Positive", None, None]


@pytest.mark.parametrize("when", [[], When("rating")])
def test_a_comparison_has_to_ask_something(when: When | list[When]) -> None:
    with pytest.raises(RuleError, match="rule: give above"):
        compare_rule("rule", when=when, vote="Positive")


def test_lookup_says_what_the_table_says() -> None:
    rule = lookup_rule("rule", field="director", table={"Ed Wood": "Negative", "7": "Positive"})
    assert rule.labels == ("Negative", "Positive")
    data: list[dict[str, object]] = [{"director": " ed wood"}, {"director": 7}, {"director": "X"}, {}]
    assert votes(rule, *data) == ["Negative", "Positive", None, None]


def test_lookup_of_a_domain() -> None:
    rule = lookup_rule("rule", field="url", table={"spam.example": "Negative"}, domain=True)
    data = [{"url": "https://www.SPAM.example/a?b"}, {"url": "spam.example/x"}, {"url": "http://[broken"}, {}]
    assert votes(rule, *data) == ["Negative", "Negative", None, None]


# Models


class Shouting:
    """A model that says Positive of capitals, and counts what it was asked."""

    classes_ = np.array(["Negative", "Positive"])

    def __init__(self) -> None:
        self.asked: list[object] = []

    def predict(self, contents: Sequence[Any]) -> list[Any]:
        self.asked += contents
        return ["Positive" if str(content).isupper() else None for content in contents]


def test_model_is_asked_once_for_each_content() -> None:
    model = Shouting()
    rule = model_rule("rule", model, fields="text")
    data = [{"text": "GO"}, {"text": "go"}, {"text": "GO"}, {"text": ""}, {}]
    assert votes(rule, *data) == votes(rule, *data) == ["Positive", None, "Positive", None, None]
    assert model.asked == ["GO", "go"]


def test_model_cache_forgets_what_was_not_used_longest() -> None:
    model = Shouting()
    rule = model_rule("rule", model, fields="text", cache_size=1)
    for text in ("A", "B", "B", "A"):
        votes(rule, {"text": text})
    assert model.asked == ["A", "B", "A"]


def test_model_gets_the_fields_it_wants_and_never_our_own() -> None:
    model = Shouting()
    data = {"text": "x", "rating": 3, "prelabel_expected": "Positive"}
    votes(model_rule("some", model, fields=["rating", "missing"]), data)
    votes(model_rule("all", model, fields=None), data)
    assert model.asked == [{"rating": 3, "missing": None}, {"text": "x", "rating": 3}]


def test_scikit_learn_pipeline_votes_where_it_is_sure() -> None:
    texts = ["good fun", "good story", "bad acting", "bad story"]
    pipeline = make_pipeline(CountVectorizer(), MultinomialNB()).fit(texts, ["pos", "pos", "neg", "neg"])
    meaning: dict[str, Vote] = {"pos": "Positive", "neg": Not("Positive")}
    rule = model_rule("rule", pipeline, fields="text", votes=meaning, min_confidence=0.6)
    assert rule.labels == ("Positive",)
    assert [rule.function(TaskFields({"text": text})) for text in ("good", "bad", "story")] == [
        "Positive",
        Not("Positive"),
        None,
    ]


def test_late_model_is_a_fault_and_is_not_asked_again_before_it_is_back() -> None:
    release = threading.Event()

    class Slow:
        asked = 0

        def predict(self, contents: Sequence[Any]) -> Any:
            Slow.asked += 1
            yield "Positive"
            release.wait(30)
            yield from ["Positive"] * (len(contents) - 1)

    rule = model_rule("rule", Slow(), fields="text", time_limit_s=0.05)
    matrices, faults = apply_rules([rule], [{"text": "a"}, {"text": "b"}], [SENTIMENT])
    assert matrices["sentiment"].votes.ravel().tolist() == [0, -1]
    assert faults.reasons == {"rule": "the model gave no answer within 0.05 s"}
    _, faults = apply_rules([rule], [{"text": "c"}], [SENTIMENT])
    assert "hasn't come back" in faults.reasons["rule"]
    assert Slow.asked == 1
    release.set()


class Broken:
    def __init__(self, answers: object) -> None:
        self.answers = answers

    def predict(self, _: Sequence[Any]) -> Any:
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (ValueError("secret"), "the model failed: ValueError"),
        (["Positive"] * 3, "3 answers for 2"),
        ([], "too few"),
        (5, "the model failed: TypeError"),
    ],
)
def test_broken_model_abstains_and_says_why_without_what_it_was_told(answers: object, reason: str) -> None:
    rule = model_rule("rule", Broken(answers), fields="text")
    matrices, faults = apply_rules([rule], [{"text": "a"}, {"text": "b"}], [SENTIMENT])
    assert matrices["sentiment"].votes.ravel().tolist() == [-1, -1]
    assert faults.counts == {"rule": 2}
    assert reason in faults.reasons["rule"]
    assert "secret" not in faults.reasons["rule"]


# History

Answered = list[tuple[str, list[dict[str, tuple[str, ...]]]]]


def by_author(rule: Rule, annotated: Answered, asked: list[tuple[str, int]]) -> list[int]:
    """Votes on tasks, given as author and place among the annotated ones."""
    history = History(
        [{"author": author} for author, _ in annotated],
        [answers for _, answers in annotated],
        [own for _, own in asked],
    )
    matrices, faults = apply_rules([rule], [{"author": author} for author, _ in asked], [SENTIMENT], history)
    assert faults.counts == {}
    return [int(vote) for vote in matrices["sentiment"].votes[:, 0]]


def said(*labels: str) -> list[dict[str, tuple[str, ...]]]:
    return [{"sentiment": (label,)} for label in labels]


def test_history_votes_what_annotators_agreed_on() -> None:
    rule = history_rule("rule", field="author", min_count=3, min_share=0.75)
    annotated = [("Ann", said("Negative")), ("ann ", said("Negative", "Negative")), ("Ben", said("Positive"))]
    assert by_author(rule, annotated, [("ANN", -1), ("Ben", -1), ("Cid", -1), ("", -1)]) == [1, -1, -1, -1]


def test_history_needs_agreement() -> None:
    rule = history_rule("rule", field="author", min_count=2, min_share=0.75)
    annotated = [("Ann", said("Negative", "Negative", "Negative", "Positive")), ("Ben", said("Negative", "Positive"))]
    assert by_author(rule, annotated, [("Ann", -1), ("Ben", -1)]) == [1, -1]


def test_history_never_counts_a_tasks_own_answers() -> None:
    rule = history_rule("rule", field="author", min_count=1, min_share=0.6)
    # Alone, each of Ann's two tasks would get its own answer; left out, it gets the other one's.
    annotated = [("Ann", said("Negative")), ("Ann", said("Positive")), ("Ben", said("Positive"))]
    assert by_author(rule, annotated, [("Ann", 0), ("Ann", 1), ("Ben", 2)]) == [0, 1, -1]


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(SENTIMENT.labels)), min_size=1, max_size=12), st.data()
)
def test_changing_a_label_never_changes_the_vote_on_its_own_task(
    tasks: list[tuple[str, str]], draw: st.DataObject
) -> None:
    rule = history_rule("rule", field="author", min_count=1, min_share=0.6)
    row = draw.draw(st.integers(0, len(tasks) - 1))
    other = draw.draw(st.sampled_from(SENTIMENT.labels))
    changed = [(author, other if place == row else label) for place, (author, label) in enumerate(tasks)]

    def vote(given: list[tuple[str, str]]) -> int:
        return by_author(rule, [(author, said(label)) for author, label in given], [(tasks[row][0], row)])[0]

    assert vote(tasks) == vote(changed)


def test_history_ignores_labels_that_are_gone_and_skipped_tasks() -> None:
    rule = history_rule("rule", field="author", min_count=1)
    annotated: Answered = [("Ann", said("Gone")), ("Ann", [{}]), ("Ann", said("Negative"))]
    assert by_author(rule, annotated, [("Ann", -1)]) == [1]


def test_history_of_a_multiple_question_votes_for_each_label_that_is_usual() -> None:
    rule = history_rule("rule", field="url", min_count=2, min_share=0.9, domain=True)
    answers: list[list[dict[str, tuple[str, ...]]]] = [[{"genre": ("drama", "comedy")}], [{"genre": ("drama",)}]]
    history = History([{"url": "http://a.org/1"}, {"url": "https://www.a.org/2"}], answers, [-1])
    matrices, _ = apply_rules([rule], [{"url": "a.org/3"}], [GENRE], history)
    assert {key: int(matrix.votes[0, 0]) for key, matrix in matrices.items()} == {
        "genre=drama": 1,
        "genre=comedy": -1,
        "genre=horror": -1,
    }


def test_history_that_nobody_gave_says_nothing() -> None:
    rule = history_rule("rule", field="author", min_count=1)
    assert rule.needs_history
    assert votes(rule, {"author": "Ann"}) == [None]


@pytest.mark.parametrize("options", [{"min_share": 0.5}, {"min_share": 1.1}, {"min_count": 0}])
def test_history_needs_a_majority(options: dict[str, Any]) -> None:
    with pytest.raises(RuleError, match="rule: min_share must be above"):
        history_rule("rule", field="author", **options)
