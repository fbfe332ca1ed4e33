"""kill -9 of a worker at 20 moments, and what is lost by it: nothing."""

import random
from collections import Counter

import pytest

from tests.conftest import Demo
from tests.e2e.team import Team
from tests.faults.backend import Backend, Outcome
from tests.faults.story import assert_same, label_all
from tests.proxy import Trouble

KILLS = [[1, 2, 3, 3], [1, 3, 3, 4, 4], [2, 3, 3, 4, 4], [1, 2, 3, 4, 4, 4]]
"""Stages (see `backend.STEPS`) at which a worker is killed: before the first label, and after each batch of labels. A
job is tried five times, so not more often than four times in one."""
SLOW_S = 0.15


@pytest.mark.timeout(1800)
def test_a_worker_killed_at_20_moments_costs_nothing(demo: Demo, backend: Backend, left_alone: Outcome) -> None:
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

    assert_same(killed, left_alone)
    backend.assert_nothing_double(team)
    assert backend.figure("prelabel_jobs_total", 'outcome="killed"') >= 15
    backend.forget(team)
