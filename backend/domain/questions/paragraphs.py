"""Paragraphs: which parts of what people say to each other are marked, and as what."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from backend.domain.questions.marks import UTTERANCE, Mark
from backend.domain.questions.spans import Spans, dense

BETWEEN = "\u2029"
"""Unicode's separator of paragraphs: it parts utterances in the text of a task, and is no character of any."""

WHITE_SPACE = re.compile(r"[ \t\r\n\f]+")
"""What HTML folds into one space."""


@dataclass(frozen=True)
class Paragraphs(Spans):
    """`<ParagraphLabels>` on a list of utterances. Its text has them one behind the other, parted by `BETWEEN`.

    text_key: where an utterance has its text. The place of a character is `UTTERANCE` times the number of its
    utterance, and where it stands in that, in UTF-16 units.
    """

    kind = "paragraphlabels"

    text_key: str = "text"

    def text(self, data: Mapping[str, object]) -> str:
        """See `Spans`; "" where an utterance has no text, or one with a separator in it."""
        found = self.value(data)
        texts = [item.get(self.text_key) if isinstance(item, Mapping) else None for item in _listed(found)]
        known = [text for text in texts if isinstance(text, str) and BETWEEN not in text]
        return BETWEEN.join(known) if len(known) == len(texts) else ""

    def place(self, text: str, at: int) -> int:
        """See `Spans`: utterance, and UTF-16 units in it."""
        start = text.rfind(BETWEEN, 0, at) + 1
        return text.count(BETWEEN, 0, at) * UTTERANCE + _units(text[start:at])

    def code_point(self, text: str, place: int) -> int | None:
        """See `Spans`."""
        number, units = divmod(place, UTTERANCE)
        utterances = text.split(BETWEEN)
        if number >= len(utterances):
            return None
        offset = _code_points(utterances[number], units)
        return None if offset is None else sum(len(item) + 1 for item in utterances[:number]) + offset

    def is_said(self, mark: Mark, there: str, text: str) -> bool:
        """See `Spans`. Label Studio 1.23.2 keeps the places that a mark has in an utterance, yet as the mark's text it
        saves what stands at them once white space is folded as HTML does: "ob " for Bob in "am  Bob x".
        """
        if super().is_said(mark, there, text):
            return True
        (number, start), (last, end) = divmod(mark.start, UTTERANCE), divmod(mark.end, UTTERANCE)
        if number != last:
            return False
        folded = " ".join(WHITE_SPACE.split(text.split(BETWEEN)[number].strip(" \t\r\n\f")))
        units = folded.encode("utf-16-le", "surrogatepass")[2 * start : 2 * end]
        return dense(mark.text) == dense(units.decode("utf-16-le", "replace"))


def _listed(found: object) -> list[object]:
    return found if isinstance(found, list) else []


def _units(text: str) -> int:
    """Length in UTF-16 units."""
    return len(text) if text.isascii() else len(text) + sum(char > "\uffff" for char in text)


def _code_points(text: str, units: int) -> int | None:
    """How many code points so many UTF-16 units are; None where they end within one, or beyond the text."""
    if text.isascii():
        return units if units <= len(text) else None
    left = units
    for at, char in enumerate(text):
        if left <= 0:
            return at if left == 0 else None
        left -= 1 + (char > "\uffff")
    return len(text) if left == 0 else None
