"""The whole loop on a real Label Studio, seen through its API and in a real browser."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page

from backend.domain.audit.draw import is_audit
from backend.entrypoints.sample import load_reviews
from tests.conftest import Demo, wait_for
from tests.e2e.team import Team


def checked(page: Page) -> list[str]:
    """Labels that are selected on the labeling screen."""
    found: list[str] = page.evaluate(
        "() => Array.from(document.querySelectorAll('input[type=checkbox],input[type=radio]'))"
        ".filter(input => input.checked && ['Positive', 'Negative', 'Neutral'].includes(input.name))"
        ".map(input => input.name)"
    )
    return found


def open_label_stream(page: Page, team: Team) -> None:
    page.goto(f"{team.demo.url}/projects/{team.project}/data")
    page.get_by_text("Label All Tasks").first.click()
    page.wait_for_selector("input[name='Neutral']")


def shown_review(page: Page) -> str:
    """Text of the review on the labeling screen."""
    body = page.inner_text("body")
    return next(text for review in load_reviews() if (text := str(review["text"])) in body)


@pytest.mark.timeout(900)
def test_the_whole_loop(demo: Demo, page: Page, tmp_path: Path) -> None:
    # Start empty and connect with one command.
    team = Team.with_reviews(demo, 100)
    assert team.info()["model_version"] == ""
    team.connect()
    assert team.versions() == {"v1": 100}
    first = team.predictions("v1")

    # The suggestion is selected on the labeling screen, for the task we know least about.
    open_label_stream(page, team)
    page.wait_for_function("() => document.querySelectorAll('input:checked').length > 0")
    page.screenshot(path=tmp_path / "pre-selected.png")
    least_sure = min(first.values(), key=lambda item: item["score"])
    text = shown_review(page)
    served = team.task_of(text)
    assert first[served]["score"] == least_sure["score"]
    assert checked(page) == first[served]["result"][0]["value"]["choices"]

    # Two annotations in the browser: one suggestion accepted, one corrected; thirty through the API.
    page.get_by_test_id("bottombar-submit-button").click()
    page.wait_for_function("text => !document.body.innerText.includes(text)", arg=text)
    page.wait_for_function("() => document.querySelectorAll('input:checked').length > 0")
    second_text = shown_review(page)
    second = team.task_of(second_text)
    (suggested,) = checked(page)
    corrected = next(label for label in ("Positive", "Negative", "Neutral") if label != suggested)
    page.locator(f"input[name='{corrected}']").check(force=True)
    wait_for(lambda: checked(page) == [corrected], 20, "the corrected label")
    page.get_by_test_id("bottombar-submit-button").click()
    page.wait_for_function("text => !document.body.innerText.includes(text)", arg=second_text)
    origins = {task_id: team.annotations_of(task_id)[0]["result"][0]["origin"] for task_id in (served, second)}
    assert origins == {served: "prediction", second: "prediction-changed"}
    # Label Studio reserves the task that the browser shows now: it is labeled too, so that the next one is free.
    page.wait_for_function("() => document.querySelectorAll('input:checked').length > 0")
    reserved = team.next_task()["id"]
    assert reserved == team.task_of(shown_review(page))
    others = [task_id for task_id in team.task_ids if task_id not in {served, second, reserved}]
    labeled = [reserved, *others[:29]]
    for task_id in labeled:
        team.annotate(task_id, team.gold[task_id])

    # A new version appears by itself, and its predictions replace the old ones.
    team.settle()
    version = team.info()["model_version"]
    assert version not in {"", "v1"}
    assert len(team.versions()) == 2, "the current version and the one before"
    current = team.predictions(version)
    is_open = set(team.task_ids) - set(labeled) - {served, second}
    assert set(current) == is_open

    # The next task is the one with the highest priority, in the label stream and in the tab.
    lowest = min(item["score"] for item in current.values())
    follower = team.next_task()
    assert current[follower["id"]]["score"] == pytest.approx(lowest)
    in_tab = [item["id"] for item in team.tab("Prelabel: next")]
    scores = [current[task_id]["score"] for task_id in in_tab]
    assert scores == sorted(scores)
    assert scores[0] == pytest.approx(lowest)

    # Sixty tasks that are labeled come in. Five labels are flipped on purpose; most of them are found.
    team.add_reviews(60, n_labeled=60)
    clear = sorted(task_id for task_id in [*labeled, *team.task_ids[100:]] if len(votes_for(team, task_id)) >= 2)
    flipped = clear[:: max(1, len(clear) // 5)][:5]
    annotations = {task_id: team.annotations_of(task_id)[0]["id"] for task_id in flipped}
    for task_id in flipped:
        wrong = {"Positive": "Negative", "Negative": "Positive", "Neutral": "Positive"}[team.gold[task_id]]
        team.change(annotations[task_id], wrong)
    team.settle()
    suspects = [item["id"] for item in team.tab("Prelabel: check")]
    assert len(set(flipped) & set(suspects)) >= 4
    assert len(suspects) <= 25, "people would not go through that many"
    tagged = team.tab("Prelabel: check")
    qualities = [item["data"]["prelabel_quality"] for item in tagged]
    assert qualities == sorted(qualities)
    originals = {str(review["id"]): review for review in load_reviews()}
    for item in tagged:
        own = {name: value for name, value in item["data"].items() if not name.startswith("prelabel_")}
        assert own == originals[own["id"]], "task data stays as it was"
        assert item["data"]["prelabel_expected"].startswith("sentiment: ")

    # A suspect that is fixed, and one that is confirmed, leave the tab.
    fixed, confirmed = [task_id for task_id in suspects if task_id in flipped][:2]
    team.change(annotations[fixed], team.gold[fixed])
    wrong = {"Positive": "Negative", "Negative": "Positive", "Neutral": "Positive"}[team.gold[confirmed]]
    team.change(annotations[confirmed], wrong)
    team.settle()
    assert not {fixed, confirmed} & {item["id"] for item in team.tab("Prelabel: check")}

    # Roll back: the first version's predictions are there again.
    demo.prelabel("rollback", str(team.project), "v1")
    wait_for(lambda: team.info()["model_version"] == "v1", 60, "the rollback")
    team.settle()
    again = team.predictions("v1")
    assert again
    assert {task_id: (item["result"], item["score"]) for task_id, item in again.items()} == {
        task_id: (first[task_id]["result"], first[task_id]["score"]) for task_id in again
    }
    assert "v1" in demo.prelabel("versions", str(team.project))


@pytest.mark.timeout(600)
def test_an_audit_task_is_served_in_turn_with_an_empty_form(demo: Demo, page: Page) -> None:
    team = Team.with_reviews(demo, 60)
    team.connect()
    with demo.api as api:
        (backend,) = api.get("/api/ml/", params={"project": team.project}).json()
        changed = {"project": team.project, "url": backend["url"], "extra_params": {"audit_share": 0.5}}
        api.patch(f"/api/ml/{backend['id']}", json=changed).raise_for_status()
    demo.prelabel("retrain", str(team.project))
    team.reaches("v2")
    team.settle()
    stored = team.predictions("v2")
    key = next(job.key for job in demo.jobs() if job.key.startswith(f"{team.project}."))
    audit = {task_id for task_id in team.task_ids if is_audit(key, task_id, 0.5)}
    assert {task_id for task_id, item in stored.items() if not item["result"]} == audit
    in_order = sorted(stored, key=lambda task_id: float(stored[task_id]["score"]))
    assert 8 <= len(audit & set(in_order[:20])) <= 12, "among the tasks that are served first, too"

    # In the label stream, four forms: those of audit tasks are empty, all others are filled in.
    labeled: list[int] = []
    open_label_stream(page, team)
    for _ in range(4):
        wait_for(lambda: shown_task(page, team) not in {None, *labeled}, 60, "the next task")
        task_id = shown_task(page, team)
        assert task_id is not None
        labeled.append(task_id)
        label, text = team.gold[task_id], shown_review(page)
        if task_id in audit:
            assert checked(page) == []
            page.locator(f"input[name='{label}']").check(force=True)
        page.wait_for_function("() => document.querySelectorAll('input:checked').length > 0")
        page.get_by_test_id("bottombar-submit-button").click()
        page.wait_for_function("text => !document.body.innerText.includes(text)", arg=text)
    assert set(labeled) <= set(in_order[:12]), "in their turn"
    assert 1 <= len(audit & set(labeled)) <= 3
    for task_id in labeled:
        # Label Studio says so itself: no suggestion stood in the form of an audit task, at any moment.
        origin = team.annotations_of(task_id)[0]["result"][0]["origin"]
        assert origin == ("manual" if task_id in audit else "prediction")
    team.settle()
    said = demo.prelabel("status", str(team.project))
    assert "4 labels" in said
    assert len(said.strip().splitlines()) == 1
    figures = json.loads(demo.prelabel("status", str(team.project), "--json"))["metrics"]["audit"]["questions"]
    assert figures["sentiment"]["n_labels"] == len(audit & set(labeled))


def shown_task(page: Page, team: Team) -> int | None:
    """The task on the labeling screen; None while there is none."""
    body = page.inner_text("body")
    return next((team.task_of(text) for review in load_reviews()[:60] if (text := str(review["text"])) in body), None)


def votes_for(team: Team, task_id: int) -> list[str]:
    """Rules that agree with the right label: a flip that nothing speaks against can't be found by anyone."""
    from backend.domain.rules import Rule, TaskFields
    from lf_rules import movie_reviews

    review = load_reviews()[team.task_ids.index(task_id)]
    rules = [value for value in vars(movie_reviews).values() if isinstance(value, Rule)]
    return [rule.name for rule in rules if rule.function(TaskFields(review)) == team.gold[task_id]]


def test_demo_json_is_complete_and_private(demo: Demo) -> None:
    path = demo.folder / "demo.json"
    assert path.stat().st_mode & 0o777 == 0o600
    state = json.loads(path.read_text())
    assert {"Label Studio", "Redis", "Web service", "Worker 1", "Worker 2", "Scheduler"} == set(state["pids"])
    assert (demo.folder / "gold.jsonl").read_text().count("\n") == len(load_reviews())
    assert (demo.folder / "prelabel" / "redis").stat().st_mode & 0o777 == 0o700


def test_doctor_finds_nothing_to_do_in_the_demo(demo: Demo) -> None:
    said = demo.prelabel("doctor", str(demo.state["project_id"]))
    assert "BAD" not in said
    assert "personal access token" in said


def test_doctor_repairs_what_someone_broke(demo: Demo, connected: Team) -> None:
    team, version = connected, connected.info()["model_version"]
    with demo.api as api:
        changes = {"sampling": "Sequential sampling", "show_collab_predictions": False}
        api.patch(f"/api/projects/{team.project}/", json=changes).raise_for_status()
        for hook in api.get("/api/webhooks/", params={"project": team.project}).json():
            api.patch(f"/api/webhooks/{hook['id']}/", json={"headers": {}}).raise_for_status()
    said = demo.prelabel("doctor", str(team.project), "--fix")
    assert [line.split(":")[0] for line in said.splitlines() if line.startswith("BAD")] == [
        "BAD  Webhook",
        "BAD  Sampling",
        "BAD  Version",
    ]
    assert "BAD" not in demo.prelabel("doctor", str(team.project))
    info = team.info()
    assert (info["sampling"], info["model_version"]) == ("Uncertainty sampling", version)


def test_a_project_connected_by_hand_is_served_too(demo: Demo) -> None:
    team = Team.with_reviews(demo, 20)
    with demo.api as api:
        body = {"project": team.project, "url": demo.backend_url, "title": "By hand"}
        api.post("/api/ml/", json=body).raise_for_status()
    team.reaches("v1")


def test_start_training_trains_at_once(demo: Demo, connected: Team) -> None:
    team, version = connected, connected.next_version()
    with demo.api as api:
        backend = api.get("/api/ml/", params={"project": team.project}).json()[0]["id"]
        api.post(f"/api/ml/{backend}/train", json={}).raise_for_status()
    team.reaches(version)
    team.settle()
    with demo.api as api:
        assert api.get(f"/api/ml/{backend}/versions").json()["versions"]
