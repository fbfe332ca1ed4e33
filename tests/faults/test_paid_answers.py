"""What an LLM was paid for is kept, whatever breaks while it is asked."""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import LLM_KEY, LLM_MODEL, Demo, wait_for
from tests.e2e.team import Team
from tests.faults.backend import Backend
from tests.faults.test_story import kill_redis, kill_redis_and_lose_its_file, kill_web_service, lock_database
from tests.integration.llm_asker import PRICE
from tests.integration.test_llm_processes import positive, texts, usage
from tests.llm_server import LlmServer

N_TASKS, CONCURRENCY = 60, 2
ANSWER_S = 0.5


def kill_askers(backend: Backend) -> None:
    for name in ("Worker 1", "Worker 2"):
        backend.kill(name)


FAULTS: dict[str, tuple[Callable[[Backend], None], int]] = {
    "web service killed": (kill_web_service, 0),
    "Redis killed": (kill_redis, 0),
    "Redis killed without its file": (kill_redis_and_lose_its_file, 0),
    "database locked": (lock_database, 0),
    # What a killed process waited for is nobody's.
    "workers killed": (kill_askers, CONCURRENCY),
}
"""What is done, and how many answers it may cost."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", FAULTS)
def test_no_answer_is_paid_for_twice(demo: Demo, tmp_path: Path, fault: str) -> None:
    break_something, may_cost = FAULTS[fault]

    def answer(body: dict[str, object]) -> str:
        time.sleep(ANSWER_S)
        return positive(body)

    prices = tmp_path / "prices.yaml"
    prices.write_text(f"models: {{{LLM_MODEL}: {{input_usd: 1, output_usd: 2}}}}")
    with LlmServer(answer) as llm:
        environment = {
            "OPENAI_BASE_URL": llm.base_url,
            "OPENAI_API_KEY": LLM_KEY,
            "LLM_MODEL": LLM_MODEL,
            "LLM_PRICES": str(prices),
            "LLM_POLICY": "all",
            "LLM_EXAMPLES": "0",
            "LLM_TASKS_PER_REQUEST": "1",
            "LLM_CONCURRENCY": str(CONCURRENCY),
        }
        with Backend(demo, tmp_path, **environment) as backend:
            team = Team.with_reviews(demo, N_TASKS)
            backend.connect(team)
            wait_for(lambda: len(llm.chats) >= N_TASKS // 3, 240, "a third of the answers")
            break_something(backend)
            # What a killed process had taken, others may ask about when its claim ends: in a quarter of an hour.
            wait_for(lambda: len(asked(llm)) >= N_TASKS - may_cost, 240, "all tasks are asked about")
            backend.settle(team)
            again = sum(asked(llm).values()) - len(asked(llm))
            assert again <= may_cost
            assert n_answers(backend) >= N_TASKS - may_cost
            parts = backend.app.deps.llm
            assert parts is not None
            paid = sum(PRICE.of(*usage(body)) for body in llm.chats)
            spending = parts.records.spending(backend.key(team))
            # What a killed process had reserved counts as spent, because it may have been charged.
            assert spending.spent == pytest.approx(paid * n_answers(backend) / len(llm.chats), rel=0.02)
            assert spending.total >= paid * 0.98
            backend.forget(team)


def asked(llm: LlmServer) -> Counter[str]:
    """How often the model was asked about each text."""
    return Counter(text for body in llm.chats for text in texts(body).values())


def n_answers(backend: Backend) -> int:
    """How many answers are kept."""
    with sqlite3.connect(backend.settings.model_dir / "prelabel.sqlite3", timeout=60) as database:
        (found,) = database.execute("SELECT COUNT(*) FROM llm_answers").fetchone()
    return int(found)
