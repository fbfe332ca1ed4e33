"""Units: several rows that are decided in one task, from training to a verdict, by a type of question made up here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from scipy.sparse import csr_matrix, hstack

from backend.adapters.label_studio.controls import CONTROLS
from backend.domain.corpus import Corpus
from backend.domain.frame import Frame, frame_of
from backend.domain.label_config import LabelConfig, ShownFields
from backend.domain.label_errors.action import Action
from backend.domain.priorities.strategy import Strategy
from backend.domain.questions import TYPES, Choices, Question
from backend.domain.questions.units import Units, same_units
from backend.domain.tasks import Answer
from backend.ports import SuspectStatus
from backend.workflows.check.search import check
from backend.workflows.label_weights import weighed
from backend.workflows.measure.status import status_of
from backend.workflows.suggest import answer
from tests.unit.house import House, nothing

WIDTH = 64
WORDS = {"Good": ("bright", "warm", "kind", "fresh"), "Bad": ("dull", "cold", "rude", "stale")}


@dataclass(frozen=True)
class Lines(Question):
    """What each line of a text says: an answer is "0=Good", "2=Bad", with the number of the line."""

    kind = "lines"

    def units(self, data: Sequence[Mapping[str, object]]) -> Units:
        counts = [len(lines_of(item)) for item in data]
        regions = tuple(f"line{number}" for count in counts for number in range(count))
        return Units(len(data), np.repeat(np.arange(len(data)), counts), regions)

    def unit_features(self, units: Units, data: Sequence[Mapping[str, object]], features: csr_matrix) -> csr_matrix:
        own = np.zeros((units.n, WIDTH))
        for row, line in enumerate(line for item in data for line in lines_of(item)):
            own[row, [crc32(word.encode()) % WIDTH for word in line.split()]] = 1.0
        return csr_matrix(hstack([csr_matrix(own), 0.1 * units.spread_rows(features)], format="csr"))

    def read(self, given: Iterable[str]) -> tuple[str, ...]:
        return tuple(label for label in given if label.rpartition("=")[2] in self.labels)

    def has(self, name: str) -> bool:
        return bool(self.read([name]))

    def split(self, answer: Answer, units: Units, task: int) -> list[Answer]:
        said = {place: label for place, _, label in (item.partition("=") for item in answer)}
        n = int(units.firsts[task + 1] - units.firsts[task])
        return [(said[str(place)],) if str(place) in said else () for place in range(n)]

    def join(self, answers: Sequence[Answer], units: Units) -> list[Answer]:
        return [
            tuple(f"{place}={label}" for place, answer in enumerate(of_task) for label in answer)
            for of_task in units.grouped(answers)
        ]

    def of_region(self, answer: Answer, region: str) -> Answer:
        number = region.removeprefix("line")
        return tuple(label for place, _, label in (item.partition("=") for item in answer) if place == number)


class LinesControl:
    """How the made-up type is written."""

    hides = False
    key = "lines"

    def value(self, question: Question, answer: Answer) -> dict[str, Any]:  # noqa: ARG002 - as the others
        return {"lines": list(answer)}


LINES = Lines("mood", "text", ("Good", "Bad"))
WHOLE = Choices("sentiment", "text", ("Positive", "Negative"))
RULES = '''
from backend.domain.rules import labeling_function

@labeling_function(question="mood", labels=["Good"])
def cheers(task):
    """all of it is good"""
    return "Good" if task["text"].startswith("hurrah") else None
'''


def lines_of(data: Mapping[str, object]) -> list[str]:
    return str(data["text"]).splitlines()


def poems(n: int) -> list[dict[str, object]]:
    """Texts of one to four lines, each good or bad."""
    random, rows = np.random.default_rng(0), list[dict[str, object]]()
    for number in range(n):
        moods = ["Good"] * 2 if number % 8 == 0 else random.choice(["Good", "Bad"], 1 + number % 4).tolist()
        lines = [f"{random.choice(WORDS[mood])} {random.choice(WORDS[mood])} line {number}" for mood in moods]
        start = "hurrah " if number % 8 == 0 else ""
        rows.append({"text": start + "\n".join(lines), "n": number})
    return rows


def truth_of(data: Mapping[str, object]) -> Answer:
    """What a careful annotator answers."""
    moods = ["Good" if set(line.split()) & set(WORDS["Good"]) else "Bad" for line in lines_of(data)]
    return tuple(f"{place}={mood}" for place, mood in enumerate(moods))


@pytest.fixture
def poetry(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A project that asks both what each line says, and what the whole text does."""
    monkeypatch.setitem(TYPES, Lines.kind, Lines)
    monkeypatch.setitem(CONTROLS, Lines.kind, LinesControl())
    (house.version_folder(1).parents[2] / "rules" / "lines.py").write_text(RULES)
    config = LabelConfig((LINES, WHOLE), shown=ShownFields(texts=("text",)))
    policy = house.deps.policy
    house.deps = replace(
        house.deps,
        parse_label_config=lambda _: config,
        # Which classifier is the best one matters nothing here.
        policy=lambda key: replace(policy(key), choice_s=0.0),
    )
    house.project = house.label_studio.add_project('<View "mood" "sentiment"/>', poems(60))
    house.key = f"{house.project}.1767225600-aaaaaaaa"
    house.reconcile()
    return house


def label(house: House, task_ids: Sequence[int], wrong: Mapping[int, str] | None = None) -> None:
    """Answer both questions; `wrong`: of some tasks the line (its region) that is answered wrongly."""
    for task_id in task_ids:
        said = truth_of(house.fake.tasks[task_id].task.data)
        line = (wrong or {}).get(task_id, "").removeprefix("line")
        other = {"Good": "Bad", "Bad": "Good"}
        given = tuple(
            f"{place}={other[mood] if place == line else mood}"
            for place, _, mood in (item.partition("=") for item in said)
        )
        whole = "Positive" if said[0] == "0=Good" else "Negative"
        house.label_studio.annotate(house.project, task_id, {"mood": given, "sentiment": (whole,)})


def test_units_become_their_tasks_and_tasks_their_units() -> None:
    units = Units(4, np.array([0, 0, 2, 3, 3, 3]), ("a", "b", "a", "a", "b", "c"))
    values = np.array([0.4, 0.2, np.nan, 0.9, np.nan, 0.5])
    np.testing.assert_array_equal(units.least(values), [0.2, np.nan, np.nan, 0.5])
    np.testing.assert_array_equal(units.most(np.nan_to_num(values)), [0.4, 0, 0, 0.9])
    np.testing.assert_array_equal(units.any(values > 0.3), [True, False, False, True])
    np.testing.assert_array_equal(units.all(values > 0.3), [False, False, False, False])
    np.testing.assert_array_equal(units.total(np.arange(6.0)), [1, 0, 2, 12])
    np.testing.assert_array_equal(units.spread(np.arange(4)), [0, 0, 2, 3, 3, 3])
    assert [list(of_task) for of_task in units.grouped("abcdef")] == [["a", "b"], [], ["c"], ["d", "e", "f"]]
    some = units.part(np.array([3, 0]))
    np.testing.assert_array_equal(units.of_tasks(np.array([3, 0])), [3, 4, 5, 0, 1])
    assert some.of_task is not None
    assert some.of_task.tolist() == [0, 0, 0, 1, 1]
    assert some.regions == ("a", "b", "c", "a", "b")


def test_where_each_task_is_one_unit_nothing_is_copied() -> None:
    units, values = Units(5), np.arange(5.0)
    for made in (units.least, units.most, units.total, units.spread):
        assert made(values) is values
    rows = np.array([1, 4])
    assert units.of_tasks(rows) is rows
    features = csr_matrix(np.eye(5))
    assert WHOLE.unit_features(units, [{}] * 5, features) is features


def test_units_that_dont_fit_their_tasks_or_their_frame_are_refused() -> None:
    with pytest.raises(ValueError, match="never fall"):
        Units(2, np.array([1, 0]))
    with pytest.raises(ValueError, match="2 regions of 3 units"):
        Units(3, None, ("a", "b"))
    with pytest.raises(ValueError, match=r"'sentiment' has 2 units.*gold of 'sentiment'.*3"):
        Frame((WHOLE,), {"sentiment": Units(2)}, gold={"sentiment": np.zeros(3, dtype=np.int64)})


def test_units_of_an_earlier_time_are_found_again() -> None:
    ids, then_ids = np.array([7, 8, 9]), np.array([9, 7, 5])
    np.testing.assert_array_equal(same_units(Units(3), ids, Units(3), then_ids), [1, -1, 0])
    now = Units(3, np.array([0, 0, 1, 2, 2]), ("a", "b", "a", "a", "c"))
    then = Units(3, np.array([0, 0, 1, 1, 2]), ("a", "b", "a", "b", "a"))
    np.testing.assert_array_equal(same_units(now, ids, then, then_ids), [2, 3, -1, 0, -1])
    np.testing.assert_array_equal(same_units(now, ids, Units(3), then_ids), [-1] * 5)
    np.testing.assert_array_equal(same_units(now, ids, Units(0), np.zeros(0, dtype=np.int64)), [-1] * 5)


def test_lines_are_learned_suggested_and_ranked_as_tasks(poetry: House) -> None:
    ids = poetry.task_ids
    label(poetry, ids[:40])
    poetry.audit_share = 0.3
    poetry.learn()
    corpus = Corpus(poetry.key, LabelConfig((LINES, WHOLE)), poetry.deps.database.tasks(poetry.key))
    n_lines = corpus.units["mood"].n
    assert n_lines > len(ids)
    task_ids, held_out = poetry.versions.held_out(poetry.key, 1)
    assert task_ids.tolist() == ids
    assert held_out["mood"].shape == (n_lines, 2)
    assert held_out["sentiment"].shape == (len(ids), 2)
    kept = poetry.versions.units(poetry.key, 1)
    assert list(kept) == ["mood"]
    assert kept["mood"].regions == corpus.units["mood"].regions
    # A rule's vote on a text is one on each of its lines.
    sources, votes = poetry.versions.votes(poetry.key, 1)["mood"]
    cheered = corpus.units["mood"].spread(np.array([str(item["text"]).startswith("hurrah") for item in corpus.data]))
    np.testing.assert_array_equal(votes[:, sources.index("cheers")] == 0, cheered)

    suggested = {item.task_id: item.suggestion for item in poetry.versions.predictions(poetry.key, 1)}
    assert sorted(suggested) == ids[40:]
    right = [suggested[item].answers["mood"] == truth_of(poetry.fake.tasks[item].task.data) for item in suggested]
    assert np.mean(right) > 0.9
    data = [poetry.fake.tasks[task_id].task.data for task_id in suggested]
    model = poetry.versions.model(poetry.key, 1)
    assert {tuple(item.answers["mood"]) for item in answer(poetry.deps, poetry.key, "", data, 60.0).suggestions} == {
        item.answers["mood"] for item in suggested.values()
    }
    # As sure as its least sure line.
    frame = replace(frame_of((LINES, WHOLE), data))
    lines = model.posteriors(data, frame)["mood"].max(axis=1)
    lowest = [float(np.min(of_task)) for of_task in frame.units["mood"].grouped(lines)]
    unvoted = [place for place, item in enumerate(data) if not str(item["text"]).startswith("hurrah")]
    sure = [item.per_question["mood"] for item in suggested.values()]
    np.testing.assert_allclose(np.array(sure)[unvoted], np.array(lowest)[unvoted], atol=1e-9)


@pytest.mark.parametrize("strategy", [Strategy.AUTO, Strategy.VOTE_ENTROPY, Strategy.EXPECTED_ERROR])
def test_every_open_task_has_one_place_in_the_queue(poetry: House, strategy: Strategy) -> None:
    label(poetry, poetry.task_ids[:30])
    poetry.strategy = strategy
    poetry.learn()
    queue = poetry.versions.predictions(poetry.key, 1)
    assert sorted(item.task_id for item in queue) == poetry.task_ids[30:]
    assert sum(item.is_served for item in queue) == poetry.top_tasks


def test_figures_count_tasks_whose_lines_are_all_right(poetry: House) -> None:
    ids = poetry.task_ids
    poetry.audit_share = 0.5
    label(poetry, ids[:20])
    poetry.learn()
    label(poetry, ids[20:50])
    poetry.reconcile()
    poetry.learn()
    metrics = poetry.versions.metrics(poetry.key, 2)
    figures = metrics.questions["mood"]
    assert figures.n_labels == 50
    assert figures.accuracy is not None
    assert figures.accuracy > 0.9
    assert metrics.audit is not None
    assert metrics.audit.questions["mood"].n_labels < 50
    assert metrics.progress["mood"].n <= 50
    assert metrics.progress["mood"].agreement is not None
    record = poetry.deps.database.project(poetry.key)
    assert record is not None
    assert {item.question for item in status_of(poetry.deps, record).accuracies} == {"mood", "sentiment"}


def test_a_wrong_line_is_a_suspect_of_its_own_until_it_is_mended(poetry: House) -> None:
    ids = poetry.task_ids
    # The third line of texts that have more.
    wrong = dict.fromkeys([task_id for place, task_id in enumerate(ids[:56]) if place % 16 == 11], "line2")
    label(poetry, ids[:56], wrong)
    poetry.learn()
    check(poetry.deps, poetry.key, nothing)
    suspects = {
        (item.task_id, item.region): item
        for item in poetry.deps.database.suspects(poetry.key)
        if item.question == "mood"
    }
    assert {(task_id, region) for task_id, region in wrong.items()} <= set(suspects)
    assert len(suspects) <= len(wrong) + 2
    first = next(iter(wrong))
    found = suspects[first, "line2"]
    mended = dict(item.split("=") for item in truth_of(poetry.fake.tasks[first].task.data))["2"]
    assert (found.given, found.expected) == (({"Good": "Bad", "Bad": "Good"}[mended],), (mended,))

    poetry.check_action = Action.EXCLUDE
    corpus = Corpus(poetry.key, LabelConfig((LINES, WHOLE)), poetry.deps.database.tasks(poetry.key))
    left_out = np.flatnonzero((weighed(poetry.deps, corpus).gold["mood"] < 0) & (corpus.gold["mood"] >= 0))
    places = [
        (corpus.ids[corpus.units["mood"].task(unit)], corpus.units["mood"].region(unit)) for unit in left_out.tolist()
    ]
    assert set(places) == set(suspects)

    poetry.check_action = Action.RELABEL
    label(poetry, [first])
    poetry.reconcile()
    (verdict,) = [item for item in poetry.deps.database.verdicts(poetry.key) if item.question == "mood"]
    assert (verdict.region, verdict.status) == ("line2", SuspectStatus.FIXED)


def test_two_annotators_are_compared_line_by_line_and_agree_on_tasks(poetry: House) -> None:
    poetry.fake.overlap = 2
    ids = poetry.task_ids
    label(poetry, ids[:40])
    for task_id in ids[:12]:
        said = truth_of(poetry.fake.tasks[task_id].task.data)
        other = ("0=Bad" if said[0] == "0=Good" else "0=Good", *said[1:]) if task_id in ids[:4] else said
        poetry.label_studio.annotate(poetry.project, task_id, {"mood": other}, annotator=2)
    poetry.learn()
    check(poetry.deps, poetry.key, nothing)
    told = poetry.deps.database.check_report(poetry.key).questions["mood"].consensus
    assert told is not None
    assert (told.n_shared, told.n_agree) == (12, 8)
    assert list(told.tasks) == ids[:12]
    suspects = [item for item in poetry.deps.database.suspects(poetry.key) if item.task_id in ids[:4]]
    assert {(item.task_id, item.region) for item in suspects if item.question == "mood"} >= {
        (item, "line0") for item in ids[:4]
    }
