"""Check: find annotations that are probably wrong, and tag the worst of them in the project."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.corpus import Corpus
from backend.domain.label_errors.explain import explain
from backend.domain.label_errors.records import Findings, Noise, Suspect
from backend.domain.label_errors.verdicts import MARGIN, expected_precision, verdict_id, worth_showing
from backend.domain.policy import Policy
from backend.domain.questions import Question
from backend.domain.reports.check import CheckReport, NoiseFigures, QuestionCheck
from backend.ports import Deps, Progress, SuspectRecord, SuspectStatus, VerdictRecord, version_name
from backend.workflows.asked import config_of
from backend.workflows.check.annotators import about_crowd
from backend.workflows.check.data_issues import about_data, ensure_data_tab, write_issue_tags
from backend.workflows.check.inputs import SearchResult, search_labels
from backend.workflows.check.spans import with_spans
from backend.workflows.check.tags import CHECK_KEY, KEEP, by_name, ensure_check_tab, foreign_tags, write_suspects
from backend.workflows.check.verdicts import UNDECIDED, settle
from backend.workflows.mirror import open_project

Place = tuple[int, str, str]
"""Task id, question and region, see `SuspectRecord`."""


def check(deps: Deps, key: str, progress: Progress) -> None:
    """Find label errors with all that the current version knows of the tasks, and tag the worst.

    A person's verdict stands: see `_not_settled`. Verdicts given since the last look are taken first, so that none is
    overwritten.

    Raises:
        LabelStudioError: Label Studio refused or did not answer.
        ModelMissing: the current version can't be read.
    """
    number = deps.versions.current(key)
    opened = open_project(deps, key, progress) if number else None
    if opened is None:
        return
    record = opened.record
    corpus = Corpus(key, config_of(deps, key, record.label_config, number), deps.database.tasks(key))
    settle(deps, record, corpus.items)
    progress("looking for wrong labels", 0, 1)
    searched = with_spans(deps, search_labels(deps, number, corpus), corpus, seed=number)
    verdicts = deps.database.verdicts(key)
    kept = deps.label_studio.tagged(record.project_id, CHECK_KEY, KEEP)
    unsettled = _not_settled(searched, corpus, verdicts, kept)
    worth = _worth_showing(unsettled, verdicts, deps.policy(key))
    known = {(item.task_id, item.question, item.region): item for item in deps.database.suspects(key)}
    found = _records(searched, worth, corpus, deps.policy(key).shown_suspects)
    deps.database.save_suspects(key, _changed(found, known))
    report = CheckReport(
        held_back=len(unsettled) - len(worth),
        questions=_questions(searched, corpus.questions) | dict(searched.spans),
        version=version_name(number),
        at=deps.now(),
    )
    progress("looking for data issues", 0, 1)
    report = replace(report, data_issues=about_data(corpus, searched), foreign_tags=by_name(foreign_tags(deps, record)))
    deps.database.save_check_report(key, report)
    write_suspects(deps, record, progress)
    write_issue_tags(deps, record, progress)
    ensure_check_tab(deps, key)
    ensure_data_tab(deps, key)
    latest = deps.database.project(key) or record
    # Where the clock went back meanwhile, the version is newer than now.
    made = max((item.created_at for item in deps.database.versions(key) if item.number == number), default=0.0)
    deps.database.save_project(replace(latest, checked_at=max(deps.now(), made)))


def _not_settled(
    searched: SearchResult, corpus: Corpus, verdicts: Sequence[VerdictRecord], kept: set[int]
) -> dict[Place, Suspect]:
    """Suspects without those whose label a person confirmed.

    A verdict is about content and label, wherever they turn up: it holds for a task that is deleted and imported
    again, and not for one whose content was edited. It holds until the quality is `MARGIN` below what it was.
    """
    data = dict(zip(corpus.ids.tolist(), corpus.data, strict=True))
    confirmed = {item.id: item.quality for item in verdicts if item.status is SuspectStatus.CONFIRMED}
    found: dict[Place, Suspect] = {}
    for question in corpus.config.answered:
        for suspect in searched.findings[question.name].suspects if question.name in searched.findings else ():
            task_id = searched.task_ids[suspect.row]
            known = (
                confirmed.get(verdict_id(data[task_id], question.name, given, suspect.region))
                for given in (suspect.given, question.earlier(suspect.given))
            )
            quality = next((quality for quality in known if quality is not None), None)
            if task_id not in kept and (quality is None or suspect.quality < quality - MARGIN):
                # Units that are no regions have the task in common: the worst of them stands for it.
                found.setdefault((task_id, question.name, suspect.region), suspect)
    return found


def _worth_showing(
    found: Mapping[Place, Suspect], verdicts: Sequence[VerdictRecord], policy: Policy
) -> dict[Place, Suspect]:
    """Suspects without those that people would mostly confirm, by their verdicts so far; the worst first."""
    qualities = np.array([suspect.quality for suspect in found.values()])
    expected = expected_precision(
        qualities,
        np.array([item.quality for item in verdicts]),
        np.array([item.status is SuspectStatus.FIXED for item in verdicts], dtype=np.bool_),
    )
    worth = worth_showing(expected, qualities, policy.check_precision)
    some = [(place, suspect) for (place, suspect), yes in zip(found.items(), worth.tolist(), strict=True) if yes]
    # Expected precision falls with quality, so the worst label has the best.
    return dict(sorted(some, key=lambda entry: (entry[1].quality, entry[0])))


def _records(
    searched: SearchResult,
    suspects: Mapping[Place, Suspect],
    corpus: Corpus,
    budget: int,
) -> dict[Place, SuspectRecord]:
    """Suspects as records: the first `budget` open, the others waiting."""
    items = dict(zip(corpus.ids.tolist(), corpus.items, strict=True))
    by_name = {question.name: question for question in corpus.config.answered}
    return {
        (task_id, name, region): SuspectRecord(
            task_id=task_id,
            question=name,
            given=suspect.given,
            expected=suspect.expected,
            quality=round(suspect.quality, 4),
            status=SuspectStatus.OPEN if rank < budget else SuspectStatus.WAITING,
            seen=by_name[name].said_in(items[task_id]),
            reason=explain(by_name[name], suspect, searched.task_ids),
            region=region,
        )
        for rank, ((task_id, name, region), suspect) in enumerate(suspects.items())
    }


def _changed(found: Mapping[Place, SuspectRecord], known: Mapping[Place, SuspectRecord]) -> list[SuspectRecord]:
    """Records that change: new suspects, those about which something is new, and those that later evidence clears."""
    changed = []
    for place, new in found.items():
        before = known.get(place)
        if before is None:
            changed.append(new)
            continue
        record = replace(new, shown=before.shown)
        if replace(before, seen=record.seen, tagged=False) != record:
            changed.append(record)
        elif before.seen != record.seen:
            # The tags still say it all, but the next verdict is about what the annotations say now.
            changed.append(replace(record, tagged=before.tagged))
    changed += [
        replace(before, status=SuspectStatus.CLEARED, tagged=False)
        for place, before in known.items()
        if place not in found and before.status in UNDECIDED
    ]
    return changed


def _questions(searched: SearchResult, questions: Sequence[Question]) -> dict[str, QuestionCheck]:
    """What the search said of each question that the version knows."""
    return {
        question.name: _about(question, searched, findings)
        for question in questions
        if (findings := searched.findings.get(question.name)) is not None
    }


def _about(question: Question, searched: SearchResult, findings: Findings) -> QuestionCheck:
    annotators, consensus = about_crowd(question, searched.crowds[question.name], findings, searched.task_ids)
    return QuestionCheck(
        n_judged=int(np.isfinite(findings.quality).sum()),
        n_suspects=len(findings.suspects),
        n_unknown=findings.n_unknown,
        not_yet=tuple(findings.not_yet),
        noise={name: _about_noise(noise) for name, noise in findings.noise.items()},
        weights=findings.weights,
        annotators=annotators,
        consensus=consensus,
    )


def _about_noise(noise: Noise) -> NoiseFigures:
    return NoiseFigures(
        classes=noise.classes,
        n_labels=noise.n_labels,
        n_errors=noise.n_errors,
        thresholds=_finite(noise.thresholds),
        joint=tuple(map(_finite, noise.joint)),
        transition=tuple(map(_finite, noise.transition)),
    )


def _finite(figures: NDArray[np.float64]) -> tuple[float | None, ...]:
    """None for NaN, which JSON doesn't have."""
    return tuple(figure if math.isfinite(figure) else None for figure in figures.tolist())
