"""Many processes ask an LLM for one project at once: the budget holds, nothing is paid twice, nothing is lost."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backend.adapters.sql.llm_records import SqlLlmRecords
from backend.domain.llm.records import LlmSource
from tests.contract.llm_workers import CLAIM_LASTS_S, MODEL, Work, sent_of, workers

BUDGET = 7.2
RESERVED = 0.1
"""For five tasks. The mean price is 0.06: the budget is enough for about 600 tasks."""


class Watch:
    """Looks at a project's spending all the time, from a thread with a connection of its own."""

    def __init__(self, url: str, key: str) -> None:
        self.totals: list[float] = []
        self._records = SqlLlmRecords(url, lambda: 1000.0)
        self._key = key
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.005):
            self.totals.append(self._records.spending(self._key).total)


def until(done: Callable[[], bool], what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def test_eight_workers_never_exceed_a_budget_and_never_ask_twice(database_url: str, key: str, tmp_path: Path) -> None:
    contents = tuple(f"content-{number}" for number in range(1000))
    job = Work(database_url, key, f"prompt {key}", contents, BUDGET, RESERVED, tmp_path / "sent", together=8)
    # The database is new (SQLite) when all of them open it at once.
    with workers([(job, seed) for seed in range(8)]) as processes:
        until(lambda: bool(sent_of(job.sent_file)), "a request was sent")
        with Watch(database_url, key) as watch:
            for process in processes:
                process.join(240)
    assert [process.exitcode for process in processes] == [0] * 8

    records = SqlLlmRecords(database_url, lambda: 1000.0)
    sent = sent_of(job.sent_file)
    spending = records.spending(key)
    asked = [content for request in sent for content in request.contents]
    assert watch.totals
    assert max(watch.totals) <= BUDGET
    assert len(asked) == len(set(asked)), "a content was sent twice"
    assert set(records.answers(job.prompt, MODEL, contents)) == set(asked), "an answer was lost"
    assert spending.spent == pytest.approx(sum(request.price_usd for request in sent), abs=1e-6)
    assert (spending.held, spending.unknown) == (0, 0)
    assert BUDGET - RESERVED < spending.total <= BUDGET, "money was left for another request"
    assert 400 < len(asked) < 800
    assert len({request.worker for request in sent}) > 1


def test_others_finish_what_killed_workers_began_and_pay_for_nothing_twice(
    database_url: str, key: str, tmp_path: Path
) -> None:
    contents = tuple(f"content-{number}" for number in range(300))
    budget = 100.0
    first = Work(database_url, key, f"prompt {key}", contents, budget, RESERVED, tmp_path / "sent")
    stuck = replace(first, stop_after=3)
    # Three hang with a request under way; two are killed wherever they are then.
    with workers([(stuck, 0), (stuck, 1), (stuck, 2)]) as hanging:
        until(lambda: all(_sent_by(first, worker) > 3 for worker in "012"), "three workers hang")
        with workers([(first, 3), (first, 4)]) as running:
            until(lambda: _sent_by(first, "3") + _sent_by(first, "4") >= 10, "two workers work")
            for process in [*hanging, *running]:
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
            for process in [*hanging, *running]:
                process.join()

    records = SqlLlmRecords(database_url, lambda: first.now)
    answered = set(records.answers(first.prompt, MODEL, contents))
    before = sent_of(first.sent_file)
    held = records.spending(key).held
    in_flight = [request for request in before if not set(request.contents) <= answered]
    assert len(in_flight) >= 3
    assert held >= 3 * RESERVED - 1e-9
    assert records.claim(key, LlmSource("q", MODEL, first.prompt), in_flight[0].contents, 0.1, budget, 60) is None

    # Their claims run out.
    second = replace(first, now=first.now + CLAIM_LASTS_S)
    with workers([(second, 5), (second, 6)]) as processes:
        for process in processes:
            process.join(240)
    assert [process.exitcode for process in processes] == [0, 0]

    after = sent_of(first.sent_file)[len(before) :]
    asked = [content for request in after for content in request.contents]
    spending = SqlLlmRecords(database_url, lambda: second.now).spending(key)
    paid = [request for request in before if request not in in_flight] + after
    assert len(asked) == len(set(asked)), "a content was sent twice"
    assert set(asked) == set(contents) - answered, "sent what had an answer, or lost something"
    assert set(records.answers(first.prompt, MODEL, contents)) == set(contents)
    assert spending.spent == pytest.approx(sum(request.price_usd for request in paid), abs=1e-6)
    assert spending.held == 0
    assert spending.unknown == pytest.approx(held), "what the killed ones had reserved counts as spent"


def _sent_by(job: Work, worker: str) -> int:
    return sum(request.worker == worker for request in sent_of(job.sent_file))
