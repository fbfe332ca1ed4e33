"""The clock of all our processes, Redis among them, is set while people work: by an hour and a day, both ways."""

from pathlib import Path

import pytest

from tests.conftest import Demo
from tests.e2e.team import Team
from tests.faults.backend import Backend, Outcome
from tests.faults.story import assert_same, label_all

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
SET_TO_S = [3600, -3600, 86400, -86400]
"""From the real time, when each version is due."""


@pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed (Debian: libfaketime)")
@pytest.mark.timeout(900)
def test_a_clock_that_is_set_changes_nothing_that_people_see(demo: Demo, tmp_path: Path, left_alone: Outcome) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0s")
    environment = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        # The file is looked at once a second.
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with Backend(demo, tmp_path, **environment) as backend:
        team = Team.with_reviews(demo, 60)

        def disturb(batch: int) -> None:
            if batch:
                backend.wait_for_stage(1, team)
            clock.write_text(f"{SET_TO_S[batch]:+d}s")
            backend.ahead_s = SET_TO_S[batch]

        assert_same(label_all(backend, team, disturb), left_alone)
        backend.assert_nothing_double(team)
        backend.forget(team)
