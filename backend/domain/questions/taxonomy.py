"""Taxonomy: places in a tree."""

from dataclasses import dataclass

from backend.domain.nesting import PATH_SEPARATOR, Path
from backend.domain.questions.base import Question


@dataclass(frozen=True)
class Taxonomy(Question):
    """`<Taxonomy>`. Its labels are paths; one that leads to others is a label of its own."""

    kind = "taxonomy"

    def short_name(self, label: str) -> str:
        """See `Question`."""
        return label.rsplit(PATH_SEPARATOR, 1)[-1]

    def groups_at(self, path: Path) -> list[tuple[str, ...]]:
        """See `Question`: whatever has that name, at any place."""
        return [(label,) for label, other in zip(self.labels, self.paths, strict=True) if other[-1] == path[-1]]
