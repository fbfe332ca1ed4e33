"""What the LLM client sends, what comes back, and what it finds out about an endpoint."""

from collections.abc import Iterator

import pytest

from backend.adapters.llm.endpoint import OpenAiEndpoint
from backend.domain.llm.records import Problem, ReplyFormat
from backend.errors import LlmRefused
from backend.ports.llm import EndpointState
from tests import llm_faults as faults
from tests.llm_server import Said
from tests.llm_team import KEY, SCHEMA, Team, labels, llm_team, request


@pytest.fixture
def team() -> Iterator[Team]:
    with llm_team() as made:
        yield made


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
        (Said('{"answers": [{"id"', finish_reason="length"), Problem.CUT_OFF),
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


@pytest.mark.parametrize("how", ["ignored", "llama.cpp", "openai", "gemini", "anthropic"])
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


@pytest.mark.parametrize("dialect", ["openai", "vllm", "llama.cpp", "ollama", "pydantic", "gemini"])
def test_what_an_endpoint_does_not_take_is_found_out_once(team: Team, dialect: str) -> None:
    team.server.refuse("json_schema", "logprobs", "temperature", "max_tokens", dialect=dialect)
    assert team.ask_one().tokens == ()
    found = team.memory.states[team.server.base_url, "m"]
    assert found == EndpointState(ReplyFormat.JSON_OBJECT, False, found.dropped)
    assert set(found.dropped) == {"temperature", "max_tokens"}
    assert len(team.server.chats) == 5
    assert team.server.chats[-1]["max_completion_tokens"] == 100
    team.ask(request(2), request(3))
    assert len(team.server.chats) == 7
    assert team.memory.saves == [found]


def test_an_endpoint_that_ignores_the_form_is_read_all_the_same(team: Team) -> None:
    """As Anthropic's: no form, no log-probabilities, and an answer in a fence."""
    team.server.ignores = {"response_format", "logprobs"}
    team.server.answer = lambda _: '```json\n{"answers": [{"id": "1", "labels": ["Good"]}]}\n```'
    sample = team.ask_one()
    assert sample.text.startswith("```json")
    assert sample.tokens == ()
    assert len(team.server.chats) == 1


def test_a_wrong_key_that_is_refused_as_a_bad_request_ends_the_asking(team: Team) -> None:
    """As Gemini does: else each task would count as one that the endpoint turned down."""
    team.server.fail(faults.GEMINI_BAD_KEY)
    with pytest.raises(LlmRefused, match="OPENAI_API_KEY"):
        team.ask(request())


def test_without_any_form_nothing_is_said_about_the_form(team: Team) -> None:
    team.server.refuse("json_schema", "json_object")
    team.ask(request())
    assert "response_format" not in team.server.chats[-1]
    assert team.memory.saves == [EndpointState(ReplyFormat.TEXT)]


def test_what_one_process_found_out_all_know(team: Team) -> None:
    team.server.refuse("json_schema", "logprobs")
    team.known(form=ReplyFormat.JSON_OBJECT, logprobs=False)
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
