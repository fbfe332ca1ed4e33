"""What people do in a project, and what is there afterwards: the same, whatever broke meanwhile."""

from collections.abc import Callable

import pytest

from tests.conftest import wait_for
from tests.e2e.team import Team
from tests.faults.backend import BATCH, Backend, Outcome

N_BATCHES = 3
WRONG = {2, 17, 30}
"""Places of the tasks that are labeled wrongly."""


def label_all(backend: Backend, team: Team, disturb: Callable[[int], None]) -> Outcome:
    """What people do in a project: label, and say of each suspect whether its label is wrong.

    `disturb` is called when a version is due: before the first label (0), and after each batch of labels (1 to 3).
    """
    backend.connect(team)
    disturb(0)
    backend.settle(team)
    annotations: dict[int, int] = {}
    for batch in range(1, N_BATCHES + 1):
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


def assert_same(disturbed: Outcome, left_alone: Outcome) -> None:
    """No label and no verdict is lost, and the suggestions are those of the project that nothing happened to."""
    assert disturbed.annotations == left_alone.annotations
    assert len(disturbed.annotations) == N_BATCHES * BATCH
    assert disturbed.verdicts == left_alone.verdicts
    assert disturbed.verdicts, "nobody was asked about anything"
    assert disturbed.version == left_alone.version
    assert {place: label for place, (label, _) in disturbed.predictions.items()} == {
        place: label for place, (label, _) in left_alone.predictions.items()
    }
    for place, (_, score) in left_alone.predictions.items():
        assert disturbed.predictions[place][1] == pytest.approx(score, abs=0.01)
