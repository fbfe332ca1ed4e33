"""Number: one of the numbers that a form takes, on a scale."""

from dataclasses import dataclass

from backend.domain.outside import bounded_number
from backend.domain.questions.scales import Scale

MOST_DIGITS = 12
MAX_ABSOLUTE = 1e12
"""Beyond it, a float has no place for the digits of a step."""


def written(number: float) -> str:
    """A number as its label: without a point where it is whole."""
    return str(int(number)) if number == int(number) else f"{round(number, MOST_DIGITS):.{MOST_DIGITS}g}"


@dataclass(frozen=True)
class Number(Scale):
    """`<Number>`. Its labels are all numbers that the form takes, ascending; it is answered by the median."""

    kind = "number"

    def label_of(self, item: object) -> str | None:
        """See `Question`: models write numbers as such, or as text."""
        number = bounded_number(item, -MAX_ABSOLUTE, MAX_ABSOLUTE)
        return super().label_of(item) if number is None else written(number)
