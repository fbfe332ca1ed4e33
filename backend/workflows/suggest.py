"""Suggest: tasks in, one suggestion for each of them out, in order, before a deadline."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.audit.draw import is_audit
from backend.domain.features.vectors import Vectors
from backend.domain.model.project import ProjectModel, rules_only
from backend.domain.questions import Question, decisions
from backend.domain.rules import History
from backend.domain.suggestions import Suggestion, suggest
from backend.domain.tasks import MirroredTask
from backend.domain.votes import RuleFaults, VoteMatrix
from backend.errors import ModelMissing
from backend.ports import Deps, version_name
from backend.workflows.asked import config_of
from backend.workflows.embed import vectors_of
from backend.workflows.llm.contents import Contents
from backend.workflows.votes import cast_votes

CHUNK = 50
"""Tasks answered at once; after each chunk the answers so far are safe from the deadline."""


def posteriors_of(
    model: ProjectModel | None,
    questions: Sequence[Question],
    data: Sequence[Mapping[str, object]],
    votes: Mapping[str, VoteMatrix],
    vectors: Vectors | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Posteriors by decision key, float64 (n_tasks, n_classes), NaN rows where nothing is known.

    A question that the model wasn't trained on as it is now (no version yet, or the label config changed) is answered
    from the rules alone.
    """
    trained = model.questions if model is not None else ()
    unknown = tuple(question for question in questions if question not in trained)
    posteriors = model.posteriors(data, votes, vectors) if model is not None else {}
    if unknown:
        untrained = {decision.key: votes[decision.key] for question in unknown for decision in decisions(question)}
        posteriors = {**posteriors, **rules_only(unknown, untrained).posteriors(data, untrained)}
    return {decision.key: posteriors[decision.key] for question in questions for decision in decisions(question)}


def history_of(items: Sequence[MirroredTask], own: Sequence[int]) -> History:
    """What annotators answered, for rules that vote by it. `own`: see `History`."""
    answers = [[entry.answers for entry in item.labels] for item in items]
    return History([item.task.data for item in items], answers, own)


def _history_for(annotated: Sequence[MirroredTask], tasks: Sequence[Mapping[str, object]]) -> History:
    """The same for tasks of which only the data are known: they are told by these."""
    data = [item.task.data for item in annotated]
    return history_of(annotated, [data.index(task) if task in data else -1 for task in tasks])


@dataclass(frozen=True, slots=True)
class Answers:
    """Suggestions in the order of the tasks.

    late: tasks that the deadline left without an answer. problem: why the current version could not be used, so that
    the rules answered alone.
    """

    version: str
    questions: tuple[Question, ...]
    suggestions: list[Suggestion]
    faults: RuleFaults
    late: int = 0
    problem: str = ""


def answer(
    deps: Deps,
    key: str,
    label_config: str,
    tasks: Sequence[Mapping[str, object]],
    deadline_s: float,
    open_ids: Sequence[int | None] = (),
) -> Answers:
    """Suggest for tasks that Label Studio asks about; of open audit tasks, the suggestion is withheld.

    Args:
        deps: the ports.
        key: the project.
        label_config: the label config as Label Studio sent it.
        tasks: task data.
        deadline_s: after so many seconds what is known is returned; the other tasks get abstentions.
        open_ids: the tasks' ids, None for those that have all their annotations; () when they aren't known.

    Raises:
        BadRequest: the label config can't be parsed.
        ModelMissing: which version is current can't be read.
    """
    number = deps.versions.current(key)
    config = config_of(deps, key, label_config, number)
    questions = config.questions
    problem = ""
    if not questions:
        return Answers(version_name(number), (), [Suggestion() for _ in tasks], RuleFaults())
    suggestions: list[Suggestion | None] = [None] * len(tasks)
    # One for each chunk, as complete as it will ever be: the thread goes on for a while after the deadline.
    faults: list[RuleFaults] = []
    failures: list[Exception] = []
    expired = threading.Event()

    def fill() -> None:
        nonlocal problem
        try:
            rules = deps.rules.load().of(deps.policy(key).rules_folder)
            model, problem = _model(deps, key, number)
            needs_history = any(rule.needs_history for rule in rules)
            known = deps.database.tasks(key) if needs_history else []
            annotated = [item for item in known if item.labels]
            for start in range(0, len(tasks), CHUNK):
                if expired.is_set():
                    return
                chunk = tasks[start : start + CHUNK]
                contents = Contents(deps, key, config, chunk)
                votes, chunk_faults = cast_votes(deps, key, contents, rules, _history_for(annotated, chunk))
                faults.append(chunk_faults)
                vectors = vectors_of(deps, key, contents) if model is not None and model.space else None
                posteriors = posteriors_of(model, questions, chunk, votes, vectors)
                suggestions[start : start + len(chunk)] = suggest(questions, posteriors, votes)
        except Exception as error:  # noqa: BLE001 - handed to the caller's thread below
            failures.append(error)

    filling = threading.Thread(target=fill, daemon=True)
    filling.start()
    filling.join(deadline_s)
    expired.set()
    if failures:
        raise failures[0]
    done = list(suggestions)
    known = [item if item is not None else Suggestion() for item in done]
    late = sum(item is None for item in done)
    counted = RuleFaults()
    for chunk_faults in tuple(faults):
        counted.merge(chunk_faults)
    return Answers(version_name(number), questions, _withheld(deps, key, known, open_ids), counted, late, problem)


def _model(deps: Deps, key: str, number: int) -> tuple[ProjectModel | None, str]:
    """The model of a version, and why there is none although there is a version."""
    try:
        return deps.versions.model(key, number) if number else None, ""
    except ModelMissing as error:
        return None, str(error)


def _withheld(
    deps: Deps, key: str, suggestions: Sequence[Suggestion], open_ids: Sequence[int | None]
) -> list[Suggestion]:
    """The suggestions, with those of open audit tasks emptied."""
    share, found = deps.policy(key).audit_share, list(suggestions)
    for place, task_id in enumerate(open_ids):
        if task_id is not None and is_audit(key, task_id, share):
            found[place] = Suggestion()
    return found
