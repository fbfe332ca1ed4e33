"""Rating: a number of stars."""

from dataclasses import dataclass

from backend.domain.outside import bounded_whole
from backend.domain.questions.scales import Scale

MAX_STARS = 10**9
"""Beyond all scales; more digits are read as no number."""


@dataclass(frozen=True)
class Rating(Scale):
    """`<Rating>`. Its labels are "1".."n", a scale."""

    kind = "rating"

    def label_of(self, item: object) -> str | None:
        """See `Question`: a star is a number to models that aren't held to the schema."""
        star = bounded_whole(item, 0, MAX_STARS)
        return super().label_of(item) if star is None else str(star)
