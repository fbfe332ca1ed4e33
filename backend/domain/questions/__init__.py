"""Questions: the control tags of a label config that we can answer. `TYPES` names all types; nothing else does."""

from collections.abc import Iterable, Mapping
from dataclasses import fields

from backend.domain.codec import Json, from_json, to_json
from backend.domain.questions.base import Condition, Learner, Question, decisions
from backend.domain.questions.choices import Choices
from backend.domain.questions.forms import Decision
from backend.domain.questions.number import Number
from backend.domain.questions.pairwise import Pairwise
from backend.domain.questions.paragraphs import Paragraphs
from backend.domain.questions.rating import Rating
from backend.domain.questions.spans import Spans
from backend.domain.questions.taxonomy import Taxonomy

__all__ = [
    "TYPES",
    "Choices",
    "Condition",
    "Decision",
    "Learner",
    "Number",
    "Pairwise",
    "Paragraphs",
    "Question",
    "Rating",
    "Spans",
    "Taxonomy",
    "decisions",
    "from_dict",
    "learned_by",
    "to_dict",
]

TYPES: dict[str, type[Question]] = {
    kind.kind: kind for kind in (Choices, Number, Pairwise, Paragraphs, Rating, Spans, Taxonomy)
}


def learned_by(questions: Iterable[Question]) -> tuple[tuple[Question, ...], tuple[Spans, ...]]:
    """The questions by how they are learned, see `Learner`: those of decisions, those of spans."""
    each = tuple(questions)
    decided = tuple(item for item in each if item.learner is Learner.DECISIONS)
    return decided, tuple(item for item in each if isinstance(item, Spans))


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
