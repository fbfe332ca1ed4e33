"""Pairwise: which of two objects is the better one."""

from dataclasses import dataclass

from backend.domain.questions.base import Question


@dataclass(frozen=True)
class Pairwise(Question):
    """`<Pairwise>`. Its labels are "left" and "right"; an annotation without either says nothing.

    fields: of task data, what stands on the left and on the right; () where an object shows no single field.
    """

    kind = "pairwise"

    fields: tuple[str, ...] = ()

    @property
    def compared(self) -> tuple[tuple[str, str], ...]:
        """See `Question`: how the two objects differ."""
        return ((self.fields[0], self.fields[1]),) if self.fields else ()
