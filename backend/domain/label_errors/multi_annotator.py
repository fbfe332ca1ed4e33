"""Tasks with several annotators: each answer is judged by what the others say, too."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.label_errors.consensus import Consensus
from backend.domain.label_errors.crowd import Labels
from backend.domain.label_errors.judge import HARDLY, PRIOR_OF_ANNOTATOR, JudgedLabels
from backend.domain.label_model.patterns import softmax
from backend.domain.posterior import is_known
from backend.domain.questions import Decision, Question, decisions
from backend.domain.questions.forms import median_class
from backend.domain.questions.units import Units
from backend.domain.tasks import Annotation, Answer

NOBODY = -1
"""Whoever gave an annotation whose author Label Studio doesn't know (any more); one person, as far as we can tell."""
BEST = 0.98
"""No annotator is believed more: what is hard for one is often hard for the others."""
SMALLEST = 1e-6
ROUNDS = 10


def labels_of(
    question: Question, units: Units, tasks: Sequence[Sequence[Annotation]]
) -> tuple[dict[str, Labels], tuple[int, ...]]:
    """The labels that each annotator gave to each unit, by `Decision.key`; and the user ids of the annotators 0..m - 1.

    Of several annotations that somebody made of one task the last counts. An answer of labels that the question doesn't
    have (any more) is none, nor is one of several labels where one is asked for.

    Args:
        question: the question.
        units: of the tasks.
        tasks: of each task the annotations that teach.
    """
    asked = decisions(question)
    latest: dict[tuple[int, int], list[int]] = {}
    for task, entries in enumerate(tasks):
        for entry in sorted(entries, key=lambda item: (item.updated_at, item.id)):
            answer = entry.answers.get(question.name, ())
            parts = question.split(answer, units, task) if answer else []
            for unit, part in enumerate(parts, start=int(units.firsts[task])):
                chosen = question.places(part)
                if 0 < len(chosen) <= question.form.most_labels:
                    latest[unit, NOBODY if entry.annotator_id is None else entry.annotator_id] = chosen
    people = tuple(sorted({who for _, who in latest}))
    place = {who: index for index, who in enumerate(people)}
    rows = np.array([row for row, _ in latest], dtype=np.int64)
    annotators = np.array([place[who] for _, who in latest], dtype=np.int64)
    classes = np.array([question.form.classes(chosen) for chosen in latest.values()], dtype=np.int64)
    found = {}
    for column, decision in zip(classes.reshape(len(latest), len(asked)).T, asked, strict=True):
        found[decision.key] = Labels(rows, annotators, column, units.n, len(people), len(decision.classes))
    return found, people


def shared(labels: Labels) -> NDArray[np.bool_]:
    """Which tasks have labels of several annotators: bool (n_tasks,)."""
    return np.bincount(labels.tasks, minlength=labels.n_tasks) > 1


@dataclass(frozen=True)
class _Answers:
    """All labels of one decision, judged; in the order of `Labels`.

    proba: (n, k), of each class by everything but the label itself. quality: (n,), see `Suspect`. right: (n,),
    probability that the label is right, the label itself being evidence, too. doubtful: bool (n,), it is rather wrong.
    differs: bool (n,), another label of the task is another one.
    """

    proba: NDArray[np.float64]
    quality: NDArray[np.float64]
    right: NDArray[np.float64]
    doubtful: NDArray[np.bool_]
    differs: NDArray[np.bool_]


def reconsider(
    asked: Sequence[Decision],
    judged: Mapping[str, JudgedLabels],
    gold: Mapping[str, NDArray[np.int64]],
    labels: Mapping[str, Labels],
    consensus: Mapping[str, Consensus],
) -> tuple[dict[str, JudgedLabels], dict[str, NDArray[np.int64]]]:
    """Judge answers by who gave them, and by what others say of the same task; what was judged, with the worst answer
    of each shared task in place of its label, and gold with that answer.

    An annotator is right with a probability of his or her own (see `_accuracies`), and otherwise gives each other class
    alike. Where people disagree somebody is wrong, so the answer that is least probably right is suspect; where they
    agree, only what was suspect before, if it is still rather wrong with so many who say it. An answer that nobody else
    gave or contradicted is suspect, too, if it is rather wrong coming from this annotator. Without any shared task
    nothing changes: then nobody's answers are known to be better than what else speaks for them.

    gold: int64 (n_units,) by `Decision.key`, -1 = unknown.
    """
    ordered = {decision.key: decision.ordered for decision in asked}
    keys = [decision.key for decision in asked if decision.key in judged and decision.key in labels]
    if not keys or not shared(labels[keys[0]]).any():
        return dict(judged), dict(gold)
    answers = {
        key: _judge(judged[key].proba, labels[key], consensus[key].annotator_quality, ordered=ordered[key])
        for key in keys
    }
    tasks, is_shared = labels[keys[0]].tasks, shared(labels[keys[0]])
    worst, alone = _worst(answers, tasks, is_shared), np.flatnonzero(~is_shared[tasks])
    new_judged, new_gold = dict(judged), {key: known.copy() for key, known in gold.items()}
    for key in keys:
        found, before, rows = answers[key], judged[key], tasks[worst]
        proba, quality, issues = before.proba.copy(), before.quality.copy(), before.issues.copy()
        proba[rows], quality[rows] = found.proba[worst], found.quality[worst]
        issues[rows] = found.doubtful[worst] & (found.differs[worst] | before.issues[rows])
        issues[tasks[alone]] |= found.doubtful[alone] & np.isfinite(before.quality[tasks[alone]])
        new_judged[key] = replace(before, proba=proba, quality=quality, issues=issues)
        new_gold[key][rows] = labels[key].classes[worst]
    return new_judged, new_gold


def other_answers(question: Question, labels: Mapping[str, Labels], rows: Sequence[int]) -> list[dict[Answer, int]]:
    """For each row, how many annotators gave each answer."""
    asked = decisions(question)
    tasks = labels[asked[0].key].tasks
    order = np.argsort(tasks, kind="stable")
    in_order = tasks[order]
    found = []
    for row in rows:
        first, last = np.searchsorted(in_order, [row, row + 1])
        given: Counter[Answer] = Counter()
        for place in order[first:last].tolist():
            given[question.form.answer([labels[decision.key].classes[place] for decision in asked])] += 1
        found.append(dict(given))
    return found


def _judge(proba: NDArray[np.float64], labels: Labels, accuracies: NDArray[np.float64], *, ordered: bool) -> _Answers:
    k, each, tasks, classes = labels.n_classes, np.arange(labels.tasks.size), labels.tasks, labels.classes
    known = np.log(np.maximum(np.where(is_known(proba)[:, None], proba, 1 / k), SMALLEST))
    logs, total = _log_likelihoods(labels, _accuracies(known, labels, accuracies))
    right = softmax(known + total)[tasks, classes]
    without = softmax(known[tasks] + total[tasks] - logs)
    of_given = without[each, classes]
    quality, doubtful = of_given, right < 0.5
    if ordered:
        distance = np.abs(np.arange(k)[None, :] - classes[:, None])
        median = median_class(without)
        quality = 1 - (without * distance).sum(axis=1) / max(k - 1, 1)
        # Neighbouring steps of a scale are mistaken for each other all the time.
        doubtful &= (of_given < HARDLY) & (np.abs(median - classes) > 1)
    counts = labels.counts
    differs = counts[tasks, classes] < counts[tasks].sum(axis=1)
    return _Answers(without, quality, right, doubtful, differs)


def _accuracies(known: NDArray[np.float64], labels: Labels, start: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often each annotator is right (n_annotators,), by EM with the evidence as prior of each task (Raykar et al.
    2010, with one accuracy each): what CROWDLAB calls quality orders annotators, but is no share of right labels.

    Args:
        known: logarithms of what the evidence says (n_tasks, k).
        labels: who labeled what as what.
        start: where to begin.
    """
    number = np.bincount(labels.annotators, minlength=labels.n_annotators)
    accuracies = np.where(np.isfinite(start), start, 0.8)
    for _ in range(ROUNDS):
        _, total = _log_likelihoods(labels, accuracies)
        right = softmax(known + total)[labels.tasks, labels.classes]
        mean = right.mean() if right.size else 1.0
        summed = np.bincount(labels.annotators, right, labels.n_annotators)
        accuracies = (summed + PRIOR_OF_ANNOTATOR * mean) / (number + PRIOR_OF_ANNOTATOR)
    return accuracies


def _log_likelihoods(
    labels: Labels, accuracies: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each label given each true class (n_labels, k), and their sum over each task (n_tasks, k)."""
    k = labels.n_classes
    right = np.clip(accuracies[labels.annotators], min(1 / k + 0.01, BEST), BEST)
    logs = np.repeat(np.log((1 - right) / max(k - 1, 1))[:, None], k, axis=1)
    logs[np.arange(right.size), labels.classes] = np.log(right)
    total = np.zeros((labels.n_tasks, k))
    np.add.at(total, labels.tasks, logs)
    return logs, total


def _worst(
    answers: Mapping[str, _Answers], tasks: NDArray[np.int64], is_shared: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Of each shared task the answer that is least probably right in any decision, one with which somebody disagrees
    before all others: places in `Labels`."""
    right = np.min([item.right for item in answers.values()], axis=0)
    disputed = np.any([item.differs & item.doubtful for item in answers.values()], axis=0)
    places = np.flatnonzero(is_shared[tasks])
    order = places[np.lexsort((right[places], ~disputed[places], tasks[places]))]
    _, first = np.unique(tasks[order], return_index=True)
    return np.asarray(order[first])
