"""Data issues of a project: in the report of a check, in the command, and as tags that come and go."""

import csv
import json
from pathlib import Path

import pytest

from backend.adapters.label_studio.config import parse_label_config
from backend.domain.corpus import Corpus
from backend.domain.tasks import MirroredTask, Task
from backend.entrypoints.cli.annotators import checked_json
from backend.entrypoints.cli.check import print_checked
from backend.entrypoints.cli.issues import export_issues
from backend.errors import ConfigurationError, LabelStudioError
from backend.workflows.check.data_issues import data_issues_of
from backend.workflows.check.search import check
from backend.workflows.check.suspects import checked
from tests.screen import screen
from tests.unit.house import House, nothing

IMAGES = '<View><Image name="i" value="$image"/><Choices name="c" toName="i"><Choice value="a"/></Choices></View>'


def tags(house: House) -> dict[int, str]:
    """What the tab "Prelabel: data" lists."""
    found = {number: str(item.task.data.get("prelabel_issue", "")) for number, item in house.fake.tasks.items()}
    return {number: text for number, text in found.items() if ":" in text}


def look(house: House) -> None:
    check(house.deps, house.key, nothing)


@pytest.fixture
def odd(house: House) -> list[int]:
    """A copy of the first task with another label, an empty text, one in another script, and noise."""
    first = house.fake.tasks[house.task_ids[0]].task.data
    texts = [f"{first['text']}!", " ", "Сервис был очень хорош во всех отношениях", "?!" * 20]
    added = house.label_studio.add_tasks(house.project, [{"text": text, "n": 1} for text in texts])
    house.annotate([*house.task_ids[:40], added[0]])
    house.learn()
    look(house)
    return [house.task_ids[0], *added]


def test_what_is_wrong_with_a_task_is_said_in_its_data(house: House, odd: list[int]) -> None:
    found = tags(house)
    assert found[odd[0]] == f"near-duplicates with different labels: task {odd[1]}"
    assert found[odd[1]] == f"near-duplicates with different labels: task {odd[0]}"
    assert found[odd[2]] == "empty: there is nothing to read"
    assert found[odd[3]].startswith("foreign language: ")
    assert found[odd[4]].startswith("odd text: ")
    assert "Prelabel: data" in {tab.title for tab in house.fake.tabs.values()}
    assert house.fake.tasks[odd[2]].task.data["text"] == " "


def test_a_second_check_writes_no_tag_and_makes_no_tab(house: House, odd: list[int]) -> None:
    house.label_studio.calls.clear()
    look(house)
    assert not {"tag", "create_tab"} & set(house.label_studio.calls)


def test_a_tag_goes_when_the_issue_is_gone(house: House, odd: list[int]) -> None:
    other = "Negative" if house.gold(house.task_ids[0]) == "Positive" else "Positive"
    house.label_studio.annotate(house.project, odd[0], {"sentiment": (other,)})
    house.label_studio.delete_task(house.project, odd[4])
    house.reconcile()
    look(house)
    assert tags(house)[odd[0]] == f"near-duplicates: task {odd[1]}"
    house.label_studio.delete_task(house.project, odd[1])
    house.reconcile()
    look(house)
    assert odd[0] not in tags(house)


def test_no_more_than_the_budget_are_tagged_the_conflicts_first(house: House, odd: list[int]) -> None:
    house.check_budget = 2
    look(house)
    assert set(tags(house)) == {odd[0], odd[1]}
    assert len(checked(house.deps, house.key).report.data_issues.listed) > 2
    house.check_budget = 0
    look(house)
    assert tags(house) == {}


def test_tags_that_could_not_be_written_are_written_with_the_next_check(house: House, odd: list[int]) -> None:
    before = tags(house)
    house.check_budget = 0
    house.label_studio.fail_next["tag"] = LabelStudioError("away")
    with pytest.raises(LabelStudioError):
        look(house)
    house.check_budget = 200
    look(house)
    house.check_budget = 0
    look(house)
    assert before
    assert tags(house) == {}


def test_the_command_shows_issues_as_a_table_as_json_and_as_a_file(
    house: House, odd: list[int], tmp_path: Path
) -> None:
    found = checked(house.deps, house.key)
    with screen() as text:
        print_checked(found, 50)
    said = text.getvalue()
    assert f"near-duplicates with different labels: task {odd[1]}" in said
    assert "empty 1" in said
    listed = json.loads(json.dumps(checked_json(found, 50, {})))["data_issues"]["listed"]
    assert {item["task"] for item in listed} >= set(odd)
    export_issues(tmp_path / "issues.csv", found.report)
    rows = list(csv.DictReader((tmp_path / "issues.csv").open(newline="")))
    assert (rows[0]["issue"], rows[0]["like"]) == ("near-duplicates with different labels", str(odd[1]))
    with pytest.raises(ConfigurationError, match=r"issues\.csv can't be written"):
        export_issues(tmp_path / "none" / "issues.csv", found.report)


def test_an_image_is_not_called_an_empty_text() -> None:
    items = [MirroredTask(Task(number, {"image": f"/{number}.png"})) for number in range(30)]
    empty = MirroredTask(Task(99, {"image": ""}))
    found = data_issues_of(Corpus("p", parse_label_config(IMAGES), [*items, empty]), None)
    assert [(item.task, item.kind) for item in found.listed] == [(99, "empty")]


def test_texts_behind_addresses_are_not_compared_by_these() -> None:
    config = '<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="a"/></Choices></View>'
    items = [MirroredTask(Task(number, {"text": f"s3://bucket/text {number % 2}.txt"})) for number in range(30)]
    assert data_issues_of(Corpus("p", parse_label_config(config), items), None).counts == {}


def test_a_text_that_ends_in_a_file_name_is_read_and_a_field_of_file_names_is_none() -> None:
    config = '<View><Text name="t" value="$t"/><Choices name="q" toName="t"><Choice value="x"/></Choices></View>'
    texts = ["I can't open report.pdf", "i can't open report.pdf!", "All is well", "The app crashes", "It works"]
    items = [MirroredTask(Task(number, {"t": text})) for number, text in enumerate(texts)]
    (one, other) = data_issues_of(Corpus("p", parse_label_config(config), items), None).listed
    assert (one.kind, one.task, one.others) == ("near-duplicates", 0, (1,))
    assert (other.task, other.others) == (1, (0,))
    names = [MirroredTask(Task(number, {"t": "Dog photo.jpg"})) for number in range(5)]
    assert data_issues_of(Corpus("p", parse_label_config(config), [*names, items[2]]), None).counts == {}
