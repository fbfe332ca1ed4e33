"""What was typed after `prelabel simulate`, and the plans that it asks for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.domain.label_errors.action import Action
from backend.domain.priorities.strategy import Strategy
from backend.domain.simulation.records import NOTHING, LlmUse, Plan
from backend.errors import BadRequest

MANUAL = "manual"
"""To compare with: random order, no rules, no LLMs."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed; see the options of the same names."""

    data: Path
    label: str
    config: Path | None
    strategy: Strategy
    against: Sequence[str]
    label_noise: float
    after_finding: str | None
    rules: Path | None
    llm: Path | None
    llm_share: float
    seeds: int
    batch: int
    growth: float
    max_labels: int | None
    budget: float | None
    test_share: float
    cost_per_label: float
    cost_per_llm_answer: float
    folder: Path
    as_json: bool

    @property
    def baseline(self) -> str:
        """The plan that the others are compared with."""
        return str(Strategy.RANDOM) if self.after_finding is None else NOTHING

    def check(self) -> None:
        """Refuse what can't be simulated, before files are read.

        Raises:
            BadRequest: a name isn't known, options don't go together, or money doesn't pay for a first batch.
        """
        if self.budget is not None and self.budget < self.batch * self.cost_per_label:
            money = f"{self.budget:g} doesn't pay for a first batch of {self.batch} labels: it costs more."
            raise BadRequest(f"--budget {money}")
        if self.after_finding is not None and self.against:
            raise BadRequest(
                "--against compares orders of labeling, --after-finding what follows a search for wrong labels: "
                "compare one at a time."
            )
        list(self.plans([]))

    def plans(self, llms: Sequence[str]) -> Iterator[Plan]:
        """What is run, the plan asked for first; `llms`: names of those whose answers are there.

        Raises:
            BadRequest: a name isn't known.
        """
        uses = [LlmUse(name, self.cost_per_llm_answer, self.llm_share) for name in llms]
        if self.after_finding is None:
            for name in self._strategies():
                strategy = Strategy.RANDOM if name == MANUAL else Strategy(name)
                yield self._plan(name, strategy, uses, NOTHING, manual=name == MANUAL)
            return
        for action in self._actions():
            yield self._plan(action, self.strategy, uses, action, manual=False)

    def _plan(self, name: str, strategy: Strategy, uses: Sequence[LlmUse], action: str, *, manual: bool) -> Plan:
        return Plan(
            name=name,
            strategy=strategy,
            manual=manual,
            batch=self.batch,
            growth=self.growth,
            usd_per_label=self.cost_per_label,
            max_labels=self.max_labels,
            budget_usd=self.budget,
            llms=uses,
            label_noise=self.label_noise,
            after_finding=action,
        )

    def _strategies(self) -> list[str]:
        known = [*map(str, Strategy), MANUAL]
        _check_names("--against", self.against, known)
        return list(dict.fromkeys([str(self.strategy), *self.against, str(Strategy.RANDOM)]))

    def _actions(self) -> list[str]:
        names = [name.strip() for name in (self.after_finding or "").split(",") if name.strip()]
        _check_names("--after-finding", names, [*map(str, Action), NOTHING])
        return list(dict.fromkeys([*names, NOTHING]))


def _check_names(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BadRequest(f"{option} {unknown[0]!r} is not known: choose from {', '.join(known)}.")
