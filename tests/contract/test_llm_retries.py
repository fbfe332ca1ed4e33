"""How often the LLM client tries again, how long it waits, and when it leaves an endpoint alone."""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from backend.adapters.llm.calls import REAL_TIME
from backend.adapters.llm.endpoint import OpenAiEndpoint
from backend.domain.llm.records import LlmRequest
from backend.errors import LlmRefused, LlmUnavailable
from tests import llm_faults as faults
from tests.conftest import free_port
from tests.llm_team import KEY, Team, labels, llm_team, request


@pytest.fixture
def team() -> Iterator[Team]:
    with llm_team() as made:
        yield made


# Trying again


@pytest.mark.parametrize(
    "fault",
    [
        faults.RATE_LIMITED,
        faults.BROKEN,
        faults.LOADING,
        faults.BAD_GATEWAY,
        faults.error(408, "timeout"),
        faults.error(409, "conflict"),
        faults.CUT,
        faults.CUT_BODY,
        faults.GARBAGE,
        faults.Fault(200, {"error": {"code": 502, "message": "Provider returned error"}}),
    ],
)
def test_a_passing_fault_is_tried_again(team: Team, fault: faults.Fault) -> None:
    team.server.fail(fault)
    assert labels(team.ask_one()) == ["Positive"]
    assert len(team.server.chats) == 2


def test_no_answer_in_time_is_tried_again(team: Team) -> None:
    team.server.fail(faults.HANG)
    assert len(team.ask(request(), timeout_s=2.0)) == 1


def test_back_off_doubles_with_full_jitter(team: Team) -> None:
    team.server.fail(faults.BROKEN, 5)
    team.ask(request())
    assert team.clock.slept == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_attempts_are_bounded(team: Team) -> None:
    team.server.answer = lambda _: faults.RATE_LIMITED
    with pytest.raises(LlmUnavailable, match="429"):
        team.ask(request())
    assert len(team.server.chats) == 6
    assert team.memory.down == {}


@pytest.mark.parametrize("fault", [faults.CUT, faults.CUT_BODY])
def test_what_may_have_been_charged_is_tried_again_only_once(team: Team, fault: faults.Fault) -> None:
    team.server.answer = lambda _: fault
    with pytest.raises(LlmUnavailable):
        team.ask(request())
    assert len(team.server.chats) == 2


def test_retry_after_is_heeded_by_all(team: Team) -> None:
    team.known()
    sent: list[float] = []

    def answer(body: dict[str, object]) -> str | faults.Fault:
        sent.append(team.clock.now)
        return faults.RATE_LIMITED.with_headers(retry_after="30") if len(sent) == 1 else "{}"

    team.server.answer = answer
    team.ask(*[request(number) for number in range(6)], concurrency=2)
    # The second slot's request may have been under way already.
    assert [moment >= 1030 for moment in sent[2:]] == [True] * 5


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after_ms": "250", "retry_after": "9"}, 0.25),
        ({"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "1m2.5s"}, 62.5),
        ({"x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "120ms"}, 0.12),
        ({"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "10"}, 10.0),
    ],
)
def test_the_endpoints_own_word_on_waiting_counts(team: Team, headers: dict[str, str], wait_s: float) -> None:
    team.server.fail(faults.RATE_LIMITED.with_headers(**headers))
    team.ask(request())
    assert team.clock.now - 1000 == pytest.approx(max(wait_s, 0.5))


def test_retry_after_may_be_a_date(team: Team) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=200), usegmt=True)
    team.server.fail(faults.RATE_LIMITED.with_headers(retry_after=until))
    team.ask(request())
    assert 100 < team.clock.now - 1000 <= 201


def test_a_limit_that_is_used_up_is_waited_out_before_it_is_hit(team: Team) -> None:
    team.server.headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20s"}
    taken: list[float] = []

    def source() -> Iterator[LlmRequest]:
        for number in range(3):
            taken.append(team.clock.now)
            yield request(number)

    team.client().ask(source(), lambda *pair: team.replies.append(pair))
    assert taken == [1000, 1020, 1040]


def test_a_low_limit_makes_it_slow_but_never_fails(team: Team) -> None:
    window = 0.0
    sent = 0
    busy = threading.Lock()

    def answer(_: dict[str, object]) -> str | faults.Fault:
        nonlocal window, sent
        with busy:
            if team.clock.now >= window:
                window, sent = team.clock.now + 20, 0
            sent += 1
            left = window - team.clock.now
            return "{}" if sent == 1 else faults.RATE_LIMITED.with_headers(retry_after=str(left))

    team.known()
    team.server.answer = answer
    assert len(team.ask(*[request(number) for number in range(24)], concurrency=12)) == 24


def test_a_limit_of_a_day_is_not_waited_for(team: Team) -> None:
    team.server.answer = lambda _: faults.RATE_LIMITED.with_headers(retry_after="7200")
    with pytest.raises(LlmUnavailable, match="wait 7200 s"):
        team.ask(request())
    assert len(team.server.chats) == 1


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (faults.BAD_KEY, "OPENAI_API_KEY"),
        (faults.error(403, "Country not supported"), "OPENAI_API_KEY"),
        (faults.NO_MODEL, "LLM_MODEL"),
        (faults.OLLAMA_NO_MODEL, "LLM_MODEL"),
        (faults.error(400, "x is not a valid model ID", param="model"), "LLM_MODEL"),
        (faults.NO_CREDIT, "credit"),
        (faults.error(402, "Insufficient Balance"), "credit"),
        (faults.Fault(405, ""), "OPENAI_BASE_URL"),
        (faults.error(418, "teapot"), "OPENAI_BASE_URL"),
    ],
)
def test_what_only_a_person_can_change_is_said_at_once(team: Team, fault: faults.Fault, named: str) -> None:
    team.server.answer = lambda _: fault
    with pytest.raises(LlmRefused, match=named):
        team.ask(request(1), request(2))
    assert len(team.server.chats) == 1


def test_an_unknown_model_is_refused(team: Team) -> None:
    team.server.models = {"other"}
    with pytest.raises(LlmRefused, match="no model m"):
        team.ask(request())


@pytest.mark.parametrize("url", ["localhost:11434", "ftp://x/v1"])
def test_an_address_that_is_none_is_named(team: Team, url: str) -> None:
    with pytest.raises(LlmRefused, match="OPENAI_BASE_URL"):
        team.client(url=url).ask([request()], lambda *_: None)


def test_no_more_requests_are_under_way_than_allowed(team: Team) -> None:
    together = threading.Barrier(4)

    def answer(body: dict[str, object]) -> str:
        # Passes only once four are under way at once.
        together.wait(60)
        return "{}"

    team.known()
    team.server.answer = answer
    team.ask(*[request(number) for number in range(16)], concurrency=4)
    assert team.server.most_in_flight == 4


# An endpoint that is down


def test_an_endpoint_that_is_down_costs_one_probe_a_minute(team: Team) -> None:
    team.server.answer = lambda _: faults.BROKEN
    with pytest.raises(LlmUnavailable, match="500"):
        team.ask(request())
    asked = len(team.server.chats)
    for _ in range(5):
        with pytest.raises(LlmUnavailable, match="500"):
            team.ask(*[request(number) for number in range(9)], concurrency=4)
    assert len(team.server.chats) == asked
    team.clock.now += 61
    for _ in range(3):
        with pytest.raises(LlmUnavailable):
            team.ask(*[request(number) for number in range(9)], concurrency=4)
    assert len(team.server.chats) == asked + 1


def test_after_a_probe_that_succeeds_all_goes_on(team: Team) -> None:
    team.known()
    team.memory.mark_down(team.server.base_url, "It was broken.", 60)
    team.clock.now += 61
    assert len(team.ask(*[request(number) for number in range(9)], concurrency=4)) == 9
    assert team.memory.down == {}


def test_only_the_probe_is_under_way_until_it_succeeds(team: Team) -> None:
    alone: list[int] = []
    team.known()
    team.memory.mark_down(team.server.base_url, "It was broken.", 60)
    team.clock.now += 61

    def answer(body: dict[str, object]) -> str:
        if not alone:
            time.sleep(0.2)
            alone.append(len(team.server.chats))
        return "{}"

    team.server.answer = answer
    team.ask(*[request(number) for number in range(9)], concurrency=4)
    assert alone == [1]


def test_nothing_is_taken_while_the_endpoint_is_down(team: Team) -> None:
    team.memory.mark_down(team.server.base_url, "It was broken.", 60)
    taken: list[LlmRequest] = []

    def source() -> Iterator[LlmRequest]:
        taken.append(request())
        yield taken[0]

    with pytest.raises(LlmUnavailable, match="It was broken"):
        team.client().ask(source(), lambda *_: None)
    assert taken == []


def test_when_another_process_finds_it_down_this_one_stops(team: Team) -> None:
    def source() -> Iterator[LlmRequest]:
        yield request(1)
        team.memory.mark_down(team.server.base_url, "It broke.", 60)
        yield request(2)
        yield request(3)

    with pytest.raises(LlmUnavailable, match="It broke"):
        team.client().ask(source(), lambda *pair: team.replies.append(pair))
    assert len(team.replies) == 2


def test_nobody_there_is_down_too(team: Team) -> None:
    url = f"http://user:hunter2@127.0.0.1:{free_port()}/v1"
    with pytest.raises(LlmUnavailable, match="no connection") as caught:
        team.client(url=url).ask([request()], lambda *_: None)
    assert len(team.clock.slept) == 5
    assert [name.partition("@")[0] for name in team.memory.down] == list(team.memory.down)
    assert "hunter2" not in f"{caught.value}{team.memory.down}"


def test_a_request_that_waits_gives_up_when_another_ends_the_run(team: Team) -> None:
    team.known()
    waits = threading.Event()

    async def forever(seconds: float) -> None:
        waits.set()
        await asyncio.Event().wait()

    def answer(body: dict[str, object]) -> faults.Fault:
        if len(team.server.chats) == 1:
            return faults.BROKEN
        waits.wait(60)
        return faults.BAD_KEY

    team.server.answer = answer
    client = OpenAiEndpoint(team.server.base_url, KEY, team.memory, 2, 30.0, replace(REAL_TIME, sleep=forever))
    with pytest.raises(LlmRefused):
        client.ask((request(number) for number in range(2)), lambda *_: None)


# Money that may be gone


def test_answers_that_got_lost_are_counted(team: Team) -> None:
    team.server.fail(faults.CUT)
    assert [reply.lost for reply in team.ask(request(1), request(2))] == [1, 0]


def test_a_request_that_got_no_answer_at_all_is_handed_over_with_what_it_may_have_cost(team: Team) -> None:
    team.server.fail(faults.CUT, 2)
    with pytest.raises(LlmUnavailable):
        team.ask(request())
    ((_, reply),) = team.replies
    assert (reply.samples, reply.lost) == ((), 2)


def test_a_refused_connection_costs_nothing(team: Team) -> None:
    with pytest.raises(LlmUnavailable):
        team.client(url=f"http://127.0.0.1:{free_port()}/v1").ask(
            [request()], lambda *reply: team.replies.append(reply)
        )
    assert team.replies == []
