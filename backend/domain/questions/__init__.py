"""Questions: the control tags of a label config that we can answer. `TYPES` names all types; nothing else does."""

from collections.abc import Mapping
from dataclasses import fields

from backend.domain.codec import Json, from_json, to_json
from backend.domain.questions.base import Condition, Question, decisions
from backend.domain.questions.choices import Choices
from backend.domain.questions.forms import Decision
from backend.domain.questions.number import Number
from backend.domain.questions.pairwise import Pairwise
from backend.domain.questions.rating import Rating
from backend.domain.questions.taxonomy import Taxonomy

__all__ = [
    "TYPES",
    "Choices",
    "Condition",
    "Decision",
    "Number",
    "Pairwise",
    "Question",
    "Rating",
    "Taxonomy",
    "decisions",
    "from_dict",
    "to_dict",
]

TYPES: dict[str, type[Question]] = {kind.kind: kind for kind in (Choices, Number, Pairwise, Rating, Taxonomy)}


def to_dict(question: Question) -> dict[str, Json]:
    """A question for JSON."""
    return {"kind": question.kind, **to_json(question)}


def from_dict(found: Mapping[str, object]) -> Question:
    """A question out of what `to_dict` gave, in this release or an earlier one.

    Raises:
        KeyError: its type isn't known, or has something that isn't: a newer release made it.
        ValueError: something in it is of another type.
    """
    kind = TYPES[str(found["kind"])]
    unknown = found.keys() - {"kind", *(item.name for item in fields(kind))}
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    # What is missing, as earlier releases suggested hidden questions too, is the default.
    return from_json(kind, found)
