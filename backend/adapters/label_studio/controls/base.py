"""What is asked of a control: how Label Studio writes such a question, and its answers."""

import reprlib
from collections.abc import Mapping
from typing import Any, Protocol

from backend.adapters.label_studio.controls.tags import ControlTag
from backend.domain.nesting import joined
from backend.domain.outside import one_line, storable
from backend.domain.questions import Question
from backend.domain.tasks import Answer

MAX_LABEL_CHARS = 20_000
"""Of a label that an annotation has: of a longer one, the rest is cut off."""


class Control(Protocol):
    """A control tag that we can answer. Its tag in lower case is the question's kind, and the type of its results."""

    hides: bool
    """Whether its own `visibleWhen` counts."""
    key: str
    """Where the value of a result has the answer."""

    def why_unsupported(self, tag: ControlTag) -> str:
        """Why a control can't be answered; "" when it can."""

    def question(self, tag: ControlTag) -> Question:
        """The question that a supported control asks."""

    def labels(self, value: Mapping[str, Any]) -> tuple[str, ...]:
        """The labels in the value of a result, which has something at `key`, whatever the label config says today; see
        `unreadable`."""

    def value(self, question: Question, answer: Answer) -> dict[str, Any]:
        """The value of a result that gives an answer, or one of its regions."""


def listed_labels(given: object) -> tuple[str, ...]:
    """Labels, or paths to them, of a list."""
    return tuple(_label(item) for item in given) if isinstance(given, list) else (unreadable(given),)


def _label(item: object) -> str:
    if isinstance(item, list) and item and all(isinstance(part, str) for part in item):
        return storable(joined(tuple(item)), MAX_LABEL_CHARS)
    return storable(item, MAX_LABEL_CHARS) if isinstance(item, str) else unreadable(item)


def unreadable(value: object) -> str:
    """What can't be read as an answer, as a short text: no label of any question, so that it can be shown."""
    return one_line(reprlib.repr(value))
