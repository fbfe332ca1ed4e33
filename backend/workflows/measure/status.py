"""Status: how far a project is, and whether it is worth labeling on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.domain.audit.draw import ENOUGH
from backend.domain.corpus import Corpus
from backend.domain.label_config import LabelConfig
from backend.domain.stopping import Advice, Progress, Verdict, advise, progress_of
from backend.domain.unmatched import Unmatched
from backend.errors import BadRequest, ModelMissing
from backend.ports import Deps, ProjectRecord
from backend.workflows.asked import config_of
from backend.workflows.config_notes import unmatched_in, why_nothing
from backend.workflows.held import Held, held_at
from backend.workflows.measure import AUDIT, PROGRESS
from backend.workflows.trained import TRAINED

LOOKED_AT = 50
"""Versions whose agreement is read; the newest ones."""
ON_AUDIT, OUT_OF_FOLD = "audit tasks", "labeled tasks, out of fold"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How many of a question's suggestions are right, 0..1, with its 95 % interval; None when nothing tells.

    measured_on: `ON_AUDIT`, which holds for all tasks, or, as long as fewer than `ENOUGH` of these are labeled,
    `OUT_OF_FOLD`: most of the labeled tasks were chosen because they are hard, so it is rather too low. n: how many.
    n_audit: labeled audit tasks.
    """

    question: str
    accuracy: float | None
    interval: tuple[float, float] | None
    measured_on: str
    n: int
    n_audit: int


@dataclass(frozen=True, slots=True)
class Status:
    """All that `prelabel status` says. n_labels: annotations that teach. `version`: the one in use, 0 = none.

    metrics: of that version, of what is said here: `audit` and `progress`. nothing: why nothing can be suggested; ""
    when something can. left_empty: controls, each with why it is left empty. unmatched: answers that teach nothing.
    n_without_data: tasks without any data that can be read.
    """

    project_id: int
    title: str
    n_tasks: int
    n_open: int
    n_labels: int
    label_budget: int
    version: int
    accuracies: tuple[Accuracy, ...]
    progress: tuple[Progress, ...]
    advice: Advice
    metrics: Mapping[str, Any]
    nothing: str = ""
    left_empty: Mapping[str, str] = field(default_factory=dict)
    unmatched: tuple[Unmatched, ...] = ()
    n_without_data: int = 0
    held: Held | None = None
    """The version that a person holds it at."""
    failing: tuple[str, ...] = ()
    """Jobs that fail, a sentence each."""


def status_of(deps: Deps, record: ProjectRecord, failing: tuple[str, ...] = (), *, hides_state: bool = False) -> Status:
    """Read what is known of a project; nothing is computed anew, and Label Studio isn't asked.

    `failing`: its jobs that fail. hides_state: because of them, what is known may be old: no reason for advice.
    """
    key, config = record.key, _config(deps, record)
    corpus = Corpus(key, config, deps.database.tasks(key))
    n_tasks, n_labels, n_open = len(corpus.items), corpus.n_labels, int(corpus.is_open.sum())
    current = deps.versions.current(key)
    numbers = [item.number for item in deps.database.versions(key) if item.status in TRAINED and item.number <= current]
    history = []
    for number in numbers[-LOOKED_AT:]:
        try:
            history.append(deps.versions.metrics(key, number))
        except ModelMissing:
            # Its folder is gone; the others still tell.
            continue
    metrics = history[-1] if history else {}
    questions = list(metrics.get("questions", {}))
    progress = tuple(progress_of(name, history) for name in questions)
    budget = deps.policy(key).label_budget
    return Status(
        project_id=record.project_id,
        title=record.title,
        n_tasks=n_tasks,
        n_open=n_open,
        n_labels=n_labels,
        label_budget=budget,
        version=current,
        accuracies=tuple(_accuracy(name, metrics) for name in questions),
        progress=progress,
        advice=_advice(progress, n_tasks, n_labels, n_open, budget, hides_state=hides_state),
        metrics={name: metrics.get(name, {}) for name in (AUDIT, PROGRESS)},
        nothing=why_nothing(config) if record.label_config else "",
        left_empty=config.unsupported,
        unmatched=unmatched_in(corpus),
        n_without_data=sum(not item.task.data for item in corpus.items),
        held=held_at(deps, record),
        failing=failing,
    )


def _advice(
    progress: Sequence[Progress], n_tasks: int, n_labels: int, n_open: int, budget: int, *, hides_state: bool
) -> Advice:
    if hides_state:
        return Advice(Verdict.UNKNOWN, ("what is known of the project may be old",))
    if not n_tasks:
        return Advice(Verdict.UNKNOWN, ("no task is known",))
    return advise(progress, n_labels=n_labels, n_open=n_open, budget=budget)


def _config(deps: Deps, record: ProjectRecord) -> LabelConfig:
    try:
        return config_of(deps, record.key, record.label_config or "<View/>")
    except BadRequest as error:
        return LabelConfig((), {"label config": str(error)})


def _accuracy(question: str, metrics: Mapping[str, Any]) -> Accuracy:
    on_audit = metrics.get(AUDIT, {}).get("questions", {}).get(question, {})
    n_audit = on_audit.get("n_labels", 0)
    enough = n_audit >= ENOUGH and on_audit["accuracy"] is not None
    figures = on_audit if enough else metrics["questions"][question]
    interval = figures["accuracy_interval"]
    return Accuracy(
        question,
        figures["accuracy"],
        None if interval is None else (interval[0], interval[1]),
        ON_AUDIT if enough else OUT_OF_FOLD,
        round(figures["n_labels"] * (figures["answered"] or 0)),
        n_audit,
    )
