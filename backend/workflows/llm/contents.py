"""Contents of some tasks: what may leave this machine of each of them, masked and hashed once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from backend.domain.label_config import LabelConfig
from backend.domain.llm.content import Content
from backend.ports import Deps
from backend.workflows.llm.view import contents_of


@dataclass(frozen=True)
class Contents:
    """Some tasks of a project. What may be sent of them is made when it is first asked for: masks take their time."""

    deps: Deps
    key: str
    config: LabelConfig
    data: Sequence[Mapping[str, object]]

    @cached_property
    def each(self) -> list[Content]:
        """What may be sent of each task, in the order of `data`."""
        return contents_of(self.deps, self.key, self.config, self.data)
