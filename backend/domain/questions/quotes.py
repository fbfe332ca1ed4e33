"""Quotes: how an LLM marks spans, and where they stand in a text: exactly there, or nowhere.

Models can't count characters. So they quote what they mark, with a few words before and behind it, which tell one
occurrence from another.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from backend.domain.questions.marks import Mark, mark_in, written
from backend.domain.tasks import Answer

CONTEXT = 40
"""Characters around a quote that an example shows."""
MAX_QUOTE = 5_000
"""Characters of a quote; a longer one is none."""
MOST_QUOTES = 2_000
"""In one answer."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A label, what is marked, and what stands right before and behind it, as far as the model says."""

    label: str
    text: str
    before: str = ""
    behind: str = ""


def quote_in(item: object) -> Quote | None:
    """The quote that an item of a reply is; None for what is none."""
    if not isinstance(item, Mapping):
        return None
    label, text = item.get("label"), item.get("quote")
    around = [item.get(name) or "" for name in ("before", "behind")]
    if not (isinstance(label, str) and isinstance(text, str) and all(isinstance(part, str) for part in around)):
        return None
    return Quote(label, text, str(around[0]), str(around[1])) if 0 < len(text) <= MAX_QUOTE else None


def locate(quotes: Sequence[Quote], text: str, labels: Collection[str]) -> tuple[list[Mark], int]:
    """Where quotes stand in a text, in its order, and how many are left out: those with another label than these, that
    aren't there, or of which nobody can say which of several places is meant.

    Of the places where a quote stands, those count that its context fits, if any is given; and those within words only
    where there are no others. Equal quotes for all places that are left mean all of these.
    """
    found: set[Mark] = set()
    n_out = max(0, len(quotes) - MOST_QUOTES)
    for quote, n in Counter(quotes[:MOST_QUOTES]).items():
        places = _places(quote, text) if quote.label in labels else []
        if not places or len(places) not in (1, n):
            n_out += n
            continue
        found |= {Mark(start, start + len(quote.text), quote.label, quote.text) for start in places}
    return sorted(found), n_out


def _places(quote: Quote, text: str) -> list[int]:
    """Where a quote may stand."""
    starts = _starts(quote.text, text)
    if quote.before or quote.behind:
        starts = [start for start in starts if _fits(quote, text, start)]
    apart = [start for start in starts if _is_apart(text, start, start + len(quote.text))]
    return apart or starts


def _starts(part: str, text: str) -> list[int]:
    starts: list[int] = []
    at = text.find(part)
    while at >= 0 and len(starts) <= MOST_QUOTES:
        starts.append(at)
        at = text.find(part, at + 1)
    return starts


def _fits(quote: Quote, text: str, start: int) -> bool:
    """Whether the context is there; white space aside, which models rarely repeat as it was."""
    before, behind = _dense(quote.before), _dense(quote.behind)
    room = 2 * (len(quote.before) + len(quote.behind)) + CONTEXT
    end = start + len(quote.text)
    there = _dense(text[max(0, start - room) : start]), _dense(text[end : end + room])
    return there[0].endswith(before) and there[1].startswith(behind)


def _dense(text: str) -> str:
    return "".join(text.split())


def _is_apart(text: str, start: int, end: int) -> bool:
    def joined(at: int) -> bool:
        return 0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum()

    return not joined(start) and not joined(end)


def moved(answer: Answer, sent: str, text: str) -> Answer:
    """An answer about what was sent of a text, as one about the text itself, from which parts may have been masked or
    cut off. What can't be told for sure is left out."""
    if sent == text:
        return answer
    found = []
    for mark in filter(None, map(mark_in, answer)):
        start = _moved(mark, sent, text)
        if start is not None:
            found.append(written(mark._replace(start=start, end=start + len(mark.text))))
    return tuple(found)


def _moved(mark: Mark, sent: str, text: str) -> int | None:
    if sent[: mark.end] == text[: mark.end]:
        return mark.start
    were, are = _starts(mark.text, sent), _starts(mark.text, text)
    number = bisect_left(were, mark.start)
    return are[number] if len(were) == len(are) and number < len(were) else None


def quoted(marks: Iterable[Mark], text: str) -> list[dict[str, str]]:
    """Marks as quotes of a text, for an example."""
    return [
        {
            "label": mark.label,
            "quote": text[mark.start : mark.end],
            "before": text[max(0, mark.start - CONTEXT) : mark.start],
            "behind": text[mark.end : mark.end + CONTEXT],
        }
        for mark in marks
    ]
