"""Projects of other shapes, and several people at once, on a real Label Studio."""

from typing import Any

import pytest

from backend.entrypoints.sample import load_reviews
from tests.conftest import Demo
from tests.e2e.team import Team, another_annotator

MIXED = """<View>
<HyperText name="page" value="$text"/>
<Taxonomy name="kind" toName="page">
  <Choice value="Film"><Choice value="Drama"/></Choice><Choice value="Show"/>
</Taxonomy>
<Rating name="stars" toName="page" maxRating="3"/>
<Choices name="topics" toName="page" choice="multiple">
  <Choice value="plot"/><Choice value="cast" alias="people"/>
</Choices>
<Choices name="sentiment" toName="page">
  <Choice value="Positive"/><Choice value="Negative"/><Choice value="Neutral"/>
</Choices>
<TextArea name="why" toName="page"/>
</View>"""


def answers(number: int) -> list[dict[str, Any]]:
    """Answers to all questions of MIXED; which ones depends on the task's number only."""
    common = {"to_name": "page"}
    topics = [["plot"], ["people"], ["plot", "people"]][number % 3]
    kind = [["Film", "Drama"], ["Show"]][number % 2]
    sentiment = ["Positive", "Negative", "Neutral"][number % 3]
    return [
        common | {"from_name": "kind", "type": "taxonomy", "value": {"taxonomy": [kind]}},
        common | {"from_name": "stars", "type": "rating", "value": {"rating": 1 + number % 3}},
        common | {"from_name": "topics", "type": "choices", "value": {"choices": topics}},
        common | {"from_name": "sentiment", "type": "choices", "value": {"choices": [sentiment]}},
    ]


@pytest.mark.timeout(600)
def test_every_kind_of_question_is_learned_and_pushed(demo: Demo) -> None:
    words = (("plot", "people", "plot people"), ("film drama", "show"), ("one", "two", "three"))
    tasks: list[dict[str, object]] = []
    for number in range(60):
        text = f"{words[0][number % 3]} in a {words[1][number % 2]}, {words[2][number % 3]} stars"
        full: dict[str, object] = {"text": text, "site": f"https://example.com/{number}", "extra": {"deep": [number]}}
        tasks.append(full if number else {"text": text})
    annotations = {number: [{"result": answers(number)}] for number in range(1, 31)}
    project, task_ids = demo.new_project(MIXED, tasks, annotations)
    team = Team(demo, project, task_ids)
    team.connect()
    with demo.api as api:
        # Skipped and empty ones teach nothing, and don't disturb.
        skipped = {"result": [], "was_cancelled": True}
        api.post(f"/api/tasks/{task_ids[31]}/annotations/", json=skipped).raise_for_status()
        api.post(f"/api/tasks/{task_ids[32]}/annotations/", json={"result": []}).raise_for_status()
    team.settle()
    current = team.predictions(team.info()["model_version"])
    open_numbers = range(33, 60)
    right: dict[str, int] = {}
    for number in open_numbers:
        given = {item["from_name"]: item["value"] for item in current[task_ids[number]]["result"]}
        for item in answers(number):
            right[item["from_name"]] = right.get(item["from_name"], 0) + (given.get(item["from_name"]) == item["value"])
    assert all(count >= 24 for count in right.values()), right
    assert current[task_ids[0]]["result"], "a task that lacks fields is answered from what it has"
    said = demo.prelabel("doctor", str(project))
    assert "left empty: why: <TextArea> can't be suggested yet" in said


@pytest.mark.timeout(600)
def test_a_changed_label_config_is_learned_anew(demo: Demo) -> None:
    team = Team.with_reviews(demo, 40)
    team.connect()
    config = team.info()["label_config"].replace('value="Neutral"', 'value="Undecided"')
    with demo.api as api:
        api.patch(f"/api/projects/{team.project}/", json={"label_config": config}).raise_for_status()
    team.reaches("v2")
    team.settle()
    labels = {item["value"]["choices"][0] for entry in team.predictions("v2").values() for item in entry["result"]}
    assert "Neutral" not in labels
    assert labels


@pytest.mark.timeout(600)
def test_deleted_and_new_tasks_and_annotations_are_followed(demo: Demo) -> None:
    team = Team.with_reviews(demo, 30)
    team.connect()
    annotation = team.annotate(team.task_ids[0], "Positive")
    with demo.api as api:
        api.delete(f"/api/tasks/{team.task_ids[1]}/").raise_for_status()
        api.delete(f"/api/annotations/{annotation}/").raise_for_status()
        new = [{"data": review} for review in load_reviews()[30:40]]
        path = f"/api/projects/{team.project}/import?return_task_ids=true"
        added = api.post(path, json=new).raise_for_status().json()["task_ids"]
    team.settle()
    version = team.info()["model_version"]
    assert set(team.predictions(version)) == (set(team.task_ids) | set(added)) - {team.task_ids[1]}


@pytest.mark.timeout(600)
def test_what_an_admin_types_as_extra_parameters_counts_for_the_project(demo: Demo, connected: Team) -> None:
    team, version = connected, connected.next_version()
    with demo.api as api:
        (backend,) = api.get("/api/ml/", params={"project": team.project}).json()
        changed = {"project": team.project, "url": backend["url"], "extra_params": {"top_tasks": 3}}
        api.patch(f"/api/ml/{backend['id']}", json=changed).raise_for_status()
    demo.prelabel("retrain", str(team.project))
    team.reaches(version)
    team.settle()
    assert sum(bool(item["chosen_by"]) for item in team.queue(version)) == 3


@pytest.mark.timeout(600)
def test_a_task_that_needs_two_annotations_stays_in_the_tab_until_it_has_them(demo: Demo) -> None:
    team = Team.with_reviews(demo, 20)
    with demo.api as api:
        api.patch(f"/api/projects/{team.project}/", json={"maximum_annotations": 2}).raise_for_status()
    team.connect()
    half_done, done = team.task_ids[:2]
    second = another_annotator(demo)
    for task_id, annotator in ((half_done, None), (done, None), (done, second)):
        team.annotate(task_id, "Neutral", annotator)
    listed = {task["id"] for task in team.tab("Prelabel: next")}
    assert half_done in listed
    assert done not in listed
