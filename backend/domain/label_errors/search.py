"""Label errors of one question: which human answers are probably wrong, and what we would have expected instead."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.frame import Frame
from backend.domain.label_errors.judge import JudgedLabels, error_rates, judge
from backend.domain.label_errors.multi_annotator import other_answers, reconsider
from backend.domain.label_errors.neighbours import Neighbours, nearest, vectors
from backend.domain.label_errors.records import Findings, SearchInputs, Suspect
from backend.domain.questions import Decision, Question, decisions
from backend.domain.questions.forms import ABSTAIN, Gold
from backend.domain.reports.check import NotYet
from backend.domain.tasks import Answer

N_SHOWN = 3
"""Neighbours named with a suspect at most."""
FINE = 0.5
"""Quality from which a neighbour's label is taken for right."""


def find_label_errors(question: Question, frame: Frame, inputs: SearchInputs | None = None) -> list[Suspect]:
    """Suspects of one question, the worst first; see `search`."""
    return search(question, frame, inputs).suspects


def search(question: Question, frame: Frame, inputs: SearchInputs | None = None) -> Findings:
    """Judge the human labels of one question.

    `fit_weights` combines all members into the probability of each class. Confident learning (Northcutt et al.
    2021, through cleanlab) estimates how many labels are wrong and takes those of lowest probability; clear
    contradictions (`HARDLY`, `RATHER`) are added. A set of labels is suspect if the yes or no of any of its labels is,
    and as good as the worst of them: each label is one of cleanlab's one-vs-rest problems, judged on the tasks where it
    is known. A rating is the worse the farther it is from the truth. On a task that several people labeled each answer
    is judged by the other answers, too, and the worst stands for the task: see `reconsider`.

    Args:
        question: the question.
        frame: held-out posteriors and gold, and votes where there are any.
        inputs: features, annotators, ... of the same units.

    Raises:
        ValueError: posteriors or gold that don't fit the question, or are partly NaN.
    """
    inputs = inputs or SearchInputs()
    asked, gold = decisions(question), frame.gold
    neighbours = _neighbours(asked, gold, inputs)
    judged, not_yet = {}, []
    for decision in asked:
        key = decision.key
        found = judge(decision, frame, inputs, neighbours)
        if isinstance(found, NotYet):
            not_yet.append(found)
            continue
        judged[key] = found
        not_yet += [found.not_yet] if found.not_yet is not None else []
    wrong = [item.wrong for item in judged.values()]
    of_question = {decision.key: gold[decision.key] for decision in asked}
    judged, worst = reconsider(asked, judged, of_question, inputs.labels, inputs.consensus)
    n = frame.units[question.name].n
    qualities = np.column_stack([np.full(n, np.nan), *(item.quality for item in judged.values())])
    # fmin takes the number where the other one is NaN.
    quality = np.fmin.reduce(qualities, axis=1)
    who = inputs.annotators
    return Findings(
        suspects=_suspects(question, replace(frame, gold=worst), inputs, judged, quality, neighbours),
        quality=quality,
        not_yet=not_yet,
        noise={key: item.noise for key, item in judged.items()},
        weights={key: item.weights for key, item in judged.items()},
        error_rates={} if who is None or not wrong else error_rates(np.concatenate(wrong), np.tile(who, len(wrong))),
        n_unknown=max((item.n_unknown for item in judged.values()), default=0),
    )


def _neighbours(asked: list[Decision], gold: Gold, inputs: SearchInputs) -> Neighbours | None:
    features = inputs.joined
    if features is None:
        return None
    labeled = np.any([gold[decision.key] >= 0 for decision in asked], axis=0)
    if inputs.rubber_stamped is not None:
        labeled &= ~inputs.rubber_stamped
    return nearest(vectors(features), np.flatnonzero(labeled))


def _suspects(
    question: Question,
    frame: Frame,
    inputs: SearchInputs,
    judged: Mapping[str, JudgedLabels],
    quality: NDArray[np.float64],
    neighbours: Neighbours | None,
) -> list[Suspect]:
    units, gold = frame.units[question.name], frame.gold
    proba = {key: judged[key].proba if key in judged else frame.held_out[key] for key in gold}
    expected = question.answers(proba)
    given = question.answers({key: _certain(known, proba[key].shape[1]) for key, known in gold.items()})
    likelihood = np.fmin.reduce(np.column_stack([proba[key].max(axis=1) for key in gold]), axis=1)
    if question.form.quality_is_share:
        likelihood = _beside(likelihood, proba[decisions(question)[0].key], given, question, quality)
    suspect = np.any([np.zeros(quality.size, dtype=np.bool_), *(item.issues for item in judged.values())], axis=0)
    rows = sorted(np.flatnonzero(suspect).tolist(), key=lambda row: (quality[row], row))
    rows = [row for row in rows if expected[row] != given[row]]
    others = _others(question, rows, given, inputs)
    return [
        Suspect(
            row=units.task(row),
            question=question.name,
            given=given[row],
            expected=expected[row],
            quality=float(quality[row]),
            likelihood=float(likelihood[row]),
            votes_against=_votes_against(question, row, frame),
            neighbours=tuple(units.task(other) for other in _like(row, expected[row], given, quality, neighbours)),
            others=others[place],
            region=units.region(row),
        )
        for place, row in enumerate(rows)
    ]


def _beside(
    likelihood: NDArray[np.float64],
    proba: NDArray[np.float64],
    given: list[Answer],
    question: Question,
    quality: NDArray[np.float64],
) -> NDArray[np.float64]:
    """What is left for the expected class where an annotator's habits have changed the probability of the given one.

    Both are shares of one whole: the others shrink by what the given class won.
    """
    adjusted = likelihood.copy()
    for row, answer in enumerate(given):
        places = question.places(answer)
        if places and np.isfinite(quality[row]) and proba[row, places[0]] < 1:
            adjusted[row] *= (1 - quality[row]) / (1 - proba[row, places[0]])
    return np.clip(adjusted, 0, 1)


def _others(question: Question, rows: list[int], given: list[Answer], inputs: SearchInputs) -> list[dict[Answer, int]]:
    """How many annotators gave each other answer, by row."""
    if not inputs.labels:
        return [{} for _ in rows]
    answers = other_answers(question, inputs.labels, rows)
    return [
        {answer: count for answer, count in of_row.items() if answer != given[row]}
        for row, of_row in zip(rows, answers, strict=True)
    ]


def _votes_against(question: Question, row: int, frame: Frame) -> dict[str, str]:
    against: dict[str, str] = {}
    for decision in decisions(question):
        matrix, given = frame.votes.get(decision.key), frame.gold[decision.key][row]
        if matrix is None or given < 0:
            continue
        for source, vote in zip(matrix.sources, matrix.votes[row].tolist(), strict=True):
            if vote in (ABSTAIN, given):
                continue
            said = decision.told(vote)
            against[source] = f"{against[source]}, {said}" if source in against else said
    return against


def _like(
    row: int,
    expected: tuple[str, ...],
    given: list[tuple[str, ...]],
    quality: NDArray[np.float64],
    neighbours: Neighbours | None,
) -> tuple[int, ...]:
    """The nearest tasks whose label is the expected one, and good."""
    if neighbours is None:
        return ()
    alike = neighbours.rows[row][neighbours.similarity[row] > 0].tolist()
    return tuple(other for other in alike if given[other] == expected and quality[other] >= FINE)[:N_SHOWN]


def _certain(gold: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """Human labels as posteriors (n, k): all on the chosen class, NaN where unknown."""
    return np.where((gold >= 0)[:, None], np.eye(n_classes)[gold], np.nan)
