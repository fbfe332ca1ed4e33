"""Asking in real processes: killed in the middle, and several at once."""

import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import wait_for
from tests.integration.llm_asker import CONCURRENCY, N_TASKS, PRICE, records_in
from tests.llm_server import LlmServer
from tests.unit.house import House

EXPIRED_S = 1000.0
"""By so much later, what a dead worker had claimed is free again."""


def start(folder: Path, server: LlmServer, name: str, later_s: float = 0.0) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.integration.llm_asker", str(folder), server.base_url, str(folder / name)]
    return subprocess.Popen([*command, str(later_s)])


def texts(body: dict[str, Any]) -> dict[str, str]:
    """Text of each task of a request, by id."""
    lines = [json.loads(line) for line in body["messages"][-1]["content"].split("\n") if line.startswith('{"id"')]
    return {line["id"]: line["task"]["text"] for line in lines}


def positive(body: dict[str, Any]) -> str:
    return json.dumps({"answers": [{"id": name, "labels": ["Positive"], "confidence": 0.9} for name in texts(body)]})


def times_asked(server: LlmServer) -> Counter[str]:
    return Counter(text for body in server.chats for text in texts(body).values())


@pytest.mark.timeout(300)
def test_after_a_kill_only_what_was_under_way_is_asked_again(tmp_path: Path) -> None:
    hanging = threading.Event()

    def then_hang(body: dict[str, Any]) -> str:
        if len(server.chats) > 12:
            hanging.wait(200)
        return positive(body)

    with LlmServer(then_hang) as server:
        first = start(tmp_path, server, "first")
        wait_for(lambda: len(server.chats) >= 12 + CONCURRENCY, 120, "requests that hang")
        first.kill()
        first.wait(30)
        hanging.set()
        before = times_asked(server)
        under_way = {text for body in server.chats[-CONCURRENCY:] for text in texts(body).values()}
        server.answer = positive
        assert start(tmp_path, server, "second", EXPIRED_S).wait(120) == 0
        after = times_asked(server)
    assert len(after) == N_TASKS
    again = {text for text, count in after.items() if count > 1}
    assert again <= under_way
    assert len(before) < N_TASKS
    spending = records_in(tmp_path, EXPIRED_S).spending(House.KEY)
    assert spending.held == 0
    # What the killed one had reserved may have been charged.
    assert spending.unknown > 0


@pytest.mark.timeout(300)
def test_several_workers_share_the_work_and_ask_nothing_twice(tmp_path: Path) -> None:
    with LlmServer(positive) as server:
        workers = [start(tmp_path, server, f"worker-{number}") for number in range(2)]
        assert [worker.wait(200) for worker in workers] == [0] * 2
        asked = times_asked(server)
        paid = sum(PRICE.of(*usage(body)) for body in server.chats)
    assert set(asked.values()) == {1}
    assert len(asked) == N_TASKS
    spending = records_in(tmp_path).spending(House.KEY)
    assert spending.held == spending.unknown == 0
    assert spending.spent == pytest.approx(paid)


def usage(body: dict[str, Any]) -> tuple[int, int]:
    """As the server counts it."""
    read = sum(len(json.dumps(message)) for message in body["messages"]) // 4
    return read, len(positive(body)) // 4
