"""The LLM client under test, with all around it: a server with faults, time that passes at once, a memory."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from backend.adapters.llm.calls import Timing
from backend.adapters.llm.endpoint import OpenAiEndpoint
from backend.domain.codec import Json
from backend.domain.llm.records import LlmReply, LlmRequest, LlmSource, Sample
from backend.ports.llm import EndpointState
from tests.llm_fakes import MemoryOfEndpoints
from tests.llm_server import LlmServer

KEY = "sk-verysecretkey"
TEXT = "the quick brown tortoise is positive"
SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {
        "answers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "labels": {"type": "array", "items": {"type": "string", "enum": ["Positive", "Negative"]}},
                    "confidence": {"type": "number"},
                },
            },
        }
    },
}


def request(number: int = 1, *, samples: int = 1, model: str = "m", images: tuple[str, ...] = ()) -> LlmRequest:
    source = LlmSource("q", model, "hash", samples=samples)
    user = f'id: {number}\n"{TEXT}"'
    return LlmRequest(source, {str(number): f"content{number}"}, "Answer in JSON.", user, SCHEMA, 100, images)


class Clock:
    """Time that passes only while somebody sleeps, and at once."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@dataclass
class Team:
    """The client under test, with all around it."""

    server: LlmServer
    clock: Clock = field(default_factory=Clock)
    replies: list[tuple[LlmRequest, LlmReply]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memory = MemoryOfEndpoints(self.clock)

    def client(
        self, concurrency: int = 1, timeout_s: float = 30.0, random: float = 0.5, url: str = ""
    ) -> OpenAiEndpoint:
        return OpenAiEndpoint(
            url or self.server.base_url,
            KEY,
            self.memory,
            concurrency,
            timeout_s,
            Timing(self.clock, self.clock.sleep, lambda: random),
        )

    def ask(self, *requests: LlmRequest, concurrency: int = 1, timeout_s: float = 30.0) -> list[LlmReply]:
        """Ask; returns the replies handed over, in order. They are in `replies` also when it raises."""
        self.replies.clear()
        self.client(concurrency, timeout_s).ask(iter(requests), lambda *pair: self.replies.append(pair))
        return [reply for _, reply in self.replies]

    def ask_one(self, one: LlmRequest | None = None) -> Sample:
        (reply,) = self.ask(one or request())
        (sample,) = reply.samples
        return sample

    def known(self, **state: object) -> None:
        """Another process has found out how to ask."""
        self.memory.states[self.server.base_url, "m"] = replace(EndpointState(), **state)  # type: ignore[arg-type]


def labels(sample: Sample) -> list[str]:
    found: list[str] = json.loads(sample.text)["answers"][0]["labels"]
    return found


@contextmanager
def llm_team() -> Iterator[Team]:
    """A client with a server of its own."""
    with LlmServer() as server:
        yield Team(server)
