"""Webhooks that get lost, come twice or in another order: what is there in the end is the same."""

import itertools
from typing import Any

import pytest

from backend.ports import FORCED, Job
from tests.conftest import Demo, wait_for
from tests.e2e.team import Team
from tests.faults.backend import BATCH, Backend, resume
from tests.proxy import Trouble


def is_event(method: str, path: str) -> bool:
    return method == "POST" and path.startswith("/webhook")


@pytest.mark.timeout(900)
def test_webhooks_that_are_lost_doubled_or_reordered_change_nothing(demo: Demo, backend: Backend) -> None:
    team = Team.with_reviews(demo, 40)
    backend.connect(team)
    backend.settle(team)

    # 3 of 10 are dropped, and nothing comes after the last of them.
    numbers = itertools.count(1)
    backend.inbound.trouble = lambda method, path: (
        Trouble(how="drop") if is_event(method, path) and next(numbers) in {4, 9, 10} else None
    )
    first = [team.annotate(task_id, team.gold[task_id]) for task_id in team.task_ids[:10]]
    backend.settle(team)

    # 10 come twice; the eleventh and twelfth label bring a version, and one only.
    backend.inbound.trouble = lambda method, path: Trouble(how="double") if is_event(method, path) else None
    for task_id in team.task_ids[10:BATCH]:
        team.annotate(task_id, team.gold[task_id])
    for annotation, task_id in zip(first[:8], team.task_ids, strict=False):
        team.change(annotation, team.gold[task_id])
    backend.settle(team)
    assert len(backend.outcome(team).annotations) == BATCH
    trained = [item.n_labels for item in backend.app.database.versions(backend.key(team))]
    assert trained[:2] == [0, BATCH]

    # 10 come in the opposite order: of each label its removal first, then its correction, then its birth.
    backend.inbound.trouble = lambda method, path: Trouble(how="hold") if is_event(method, path) else None
    for task_id in team.task_ids[20:23]:
        annotation = team.annotate(task_id, "Neutral")
        team.change(annotation, team.gold[task_id])
        with demo.api as api:
            api.delete(f"/api/annotations/{annotation}/").raise_for_status()
    team.annotate(team.task_ids[23], team.gold[team.task_ids[23]])
    backend.inbound.release(lambda held: held[::-1])
    backend.inbound.heal()
    backend.settle(team)
    assert set(backend.outcome(team).annotations) == {*range(BATCH), 23}
    backend.assert_nothing_double(team)
    backend.forget(team)


@pytest.mark.timeout(900)
def test_what_is_deleted_or_renamed_during_a_training_is_followed(demo: Demo, backend: Backend) -> None:
    team = Team.with_reviews(demo, 40)
    backend.connect(team)
    backend.settle(team)

    # Tasks.
    for task_id in team.task_ids[:BATCH]:
        team.annotate(task_id, team.gold[task_id])
    stopped = backend.pause(1, team)
    with demo.api as api:
        for task_id in [*team.task_ids[:2], *team.task_ids[-3:]]:
            api.delete(f"/api/tasks/{task_id}/").raise_for_status()
    resume(stopped)
    backend.settle(team)
    assert len(backend.app.database.tasks(backend.key(team))) == 35
    backend.assert_nothing_double(team)

    # A label: its annotations were made under the old name, and nobody answers "Positive" any more.
    for task_id in team.task_ids[BATCH : 2 * BATCH]:
        team.annotate(task_id, team.gold[task_id])
    stopped = backend.pause(1, team)
    renamed = team.info()["label_config"].replace('"Positive"', '"Great"')
    with demo.api as api:
        api.patch(f"/api/projects/{team.project}/", json={"label_config": renamed}).raise_for_status()
    resume(stopped)
    backend.settle(team)
    live = backend.live(team)
    assert live is not None
    shown = {str(label) for item in team.predictions(live.name).values() for label in chosen(item)}
    assert "Positive" not in shown
    assert len(backend.outcome(team).annotations) == 2 * BATCH - 2, "what people said under the old name is kept"

    # The project.
    key = backend.key(team)
    backend.app.queue.request(Job.TRAIN, key, options=FORCED)
    stopped = backend.pause(1, team)
    with demo.api as api:
        api.delete(f"/api/projects/{team.project}/").raise_for_status()
    resume(stopped)
    wait_for(lambda: backend.app.database.project(key) is None, 120, "the project to be forgotten")
    other = Team.with_reviews(demo, 20)
    backend.connect(other)
    backend.settle(other)
    backend.forget(other)


def chosen(item: dict[str, Any]) -> list[str]:
    return [label for entry in item["result"] for label in entry["value"]["choices"]]
