"""What the workflows need of the labeling functions: those in use, and a way to try edited ones out."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from backend.domain.codec import JsonObject
from backend.domain.outside import storable
from backend.domain.questions import Question
from backend.domain.rules import Rule


@dataclass(frozen=True, slots=True)
class LoadedRules:
    """The rules in use. `set_aside`: file or rule key -> why it isn't used. `signature` changes with the files."""

    rules: tuple[Rule, ...]
    set_aside: Mapping[str, str]
    signature: str

    def __post_init__(self) -> None:
        """Names of files and what rules raise may be any text: the reasons are kept as text that can be stored."""
        reasons = {storable(name): storable(reason) for name, reason in self.set_aside.items()}
        object.__setattr__(self, "set_aside", reasons)

    def of(self, folder: str) -> tuple[Rule, ...]:
        """Those of one folder; "" for those outside of any."""
        return tuple(rule for rule in self.rules if rule.folder == folder)


@dataclass(frozen=True, slots=True)
class RuleSample:
    """Some tasks of a project that rules are tried out on. `id` changes with the project and its label config."""

    id: str
    project_id: int
    rules_folder: str
    questions: tuple[Question, ...]
    tasks: tuple[Mapping[str, object], ...]


class RuleLoader(Protocol):
    """Loads the labeling functions. Raises ConfigurationError."""

    def load(self) -> LoadedRules:
        """The rules in use; cheap when nothing changed."""

    def is_tried(self, sample_ids: Set[str]) -> bool:
        """Whether the files as they are now were tried out on all these samples."""

    def try_out(self, samples: Sequence[RuleSample]) -> LoadedRules:
        """Try the files out, and use what passes. For workers: it may take seconds."""


@dataclass(frozen=True, slots=True)
class ProposedRules:
    """Rules that nobody uses yet. specs: what is written of each of `rules`, in their order. set_aside: name -> why."""

    specs: tuple[JsonObject, ...]
    rules: tuple[Rule, ...]
    set_aside: Mapping[str, str]


class RuleFiles(Protocol):
    """Reads proposed rules, and writes those that a person takes over."""

    def read(self, specs: Sequence[JsonObject]) -> ProposedRules:
        """Rules of what is written of them, as in a YAML file."""

    def parse(self, text: str) -> tuple[tuple[JsonObject, ...], Mapping[str, str]]:
        """The rules in a text that somebody else wrote, not checked yet; and by name why others are refused: they need
        more than the task, or the text as a whole is no YAML of rules."""

    def add(self, folder: str, spec: JsonObject, comment: str) -> Path:
        """Write a rule to a file of its own in a folder of `LF_RULES_DIR` ("": in itself); returns the file.

        Raises:
            ConfigurationError: there is a file of this name, or it can't be written.
        """
