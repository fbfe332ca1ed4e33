"""The LlmEndpoint port: the fake, and the real client against a server that speaks the OpenAI protocol."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from backend.adapters.llm.endpoint import OpenAiEndpoint
from backend.domain.llm.records import AnswerForm, LlmReply, LlmRequest, LlmSource, Problem, Sample
from backend.errors import LlmRefused, LlmUnavailable
from backend.ports.llm import BulkStatus, EndpointState, LlmEndpoint
from tests import llm_faults as faults
from tests.conftest import free_port
from tests.llm_fakes import FakeLlmEndpoint, MemoryOfEndpoints
from tests.llm_server import LlmServer, Said

KEY = "sk-verysecretkey"
TEXT = "the quick brown tortoise is positive"
SCHEMA = {
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
            self.clock,
            self.clock.sleep,
            lambda: random,
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


@pytest.fixture
def team() -> Iterator[Team]:
    with LlmServer() as server:
        yield Team(server)


def labels(sample: Sample) -> list[str]:
    found: list[str] = json.loads(sample.text)["answers"][0]["labels"]
    return found


# Promises that the fake makes too


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
    assert most_open == 3


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
    found = endpoint.bulk_fetch(endpoint.bulk_send(list(requests.values())), requests)
    assert found.status is BulkStatus.ENDED
    assert {name: reply.samples[0].text for name, reply in found.replies.items()} == {
        name: item.user for name, item in requests.items()
    }


# What is sent, and what comes back


def test_asks_for_labels_of_the_schema_with_logprobs(team: Team) -> None:
    (reply,) = team.ask(request())
    assert labels(reply.samples[0]) == ["Positive"]
    assert "".join(token.text for token in reply.samples[0].tokens) == reply.samples[0].text
    assert reply.samples[0].tokens[0].logprob == -0.1
    assert reply.input_tokens > 10
    assert reply.output_tokens > 10
    (body,) = team.server.chats
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert (body["temperature"], body["max_tokens"]) == (0, 100)
    assert team.server.seen[0].authorization == f"Bearer {KEY}"


def test_latency_is_that_of_the_attempt_that_was_answered(team: Team) -> None:
    team.server.fail(faults.BROKEN)
    (reply,) = team.ask(request())
    assert team.clock.slept == [0.5]
    assert reply.latency_s == 0.0


def test_a_local_server_needs_no_key(team: Team) -> None:
    OpenAiEndpoint(team.server.base_url, "", team.memory).ask([request()], lambda *pair: team.replies.append(pair))
    assert len(team.replies) == 1


def test_images_are_sent_after_the_text(team: Team) -> None:
    team.ask(request(images=("data:image/png;base64,AAAA", "https://example.org/a.png")))
    content = team.server.chats[0]["messages"][1]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "image_url"]
    assert content[2]["image_url"]["url"] == "https://example.org/a.png"


@pytest.mark.parametrize("fault", faults.NO_IMAGES.values(), ids=faults.NO_IMAGES)
def test_a_model_that_takes_no_images_costs_that_request_only(team: Team, fault: faults.Fault) -> None:
    team.server.refuses["images"] = fault
    got = team.ask(request(1), request(2, images=("data:image/png;base64,AAAA",)), request(3))
    assert [reply.samples[0].problem for reply in got] == [Problem.NONE, Problem.REJECTED, Problem.NONE]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (Said('{"answers": [{"id"', finish_reason="length"), Problem.UNREADABLE),
        (Said(refusal="I can't help with that."), Problem.REFUSAL),
        (Said("", finish_reason="content_filter"), Problem.CONTENT_FILTER),
        (faults.AZURE_FILTER, Problem.CONTENT_FILTER),
        (faults.TOO_LONG, Problem.REJECTED),
        (faults.VLLM_TOO_LONG, Problem.REJECTED),
        (faults.error(413, "Payload too large"), Problem.REJECTED),
        (Said('{"answers": [{"id": "1", "labels": ["Splendid"]}]}'), Problem.NONE),
    ],
)
def test_an_answer_that_is_none_says_why_and_costs_that_request_only(
    team: Team, said: Said | faults.Fault, problem: Problem
) -> None:
    team.ask(request())
    team.server.fail(said)
    first, second = team.ask(request(1), request(2))
    assert first.samples[0].problem is problem
    assert second.samples[0].problem is Problem.NONE
    assert len(team.server.chats) == 3


def test_a_text_off_the_list_is_handed_over_as_it_is(team: Team) -> None:
    team.server.fail(Said('{"answers": [{"id": "1", "labels": ["Splendid"]}]}'))
    assert labels(team.ask_one()) == ["Splendid"]


def test_missing_logprobs_leave_the_tokens_out(team: Team) -> None:
    team.server.fail(Said("{}", logprobs=False))
    assert team.ask_one().tokens == ()


def test_several_samples_come_from_one_request(team: Team) -> None:
    (reply,) = team.ask(request(samples=3))
    assert len(reply.samples) == 3
    (body,) = team.server.chats
    assert body["n"] == 3
    assert body["temperature"] == 0.7


@pytest.mark.parametrize("how", ["ignored", "llama.cpp", "openai"])
def test_samples_are_asked_for_one_by_one_where_n_is_not_taken(team: Team, how: str) -> None:
    if how == "ignored":
        team.server.one_choice = True
    else:
        team.server.refuse("n", dialect=how)
    first, second = team.ask(request(1, samples=3), request(2, samples=3))
    assert len(first.samples) == len(second.samples) == 3
    assert all("n" not in body for body in team.server.chats[1:])
    assert first.input_tokens == second.input_tokens
    assert team.memory.states[team.server.base_url, "m"].dropped == ("n",)


def test_samples_that_were_paid_are_handed_over_when_a_later_one_fails(team: Team) -> None:
    team.known(dropped=("n",))
    team.server.fail(Said("{}"), 2)
    team.server.fail(faults.BAD_KEY)
    with pytest.raises(LlmRefused):
        team.ask(request(samples=3))
    assert len(team.replies[0][1].samples) == 2


# Found out once


@pytest.mark.parametrize("dialect", ["openai", "vllm", "llama.cpp", "ollama", "pydantic"])
def test_what_an_endpoint_does_not_take_is_found_out_once(team: Team, dialect: str) -> None:
    team.server.refuse("json_schema", "logprobs", "temperature", "max_tokens", dialect=dialect)
    assert team.ask_one().tokens == ()
    found = team.memory.states[team.server.base_url, "m"]
    assert found == EndpointState(AnswerForm.JSON_OBJECT, False, found.dropped)
    assert set(found.dropped) == {"temperature", "max_tokens"}
    assert len(team.server.chats) == 5
    assert team.server.chats[-1]["max_completion_tokens"] == 100
    team.ask(request(2), request(3))
    assert len(team.server.chats) == 7
    assert team.memory.saves == [found]


def test_without_any_form_nothing_is_said_about_the_form(team: Team) -> None:
    team.server.refuse("json_schema", "json_object")
    team.ask(request())
    assert "response_format" not in team.server.chats[-1]
    assert team.memory.saves == [EndpointState(AnswerForm.TEXT)]


def test_what_one_process_found_out_all_know(team: Team) -> None:
    team.server.refuse("json_schema", "logprobs")
    team.known(form=AnswerForm.JSON_OBJECT, logprobs=False)
    team.ask(request())
    assert len(team.server.chats) == 1
    assert team.memory.saves == []


def test_only_one_request_makes_the_mistake_while_the_others_wait(team: Team) -> None:
    team.server.refuse("json_schema", "logprobs")
    assert len(team.ask(*[request(number) for number in range(20)], concurrency=8)) == 20
    assert len(team.server.chats) == 22
    assert [item.in_flight for item in team.server.seen[:3]] == [1, 1, 1]


def test_an_endpoint_that_changed_is_learned_anew_by_requests_side_by_side(team: Team) -> None:
    team.known()
    team.server.refuse("logprobs")
    got = team.ask(*[request(number) for number in range(12)], concurrency=4)
    assert {reply.samples[0].problem for reply in got} == {Problem.NONE}
    assert team.memory.saves == [EndpointState(logprobs=False)]


def test_a_schema_that_is_too_much_is_not_taken_for_a_missing_form(team: Team) -> None:
    team.server.refuses["json_schema"] = faults.BAD_SCHEMA
    team.ask(request(1), request(2))
    assert [body["response_format"]["type"] for body in team.server.chats] == [
        "json_schema",
        "json_object",
        "json_object",
    ]
    assert team.memory.saves == [EndpointState()]


def test_a_model_whose_answers_have_no_limit_is_refused(team: Team) -> None:
    team.server.refuse("max_tokens", "max_completion_tokens")
    with pytest.raises(LlmRefused, match="no budget can be kept"):
        team.ask(request())


def test_an_endpoint_that_rejects_everything_is_not_asked_about_every_task(team: Team) -> None:
    team.server.answer = lambda _: faults.error(400, "Bad request")
    with pytest.raises(LlmRefused, match="rejects all requests alike"):
        team.ask(*[request(number) for number in range(100)], concurrency=8)
    assert len(team.server.chats) == 5


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
    client = OpenAiEndpoint(team.server.base_url, KEY, team.memory, 2, 30.0, sleep=forever)
    with pytest.raises(LlmRefused):
        client.ask((request(number) for number in range(2)), lambda *_: None)


# The Batch API


def test_a_batch_asks_as_a_single_request_would(team: Team) -> None:
    team.known(logprobs=False, dropped=("max_tokens",))
    team.ask(request(1))
    batch = team.client().bulk_send([request(1), request(2)])
    assert team.server.batches[batch]["completion_window"] == "24h"
    lines = [json.loads(line) for line in team.server.files[team.server.batches[batch]["input_file_id"]].splitlines()]
    assert lines[0] == {
        "custom_id": request(1).bulk_id,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": team.server.chats[0],
    }
    assert lines[1]["custom_id"] == request(2).bulk_id != request(1).bulk_id


def test_a_batch_runs_until_it_ends(team: Team) -> None:
    team.server.batch_status = "in_progress"
    batch = team.client().bulk_send([request()])
    requests = {request().bulk_id: request()}
    assert team.client().bulk_fetch(batch, requests).status is BulkStatus.RUNNING
    team.server.batch_status = "completed"
    found = team.client().bulk_fetch(batch, requests)
    assert (found.status, found.problem) == (BulkStatus.ENDED, "")
    (reply,) = found.replies.values()
    assert labels(reply.samples[0]) == ["Positive"]
    assert reply.input_tokens > 10


def test_faults_in_a_batch_cost_only_their_own_requests(team: Team) -> None:
    requests = {item.bulk_id: item for item in map(request, range(5))}
    team.server.faults.extend([faults.AZURE_FILTER, faults.TOO_LONG, faults.BROKEN, faults.CUT])
    client = team.client()
    found = client.bulk_fetch(client.bulk_send(list(requests.values())), requests)
    problems = [found.replies[name].samples[0].problem if name in found.replies else None for name in requests]
    assert problems == [Problem.CONTENT_FILTER, Problem.REJECTED, None, None, Problem.NONE]
    assert "500" in found.problem


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
def test_a_batch_that_came_to_nothing_has_ended(team: Team, status: str) -> None:
    team.server.batch_status = status
    team.server.fail(faults.CUT)
    batch = team.client().bulk_send([request()])
    found = team.client().bulk_fetch(batch, {request().bulk_id: request()})
    assert (found.status, dict(found.replies)) == (BulkStatus.ENDED, {})
    assert status in found.problem


def test_a_batch_learns_what_the_endpoint_does_not_take(team: Team) -> None:
    requests = {item.bulk_id: item for item in (request(1), request(2))}
    team.server.refuse("json_schema", "logprobs")
    for expected in [EndpointState(AnswerForm.JSON_OBJECT), EndpointState(AnswerForm.JSON_OBJECT, False)]:
        batch = team.client().bulk_send(list(requests.values()))
        assert team.client().bulk_fetch(batch, requests).replies == {}
        assert team.memory.states[team.server.base_url, "m"] == expected
    batch = team.client().bulk_send(list(requests.values()))
    assert set(team.client().bulk_fetch(batch, requests).replies) == set(requests)


def test_several_samples_in_a_batch_where_n_is_not_taken(team: Team) -> None:
    team.known(dropped=("n",))
    one = request(samples=3)
    found = team.client().bulk_fetch(team.client().bulk_send([one]), {one.bulk_id: one})
    assert len(found.replies[one.bulk_id].samples) == 3


@pytest.mark.parametrize("fault", [faults.CUT, faults.CUT_BODY, faults.GARBAGE])
def test_a_batch_is_never_made_twice(team: Team, fault: faults.Fault) -> None:
    team.server.batch_faults.append(fault)
    assert [team.client().bulk_send([request()])] == list(team.server.batches)


def test_an_endpoint_without_a_batch_api_is_told_apart(team: Team) -> None:
    team.server.has_batches = False
    with pytest.raises(LlmRefused, match="no Batch API"):
        team.client().bulk_send([request()])


def test_a_batch_of_somebody_else_is_refused(team: Team) -> None:
    with pytest.raises(LlmRefused, match="doesn't know the batch batch_99"):
        team.client().bulk_fetch("batch_99", {request().bulk_id: request()})


def test_no_batch_is_sent_while_the_endpoint_is_down(team: Team) -> None:
    team.memory.mark_down(team.server.base_url, "It was broken.", 60)
    with pytest.raises(LlmUnavailable, match="It was broken"):
        team.client().bulk_send([request()])
    assert team.server.seen == []


# Nothing secret


LEAKS = [
    faults.error(status, f"Invalid {KEY} in: {TEXT}", kind=TEXT, code=KEY, param=TEXT)
    for status in (400, 401, 403, 404, 418, 429, 500)
]


@pytest.mark.parametrize("fault", [*LEAKS, faults.CUT, faults.GARBAGE], ids=lambda fault: f"{fault.status}{fault.how}")
def test_neither_key_nor_content_gets_into_logs_or_errors(
    team: Team, fault: faults.Fault, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        team.ask(request())
        team.server.answer = lambda _: fault
        with pytest.raises((LlmRefused, LlmUnavailable), match="127.0.0.1") as caught:
            team.ask(*[request(number) for number in range(20)], concurrency=2)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    output = capfd.readouterr()
    everything = caplog.text + f"{caught.value!r}" + output.out + output.err + repr(team.memory.down) + repr(team.client())
    everything += repr(team.replies) + repr(request(images=(TEXT,)))
    for secret in (KEY, "tortoise", "verysecret"):
        assert secret not in everything


def test_a_key_that_was_copied_badly_is_not_shown(team: Team) -> None:
    client = OpenAiEndpoint(team.server.base_url, "sk-“secret”", team.memory)
    with pytest.raises(LlmRefused, match="OPENAI_API_KEY") as caught:
        client.ask([request()], lambda *_: None)
    assert "secret”" not in str(caught.value)
