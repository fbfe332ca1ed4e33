"""Tasks with several annotators: each answer is judged by what the others say, too."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.label_errors.consensus import Consensus
from backend.domain.label_errors.crowd import Labels
from backend.domain.label_errors.judge import HARDLY, Judged
from backend.domain.label_model.patterns import softmax
from backend.domain.posterior import is_known
from backend.domain.questions import Decision, Question, decisions
from backend.domain.tasks import Annotation, Answer

NOBODY = -1
"""Whoever gave an annotation whose author Label Studio doesn't know (any more); one person, as far as we can tell."""
BEST = 0.98
"""No annotator is believed more: what is hard for one is often hard for the others."""
SMALLEST = 1e-6


def labels_of(question: Question, tasks: Sequence[Sequence[Annotation]]) -> tuple[dict[str, Labels], tuple[int, ...]]:
    """Who said what, by `Decision.key`; and the user ids of the annotators 0..m - 1.

    Of several annotations that somebody made of one task the last counts. An answer of labels that the question doesn't
    have (any more) is none, nor is one of several labels where one is asked for.

    Args:
        question: the question.
        tasks: of each task the annotations that teach.
    """
    asked = decisions(question)
    latest: dict[tuple[int, int], list[int]] = {}
    for row, entries in enumerate(tasks):
        for entry in sorted(entries, key=lambda item: (item.updated_at, item.id)):
            chosen = question.places(entry.answers.get(question.name, ()))
            if chosen and (question.multiple or len(chosen) == 1):
                latest[row, NOBODY if entry.annotator_id is None else entry.annotator_id] = chosen
    people = tuple(sorted({who for _, who in latest}))
    place = {who: index for index, who in enumerate(people)}
    rows = np.array([row for row, _ in latest], dtype=np.int64)
    annotators = np.array([place[who] for _, who in latest], dtype=np.int64)
    found = {}
    for index, decision in enumerate(asked):
        classes = [index in chosen if question.multiple else chosen[0] for chosen in latest.values()]
        found[decision.key] = Labels(
            rows, annotators, np.array(classes, dtype=np.int64), len(tasks), len(people), len(decision.classes)
        )
    return found, people


def shared(labels: Labels) -> NDArray[np.bool_]:
    """Which tasks have labels of several annotators: bool (n_tasks,)."""
    return np.bincount(labels.tasks, minlength=labels.n_tasks) > 1


@dataclass(frozen=True)
class _Answers:
    """All labels of one decision on shared tasks, judged without themselves.

    place: int64 (n,), of the label in `Labels`. proba: (n, k). quality: (n,). doubtful: bool (n,), the probability is
    low. differs: bool (n,), another label of the task is another one.
    """

    place: NDArray[np.int64]
    proba: NDArray[np.float64]
    quality: NDArray[np.float64]
    doubtful: NDArray[np.bool_]
    differs: NDArray[np.bool_]


def reconsider(
    asked: Sequence[Decision],
    judged: Mapping[str, Judged],
    gold: Mapping[str, NDArray[np.int64]],
    labels: Mapping[str, Labels],
    consensus: Mapping[str, Consensus],
    *,
    ordered: bool,
) -> tuple[dict[str, Judged], dict[str, NDArray[np.int64]]]:
    """Judge the answers of tasks that several people labeled by all evidence and the other answers; what was judged,
    with each such task's worst answer in place of its label, and gold with that answer.

    An annotator is right with the probability that `consensus` says, and otherwise gives each other class alike. Where
    people disagree somebody is wrong, so the least probable answer is suspect; where they agree, only what was suspect
    before, if it still is with so many who say it.
    """
    keys = [decision.key for decision in asked if decision.key in judged and decision.key in labels]
    if not keys or not shared(labels[keys[0]]).any():
        return dict(judged), dict(gold)
    answers = {
        key: _without_themselves(judged[key].proba, labels[key], consensus[key].annotator_quality, ordered=ordered)
        for key in keys
    }
    worst = _worst(answers, labels[keys[0]])
    new_judged, new_gold = dict(judged), {key: known.copy() for key, known in gold.items()}
    for key in keys:
        found, before = answers[key], judged[key]
        rows = labels[key].tasks[found.place[worst]]
        proba, quality, issues = before.proba.copy(), before.quality.copy(), before.issues.copy()
        proba[rows], quality[rows] = found.proba[worst], found.quality[worst]
        issues[rows] = found.doubtful[worst] & (found.differs[worst] | before.issues[rows])
        new_judged[key] = replace(before, proba=proba, quality=quality, issues=issues)
        new_gold[key][rows] = labels[key].classes[found.place[worst]]
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
            if question.multiple:
                yes = [decision.label or "" for decision in asked if labels[decision.key].classes[place]]
                given[tuple(yes)] += 1
            else:
                given[(asked[0].classes[labels[asked[0].key].classes[place]],)] += 1
        found.append(dict(given))
    return found


def _without_themselves(
    proba: NDArray[np.float64], labels: Labels, accuracies: NDArray[np.float64], *, ordered: bool
) -> _Answers:
    n, k = proba.shape
    place = np.flatnonzero(shared(labels)[labels.tasks])
    tasks, classes, who = labels.tasks[place], labels.classes[place], labels.annotators[place]
    right = np.clip(accuracies[who], min(1 / k + 0.01, BEST), BEST)
    logs = np.repeat(np.log((1 - right) / max(k - 1, 1))[:, None], k, axis=1)
    each = np.arange(place.size)
    logs[each, classes] = np.log(right)
    total = np.zeros((n, k))
    np.add.at(total, tasks, logs)
    known = np.where(is_known(proba)[:, None], proba, 1 / k)
    without = softmax(np.log(np.maximum(known, SMALLEST))[tasks] + total[tasks] - logs)
    of_given = without[each, classes]
    quality, doubtful = of_given, of_given < 0.5
    if ordered:
        distance = np.abs(np.arange(k)[None, :] - classes[:, None])
        median = (np.round(np.cumsum(without, axis=1), 9) >= 0.5).argmax(axis=1)
        quality = 1 - (without * distance).sum(axis=1) / max(k - 1, 1)
        # Neighbouring steps of a scale are mistaken for each other all the time.
        doubtful = (of_given < HARDLY) & (np.abs(median - classes) > 1)
    counts = labels.counts
    differs = counts[tasks, classes] < counts[tasks].sum(axis=1)
    return _Answers(place, without, quality, doubtful, differs)


def _worst(answers: Mapping[str, _Answers], labels: Labels) -> NDArray[np.int64]:
    """Of each shared task the answer that is worst in any decision, one with which somebody disagrees before all
    others: places in the arrays of `_Answers`."""
    quality = np.min([item.quality for item in answers.values()], axis=0)
    disputed = np.any([item.differs & item.doubtful for item in answers.values()], axis=0)
    tasks = labels.tasks[next(iter(answers.values())).place]
    order = np.lexsort((quality, ~disputed, tasks))
    _, first = np.unique(tasks[order], return_index=True)
    return np.asarray(order[first])
