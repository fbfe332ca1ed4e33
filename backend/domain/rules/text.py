"""Rules about the words and the look of a text."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from backend.domain.rules.fields import When
from backend.domain.rules.interface import (
    ANY,
    Marking,
    Not,
    Rule,
    SpanVote,
    Vote,
    batch_rule,
    labels_in,
    parts_of,
    vote_where,
)
from backend.domain.rules.patterns import Pattern
from backend.domain.rules.tasks import Tasks
from backend.domain.rules.terms import Folded, Terms
from backend.domain.rules.tokens import Phrase, Tokens, normal, phrase
from backend.errors import RuleError


class Bounds(TypedDict, total=False):
    """What a figure is compared with."""

    above: float | None
    at_least: float | None
    below: float | None
    at_most: float | None


NEGATIONS: Final = ("not", "no", "never", "n't")
MAX_LATE = 3
"""Texts of one batch that may take a regular expression's whole time."""
MARKED = "span"
"""Group of a regular expression that is marked."""
REACH = 300
"""Characters before a match of a regular expression in which a negation is looked for."""


def keyword_rule(
    name: str,
    *,
    field: str,
    keywords: Sequence[str],
    vote: Vote,
    negated_by: Sequence[str] = (),
    window: int = 3,
    min_count: int = 1,
    ignore_case: bool = True,
    question: str | None = None,
    description: str = "",
) -> Rule:
    """Vote where a text has one of the keywords, as whole words.

    A keyword is a word, or several in a row; `*` stands for any letters ("delight*"). In scripts without spaces a
    keyword is found anywhere. One with a negation (`negated_by`) among the `window` words and symbols before it, in the
    same clause, doesn't count; "n't" is the one of "don't". At least `min_count` keywords have to be left. Where spans
    are asked for, the keywords are what is marked.

    Raises:
        RuleError: a keyword or negation is empty.
    """
    wanted = _phrases(name, "keyword", keywords, ignore_case)
    negations = _phrases(name, "negation", negated_by, ignore_case)

    def find(tasks: Tasks) -> NDArray[np.bool_]:
        return tasks.words(field, ignore_case=ignore_case).count(wanted, negations, window) >= min_count

    terms = _terms(name, keywords, ignore_case, wild=True)
    counts = _unless_negated(negations, window, ignore_case)

    def places(text: Folded) -> Sequence[tuple[int, int]]:
        found = [(start, end) for start, end, _ in terms.find(text) if counts(text.text, start)]
        return found if len(found) >= min_count else ()

    return marking_too(vote_where(name, find, vote, question, description), field, places, vote)


def regex_rule(
    name: str,
    *,
    field: str,
    pattern: str,
    vote: Vote,
    whole_words: bool = False,
    negated_by: Sequence[str] = (),
    window: int = 3,
    ignore_case: bool = True,
    question: str | None = None,
    description: str = "",
) -> Rule:
    """Vote where a regular expression (Python's `re`) matches a text.

    With `whole_words` a match may not begin or end inside of a word. Negations are those of `keyword_rule`. A text that
    takes longer than `patterns.TIME_LIMIT_S` is a fault, and after `MAX_LATE` of them so are all texts that follow.
    Where spans are asked for, each match is marked, or of it the group called `MARKED`, if the pattern has one.

    Raises:
        RuleError: the pattern isn't a regular expression.
    """
    try:
        compiled = Pattern(rf"(?<!\w)(?:{pattern})(?!\w)" if whole_words else pattern, ignore_case=ignore_case)
    except RuleError as error:
        raise RuleError(f"{name}: {error}") from error
    negations = _phrases(name, "negation", negated_by, ignore_case)

    needed = _needed(pattern).lower() if ignore_case else _needed(pattern)
    counts = _unless_negated(negations, window, ignore_case)

    def holds(text: str) -> bool:
        if not negations:
            return compiled.is_in(text)
        return any(counts(text, start) for start in compiled.starts(text))

    def places(text: Folded) -> Iterator[tuple[int, int]]:
        found = compiled.spans(text.text, group=MARKED if MARKED in compiled.groups else 0)
        return ((start, end) for start, end in found if start < end and counts(text.text, start))

    def batch(tasks: Tasks) -> list[Vote | RuleError]:
        texts = tasks.texts(field)
        # Looking for a plain string first is much faster.
        lower = tasks.column(("lower", field), lambda: list(map(_lower, texts))) if needed and ignore_case else texts
        votes: list[Vote | RuleError] = []
        late: list[RuleError] = []
        for text, plain in zip(texts, lower, strict=True):
            if len(late) >= MAX_LATE:
                votes.append(late[0])
                continue
            try:
                votes.append(vote if needed in plain and holds(text) else None)
            except RuleError as error:
                late.append(error)
                votes.append(error)
        return votes

    rule = batch_rule(name, batch, question=question, labels=labels_in(vote), description=description)
    return marking_too(rule, field, places, vote)


def gazetteer_rule(
    name: str,
    *,
    field: str,
    terms: Sequence[str] | Mapping[str, Vote],
    vote: Vote = None,
    ignore_case: bool = True,
    question: str | None = None,
    description: str = "",
) -> Rule:
    """Mark, or vote for, the terms of a list in a text, as whole words; of those that overlap, the first and longest.

    Args:
        name: the rule's name.
        field: of the text.
        terms: what is looked for, hundreds of thousands if need be; with what each of them votes for, or just a list.
        vote: of all terms of a list.
        ignore_case: the terms may be written in any case.
        question: the question; None for every one that has the labels.
        description: what the rule means.

    Where a task as a whole is labeled, the terms in its text have to vote for the same; else the rule abstains.

    Raises:
        RuleError: a term is empty or too long, or nobody says what it votes for.
    """
    wanted = _terms(name, list(terms), ignore_case)
    votes = list(terms.values()) if isinstance(terms, Mapping) else [vote] * len(terms)
    if isinstance(terms, str) or not votes or any(item is None for item in votes):
        raise RuleError(f"{name}: give terms as a list, and what they vote for")

    def batch(tasks: Tasks) -> list[Vote]:
        found = [{number for _, _, number in wanted.find(Folded(text))} for text in tasks.texts(field)]
        said = [list(dict.fromkeys(_hashable(votes[number]) for number in sorted(numbers))) for numbers in found]
        return [each[0] if len(each) == 1 else None for each in said]

    def mark(text: Folded) -> Iterator[SpanVote]:
        return ((start, end, part) for start, end, number in wanted.find(text) for part in parts_of(votes[number]))

    labels = tuple(dict.fromkeys(label for item in dict.fromkeys(map(_hashable, votes)) for label in labels_in(item)))
    rule = batch_rule(name, batch, question=question, labels=labels, description=description)
    return replace(_checked(rule, votes[0]), marking=Marking(field, mark))


def _hashable(vote: Vote) -> Vote:
    return vote if vote is None or isinstance(vote, str | Not) else tuple(vote)


def marking_too(rule: Rule, field: str, places: Callable[[Folded], Iterable[tuple[int, int]]], vote: Vote) -> Rule:
    """A rule that gives its vote to places in a text, where spans are asked for."""
    parts = parts_of(vote)

    def mark(text: Folded) -> Iterator[SpanVote]:
        return ((start, end, part) for start, end in places(text) for part in parts)

    return replace(_checked(rule, vote), marking=Marking(field, mark))


def _checked(rule: Rule, vote: Vote) -> Rule:
    if Not(ANY) in parts_of(vote) and rule.question is None:
        raise RuleError(f"{rule.name}: a vote against any label needs the `question`, with spans, that it is about")
    return rule


def heuristic_rule(
    name: str,
    *,
    field: str,
    measure: str,
    vote: Vote,
    question: str | None = None,
    description: str = "",
    **bounds: Unpack[Bounds],
) -> Rule:
    """Vote where a `MEASURES` figure of a text is within bounds; abstain where there is no text.

    Raises:
        RuleError: the measure isn't known, or there is no bound.
    """
    if measure not in MEASURES:
        raise RuleError(f"{name}: {measure!r} is no measure; there are {', '.join(MEASURES)}")
    figure = MEASURES[measure]
    within = When(field, **bounds)
    if not within.has_bound:
        raise RuleError(f"{name}: give above, at_least, below or at_most")

    def figures(tasks: Tasks) -> NDArray[np.float64]:
        texts = tasks.texts(field)
        return np.array([figure(text) if text else np.nan for text in texts], dtype=np.float64)

    def find(tasks: Tasks) -> NDArray[np.bool_]:
        return within.within(tasks.column(("measure", measure, field), lambda: figures(tasks)), tasks)

    return vote_where(name, find, vote, question, description)


def _terms(name: str, terms: Sequence[str], ignore_case: bool, *, wild: bool = False) -> Terms:
    try:
        return Terms(terms, ignore_case=ignore_case, wild=wild)
    except RuleError as error:
        raise RuleError(f"{name}: {error}") from error


def _phrases(name: str, what: str, keywords: Sequence[str], ignore_case: bool) -> list[Phrase]:
    phrases = [phrase(keyword, ignore_case=ignore_case) for keyword in keywords]
    if isinstance(keywords, str):
        raise RuleError(f"{name}: {what}s are a list, not the string {keywords!r}")
    if not all(phrases):
        raise RuleError(f"{name}: a {what} is empty")
    return phrases


def _unless_negated(negations: Sequence[Phrase], window: int, ignore_case: bool) -> Callable[[str, int], bool]:
    """Whether what begins at a place of a text counts: no negation is shortly before it."""
    if not negations:
        return lambda *_: True
    return lambda text, start: not _ends_negated(text[max(0, start - REACH) : start], negations, window, ignore_case)


def _ends_negated(before: str, negations: Sequence[Phrase], window: int, ignore_case: bool) -> bool:
    """Whether a negation is among the last words of a piece of text."""
    # A word that stands for what was matched: what comes before it is what `follows` looks at.
    tokens = Tokens([normal(f"{before} x", ignore_case=ignore_case)])
    here = np.array([tokens.n_tokens - 2])
    return bool(tokens.follows(here, tokens.find(negations, last=True), window)[0])


def _lower(text: str) -> str:
    """Lower case as `re` has it: there, long s and dotless i are s and i too."""
    lower = text.lower()
    return lower if lower.isascii() else lower.replace("\u017f", "s").replace("\u0131", "i")


def _needed(pattern: str) -> str:
    """A string that every match of a simple pattern has; "" when the pattern has more than letters, `.`, `*`, `+`."""
    if not re.fullmatch(r"[A-Za-z0-9 .*+]*", pattern):
        return ""
    # A character before `*` may be absent, one before `+` may be repeated.
    return max(re.split(r".\*|\.|\+", pattern), key=len)


_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_LINK = re.compile(r"https?://|\bwww\.", re.IGNORECASE)


def _share_of_characters(text: str, test: Callable[[str], bool]) -> float:
    letters = [char for char in text if char.isalnum()]
    return sum(map(test, letters)) / len(letters) if letters else 0.0


MEASURES: Final[Mapping[str, Callable[[str], float]]] = {
    "characters": len,
    "words": lambda text: len(text.split()),
    "lines": lambda text: len(text.splitlines()),
    "numbers": lambda text: len(_NUMBER.findall(text)),
    "links": lambda text: len(_LINK.findall(text)),
    "exclamation_marks": lambda text: text.count("!") + text.count("\uff01"),
    "question_marks": lambda text: text.count("?") + text.count("\uff1f"),
    "punctuation": lambda text: sum(not char.isalnum() and not char.isspace() for char in text),
    "uppercase_share": lambda text: _share_of_characters(text, str.isupper),
    "digit_share": lambda text: _share_of_characters(text, str.isdigit),
}
"""Figures of a text by name. Shares are of its letters and digits, 0..1; words are what space separates."""
