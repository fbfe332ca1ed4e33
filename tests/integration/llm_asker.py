"""A process that asks an LLM about a project, all parts real but Label Studio: tests kill it, and start several."""

import sys
import time
from dataclasses import replace
from pathlib import Path

from backend.adapters.llm.endpoint import OpenAiEndpoint
from backend.adapters.llm.prompt_templates import JinjaTemplates
from backend.adapters.sql.llm_records import SqlLlmRecords
from backend.domain.llm.options import LlmPolicyName
from backend.domain.llm.records import ModelPrice
from backend.domain.policy import LlmPolicy
from backend.ports.llm import LlmPorts
from backend.workflows.llm.ask import ask
from tests.unit.house import House, nothing, reviews

PRICE = ModelPrice(1.0, 2.0)
N_TASKS = 120
CONCURRENCY = 4
PER_REQUEST = 5


class _OnePrice:
    def of(self, _: str) -> ModelPrice:
        return PRICE


def records_in(folder: Path, later_s: float = 0.0) -> SqlLlmRecords:
    """What all these processes share. `later_s`: their clocks are so much ahead."""
    return SqlLlmRecords(f"sqlite:///{folder}/llm.sqlite3", lambda: time.time() + later_s)


def main(folder: Path, base_url: str, own: Path, later_s: float) -> None:
    """Ask about all tasks. `folder` is shared, `own` is this process's."""
    own.mkdir(exist_ok=True)
    house = House(own)
    house.label_studio.add_tasks(house.project, reviews(N_TASKS)[40:])
    records = records_in(folder, later_s)
    endpoint = OpenAiEndpoint(base_url, "sk-test", records, concurrency=CONCURRENCY)
    parts = LlmPorts(endpoint, records, JinjaTemplates(None), _OnePrice(), lambda url: url)
    house.deps = replace(house.deps, llm=parts)
    house.llm_policy = LlmPolicy(LlmPolicyName.ALL, ("model",), sample=50, tasks_per_request=PER_REQUEST)
    ask(house.deps, house.key, nothing)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))
