"""Label configs: what is asked in a project, and what annotators see."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.domain.questions import Question


@dataclass(frozen=True, slots=True)
class ShownFields:
    """Fields of task data that annotators see. `other`: what is neither text nor image, with its object tag."""

    texts: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    other: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """A parsed label config.

    unsupported: the controls we leave empty, each with its reason. meanings: question name -> label -> what annotators
    read of it besides its name (hint; what a label with an alias is shown as).
    """

    questions: tuple[Question, ...]
    unsupported: Mapping[str, str] = field(default_factory=dict)
    shown: ShownFields = field(default_factory=ShownFields)
    meanings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
