"""The LlmEndpoint port: the fake, and the real client against a server that speaks the OpenAI protocol."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from backend.adapters.llm.endpoint import OpenAiEndpoint
from backend.domain.llm.records import LlmReply, LlmRequest, Sample
from backend.errors import LlmRefused
from backend.ports.llm import BulkStatus, LlmEndpoint
from tests import llm_faults as faults
from tests.llm_fakes import FakeLlmEndpoint, MemoryOfEndpoints
from tests.llm_server import LlmServer
from tests.llm_team import KEY, request


@pytest.fixture(params=["fake", "real"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[Callable[[str], str], int], LlmEndpoint]]:
    """Builds an endpoint that answers by a function of the user's message and takes so many requests at once."""
    with LlmServer() as server:

        def build(answer: Callable[[str], str], concurrency: int) -> LlmEndpoint:
            def fake(asked: LlmRequest) -> LlmReply:
                text = answer(asked.user)
                if text == "refuse":
                    raise LlmRefused("no")
                return LlmReply((Sample(text),))

            def real(body: dict[str, object]) -> str | faults.Fault:
                messages = body["messages"]
                assert isinstance(messages, list)
                text = answer(messages[-1]["content"])
                return faults.BAD_KEY if text == "refuse" else text

            server.answer = real
            if request.param == "fake":
                return FakeLlmEndpoint(fake, concurrency)
            return OpenAiEndpoint(server.base_url, KEY, MemoryOfEndpoints(), concurrency)

        yield build


Make = Callable[[Callable[[str], str], int], LlmEndpoint]


def test_every_request_gets_its_own_reply(make: Make) -> None:
    got: dict[str, str] = {}
    requests = [request(number) for number in range(20)]
    make(lambda user: user, 4).ask(requests, lambda asked, reply: got.update({asked.user: reply.samples[0].text}))
    assert got == {item.user: item.user for item in requests}


def test_takes_a_request_only_when_it_can_be_sent_and_never_two_at_a_time(make: Make) -> None:
    busy = threading.Lock()
    taken: list[int] = []
    done: list[LlmRequest] = []
    most_open = 0

    def source() -> Iterator[LlmRequest]:
        nonlocal most_open
        for number in range(12):
            assert busy.acquire(blocking=False)
            time.sleep(0.001)
            taken.append(number)
            most_open = max(most_open, len(taken) - len(done))
            busy.release()
            yield request(number)

    def answered(asked: LlmRequest, reply: LlmReply) -> None:
        assert busy.acquire(blocking=False)
        time.sleep(0.001)
        done.append(asked)
        busy.release()

    make(lambda user: user, 3).ask(source(), answered)
    assert len(done) == 12
    assert most_open <= 3


def test_a_refusal_ends_it_and_what_was_answered_is_handed_over(make: Make) -> None:
    taken: list[int] = []
    done: list[LlmRequest] = []

    def source() -> Iterator[LlmRequest]:
        for number in range(100):
            taken.append(number)
            yield request(number)

    with pytest.raises(LlmRefused):
        make(lambda user: "refuse" if "id: 5\n" in user else "{}", 3).ask(source(), lambda *pair: done.append(pair[0]))
    assert len(done) == len(taken) - 1
    assert len(taken) < 10


def test_an_error_of_the_caller_is_raised_after_the_others_ended(make: Make) -> None:
    done: list[LlmRequest] = []

    def answered(asked: LlmRequest, reply: LlmReply) -> None:
        done.append(asked)
        if len(done) == 4:
            raise RuntimeError("database is away")

    with pytest.raises(RuntimeError, match="database is away"):
        make(lambda user: user, 3).ask((request(number) for number in range(100)), answered)
    assert 4 <= len(done) <= 6


def test_a_batch_gives_its_replies_by_bulk_id(make: Make) -> None:
    endpoint = make(lambda user: user, 1)
    requests = {item.bulk_id: item for item in (request(1), request(2))}
    found = endpoint.bulk_fetch(endpoint.bulk_send(list(requests.values()), lambda _: None), requests)
    assert found.status is BulkStatus.ENDED
    assert {name: reply.samples[0].text for name, reply in found.replies.items()} == {
        name: item.user for name, item in requests.items()
    }
