"""Number: a scale of what the form takes, from Label Studio's form and back, and answered by the median."""

import numpy as np
import pytest

from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.label_studio.json import format_result, parse_answers
from backend.domain.model.gold import gold_of
from backend.domain.questions import Number, from_dict, to_dict
from backend.domain.reports.figures import Metric
from backend.domain.suggestions import Suggestion
from backend.workflows.check.search import check
from backend.workflows.suggest import answer
from tests.unit.house import House, nothing


def config(limits: str) -> str:
    return f'<View><Text name="t" value="$text"/><Number name="n" toName="t" {limits}/></View>'


@pytest.mark.parametrize(
    ("limits", "labels"),
    [
        ('min="0" max="3"', ("0", "1", "2", "3")),
        ('min="-1" max="1" step="0.5"', ("-1", "-0.5", "0", "0.5", "1")),
        ('min="0.1" max="0.35" step="0.1"', ("0.1", "0.2", "0.3")),
        ('MIN="1" Max="2.9"', ("1", "2")),
    ],
)
def test_its_labels_are_what_the_form_takes(limits: str, labels: tuple[str, ...]) -> None:
    (question,) = parse_label_config(config(limits)).questions
    assert question == Number("n", "t", labels)
    assert from_dict(to_dict(question)) == question


def test_a_form_that_takes_no_two_numbers_is_left_empty() -> None:
    found = parse_label_config(config('min="3" max="1"'))
    assert found.questions == found.unlisted == ()
    assert found.unsupported == {"n": "min=3 and max=1 leave no two numbers to choose from"}


@pytest.mark.parametrize(
    "limits", ["", 'min="0"', 'min="0" max="1000"', 'min="0" max="9" step="0"', 'min="x" max="1e999"']
)
def test_where_the_numbers_cant_be_listed_it_waits_for_what_people_give(limits: str) -> None:
    found = parse_label_config(config(limits))
    assert found.questions == ()
    assert "once people have given two different answers" in found.unsupported["n"]
    one = found.fitted([[{"n": ("7",)}], [{"n": ("7.0",)}], [{"n": ("none",)}, {"other": ("8",)}]])
    assert one == found
    two = found.fitted([[{"n": ("7",)}], [{"n": ("12.5",)}]])
    assert [item.labels for item in two.questions] == [("7", "12.5")]
    assert two.unsupported == {}
    assert from_dict(to_dict(two.questions[0])) == two.questions[0]
    assert found.as_in(two.questions) == two


def test_of_many_numbers_bins_are_made_and_each_is_answered_by_one_that_people_gave() -> None:
    given = [*range(1, 41), *[100] * 30, *range(1000, 31_000, 1000)]
    answers = [[{"n": (str(number),)}] for number in given]
    (question,) = parse_label_config(config("")).fitted(answers).questions
    assert 10 <= len(question.labels) <= 20
    assert {int(label) for label in question.labels} <= set(given)
    assert [int(label) for label in question.labels] == sorted(int(label) for label in question.labels)
    places = [question.index(str(number)) for number in given]
    assert None not in places
    assert places == sorted(places, key=lambda place: place or 0)
    assert set(places) == set(range(len(question.labels)))
    # Equal numbers share a bin; what nobody gave belongs to the nearest one.
    assert [question.labels[place or 0] for place in places[40:70]] == ["100"] * 30
    assert question.read(["-5", "1e9", "many", "nan", "9" * 400]) == (question.labels[0], question.labels[-1])
    assert [question.has(said) for said in ("17.3", "inf", "")] == [True, False, False]


def test_numbers_are_written_as_numbers_and_read_whatever_they_are() -> None:
    questions = parse_label_config(config('min="0" max="2" step="0.5"')).questions
    for label, number in (("2", 2), ("0.5", 0.5)):
        (item,) = format_result(Suggestion({"n": (label,)}), questions)
        assert item == {"from_name": "n", "to_name": "t", "type": "number", "value": {"number": number}}
        assert parse_answers([item]) == {"n": (label,)}
    odd = [7, 0.75, "2", True, None, [1], 10**400]
    read = [parse_answers([{"from_name": "n", "type": "number", "value": {"number": value}}]) for value in odd]
    assert [questions[0].read(answers.get("n", ())) for answers in read] == [()] * len(odd)


def test_the_median_is_the_answer_and_being_near_counts() -> None:
    (question,) = parse_label_config(config('min="10" max="14"')).questions
    posteriors = {"n": np.array([[0.4, 0.0, 0.25, 0.35, 0.0], [np.nan] * 5])}
    assert question.answers(posteriors) == [("12",), ()]
    gold = gold_of([question], [[{"n": ("13",)}], [{"n": ("10",)}]])
    assert gold["n"].tolist() == [3, 0]
    assert question.figures(posteriors, gold) == (Metric("mean_absolute_error", 1.0),)
    coarse = Number("n", "t", ("0", "50", "200"))
    assert coarse.figures({"n": np.array([[0.0, 1.0, 0.0]])}, {"n": np.array([2])}) == (
        Metric("mean_absolute_error", 150.0),
    )
    assert [question.label_of(said) for said in (12, 12.0, "12", 12.5, None)] == ["12", "12", "12", "12.5", None]


def test_numbers_without_limits_are_learned_and_suggested_in_a_project(house: House) -> None:
    sizes = ("tiny", "large", "vast")
    rows = [{"text": f"a {sizes[n % 3]} house", "rooms": n % 3} for n in range(60)]
    house.project = house.label_studio.add_project(config(""), rows)
    house.key = f"{house.project}.1767225600-aaaaaaaa"
    house.learn()
    assert house.fake.info.model_version == "", "nothing is known of its numbers"
    prices = [(100, 101, 103), (250, 251, 259), (900, 905, 990)]
    for place, task_id in enumerate(house.task_ids[:45]):
        house.label_studio.annotate(house.project, task_id, {"n": (str(prices[place % 3][place % 9 // 3]),)})
    house.learn()
    assert house.fake.info.model_version == "v1"
    for place, task_id in enumerate(house.task_ids[45:]):
        (stored,) = house.fake.predictions[task_id]
        (item,) = stored.result
        assert item["value"]["number"] in prices[place % 3]
    late = answer(house.deps, house.key, config(""), [{"text": "a vast house", "rooms": 2}], 5.0)
    assert float(late.suggestions[0].answers["n"][0]) in prices[2]
    house.reconcile()
    assert house.fake.info.model_version == "v1", "the labels that it was trained with are no other question"
    (new,) = house.label_studio.add_tasks(house.project, [{"text": "a tiny house", "rooms": 0}])
    house.reconcile()
    assert house.fake.predictions[new][0].result[0]["value"]["number"] in prices[0]
    check(house.deps, house.key, nothing)
    assert house.deps.database.check_report(house.key).questions["n"]
