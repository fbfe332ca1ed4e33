"""A Postgres that is away for a minute, as in an upgrade of its host."""

import time
from pathlib import Path

import pytest

from tests.conftest import Demo, wait_for
from tests.e2e.team import Team
from tests.faults.backend import BATCH, Backend
from tests.postgres import start_postgres, url_of

AWAY_S = 60.0


@pytest.mark.timeout(900)
def test_a_postgres_that_is_away_for_a_minute_loses_no_label_and_no_training(
    demo: Demo, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = start_postgres(tmp_path_factory.mktemp("away"))
    team = Team.with_reviews(demo, 60)
    with Backend(demo, tmp_path, DATABASE_URL=url_of(server)) as backend:
        backend.connect(team)
        backend.settle(team)
        before = backend.live(team)
        assert before is not None
        for task_id in team.task_ids[:BATCH]:
            team.annotate(task_id, team.gold[task_id])
        backend.wait_for_stage(1, team)
        began = time.monotonic()
        server.stop()
        answer = backend.web("/ready")
        assert answer.status_code == 503
        assert "DATABASE_URL" in " ".join(answer.json()["reasons"])
        for task_id in team.task_ids[BATCH : BATCH + 3]:
            team.annotate(task_id, team.gold[task_id])
        time.sleep(max(0.0, AWAY_S - (time.monotonic() - began)))
        server.ensure_postgres_running()
        wait_for(lambda: backend.web("/ready").status_code == 200, 60, "ready again")
        wait_for(lambda: (backend.live(team) or before).n_labels >= BATCH, 240, "the version")
        backend.settle(team)
        assert len(backend.outcome(team).annotations) == BATCH + 3
        backend.assert_nothing_double(team)
        backend.forget(team)
    server.cleanup()
