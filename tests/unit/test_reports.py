"""Reports as JSON, as this release and others wrote them."""

import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from backend.adapters.versions.folders import VersionFolders
from backend.domain.codec import Unreadable, from_json, omitted, to_json
from backend.domain.reports.figures import Metric
from backend.domain.reports.version import Agreement, Gain, ProgressFigures, QuestionFigures, VersionMetrics
from backend.errors import ModelMissing

EARLIER = Path(__file__).parents[1] / "frozen" / "earlier" / "0.1.0.tar.xz"


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Part:
    name: str
    n: int = 0
    note: str = omitted("")


@dataclass(frozen=True)
class Line:
    name: str
    n: int = 0
    share: float | None = None
    ends: tuple[float, float] = (0.0, 1.0)
    colour: Colour = Colour.RED
    parts: tuple[Part, ...] = ()
    by_name: Mapping[str, float] = field(default_factory=dict)
    done: bool = False
    note: str = omitted("")


def test_a_record_comes_back_as_it_was() -> None:
    line = Line("a", 3, 0.5, (0.2, 0.8), Colour.RED, (Part("b", note="odd"),), {"x": 1.5}, done=True)
    text = json.dumps(to_json(line))
    assert from_json(Line, json.loads(text)) == line
    assert to_json(Line("a")) == {
        "name": "a",
        "n": 0,
        "share": None,
        "ends": [0.0, 1.0],
        "colour": "red",
        "parts": [],
        "by_name": {},
        "done": False,
    }


def test_what_is_missing_is_the_default_and_what_is_unknown_is_left_out() -> None:
    assert from_json(Line, {"name": "a", "of a newer release": {"x": 1}}) == Line("a")
    assert from_json(Line, {"name": "a", "share": float("nan")}) == Line("a"), "nothing was known"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "it is [], not a JSON object"),
        ({}, "name is missing"),
        ({"name": 1}, "name is 1, not a str"),
        ({"name": "a", "n": "3"}, "n is '3', not a whole number"),
        ({"name": "a", "n": 1.5}, "n is 1.5, not a whole number"),
        ({"name": "a", "n": True}, "n is True, not a whole number"),
        ({"name": "a", "n": 10**30}, "n is 1000000000000000000000000000000, not a whole number"),
        ({"name": "a", "share": "half"}, "share is 'half', not a number"),
        ({"name": "a", "ends": [0.0]}, "ends is [0.0], not a list of 2"),
        ({"name": "a", "ends": [0.0, "1"]}, "ends.1 is '1', not a number"),
        ({"name": "a", "colour": "green"}, "colour is 'green', not a word of red"),
        ({"name": "a", "parts": [{"name": "b"}, {"name": "c", "n": None}]}, "parts.1.n is None, not a whole number"),
        ({"name": "a", "parts": "b"}, "parts is 'b', not a list"),
        ({"name": "a", "by_name": {"x": float("inf")}}, "by_name.x is inf, not a number"),
        ({"name": "a", "done": 1}, "done is 1, not a bool"),
    ],
)
def test_what_is_something_else_is_named_by_its_place(found: object, said: str) -> None:
    with pytest.raises(Unreadable) as caught:
        from_json(Line, found)
    assert str(caught.value) == said


def metrics_of_an_earlier_release() -> Iterator[dict[str, Any]]:
    with tarfile.open(EARLIER) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member) if member.name.endswith("/metrics.json") else None
            if file is not None:
                yield json.load(file)


def test_metrics_of_an_earlier_release_lose_nothing() -> None:
    each = list(metrics_of_an_earlier_release())
    assert len(each) == 4
    for found in each:
        assert json.loads(json.dumps(to_json(from_json(VersionMetrics, found)))) == found
    stars = from_json(VersionMetrics, each[0]).questions["stars"]
    assert [item.name for item in stars.own] == ["mean_absolute_error"]
    assert stars.n_labels == 23


def test_metrics_that_are_damaged_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "projects" / "1.2-a" / "v3"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text('{"n_tasks": 3, "questions": {"q": {"n_labels": "many"}}}')
    with pytest.raises(ModelMissing, match=r"metrics of v3 .*questions.q.n_labels is 'many', not a whole number"):
        VersionFolders(tmp_path, f"sqlite:///{tmp_path}/x.sqlite3").metrics("1.2-a", 3)


def test_metrics_of_a_release_before_that_are_read() -> None:
    assert from_json(VersionMetrics, {"n_tasks": 3}) == VersionMetrics(3)
    assert to_json(from_json(VersionMetrics, {"n_tasks": 3}))["questions"] == {}


def test_a_type_of_question_has_figures_of_its_own_beside_the_others() -> None:
    own = (Metric("span_f1", 0.8, (0.7, 0.9)), Metric("off_by", None))
    written = to_json(QuestionFigures(n_labels=5, own=own))
    assert {name: written[name] for name in ("n_labels", "span_f1", "span_f1_interval", "off_by")} == {
        "n_labels": 5,
        "span_f1": 0.8,
        "span_f1_interval": [0.7, 0.9],
        "off_by": None,
    }
    assert from_json(QuestionFigures, written).own == own


def test_progress_is_written_as_scripts_know_it() -> None:
    gain = Gain(0.1, (0.0, 0.2))
    figures = ProgressFigures("audit tasks", 30, ((10, 5), (20, 9)), gain, None, Agreement(0.9, 10, 20))
    assert json.loads(json.dumps(to_json(figures))) == {
        "measured_on": "audit tasks",
        "n": 30,
        "curve": [[10, 5], [20, 9]],
        "recent_gain": {"gain": 0.1, "interval": [0.0, 0.2]},
        "expected_gain": None,
        "agreement": {"kappa": 0.9, "n_before": 10, "n_labels": 20},
    }
