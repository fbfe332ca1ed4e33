"""Several people who label at once, on a real Label Studio: who is given what."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest

from tests.conftest import Demo
from tests.e2e.team import Team, another_annotator

N_TASKS = 120
"""Each version costs Label Studio as many predictions, made and deleted again."""
EACH = 8
"""Tasks that each annotator labels: enough for a new version while they work."""


@dataclass(frozen=True)
class Given:
    """A task that an annotator was given, and of which version the suggestion was."""

    task: int
    annotator: int
    version: str


def label_at_once(team: Team, annotators: list[httpx.Client], each: int = EACH) -> list[Given]:
    """Each annotator labels what they are given, all at the same time; in the order in which it was given.

    They don't ask for a task in the same instant: on SQLite, Label Studio's reservation of a task isn't atomic
    (`select_for_update(skip_locked=True)` does nothing there), and it gives both the same one, whatever we say.
    """
    given: list[Given] = []
    asking = threading.Lock()

    def work(number: int) -> None:
        for _ in range(each):
            with asking:
                task = team.next_task(annotators[number])
                versions = {item["model_version"] for item in task["predictions"]}
                assert len(versions) == 1, "an annotator is shown suggestions of one version"
                given.append(Given(task["id"], number, versions.pop()))
            team.annotate(task["id"], team.gold[task["id"]], annotators[number])

    with ThreadPoolExecutor(len(annotators)) as threads:
        for done in [threads.submit(work, number) for number in range(len(annotators))]:
            done.result()
    return given


def ranks(team: Team, given: list[Given]) -> list[int]:
    """Place of each task among those still open when it was given, in the queue of the version it came with."""
    queues: dict[str, list[int]] = {}
    taken: set[int] = set()
    found = []
    for item in given:
        if item.version not in queues:
            queues[item.version] = [entry["task_id"] for entry in team.queue(item.version)]
        queue = [task_id for task_id in queues[item.version] if task_id not in taken]
        found.append(queue.index(item.task))
        taken.add(item.task)
    return found


@pytest.fixture
def team(demo: Demo) -> Team:
    return Team.with_reviews(demo, N_TASKS)


def connect(team: Team) -> list[httpx.Client]:
    annotators = [team.demo.api, another_annotator(team.demo), another_annotator(team.demo)]
    team.connect()
    return annotators


@pytest.mark.timeout(900)
def test_annotators_get_the_most_useful_tasks_in_turn_and_at_once_none_twice(team: Team) -> None:
    annotators = connect(team)
    # One label more would make a new version.
    alone = label_at_once(team, annotators[:1])
    assert ranks(team, alone) == [0] * EACH
    team.settle()
    before = team.info()["model_version"]

    given = label_at_once(team, annotators)
    assert not {item.task for item in given} & {item.task for item in alone}
    assert len({item.task for item in given}) == len(annotators) * EACH
    places = ranks(team, given)
    assert sum(places) / len(places) < 0.05 * N_TASKS
    team.settle()
    assert team.info()["model_version"] not in {"", "v1", before}, "they teach while they work"
    again = label_at_once(team, [annotators[0]], each=4)
    assert not {item.task for item in again} & {item.task for item in given}


@pytest.mark.timeout(900)
def test_with_overlap_a_task_is_labeled_as_often_as_wanted_and_never_twice_by_one(team: Team) -> None:
    with team.demo.api as api:
        api.patch(f"/api/projects/{team.project}/", json={"maximum_annotations": 2}).raise_for_status()
    given = label_at_once(team, connect(team))
    assert max(Counter(item.task for item in given).values()) == 2
    assert len({(item.task, item.annotator) for item in given}) == len(given)
    by_first = list({item.task: item for item in reversed(given)}.values())[::-1]
    places = ranks(team, by_first)
    assert sum(places) / len(places) < 0.05 * N_TASKS
