"""Progress: how accuracy and predictions moved from version to version, put into a version's figures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.audit.draw import ENOUGH
from backend.domain.corpus import Corpus
from backend.domain.frame import Frame
from backend.domain.metrics import is_right
from backend.domain.questions import Question, decisions
from backend.domain.questions.forms import Posteriors
from backend.domain.reports.version import Agreement, ProgressFigures
from backend.domain.stopping import RECENT, agreement, expected_gain, paired_gain
from backend.errors import ModelMissing
from backend.ports import Deps, VersionRecord
from backend.workflows.measure.audit import audited
from backend.workflows.measure.before import HeldOutBefore, held_out_before
from backend.workflows.reconcile import basis_of
from backend.workflows.trained import TRAINED

MIN_LABELS = 10
"""Labels from which a version is on the learning curve."""
STEP = 1.15
"""Each version on the curve has at least so many times the labels of the one before it."""
MAX_POINTS = 12


@dataclass(frozen=True, slots=True)
class _Point:
    """A version on the learning curve, and what it said."""

    n_labels: int
    said: HeldOutBefore

    def known(self, frame: Frame, question: Question) -> NDArray[np.bool_]:
        """Of which tasks of today it knew all units: bool (n_tasks,)."""
        return frame.units[question.name].all(self.said.places[question.name] >= 0)

    def held_out(self, question: Question, rows: NDArray[np.int64]) -> Posteriors:
        """Its posteriors of some units of today, all of which it knew."""
        places = self.said.places[question.name][rows]
        return {decision.key: self.said.posteriors[decision.key][places] for decision in decisions(question)}


def progress_so_far(deps: Deps, corpus: Corpus, frame: Frame) -> dict[str, ProgressFigures]:
    """By question: what the last labels brought, what the next ones are expected to, and how far the
    new version's predictions are those of the version before.

    Versions are compared on the same tasks: today's labeled audit tasks, or, as long as these are too few, all labeled
    tasks. Each version's prediction of a task was made without that task's label, whether it was given before or after.
    Of the labeled tasks that aren't audit tasks, many were chosen because a version was unsure of them, so on these it
    looks worse, and the gain larger, than it is. Versions with other rules or LLMs are left out: what they changed
    wasn't the labels' doing.
    """
    key, n_labels = corpus.key, corpus.n_labels
    same = {name: np.arange(units.n) for name, units in frame.units.items()}
    new = _Point(n_labels, HeldOutBefore(frame.held_out, same, frame.n_tasks))
    points = [*_earlier(deps, corpus), new]
    before = _before(deps, corpus)
    share = deps.policy(key).audit_share
    figures = {}
    for question in frame.questions:
        labeled = frame.labeled(question)
        rows = labeled & audited(corpus, share, question.name)
        from_audit = int(rows.sum()) >= ENOUGH
        mine = [point for point in points if _knows(question, point)]
        measured = _curve(question, mine, frame, rows if from_audit else labeled, seed=n_labels)
        figures[question.name] = replace(
            measured,
            measured_on="audit tasks" if from_audit else "labeled tasks",
            agreement=None if before is None else _agreement(question, frame, before, new),
        )
    return figures


def _curve(
    question: Question,
    points: Sequence[_Point],
    frame: Frame,
    wanted: NDArray[np.bool_],
    *,
    seed: int,
) -> ProgressFigures:
    # Tasks that came later are unknown to older versions: the curve begins where nearly all of them are known.
    n_wanted, units = int(wanted.sum()), frame.units[question.name]
    points = [point for point in points if (point.known(frame, question) & wanted).sum() >= 0.8 * n_wanted]
    tasks = np.flatnonzero(wanted & np.all([point.known(frame, question) for point in points], axis=0))
    now, rows = frame.judged(question, tasks, frame.held_out), units.of_tasks(tasks)
    said = [replace(now, posteriors=point.held_out(question, rows)) for point in points]
    right = np.array([is_right(question, of_point) for of_point in said])
    sizes = np.array([point.n_labels for point in points], dtype=np.int64)
    then = np.flatnonzero(sizes <= RECENT * sizes[-1])
    recent = paired_gain(right[then[-1]], right[-1]) if then.size and len(tasks) >= ENOUGH else None
    return ProgressFigures(
        n=len(tasks),
        curve=tuple((int(size), int(of_point.sum())) for size, of_point in zip(sizes, right, strict=True)),
        recent_gain=recent,
        expected_gain=expected_gain(sizes, right, seed=seed),
    )


def _agreement(question: Question, frame: Frame, before: _Point, new: _Point) -> Agreement | None:
    """On tasks that nobody has labeled."""
    if not _knows(question, before):
        return None
    shared, units = np.flatnonzero(~frame.labeled(question) & before.known(frame, question)), frame.units[question.name]
    rows, some = units.of_tasks(shared), units.part(shared)
    said = [question.join(question.answers(point.held_out(question, rows)), some) for point in (before, new)]
    answered = [place for place in range(len(shared)) if said[0][place] and said[1][place]]
    if not answered:
        return None
    codes = {answer: code for code, answer in enumerate(dict.fromkeys([*said[0], *said[1]]))}
    old, now = (np.array([codes[of_version[place]] for place in answered], dtype=np.int64) for of_version in said)
    return Agreement(agreement(old, now), before.n_labels, new.n_labels)


def _earlier(deps: Deps, corpus: Corpus) -> list[_Point]:
    """Versions with the same sources, oldest first, so far apart that each shows what labels brought."""
    key, basis = corpus.key, basis_of(deps, corpus.key)
    records = [item for item in deps.database.versions(key) if item.status in TRAINED and item.rules == basis]
    points: list[_Point] = []
    fewest = corpus.n_labels / STEP
    for record in reversed(records):
        if len(points) < MAX_POINTS and MIN_LABELS <= record.n_labels <= fewest:
            point = _point_of(deps, record, corpus)
            if point is not None:
                points.append(point)
                fewest = record.n_labels / STEP
    return points[::-1]


def _before(deps: Deps, corpus: Corpus) -> _Point | None:
    """The newest version that has learned from any label."""
    records = [item for item in deps.database.versions(corpus.key) if item.status in TRAINED and item.n_labels]
    return _point_of(deps, records[-1], corpus) if records else None


def _point_of(deps: Deps, record: VersionRecord, corpus: Corpus) -> _Point | None:
    try:
        said = held_out_before(deps, record, corpus)
    except ModelMissing:
        return None
    return _Point(record.n_labels, said) if said.n_tasks else None


def _knows(question: Question, point: _Point) -> bool:
    """Whether a version was asked the same, as far as its posteriors tell."""
    return all(
        (posterior := point.said.posteriors.get(decision.key)) is not None
        and posterior.shape[1] == len(decision.classes)
        for decision in decisions(question)
    )
