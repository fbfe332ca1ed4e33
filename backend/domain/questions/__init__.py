"""Questions: the control tags of a label config that we can answer. `TYPES` names all types; nothing else does."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

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


def to_dict(question: Question) -> dict[str, Any]:
    """A question for JSON."""
    return {"kind": question.kind, **asdict(question)}


def from_dict(fields: Mapping[str, Any]) -> Question:
    """A question out of what `to_dict` gave, in this release or an earlier one.

    Raises:
        KeyError: its type isn't known: a newer release made it.
    """
    own = {name: _frozen(value) for name, value in fields.items() if name not in {"kind", "shown_when"}}
    # Earlier releases suggested hidden questions too.
    own["shown_when"] = tuple(
        Condition(item["question"], _frozen(item["groups"]), item["chosen"]) for item in fields.get("shown_when", ())
    )
    return TYPES[fields["kind"]](**own)


def _frozen(value: Any) -> Any:
    """JSON's lists as tuples, however deep."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
