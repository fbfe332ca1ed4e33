"""The LlmRecords port on SQLite and on a real Postgres."""

import math
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy.exc import IntegrityError

from backend.adapters.sql import engine as sql_module
from backend.adapters.sql import llm_records
from backend.adapters.sql.database import SqlDatabase
from backend.adapters.sql.engine import Sql
from backend.adapters.sql.llm_records import SqlEndpointMemory, SqlLlmRecords
from backend.domain.llm.records import Calibration, ConfidenceKind, LlmAnswer, LlmSource, Problem, ReplyFormat
from backend.domain.reports.llm import SourceReport
from backend.errors import ConfigurationError
from backend.ports import ProjectRecord
from backend.ports.llm import BulkRecord, Claim, EndpointState, LlmRecords, SourceRecord, Spending

Result = TypeVar("Result")


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def records(database_url: str, clock: Clock) -> LlmRecords:
    return SqlLlmRecords(database_url, clock)


@pytest.fixture
def source(key: str) -> LlmSource:
    # Answers are shared by all projects, so each test has a prompt of its own.
    return LlmSource("question", "model", f"prompt {key}")


def answer(source: LlmSource, content: str, *labels: str, price: float = 0.0) -> LlmAnswer:
    return LlmAnswer(content, source.prompt, source.model, labels, price_usd=price, answered_at=5.0)


def claimed(
    records: LlmRecords,
    key: str,
    source: LlmSource,
    *contents: str,
    price: float = 0.1,
    budget: float = 1.0,
    lasts: float = 60,
) -> Claim:
    claim = records.claim(key, source, contents, price, budget, lasts)
    assert claim is not None
    return claim


def at_once(number: int, call: Callable[[], Result]) -> list[Result]:
    """Results of so many threads that start together."""
    start, results = threading.Barrier(number), list[Result]()

    def run() -> None:
        start.wait()
        results.append(call())

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_answers_are_forgotten_by_their_problem_and_can_be_claimed_again(
    records: LlmRecords, key: str, source: LlmSource
) -> None:
    given = [
        answer(source, "a", "A"),
        replace(answer(source, "b"), problem=Problem.CUT_OFF),
        replace(answer(source, "c"), problem=Problem.OFF_LIST),
        replace(answer(source, "d"), problem=Problem.CUT_OFF),
    ]
    records.settle(claimed(records, key, source, *"abcd"), given, 0.05)
    assert records.forget_answers(source, ["a", "b", "c"], {Problem.CUT_OFF, Problem.NO_JSON}) == 1
    assert records.forget_answers(replace(source, model="another"), ["d"], {Problem.CUT_OFF}) == 0
    assert records.answers(source.prompt, source.model, "abcd").keys() == {"a", "c", "d"}
    assert records.spending(key).spent == pytest.approx(0.05)
    assert claimed(records, key, source, *"abcd").contents == ("b",)


def test_gives_back_the_answers_it_was_given(records: LlmRecords, key: str, source: LlmSource) -> None:
    full = LlmAnswer(
        "content żółw", source.prompt, source.model, ("Żółw 🐢", 'a "b"', "\x00\n"), Problem.NONE,
        0.1 + 0.2, ConfidenceKind.LOGPROBS, 12, 3, 1e-7 / 3, 0.25, 1234567890.123456,
    )  # fmt: skip
    abstained = [answer(source, problem.name) for problem in Problem]
    abstained = [replace(item, problem=problem) for item, problem in zip(abstained, Problem, strict=True)]
    given = [full, *abstained]
    claim = claimed(records, key, source, *(item.content for item in given))
    records.settle(claim, given, 0.05)
    contents = [item.content for item in given]
    assert records.answers(source.prompt, source.model, contents) == {item.content: item for item in given}
    assert records.answers(source.prompt, source.model, {"NONE", "unknown"}).keys() == {"NONE"}
    assert records.answers(source.prompt, "another model", contents) == {}
    assert records.answers("another prompt", source.model, contents) == {}
    assert records.answers(source.prompt, source.model, []) == {}


def test_holds_more_contents_than_one_statement_takes(records: LlmRecords, key: str, source: LlmSource) -> None:
    contents = [f"c{number}" for number in range(2500)]
    claim = claimed(records, key, source, *contents)
    assert claim.contents == tuple(contents)
    assert records.claim(key, source, contents, 0.1, 1.0, 60) is None
    records.settle(claim, [answer(source, content, "A") for content in contents[:2400]], 0.1)
    assert set(records.answers(source.prompt, source.model, contents)) == set(contents[:2400])
    assert claimed(records, key, source, *contents).contents == tuple(contents[2400:])


def test_claims_only_what_has_no_answer_and_no_living_claim(records: LlmRecords, key: str, source: LlmSource) -> None:
    records.settle(claimed(records, key, source, "answered"), [answer(source, "answered", "A")], 0.0)
    claimed(records, key, source, "claimed", price=0.0)
    claim = claimed(records, key, source, "b", "answered", "a", "claimed", "b")
    assert claim.contents == ("b", "a")
    assert records.claim(key, source, ["answered", "claimed", "a"], 0.1, 1.0, 60) is None
    assert records.claim(key, source, [], 0.1, 1.0, 60) is None
    assert records.spending(key).held == 0.1


def test_another_prompt_or_model_is_asked_about_the_same_content(
    records: LlmRecords, key: str, source: LlmSource
) -> None:
    others = [replace(source, model="other"), replace(source, prompt=source.prompt + "2")]
    assert [claimed(records, key, each, "a").contents for each in [source, *others]] == [("a",)] * 3


def test_the_same_content_in_another_project_is_not_asked_again(
    records: LlmRecords, key: str, source: LlmSource
) -> None:
    other = key + "0"
    claim = claimed(records, key, source, "a", "b")
    assert claimed(records, other, source, "a", "b", "c").contents == ("c",)
    records.settle(claim, [answer(source, "a", "A", price=0.02)], 0.02)
    # What it left unanswered is free, for the other project too.
    assert claimed(records, other, source, "a", "b").contents == ("b",)
    assert records.answers(source.prompt, source.model, ["a"])["a"].labels == ("A",)
    assert records.spending(key) == Spending(spent=0.02)
    assert records.spending(other) == Spending(held=0.2)


def test_another_project_takes_over_what_an_expired_claim_left(
    records: LlmRecords, key: str, source: LlmSource, clock: Clock
) -> None:
    other = key + "0"
    late = claimed(records, key, source, "a", lasts=60)
    clock.time += 60
    taken = claimed(records, other, source, "a")
    assert taken.contents == ("a",)
    assert records.claim(key, source, ["a"], 0.1, 1.0, 60) is None
    records.settle(late, [], 0.0)
    # The first worker's end doesn't set free what is the second's now.
    assert records.claim(key, source, ["a"], 0.1, 1.0, 60) is None
    assert (records.spending(key).total, records.spending(other).held) == (0, 0.1)


def test_money_is_held_then_spent_and_the_rest_given_back(records: LlmRecords, key: str, source: LlmSource) -> None:
    assert records.spending(key) == Spending()
    claim = claimed(records, key, source, "a", price=0.5)
    assert records.spending(key) == Spending(held=0.5)
    records.reduce(claim, 0.3)
    assert records.spending(key) == Spending(held=0.3)
    records.reduce(claim, 0.4)
    assert records.spending(key) == Spending(held=0.3)
    records.settle(claim, [answer(source, "a", "A")], 0.1)
    assert records.spending(key) == Spending(spent=0.1)


def test_a_reservation_is_made_as_a_whole_or_not_at_all(records: LlmRecords, key: str, source: LlmSource) -> None:
    claim = claimed(records, key, source, "a", price=0.7)
    assert records.claim(key, source, ["b"], 0.31, 1.0, 60) is None
    assert records.spending(key) == Spending(held=0.7)
    claimed(records, key, source, "b", price=0.3)
    assert records.claim(key, source, ["c"], 1e-9, 1.0, 60) is None
    claimed(records, key, source, "c", price=0.0)
    records.settle(claim, [], 0.0)
    claimed(records, key, source, "d", price=0.7)


def test_many_small_prices_fill_a_budget_to_the_last_of_them(records: LlmRecords, key: str, source: LlmSource) -> None:
    # As floats, ten times 0.1 is less than 1, and three times is more than 0.3.
    for number in range(10):
        claimed(records, key, source, f"c{number}", price=0.1, budget=1.0)
    assert records.claim(key, source, ["one more"], 0.1, 1.0, 60) is None
    assert records.spending(key) == Spending(held=1.0)
    for number in range(3):
        claimed(records, key + "0", source, f"d{number}", price=0.1, budget=0.3)
    assert records.claim(key + "0", source, ["one more"], 1e-9, 0.3, 60) is None


def test_a_budget_belongs_to_one_project(records: LlmRecords, key: str, source: LlmSource) -> None:
    claimed(records, key, source, "a", price=1.0, budget=1.0)
    claimed(records, key + "0", source, "b", price=1.0, budget=1.0)
    assert records.claim(key, source, ["c"], 0.1, 1.0, 60) is None


@pytest.mark.parametrize("usd", [math.nan, math.inf, -1.0])
def test_what_is_no_amount_of_money_is_an_error(records: LlmRecords, key: str, source: LlmSource, usd: float) -> None:
    claim = claimed(records, key, source, "a")
    with pytest.raises(ValueError, match="no amount"):
        records.claim(key, source, ["b"], usd, 1.0, 60)
    with pytest.raises(ValueError, match="no amount"):
        records.claim(key, source, ["b"], 0.1, usd, 60)
    with pytest.raises(ValueError, match="no amount"):
        records.reduce(claim, usd)
    assert records.spending(key) == Spending(held=0.1)


def test_an_expired_claim_counts_as_spent_and_its_contents_are_free(
    records: LlmRecords, key: str, source: LlmSource, clock: Clock
) -> None:
    claimed(records, key, source, "a", price=0.4, lasts=60)
    clock.time += 59.9
    assert records.claim(key, source, ["a"], 0.4, 1.0, 60) is None
    assert records.spending(key) == Spending(held=0.4)
    clock.time += 0.1
    assert records.spending(key) == Spending(unknown=0.4)
    assert claimed(records, key, source, "a", price=0.4).contents == ("a",)
    assert records.spending(key) == Spending(held=0.4, unknown=0.4)
    clock.time += 60
    # Twice 0.4 may have been charged: there is no room for a third time.
    assert records.claim(key, source, ["a"], 0.4, 1.0, 60) is None
    assert records.spending(key) == Spending(unknown=0.8)


def test_answers_that_come_after_their_claim_expired_are_kept_and_paid(
    records: LlmRecords, key: str, source: LlmSource, clock: Clock
) -> None:
    late = claimed(records, key, source, "a", "b", price=0.4, lasts=60)
    clock.time += 60
    second = claimed(records, key, source, "a", price=0.2)
    records.settle(second, [answer(source, "a", "first to come")], 0.05)
    assert records.spending(key) == Spending(spent=0.05, unknown=0.4)
    records.settle(late, [answer(source, "a", "too late"), answer(source, "b", "B")], 0.3)
    found = records.answers(source.prompt, source.model, ["a", "b"])
    assert {content: item.labels for content, item in found.items()} == {"a": ("first to come",), "b": ("B",)}
    assert records.spending(key) == Spending(spent=0.35)


def test_a_late_settlement_leaves_the_next_workers_claim_alone(
    records: LlmRecords, key: str, source: LlmSource, clock: Clock
) -> None:
    late = claimed(records, key, source, "a", price=0.4, lasts=60)
    clock.time += 60
    records.settle(late, [], 0.1)  # expired, but nobody has swept it
    assert records.spending(key) == Spending(spent=0.1)
    late = claimed(records, key, source, "a", price=0.4, lasts=60)
    clock.time += 60
    second = claimed(records, key, source, "a", price=0.2)
    records.reduce(late, 0.3)
    assert records.spending(key) == Spending(spent=0.1, held=0.2, unknown=0.3)
    records.settle(late, [], 0.0)
    assert records.claim(key, source, ["a"], 0.1, 1.0, 60) is None
    records.settle(second, [answer(source, "a", "A")], 0.2)
    assert records.spending(key).total == pytest.approx(0.3)


def test_settling_twice_pays_once(records: LlmRecords, key: str, source: LlmSource) -> None:
    claim = claimed(records, key, source, "a")
    for labels in (("A",), ("B",)):
        records.settle(claim, [answer(source, "a", *labels)], 0.04)
    assert records.answers(source.prompt, source.model, ["a"])["a"].labels == ("A",)
    assert records.spending(key) == Spending(spent=0.04)
    records.reduce(claim, 0.0)
    assert records.spending(key) == Spending(spent=0.04)


def test_a_settlement_is_all_or_nothing(records: LlmRecords, key: str, source: LlmSource) -> None:
    claim = claimed(records, key, source, "a", "b")
    broken = replace(answer(source, "b", "B"), latency_s=None)  # type: ignore[arg-type]
    with pytest.raises(IntegrityError):
        records.settle(claim, [answer(source, "a", "A"), broken], 0.05)
    assert records.answers(source.prompt, source.model, ["a", "b"]) == {}
    assert records.spending(key) == Spending(held=0.1)
    records.settle(claim, [answer(source, "a", "A")], 0.05)
    assert records.spending(key) == Spending(spent=0.05)


def test_threads_that_want_the_same_contents_get_each_of_them_once(
    records: LlmRecords, key: str, source: LlmSource
) -> None:
    other = key + "0"
    keys = iter([key, other] * 4)
    got = at_once(8, lambda: records.claim(next(keys), source, ["a", "b", "c"], 0.1, 1.0, 60))
    assert sorted(claim.contents for claim in got if claim is not None) == [("a", "b", "c")]
    assert records.spending(key).held + records.spending(other).held == 0.1


def test_sources_are_kept_by_model_prompt_and_question(records: LlmRecords, key: str, source: LlmSource) -> None:
    assert records.sources(key) == []
    learned = Calibration("isotonic", 1.0, ((0.1, 0.2), (1 / 3, 0.9)))
    report = SourceReport(3, problems={"Żółw 🐢": 1}, kappa=0.1 + 0.2, kappa_interval=(0.0, 1 / 3))
    first = SourceRecord(
        replace(source, examples=4, samples=3), "Żółw\x00 🐢\n" * 1000, True, True, learned, 0.7, report
    )
    second = SourceRecord(replace(source, question="another"), "")
    third = SourceRecord(replace(source, model="a model"), "x", calibration=Calibration("temperature", 1.3))
    records.save_sources(key, [first, second, third])
    assert records.sources(key) == [third, second, first]
    changed = replace(first, current=False, trusted=False, split=None, calibration=Calibration(), report=None)
    records.save_sources(key, [changed])
    assert records.sources(key) == [third, second, changed]
    assert records.sources(key + "0") == []
    records.save_sources(key, [])


def test_a_report_may_hold_a_number_that_is_not_one(records: LlmRecords, key: str, source: LlmSource) -> None:
    records.save_sources(key, [SourceRecord(source, "", report=SourceReport(5, kappa=math.nan))])
    assert records.sources(key)[0].report == SourceReport(5)


def test_batches_are_remembered_until_they_are_fetched(records: LlmRecords, key: str) -> None:
    record = BulkRecord(f"batch {key}", key, {"1": "claim"}, {"1": {"user": "Żółw 🐢", "n": [1, None]}}, 12.5)
    older = BulkRecord(f"older {key}", key, {}, {}, 2.5)
    records.save_bulk(record)
    records.save_bulk(older)
    assert records.bulks(key) == [older, record]
    changed = replace(record, claims={"1": "claim", "2": "another"})
    records.save_bulk(changed)
    records.forget_bulk(older.id)
    assert records.bulks(key) == [changed]
    assert records.bulks(key + "0") == []


def test_remembers_what_was_found_out_about_a_model(records: LlmRecords, key: str) -> None:
    endpoint = f"http://{key}/v1"
    assert records.endpoint_state(endpoint, "m") is None
    records.save_endpoint_state(endpoint, "m", EndpointState())
    state = EndpointState(ReplyFormat.TEXT, False, ("seed", "temperature"))
    records.save_endpoint_state(endpoint, "m", state)
    assert records.endpoint_state(endpoint, "m") == state
    assert records.endpoint_state(endpoint, "other") is None


def test_one_caller_probes_an_endpoint_that_is_down(records: LlmRecords, key: str, clock: Clock) -> None:
    endpoint = f"http://{key}/v1"
    assert all(at_once(3, lambda: records.may_ask(endpoint, 60)))
    assert records.down_reason(endpoint) == ""
    records.mark_down(endpoint, "connection refused \x00 Żółw", 60)
    assert records.down_reason(endpoint) == "connection refused \x00 Żółw"
    clock.time += 59
    assert not any(at_once(3, lambda: records.may_ask(endpoint, 60)))
    for _ in range(2):
        clock.time += 60
        assert sum(at_once(8, lambda: records.may_ask(endpoint, 60))) == 1
    assert records.may_ask(endpoint + "/other", 60)
    records.mark_down(endpoint, "again", 60)
    assert records.down_reason(endpoint) == "again"
    records.mark_up(endpoint)
    assert records.down_reason(endpoint) == ""
    assert all(records.may_ask(endpoint, 60) for _ in range(3))


def test_shares_a_database_with_the_mirror(database_url: str, clock: Clock, key: str, source: LlmSource) -> None:
    sql = Sql(database_url)
    mirror, records = SqlDatabase(sql, clock), SqlLlmRecords(sql, clock)
    mirror.save_project(ProjectRecord(key, 1))
    claimed(records, key, source, "a")
    assert mirror.project(key) == ProjectRecord(key, 1)
    mirror.forget_project(key)
    assert records.spending(key).held == 0.1


def test_what_was_written_is_there_when_the_database_is_opened_again(
    records: LlmRecords, database_url: str, key: str, source: LlmSource
) -> None:
    claim = claimed(records, key, source, "a", "b")
    again = SqlLlmRecords(database_url, lambda: 1000.0)
    assert again.claim(key, source, ["a"], 0.1, 1.0, 60) is None
    again.settle(Claim(claim.id, ()), [answer(source, "a", "A")], 0.03)
    assert records.spending(key) == Spending(spent=0.03)
    assert claimed(records, key, source, "a", "b").contents == ("b",)


def test_what_was_paid_for_waits_for_a_database_that_is_locked(
    tmp_path: Path, key: str, source: LlmSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_module, "BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr(llm_records, "AGAIN_AFTER_S", 0.1)
    records = SqlLlmRecords(f"sqlite:///{tmp_path}/a.sqlite3", lambda: 1000.0)
    claim, other = claimed(records, key, source, "a"), claimed(records, key, source, "b")
    lock = sqlite3.connect(tmp_path / "a.sqlite3", isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    threading.Timer(1.0, lambda: lock.execute("ROLLBACK")).start()
    records.settle(claim, [answer(source, "a", "A")], 0.03)
    assert records.spending(key).spent == 0.03
    lock.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(llm_records, "PATIENCE_S", 0.3)
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        records.settle(other, [], 0.0)
    lock.close()


def test_an_answer_that_tells_of_its_endpoint_waits_for_a_database_that_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_module, "BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr(llm_records, "AGAIN_AFTER_S", 0.1)
    memory = SqlEndpointMemory(f"sqlite:///{tmp_path}/a.sqlite3", lambda: 1000.0)
    memory.mark_down("here", "it is away", 60)
    lock = sqlite3.connect(tmp_path / "a.sqlite3", isolation_level=None, check_same_thread=False)
    writes: list[Callable[[], None]] = [
        lambda: memory.mark_up("here"),
        lambda: memory.save_endpoint_state("here", "m", EndpointState()),
    ]
    for write in writes:
        lock.execute("BEGIN IMMEDIATE")
        threading.Timer(0.5, lambda: lock.execute("ROLLBACK")).start()
        write()
    assert memory.may_ask("here", 60)
    assert memory.endpoint_state("here", "m") == EndpointState()
    lock.close()


def test_an_unreachable_database_is_named_without_its_password() -> None:
    records = SqlLlmRecords("postgresql+psycopg://user:hunter2@127.0.0.1:1/none", lambda: 0.0)
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as caught:
        records.spending("1.1")
    assert "hunter2" not in str(caught.value)
