"""Human answers that are no label of any question: they teach nothing, and must not be lost in silence."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from backend.domain.outside import listed, one_line
from backend.domain.questions import Question
from backend.domain.reports.status import Unmatched
from backend.domain.tasks import Answer

EXAMPLE_CHARS = 60
REPEATED = re.compile(r"\\{\\{.*?\\}\\}")
"""Stands, escaped, for a number in the names of controls that Label Studio repeats."""


def unmatched_answers(
    questions: Sequence[Question],
    left_empty: Collection[str],
    answers: Iterable[tuple[Mapping[str, object], Mapping[str, Answer]]],
) -> tuple[Unmatched, ...]:
    """What can't be learned from, by control, the most answers first.

    See `Question.lost`.

    Args:
        questions: of today's label config.
        left_empty: controls that we don't answer: what people said there is not for us.
        answers: of each annotation: the data of its task, and what it says.
    """
    asked = {question.name: question for question in questions}
    repeated = [re.compile(REPEATED.sub(r"\\d+", re.escape(name))) for name in left_empty if "{{" in name]
    found: dict[str, tuple[int, str]] = {}
    for data, answer in answers:
        for name, given in answer.items():
            if name in asked:
                lost = asked[name].lost(given, data)
            else:
                ours = name not in left_empty and not any(pattern.fullmatch(name) for pattern in repeated)
                lost = given if ours else ()
            if lost:
                n, example = found.get(name, (0, one_line(", ".join(lost), EXAMPLE_CHARS)))
                found[name] = n + 1, example
    each = [Unmatched(one_line(name), n, example, name in asked) for name, (n, example) in found.items()]
    return tuple(sorted(each, key=lambda item: -item.n))


def told(unmatched: Sequence[Unmatched]) -> str:
    """The same for a person; "" when there are none."""
    if not unmatched:
        return ""
    n = sum(item.n for item in unmatched)
    where = [f"{_name(item)}: {item.n}, for example {item.example!r}" for item in unmatched]
    those = f"{n} answers match no label and teach" if n > 1 else "1 answer matches no label and teaches"
    return f"{those} nothing ({listed(where, '; ')})"


def _name(item: Unmatched) -> str:
    if not item.question:
        return "of no control"
    return item.question if item.known else f"{item.question}, which the label config doesn't have"
