# ruff: noqa: RUF009 - `parameter` gives a dataclass field, not a default.
"""The policy of a project: the one definition of each parameter that a project may set for itself.

The settings (an environment variable of the same name, in capital letters, for all projects), the extra parameters that
are typed in Label Studio, and the values that workflows read all follow from here.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from functools import partial
from typing import TypeVar, cast, get_type_hints

from backend.domain.audit.draw import AUDIT_SHARE
from backend.domain.label_errors.action import Action
from backend.domain.llm.content import compile_masks
from backend.domain.llm.options import LlmPolicyName
from backend.domain.priorities.strategy import Strategy
from backend.errors import BadRequest

MAX_USD = 1e9
"""Of a budget. Money is counted in whole nano-dollars, of which 64 bits hold nine billion dollars."""
CHOICE_S = 20.0
"""Seconds of a training that comparing classifiers may take, where nobody says otherwise."""
LLM = "llm_"
"""Begins the names of parameters that are fields of `LlmPolicy`."""
ABOUT = "parameter"
"""Key in the metadata of a field that is a parameter."""
Value = TypeVar("Value")
Check = Callable[[Value], object]
"""Raises BadRequest for a value that can't be used."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """The definition of a parameter.

    name: what it is called in extra parameters. kind: its type. unit: of a number, "" where it has none. low, high:
    both allowed; None = unbounded. check: raises BadRequest for a value that can't be used. is_setting: there is an
    environment variable of its name for all projects; else only a project can set it.
    """

    name: str
    kind: object
    default: object
    help: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    check: Callable[[object], object] | None = None
    is_setting: bool = True


def parameter(
    default: Value,
    help_: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    check: Check[Value] | None = None,
    is_setting: bool = True,
) -> Value:
    """A field that is a parameter of a project; see `Parameter`."""
    checks = cast("Callable[[object], object] | None", check)
    about = Parameter("", type(default), default, help_, unit, low, high, checks, is_setting)
    if isinstance(default, dict):
        return field(default_factory=cast("Callable[[], Value]", default.copy), metadata={ABOUT: about})
    return field(default=default, metadata={ABOUT: about})


def _folder_name(name: str) -> None:
    if not re.fullmatch(r"\w[\w .-]*", name) or len(name) > 100:
        raise BadRequest("it must be the name of a folder: letters, digits, spaces and ._- only, at most 100")


@dataclass(frozen=True, slots=True)
class LlmPolicy:
    """How a team wants LLMs asked in a project. models: the cheap one first, a second one is asked where it is unsure;
    set for the installation."""

    policy: LlmPolicyName = parameter(
        LlmPolicyName.OFF, "off, sample, uncertain or all: which tasks the LLM is asked about."
    )
    models: tuple[str, ...] = ()
    budget_usd: float = parameter(
        1.0, "The most money that LLMs may cost each project, in USD.", unit="USD", low=0, high=MAX_USD
    )
    share: float = parameter(0.2, "Share of the tasks that `uncertain` asks about.", low=0, high=1)
    sample: int = parameter(
        100, "Tasks of the random sample on which an LLM is compared with people.", unit="tasks", low=50, high=1000
    )
    gate_kappa: float = parameter(
        0.4, "Agreement with people (Cohen's kappa) from which an LLM's votes count.", low=-1, high=1
    )
    examples: int = parameter(4, "Labeled tasks shown to the LLM with each request.", unit="tasks", low=0, high=50)
    samples: int = parameter(
        1,
        "Answers asked for each task; with several, their agreement is the confidence.",
        unit="answers",
        low=1,
        high=20,
    )
    tasks_per_request: int = parameter(5, "Tasks in one request.", unit="tasks", low=1, high=100)
    thinking_tokens: int = parameter(
        0,
        "Room in each reply for what a reasoning model thinks before it answers; it is paid for.",
        unit="tokens",
        low=0,
        high=100_000,
    )
    sure: float = parameter(0.8, "Calibrated confidence from which LLM_STRONG_MODEL isn't asked.", low=0, high=1)
    forbidden: bool = parameter(False, "`true`: nothing of this project leaves, whatever else is set", is_setting=False)
    left_out: tuple[str, ...] = parameter((), "list of fields that are never sent", is_setting=False)
    masks: tuple[str, ...] = parameter(
        (),
        "list of up to 100 regular expressions; what they match is replaced by `[masked]` before anything leaves",
        check=compile_masks,
        is_setting=False,
    )
    prompts: str = parameter(
        "",
        "name of a folder in `LLM_PROMPTS_DIR` with the project's own templates",
        check=_folder_name,
        is_setting=False,
    )
    definitions: Mapping[str, str] = parameter(
        cast("Mapping[str, str]", {}), "label -> what it means, for the prompt", is_setting=False
    )
    batch_api: bool = parameter(False, "`true`: everything goes through the Batch API", is_setting=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """How a team wants the loop to run in a project. choice_s: seconds that comparing classifiers may take, set for the
    installation."""

    start_training_each_n_updates: int = parameter(
        10, "Train when so many annotations are new or changed since the last version.", unit="annotations", low=1
    )
    training_quiet_s: float = parameter(
        60.0, "Train on fewer annotations once no new one came for so many seconds.", unit="seconds", low=0
    )
    top_tasks: int = parameter(
        50,
        "Number of most useful tasks that are sent one by one, before all others.",
        unit="tasks",
        low=1,
        high=1000,
    )
    query_strategy: Strategy = parameter(
        Strategy.AUTO, f"{', '.join(list(Strategy)[:-1])} or {list(Strategy)[-1]}: how the next tasks are chosen."
    )
    rules: str = parameter(
        "",
        "name of the folder in `LF_RULES_DIR` whose rules vote, instead of those that lie in `LF_RULES_DIR` itself",
        check=_folder_name,
        is_setting=False,
    )
    label_smoothing: float = parameter(
        0.0,
        "Share of each human label that training spreads over all labels, for teams who often err.",
        low=0,
        high=0.5,
    )
    choice_s: float = CHOICE_S
    audit_share: float = parameter(
        AUDIT_SHARE,
        "Share of the tasks, drawn at random, that are labeled without a suggestion, to measure on.",
        low=0,
        high=1,
    )
    label_budget: int = parameter(
        0, "Labels after which `prelabel status` advises to stop; 0: no such number.", unit="labels", low=0
    )
    check_budget: int = parameter(
        200,
        "Suspects that are tagged at a time, the worst first; the others wait for their turn.",
        unit="suspects",
        low=0,
    )
    check_precision: float = parameter(
        0.2, "From 20 verdicts on, suspects are tagged of which this share is expected to be wrong.", low=0, high=1
    )
    check_action: Action = parameter(
        Action.RELABEL,
        "relabel: suspects are tagged for people, and count less in training until one has ruled; "
        "exclude: none are tagged, and training leaves them out; downweight: none are tagged, and they count less.",
    )
    llm: LlmPolicy = field(default_factory=LlmPolicy)

    @property
    def shown_suspects(self) -> int:
        """Suspects shown at a time: none where nobody is to be asked about them."""
        return self.check_budget if self.check_action is Action.RELABEL else 0


def with_values(policy: Policy, given: Mapping[str, object]) -> Policy:
    """A policy with other values, by the names of parameters."""
    of_llm = {name.removeprefix(LLM): value for name, value in given.items() if name.startswith(LLM)}
    own = {name: value for name, value in given.items() if not name.startswith(LLM)}
    return _with(policy, own | {"llm": _with(policy.llm, of_llm)})


Record = TypeVar("Record", Policy, LlmPolicy)


def _with(record: Record, values: Mapping[str, object]) -> Record:
    change: Callable[..., Record] = partial(replace, record)
    return change(**values)


def _parameters(record: Policy | LlmPolicy, prefix: str) -> Iterator[Parameter]:
    kinds = get_type_hints(type(record))
    known: tuple[Field[object], ...] = fields(record)
    for item in known:
        about = item.metadata.get(ABOUT)
        if isinstance(about, Parameter):
            yield replace(about, name=prefix + item.name, kind=kinds[item.name])


PARAMETERS = (*_parameters(Policy(), ""), *_parameters(LlmPolicy(), LLM))
"""All of them."""
