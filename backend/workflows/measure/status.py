"""Status: how far a project is, and whether it is worth labeling on."""

from collections.abc import Sequence

from backend.domain.audit.draw import ENOUGH
from backend.domain.corpus import Corpus
from backend.domain.label_config import LabelConfig
from backend.domain.reports.status import (
    ON_AUDIT,
    OUT_OF_FOLD,
    Accuracy,
    Advice,
    QuestionProgress,
    Status,
    StatusMetrics,
    Verdict,
)
from backend.domain.reports.version import AuditFigures, ProgressFigures, VersionMetrics
from backend.domain.stopping import advise, progress_of
from backend.errors import BadRequest, ModelMissing
from backend.ports import Deps, ProjectRecord
from backend.workflows.asked import config_of
from backend.workflows.config_notes import unmatched_in, why_nothing
from backend.workflows.held import held_at
from backend.workflows.trained import TRAINED

LOOKED_AT = 50
"""Versions whose agreement is read; the newest ones."""


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
    metrics = history[-1] if history else VersionMetrics()
    progress = tuple(
        progress_of(name, [item.progress.get(name, ProgressFigures()) for item in history])
        for name in metrics.questions
    )
    budget = deps.policy(key).label_budget
    return Status(
        project_id=record.project_id,
        title=record.title,
        n_tasks=n_tasks,
        n_open=n_open,
        n_labels=n_labels,
        label_budget=budget,
        version=current,
        accuracies=tuple(_accuracy(name, metrics) for name in metrics.questions),
        progress=progress,
        advice=_advice(progress, n_tasks, n_labels, n_open, budget, hides_state=hides_state),
        metrics=StatusMetrics(
            metrics.audit,
            metrics.progress,
            {name: figures.by_label for name, figures in metrics.questions.items() if figures.by_label},
        ),
        nothing=why_nothing(config) if record.label_config else "",
        left_empty=config.unsupported,
        unmatched=unmatched_in(corpus),
        n_without_data=sum(not item.task.data for item in corpus.items),
        held=held_at(deps, record),
        failing=failing,
    )


def _advice(
    progress: Sequence[QuestionProgress], n_tasks: int, n_labels: int, n_open: int, budget: int, *, hides_state: bool
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


def _accuracy(question: str, metrics: VersionMetrics) -> Accuracy:
    on_audit = metrics.audit.questions.get(question, AuditFigures())
    enough = on_audit.n_labels >= ENOUGH and on_audit.accuracy is not None
    figures = on_audit if enough else metrics.questions[question]
    measured = metrics.questions[question]
    headline = measured.headline
    if headline.name != "accuracy":
        return Accuracy(
            question, headline.value, headline.interval, OUT_OF_FOLD, measured.n_labels, 0, figure=headline.name
        )
    return Accuracy(
        question,
        figures.accuracy,
        figures.accuracy_interval,
        ON_AUDIT if enough else OUT_OF_FOLD,
        round(figures.n_labels * (figures.answered or 0)),
        on_audit.n_labels,
    )
