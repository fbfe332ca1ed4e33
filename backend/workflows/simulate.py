"""Simulate: label a labeled project again, in several ways, and compare what they cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.classifier import ENOUGH
from backend.domain.features import kinds_of
from backend.domain.features.fields import LEARNED_FROM, about_left_out
from backend.domain.model.gold import gold_of
from backend.domain.questions import Question, decisions
from backend.domain.rules import Rule
from backend.domain.simulation.loop import full_accuracy, replay, rounds, split, stage_of
from backend.domain.simulation.records import Curve, LabeledTasks, Plan
from backend.domain.tasks import Answer
from backend.domain.votes import RuleFaults, VoteMatrix, apply_rules, votes_on
from backend.errors import BadRequest
from backend.ports import Progress

MIN_TASKS = 30
"""Labeled tasks below which a held-out part says nothing."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Tasks as they are replayed, and what went wrong in the rules. notes: sentences about what is left out or can't be
    measured. guessed: share of right answers, 0..1, if each question were always answered with its most frequent label;
    0 where answers are sets."""

    tasks: LabeledTasks
    faults: RuleFaults
    notes: tuple[str, ...] = ()
    guessed: float = 0.0


def prepare(
    questions: Sequence[Question],
    data: Sequence[Mapping[str, object]],
    answers: Sequence[Sequence[Mapping[str, Answer]]],
    rules: Sequence[Rule],
    llms: Mapping[str, Sequence[Answer]],
) -> Replayed:
    """Votes and labels of the tasks, as training makes them; tasks on which annotators are at odds are left out, and
    counted in the notes.

    Rules that vote by what annotators answered before abstain: in a replay that changes with each label.

    Args:
        questions: what is asked.
        data: task data, n of them.
        answers: for each task what each of its annotators answered, question name -> labels.
        rules: labeling functions.
        llms: name -> recorded answers to the first question, for each task; empty = none.

    Raises:
        BadRequest: the labels can't be learned from; the message says why.
    """
    gold = gold_of(questions, answers)
    kept = np.flatnonzero(np.any([known >= 0 for known in gold.values()], axis=0)) if gold else np.zeros(0, np.int64)
    for question in questions:
        _check(question, gold)
    if len(kept) < MIN_TASKS:
        raise BadRequest(f"Only {len(kept)} tasks have a label that counts: a simulation needs {MIN_TASKS}.")
    notes = _about_annotators(questions, answers, gold)
    data = [data[row] for row in kept.tolist()]
    gold = {key: known[kept] for key, known in gold.items()}
    kinds = kinds_of(data)
    if fields := about_left_out(kinds):
        notes.append(f"Fields {fields}.")
    if not (rules or llms) and not any(kind in LEARNED_FROM for kind in kinds.values()):
        raise BadRequest(f"No field of the tasks can be learned from, and nothing votes. {' '.join(notes)}")
    votes, faults = apply_rules(rules, data, questions)
    if rules and not any(matrix.sources for matrix in votes.values()):
        raise BadRequest(
            f"None of the {len(rules)} rules is for {', '.join(repr(question.name) for question in questions)}: "
            "the question of a rule and its labels must be those of the data (--label, --config)."
        )
    rare = [note for question in questions if (note := _about_rare(question, gold))]
    if not (rules or llms) and not any(question.form.counts(gold).max() > ENOUGH for question in questions):
        raise BadRequest(f"{' '.join(rare)} Nothing can be measured: label more tasks, or join labels.")
    said = {name: [given[row] for row in kept.tolist()] for name, given in llms.items()}
    recorded = _llm_votes(questions[0], said) if said else {}
    tasks = LabeledTasks(questions, data, votes, recorded, gold, gold)
    return Replayed(tasks, faults, (*notes, *rare), _guessed(questions, gold))


def simulate(
    tasks: LabeledTasks, plans: Sequence[Plan], *, seeds: int, test_share: float, progress: Progress
) -> list[Curve]:
    """A learning curve for each plan and seed, plans in their order.

    The accuracy that counts as full is the first plan's with all labels, one for each seed.

    Args:
        tasks: what is replayed.
        plans: how; names are unique.
        seeds: runs of each plan, each with other held-out tasks.
        test_share: share of the tasks that is held out, above 0 and below 1.
        progress: told of each training.
    """
    n_pool = len(tasks.data) - round(test_share * len(tasks.data))
    total = seeds * (1 + sum(rounds(plan, n_pool) for plan in plans))
    done = 0
    curves: dict[str, list[Curve]] = {plan.name: [] for plan in plans}
    for seed in range(seeds):
        progress(f"seed {seed + 1}: reading texts", done, total)
        stage = stage_of(*split(tasks, test_share, seed))
        progress(f"seed {seed + 1}: training on all labels", done, total)
        full = full_accuracy(stage, plans[0], seed=seed)
        for place, plan in enumerate(plans):
            points = []
            planned = done + rounds(plan, n_pool) + (place == 0)
            done += place == 0
            for point in replay(stage, plan, seed=seed):
                points.append(point)
                done += 1
                said = f"seed {seed + 1}, {plan.name}: {point.n_labels} labels, accuracy {point.accuracy:.3f}"
                progress(said, done, total)
            # Money may have ended it early.
            done = planned
            curves[plan.name].append(Curve(plan.name, seed, points, full))
            progress(f"seed {seed + 1}: {place + 1} of {len(plans)} plans", done, total)
    return [curve for found in curves.values() for curve in found]


def _check(question: Question, gold: Mapping[str, NDArray[np.int64]]) -> None:
    """Whether there is anything to tell apart.

    Raises:
        BadRequest: no label, or only one.
    """
    asked = decisions(question)
    given = np.concatenate([gold[decision.key][gold[decision.key] >= 0] for decision in asked])
    if not given.size:
        raise BadRequest(
            f"No task has a label of {question.name!r}, whose labels are {', '.join(map(repr, question.labels[:10]))}."
        )
    if np.unique(given).size < 2:
        label = f" ({asked[0].told(int(given[0]))!r})" if len(asked) == 1 else ""
        raise BadRequest(f"All tasks have the same label of {question.name!r}{label}: there is nothing to learn.")


def _about_annotators(
    questions: Sequence[Question],
    answers: Sequence[Sequence[Mapping[str, Answer]]],
    gold: Mapping[str, NDArray[np.int64]],
) -> list[str]:
    """Sentences about answers that aren't, or aren't all, what is taken for the truth."""
    notes = []
    for question in questions:
        known = np.any([gold[decision.key] >= 0 for decision in decisions(question)], axis=0)
        given = [[set(answer[question.name]) for answer in task if answer.get(question.name)] for task in answers]
        differ = [place for place, task in enumerate(given) if any(one != task[0] for one in task)]
        if differ:
            tied = sum(not known[place] for place in differ)
            notes.append(
                f"Annotators differ in {question.name!r} on {len(differ)} of {len(given)} tasks: the majority counts; "
                f"{tied} tasks have none and are left out."
            )
        several = sum(not all(question.accepts(list(one)) for one in task) for task in given)
        if several:
            notes.append(
                f"{several} tasks have several labels for {question.name!r}, which takes one: these are left out."
            )
    return notes


def _about_rare(question: Question, gold: Mapping[str, NDArray[np.int64]]) -> str:
    """A sentence about labels with too few tasks to be measured; "" without any."""
    counts = question.form.counts(gold)
    n_present, n_rare = int((counts > 0).sum()), int(((counts > 0) & (counts <= ENOUGH)).sum())
    if not n_rare:
        return ""
    return (
        f"{n_rare} of {n_present} labels of {question.name!r} have no more than {ENOUGH} tasks: the classifier learns "
        f"a label from {ENOUGH} tasks on, so with one of them held out it can't answer it."
    )


def _guessed(questions: Sequence[Question], gold: Mapping[str, NDArray[np.int64]]) -> float:
    """See `Replayed`."""
    shares = [question.form.guessed(gold) for question in questions]
    return float(np.mean(shares)) if all(shares) else 0.0


def _llm_votes(question: Question, said: Mapping[str, Sequence[Answer]]) -> dict[str, VoteMatrix]:
    """Vote matrices of recorded answers."""
    n_tasks = len(next(iter(said.values())))
    chosen = [
        [tuple(index for label in said[name][row] if (index := question.index(label)) is not None) for name in said]
        for row in range(n_tasks)
    ]
    return votes_on(question, tuple(said), chosen)
