"""Rules: what people write is tried out on their projects' tasks before it is used."""

import hashlib

import numpy as np

from backend.ports import Deps, LoadedRules, ProjectRecord, RuleSample

SAMPLE_SIZE = 200
"""Tasks of each project that rules are tried out on."""


def tried_rules(deps: Deps) -> LoadedRules:
    """The rules in use, after what is new was tried out: edited files, projects, label configs. For workers.

    Raises:
        ConfigurationError: the rules' folder doesn't exist, or `MODEL_DIR` can't be written to.
    """
    projects = {
        _sample_id(project): project for project in deps.database.projects() if deps.database.count_tasks(project.key)
    }
    if not deps.rules.is_tried(projects.keys()):
        return deps.rules.try_out([_sample(deps, project) for project in projects.values()])
    return deps.rules.load()


def _sample(deps: Deps, project: ProjectRecord) -> RuleSample:
    questions = deps.parse_label_config(project.label_config or "<View/>").questions
    tasks = deps.database.tasks(project.key) if questions else []
    some = np.random.default_rng(0).permutation(len(tasks))[:SAMPLE_SIZE]
    data = tuple(dict(tasks[row].task.data) for row in some)
    return RuleSample(_sample_id(project), project.project_id, questions, data)


def _sample_id(project: ProjectRecord) -> str:
    return f"{project.key} {hashlib.sha256(project.label_config.encode()).hexdigest()[:8]}"
