"""Rules: what people write is tried out on their projects' tasks before it is used."""

import hashlib

import numpy as np

from backend.errors import BadRequest
from backend.ports import Deps, LoadedRules, ProjectRecord, RuleSample
from backend.workflows.asked import config_of

SAMPLE_SIZE = 200
"""Tasks of each project that rules are tried out on."""


def tried_rules(deps: Deps) -> LoadedRules:
    """The rules in use, after what is new was tried out: edited files, projects, label configs. For workers.

    Raises:
        ConfigurationError: the rules' folder doesn't exist, or `MODEL_DIR` can't be written to.
    """
    filled = [project for project in deps.database.projects() if deps.database.count_tasks(project.key)]
    projects = {_sample_id(deps, project): project for project in filled}
    if not deps.rules.is_tried(projects.keys()):
        return deps.rules.try_out([sample_of(deps, project) for project in projects.values()])
    return deps.rules.load()


def rules_signature(deps: Deps, key: str) -> str:
    """Changes with the rules that vote in a project: with the files, and with the folder it is bound to."""
    folder = deps.policy(key).rules
    return f"{deps.rules.load().signature} {folder}".strip()


def sample_of(deps: Deps, project: ProjectRecord) -> RuleSample:
    """What rules are tried out on of one project."""
    try:
        questions = config_of(deps, project.key, project.label_config or "<View/>").answered
    except BadRequest:
        # This project's own jobs say so; the others need their rules all the same.
        questions = ()
    ids = sorted(deps.database.task_ids(project.key)) if questions else []
    some = [ids[row] for row in np.random.default_rng(0).permutation(len(ids))[:SAMPLE_SIZE].tolist()]
    tasks = {item.task.id: item.task for item in deps.database.tasks(project.key, some)}
    # One that was deleted meanwhile is missing.
    data = tuple(dict(tasks[task_id].data) for task_id in some if task_id in tasks)
    folder = deps.policy(project.key).rules
    return RuleSample(_sample_id(deps, project), project.project_id, folder, questions, data)


def _sample_id(deps: Deps, project: ProjectRecord) -> str:
    basis = f"{deps.policy(project.key).rules}\n{project.label_config}"
    return f"{project.key} {hashlib.sha256(basis.encode()).hexdigest()[:8]}"
