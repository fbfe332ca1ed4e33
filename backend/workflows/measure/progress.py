"""Progress: how accuracy and predictions moved from version to version, put into a version's figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.audit.draw import ENOUGH
from backend.domain.corpus import Corpus
from backend.domain.metrics import is_right
from backend.domain.questions import Question, decisions
from backend.domain.questions.forms import Posteriors
from backend.domain.reports.version import Agreement, ProgressFigures
from backend.domain.stopping import RECENT, agreement, expected_gain, paired_gain
from backend.errors import ModelMissing
from backend.ports import Deps, VersionRecord
from backend.workflows.measure.audit import audited
from backend.workflows.reconcile import basis_of
from backend.workflows.trained import TRAINED

MIN_LABELS = 10
"""Labels from which a version is on the learning curve."""
STEP = 1.15
"""Each version on the curve has at least so many times the labels of the one before it."""
MAX_POINTS = 12


@dataclass(frozen=True, slots=True)
class _Point:
    """A version on the learning curve, with its posteriors in the rows of the tasks; `known`: it had the task."""

    n_labels: int
    held_out: Posteriors
    known: NDArray[np.bool_]


def progress_so_far(deps: Deps, corpus: Corpus, held_out: Posteriors) -> dict[str, ProgressFigures]:
    """By question: what the last labels brought, what the next ones are expected to, and how far the
    new version's predictions are those of the version before.

    Versions are compared on the same tasks: today's labeled audit tasks, or, as long as these are too few, all labeled
    tasks. Each version's prediction of a task was made without that task's label, whether it was given before or after.
    Of the labeled tasks that aren't audit tasks, many were chosen because a version was unsure of them, so on these it
    looks worse, and the gain larger, than it is. Versions with other rules or LLMs are left out: what they changed
    wasn't the labels' doing.
    """
    key, ids, gold, n_labels = corpus.key, corpus.ids, corpus.gold, corpus.n_labels
    new = _Point(n_labels, held_out, np.ones(len(ids), dtype=np.bool_))
    points = [*_earlier(deps, key, ids, n_labels), new]
    before = _before(deps, key, ids)
    share = deps.policy(key).audit_share
    figures = {}
    for question in corpus.questions:
        keys = [decision.key for decision in decisions(question)]
        labeled = np.all([gold[name] >= 0 for name in keys], axis=0)
        rows = labeled & audited(corpus, share, question.name)
        from_audit = int(rows.sum()) >= ENOUGH
        mine = [point for point in points if _knows(question, point)]
        measured = _curve(question, mine, gold, rows if from_audit else labeled, seed=n_labels)
        figures[question.name] = replace(
            measured,
            measured_on="audit tasks" if from_audit else "labeled tasks",
            agreement=None if before is None else _agreement(question, before, new, ~labeled),
        )
    return figures


def _curve(
    question: Question,
    points: Sequence[_Point],
    gold: Mapping[str, NDArray[np.int64]],
    wanted: NDArray[np.bool_],
    *,
    seed: int,
) -> ProgressFigures:
    # Tasks that came later are unknown to older versions: the curve begins where nearly all of them are known.
    n_wanted = int(wanted.sum())
    points = [point for point in points if (point.known & wanted).sum() >= 0.8 * n_wanted]
    rows = np.flatnonzero(wanted & np.all([point.known for point in points], axis=0))
    truth = {decision.key: gold[decision.key][rows] for decision in decisions(question)}
    right = np.array([is_right(question, {key: point.held_out[key][rows] for key in truth}, truth) for point in points])
    sizes = np.array([point.n_labels for point in points], dtype=np.int64)
    then = np.flatnonzero(sizes <= RECENT * sizes[-1])
    recent = paired_gain(right[then[-1]], right[-1]) if then.size and len(rows) >= ENOUGH else None
    return ProgressFigures(
        n=len(rows),
        curve=tuple((int(size), int(of_point.sum())) for size, of_point in zip(sizes, right, strict=True)),
        recent_gain=recent,
        expected_gain=expected_gain(sizes, right, seed=seed),
    )


def _agreement(question: Question, before: _Point, new: _Point, rows: NDArray[np.bool_]) -> Agreement | None:
    """On tasks that neither version was taught."""
    if not _knows(question, before):
        return None
    shared = np.flatnonzero(rows & before.known)
    keys = [decision.key for decision in decisions(question)]
    said = [question.answers({key: point.held_out[key][shared] for key in keys}) for point in (before, new)]
    answered = [place for place in range(len(shared)) if said[0][place] and said[1][place]]
    if not answered:
        return None
    codes = {answer: code for code, answer in enumerate(dict.fromkeys([*said[0], *said[1]]))}
    old, now = (np.array([codes[of_version[place]] for place in answered], dtype=np.int64) for of_version in said)
    return Agreement(agreement(old, now), before.n_labels, new.n_labels)


def _earlier(deps: Deps, key: str, ids: NDArray[np.int64], n_labels: int) -> list[_Point]:
    """Versions with the same sources, oldest first, so far apart that each shows what labels brought."""
    basis = basis_of(deps, key)
    records = [item for item in deps.database.versions(key) if item.status in TRAINED and item.rules == basis]
    points: list[_Point] = []
    fewest = n_labels / STEP
    for record in reversed(records):
        if len(points) < MAX_POINTS and MIN_LABELS <= record.n_labels <= fewest:
            point = _read(deps, record, ids)
            if point is not None:
                points.append(point)
                fewest = record.n_labels / STEP
    return points[::-1]


def _before(deps: Deps, key: str, ids: NDArray[np.int64]) -> _Point | None:
    """The newest version that has learned from any label."""
    records = [item for item in deps.database.versions(key) if item.status in TRAINED and item.n_labels]
    return _read(deps, records[-1], ids) if records else None


def _read(deps: Deps, record: VersionRecord, ids: NDArray[np.int64]) -> _Point | None:
    try:
        old_ids, old = deps.versions.held_out(record.key, record.number)
    except ModelMissing:
        return None
    if not len(old_ids):
        return None
    order = np.argsort(old_ids)
    places = np.minimum(np.searchsorted(old_ids[order], ids), len(old_ids) - 1)
    rows = order[places]
    return _Point(record.n_labels, {key: values[rows] for key, values in old.items()}, old_ids[rows] == ids)


def _knows(question: Question, point: _Point) -> bool:
    """Whether a version was asked the same, as far as its posteriors tell."""
    return all(
        decision.key in point.held_out and point.held_out[decision.key].shape[1] == len(decision.classes)
        for decision in decisions(question)
    )
