"""kill -9 of a worker at 20 moments, and what is lost by it: nothing."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from tests.conftest import Demo, wait_for
from tests.e2e.team import Team
from tests.faults.backend import BATCH, Backend, Outcome
from tests.proxy import Trouble

KILLS = [[1, 2, 3, 3], [1, 3, 3, 4, 4], [2, 3, 3, 4, 4], [1, 2, 3, 4, 4, 4]]
"""Stages (see `backend.STEPS`) at which a worker is killed: before the first label, and after each batch of labels. A
job is tried five times, so not more often than four times in one."""
WRONG = {2, 17, 30}
"""Places of the tasks that are labeled wrongly."""
SLOW_S = 0.15


def label_all(backend: Backend, team: Team, disturb: Callable[[int], None]) -> Outcome:
    """What people do in a project: label, and say of each suspect whether its label is wrong."""
    backend.connect(team)
    disturb(0)
    backend.settle(team)
    annotations: dict[int, int] = {}
    for batch in range(1, len(KILLS)):
        for place in range((batch - 1) * BATCH, batch * BATCH):
            task_id = team.task_ids[place]
            annotations[task_id] = team.annotate(
                task_id, wrong(team, task_id) if place in WRONG else team.gold[task_id]
            )
        disturb(batch)
        backend.settle(team)
    suspects = [item["id"] for item in team.tab("Prelabel: check")]
    for task_id in suspects:
        # Saved with the right label: changed where it was wrong, as it is where it was right.
        team.change(annotations[task_id], team.gold[task_id])
    key = backend.key(team)
    wait_for(lambda: len(backend.app.database.verdicts(key)) == len(suspects), 120, "the verdicts")
    backend.settle(team)
    return backend.outcome(team)


def wrong(team: Team, task_id: int) -> str:
    return {"Positive": "Negative", "Negative": "Positive", "Neutral": "Positive"}[team.gold[task_id]]


@pytest.mark.timeout(1800)
def test_a_worker_killed_at_20_moments_costs_nothing(demo: Demo, backend: Backend) -> None:
    first = Team.with_reviews(demo, 60)
    left_alone = label_all(backend, first, lambda _: None)
    backend.forget(first)

    team = Team.with_reviews(demo, 60)
    moments = random.Random(20)
    hit: Counter[int] = Counter()
    # Pushing and tagging take moments in a small project: a Label Studio that is slower makes them long enough to hit.
    backend.outbound.trouble = lambda method, path: (
        Trouble(delay_s=SLOW_S)
        if method == "POST" and path.startswith(("/api/predictions", "/api/dm/actions"))
        else None
    )

    def kill(round_number: int) -> None:
        for stage in KILLS[round_number]:
            hit[backend.kill_at(stage, moments.uniform(0, 0.7 if stage > 2 else 0.05), team)] += 1

    killed = label_all(backend, team, kill)
    assert sum(hit.values()) == 20
    # Training and scoring are short: a moment later one is the other.
    assert hit[1] + hit[2] >= 3, hit
    assert hit[3] >= 3, hit
    assert hit[4] >= 3, hit

    assert killed.annotations == left_alone.annotations
    assert len(killed.annotations) == 3 * BATCH
    assert killed.verdicts == left_alone.verdicts
    assert killed.verdicts, "nobody was asked about anything"
    assert killed.version == left_alone.version
    assert {place: label for place, (label, _) in killed.predictions.items()} == {
        place: label for place, (label, _) in left_alone.predictions.items()
    }
    for place, (_, score) in left_alone.predictions.items():
        assert killed.predictions[place][1] == pytest.approx(score, abs=0.01)
    backend.assert_nothing_double(team)
    assert backend.figure("prelabel_jobs_total", 'outcome="killed"') >= 15
    backend.forget(team)
