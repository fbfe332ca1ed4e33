"""A Label Studio that is slow, fails, restarts or refuses our key: nothing is lost, nothing is there twice."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from backend.entrypoints.run.process_table import kill_session
from backend.ports import FORCED, Job
from tests.conftest import Demo, kept_in, wait_for
from tests.e2e.team import Team, another_token
from tests.faults.backend import BATCH, Backend
from tests.proxy import Trouble


@pytest.fixture(scope="module")
def team(demo: Demo, running: Backend) -> Iterator[Team]:
    made = Team.with_reviews(demo, 40)
    running.connect(made)
    running.settle(made)
    yield made
    running.forget(made)


def once_each(trouble: Callable[[str], Trouble | None]) -> Callable[[str, str], Trouble | None]:
    """Trouble with the first request of each kind; those for a new token go through."""
    met: set[tuple[str, str]] = set()

    def ask(method: str, path: str) -> Trouble | None:
        kind = (method, re.sub(r"\d+", "N", urlsplit(path).path))
        if kind in met or "token" in path:
            return None
        met.add(kind)
        return trouble(method)

    return ask


TROUBLES: dict[str, Callable[[str], Trouble | None]] = {
    "500": lambda _: Trouble(500),
    "502 although it was done": lambda _: Trouble(502, "carried out"),
    "429": lambda _: Trouble(429, headers={"retry-after": "1"}),
    "cut off although it was done": lambda _: Trouble(how="cut"),
    "10 s": lambda _: Trouble(delay_s=10),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("what", TROUBLES)
def test_a_label_studio_in_trouble_gets_each_suggestion_once(backend: Backend, team: Team, what: str) -> None:
    before = backend.live(team)
    assert before is not None
    troubled = once_each(TROUBLES[what])
    seen = len(backend.outbound.seen)
    backend.outbound.trouble = troubled
    backend.app.queue.request(Job.TRAIN, backend.key(team), options=FORCED)
    wait_for(lambda: (backend.live(team) or before).number > before.number, 240, "the version")
    backend.settle(team)
    live = backend.live(team)
    assert live is not None
    # Begun several times, it trains once; once more only where a second worker had the project at that moment.
    assert live.number - before.number <= 2
    assert set(team.predictions(live.name)) == set(team.task_ids)
    backend.assert_nothing_double(team)
    assert {item.path.split("?")[0] for item in backend.outbound.seen[seen:]} >= {"/api/predictions/"}


@pytest.mark.timeout(900)
def test_new_tasks_get_one_suggestion_although_the_answer_was_lost(backend: Backend, team: Team) -> None:
    backend.outbound.trouble = once_each(lambda method: Trouble(how="cut") if method == "POST" else None)
    with team.demo.api as api:
        path = f"/api/projects/{team.project}/import?return_task_ids=true"
        new = api.post(path, json=[{"data": {"text": f"A new film, number {n}"}} for n in range(4)]).raise_for_status()
    backend.settle(team)
    live = backend.live(team)
    assert live is not None
    assert set(new.json()["task_ids"]) <= set(team.predictions(live.name))
    backend.assert_nothing_double(team)
    with team.demo.api as api:
        for task_id in new.json()["task_ids"]:
            api.delete(f"/api/tasks/{task_id}/").raise_for_status()
    backend.settle(team)


@pytest.mark.timeout(900)
def test_a_revoked_token_is_named_and_a_new_one_finds_all_that_was_labeled(demo: Demo, tmp_path: Path) -> None:
    team = Team.with_reviews(demo, 40)
    token = another_token(demo)
    with Backend(demo, tmp_path, LABEL_STUDIO_API_KEY=token) as backend:
        backend.connect(team)
        backend.settle(team)
        with demo.client(token) as owner:
            # Label Studio gives another one, and refuses this one from now on.
            new = owner.post("/api/token/rotate/", json={"refresh": token}).raise_for_status().json()["refresh"]
        for task_id in team.task_ids[:BATCH]:
            team.annotate(task_id, team.gold[task_id])

        def errors() -> set[str]:
            return {job.error for job in backend.app.queue.jobs() if job.status in {"failed", "scheduled"}}

        wait_for(lambda: any("LABEL_STUDIO_API_KEY" in error for error in errors()), 120, "a sentence for the operator")
        (error, *_) = [error for error in errors() if "LABEL_STUDIO_API_KEY" in error]
        assert "make a personal access token" in error
        logs = [path.read_text() for path in (tmp_path / "logs").glob("*.log")]
        assert any("LABEL_STUDIO_API_KEY" in log for log in logs)
        assert [log for log in [*logs, kept_in(backend.settings.queue_url)] if token in log] == []
        assert backend.figure("prelabel_jobs_total", 'outcome="failed"') > 0
        backend.restart(LABEL_STUDIO_API_KEY=new)
        backend.settle(team)
        assert len(backend.outcome(team).annotations) == BATCH
        backend.forget(team)


@pytest.mark.timeout(900)
def test_a_label_studio_that_is_killed_and_started_again_loses_no_label(backend: Backend, team: Team) -> None:
    labeled = len(backend.outcome(team).annotations)
    backend.app.queue.request(Job.TRAIN, backend.key(team), options=FORCED)
    backend.wait_for_stage(3, team)
    state = json.loads((team.demo.folder / "demo.json").read_text())
    kill_session(state["pids"]["Label Studio"])
    assert backend.web("/health").status_code == 200
    wait_for(lambda: is_up(team.demo.url), 240, "Label Studio")
    for task_id in team.task_ids[BATCH : BATCH + 3]:
        team.annotate(task_id, team.gold[task_id])
    backend.settle(team)
    backend.assert_nothing_double(team)
    assert len(backend.outcome(team).annotations) == labeled + 3


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
