"""Settings of single projects: the JSON that an admin types as the backend's extra parameters in Label Studio.

Label Studio sends it with each `/setup`. It is kept in SQL, and for one more release in `settings.json` in the
project's folder in `MODEL_DIR`.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticSerializationError
from sqlalchemy import Connection, select

from backend.adapters.sql.engine import Sql, save
from backend.adapters.sql.tables import project_settings
from backend.adapters.two_places import Kept, TwoPlaces
from backend.domain.label_errors.action import Action
from backend.domain.llm.content import compile_masks
from backend.domain.llm.options import LlmPolicyName
from backend.domain.priorities.strategy import Strategy
from backend.errors import BadRequest, ConfigurationError
from backend.ports import Policy
from backend.ports.llm import MAX_USD

log = logging.getLogger(__name__)


class ProjectParams(BaseModel):
    """What can be set for a project. Names are those of the settings, in small letters."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    rules: Annotated[str | None, Field(pattern=r"^\w[\w .-]*$", max_length=100)] = None
    """Name of the folder below `LF_RULES_DIR` whose rules vote, instead of those that lie in `LF_RULES_DIR` itself."""
    start_training_each_n_updates: Annotated[int | None, Field(ge=1)] = None
    training_quiet_s: Annotated[float | None, Field(ge=0)] = None
    top_tasks: Annotated[int | None, Field(ge=1, le=1000)] = None
    query_strategy: Annotated[Strategy | None, Field(strict=False)] = None
    label_smoothing: Annotated[float | None, Field(ge=0, le=0.5)] = None
    audit_share: Annotated[float | None, Field(ge=0, le=1)] = None
    label_budget: Annotated[int | None, Field(ge=0)] = None
    check_budget: Annotated[int | None, Field(ge=0)] = None
    check_precision: Annotated[float | None, Field(ge=0, le=1)] = None
    check_action: Annotated[Action | None, Field(strict=False)] = None
    llm_policy: Annotated[LlmPolicyName | None, Field(strict=False)] = None
    llm_budget_usd: Annotated[float | None, Field(ge=0, le=MAX_USD, allow_inf_nan=False)] = None
    llm_share: Annotated[float | None, Field(ge=0, le=1)] = None
    llm_sample: Annotated[int | None, Field(ge=50, le=1000)] = None
    llm_gate_kappa: Annotated[float | None, Field(ge=-1, le=1)] = None
    llm_examples: Annotated[int | None, Field(ge=0, le=50)] = None
    llm_samples: Annotated[int | None, Field(ge=1, le=20)] = None
    llm_tasks_per_request: Annotated[int | None, Field(ge=1, le=100)] = None
    llm_thinking_tokens: Annotated[int | None, Field(ge=0, le=100_000)] = None
    llm_sure: Annotated[float | None, Field(ge=0, le=1)] = None
    llm_batch_api: bool | None = None
    """Everything goes through the Batch API, cheaper and within a day."""
    llm_forbidden: bool | None = None
    """Nothing of this project may be sent to an LLM, whatever else is set."""
    llm_left_out: tuple[str, ...] | None = Field(default=None, strict=False)
    """Fields of task data that are never sent."""
    llm_masks: tuple[str, ...] | None = Field(default=None, strict=False)
    """Regular expressions: what they match in any field is masked before it is sent."""
    llm_prompts: Annotated[str | None, Field(pattern=r"^\w[\w .-]*$", max_length=100)] = None
    """Name of the folder below `LLM_PROMPTS_DIR` with the project's own templates."""
    llm_definitions: dict[str, str] | None = None
    """Label -> what it means, for the prompt."""

    @field_validator("llm_masks")
    @classmethod
    def _check_masks(cls, masks: tuple[str, ...] | None) -> tuple[str, ...] | None:
        try:
            compile_masks(masks or ())
        except BadRequest as error:
            raise ValueError(str(error)) from error
        return masks


NO_PARAMS = "{}"
"""The text that is kept when nothing is set."""
LLM_FIELDS = {name: name.removeprefix("llm_") for name in ProjectParams.model_fields if name.startswith("llm_")} | {
    "llm_tasks_per_request": "per_request"
}
"""Parameter -> field of `LlmPolicy`."""
FIELDS = {
    "rules": "rules_folder",
    "start_training_each_n_updates": "train_each_n_updates",
    "training_quiet_s": "training_quiet_s",
    "top_tasks": "top_tasks",
    "query_strategy": "query_strategy",
    "label_smoothing": "label_smoothing",
    "audit_share": "audit_share",
    "label_budget": "label_budget",
    "check_budget": "check_budget",
    "check_precision": "check_precision",
    "check_action": "check_action",
}
"""Parameter -> field of `Policy`."""


class ProjectSettings:
    """Reads and keeps what is set for each project."""

    def __init__(self, sql: Sql, root: Path, defaults: Policy) -> None:
        """`root`: MODEL_DIR. `defaults`: what holds where a project says nothing."""
        self._places = TwoPlaces(sql, _SettingsRows(), root, "settings.json", _is_object)
        self._defaults = defaults

    def policy(self, key: str) -> Policy:
        """How the loop runs in a project."""
        try:
            params = ProjectParams.model_validate_json(self._places.read(key) or NO_PARAMS)
        except (ValidationError, OSError, ConfigurationError):
            # Written by another release, or damaged: the next /setup writes it anew. Until then nobody knows what may
            # leave, so nothing does.
            log.warning("The settings of project %s can't be read: nothing is sent to an LLM until it is saved", key)
            return replace(self._defaults, llm=replace(self._defaults.llm, forbidden=True))
        given = {name: getattr(params, name) for name in params.model_dump(exclude_none=True)}
        llm = {LLM_FIELDS[name]: value for name, value in given.items() if name in LLM_FIELDS}
        return replace(
            self._defaults,
            **{FIELDS[name]: value for name, value in given.items() if name in FIELDS},
            llm=replace(self._defaults.llm, **llm),
        )

    def is_known(self, key: str) -> bool:
        """Whether anything of a project is kept."""
        return self._places.path(key).parent.is_dir()

    def checked(self, extra_params: object) -> str:
        """What `/setup` brought (JSON text or an object, None for nothing) as the text that is kept.

        Raises:
            BadRequest: something in it is unknown or can't be used; the message names it.
        """
        try:
            params = ProjectParams.model_validate(_as_object(extra_params))
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            known = ", ".join(ProjectParams.model_fields)
            raise BadRequest(f"extra parameters can't be used: {problems}. Known: {known}.") from error
        try:
            return params.model_dump_json(exclude_none=True)
        except PydanticSerializationError as error:
            raise BadRequest("extra parameters have half a character (a lone surrogate) in a text.") from error

    def save(self, key: str, extra_params: object) -> None:
        """Keep what `/setup` brought.

        Raises:
            BadRequest: as `checked`. What was set before stays.
            WrongDatabase: the database isn't ours.
            OSError: the file can't be written.
        """
        self._places.write(key, self.checked(extra_params))

    def settle(self, key: str) -> None:
        """Make SQL and MODEL_DIR say the same. Each job begins with it.

        Raises:
            ConfigurationError: the database doesn't answer.
        """
        self._places.settle(key)


class _SettingsRows:
    """The table of projects' settings."""

    def read(self, connection: Connection, key: str) -> Kept | None:
        """What is kept of a project."""
        query = select(project_settings.c.params, project_settings.c.at).where(project_settings.c.key == key)
        row = connection.execute(query).first()
        return None if row is None else Kept(row.params, row.at)

    def write(self, connection: Connection, key: str, kept: Kept) -> None:
        """Insert or replace it."""
        save(connection, project_settings, [{"key": key, "params": kept.text, "at": kept.at}])


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _as_object(extra_params: object) -> Mapping[str, Any]:
    if not extra_params:
        return {}
    if isinstance(extra_params, str):
        try:
            extra_params = json.loads(extra_params)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"extra parameters are not JSON that can be read ({error}).") from error
    if not isinstance(extra_params, Mapping):
        raise BadRequest('extra parameters must be a JSON object, for example {"rules": "movies"}.')
    return extra_params
