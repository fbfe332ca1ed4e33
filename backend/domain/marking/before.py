"""What people marked before: a string that was marked most times that it stood in a text, marked again elsewhere."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from backend.domain.spans.text import Span, Text

SOURCE = "marked before"
"""Its name among the sources; no rule is called so by chance."""
LONGEST = 8
"""Tokens of such a string."""
LEAST_SHARE = 0.5
"""It is marked again if it was in more than this share of the times that it stood in a text that people looked at."""

Words = tuple[str, ...]


@dataclass(frozen=True)
class MarkedBefore:
    """Strings, in tokens, with how often each was marked as what, and how often it stood there at all."""

    marked: Mapping[Words, Counter[str]] = field(default_factory=dict)
    seen: Mapping[Words, int] = field(default_factory=dict)

    @classmethod
    def learn(cls, texts: Sequence[Text], marked: Sequence[Sequence[Span]]) -> "MarkedBefore":
        """Count in texts that people looked at. texts: in tokens that no span has split."""
        found: dict[Words, Counter[str]] = {}
        for text, spans in zip(texts, marked, strict=True):
            for words, label in _strings(text, spans):
                found.setdefault(words, Counter())[label] += 1
        seen: Counter[Words] = Counter()
        for text in texts:
            seen.update(words for words, _, _ in _places(text, found))
        return cls(found, seen)

    def spans(self, text: Text, own: Sequence[Span] | None = None) -> tuple[Span, ...]:
        """What is marked again in a text. own: what people marked in this very text, which doesn't count for it; None
        where it wasn't counted."""
        mine = Counter(_strings(text, own or ()))
        there = Counter(words for words, _, _ in _places(text, self.marked)) if own is not None else Counter()
        found = []
        for words, first, stop in _places(text, self.marked):
            label, n = max(
                ((label, n - mine[words, label]) for label, n in self.marked[words].items()), key=lambda item: item[1]
            )
            if n > 0 and n > LEAST_SHARE * (self.seen[words] - there[words]):
                found.append(Span(text.starts[first], text.ends[stop - 1], label))
        return tuple(found)


def _strings(text: Text, spans: Sequence[Span]) -> Iterator[tuple[Words, str]]:
    """The strings that are marked, in tokens, with their labels."""
    for first, stop, label in text.runs(spans)[0]:
        if stop - first <= LONGEST:
            yield text.words[first:stop], label


def _places(text: Text, strings: Mapping[Words, object]) -> Iterator[tuple[Words, int, int]]:
    """Where strings stand in a text: tokens from `first` up to but not including `stop`."""
    begin = {words[0] for words in strings}
    for first, word in enumerate(text.words):
        if word in begin:
            for stop in range(first + 1, min(first + LONGEST, len(text.words)) + 1):
                words = text.words[first:stop]
                if words in strings:
                    yield words, first, stop
