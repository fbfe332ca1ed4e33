"""The Batch API of an LLM endpoint."""

import json
from collections.abc import Iterator

import pytest

from backend.domain.llm.records import Problem, ReplyFormat
from backend.errors import LlmRefused, LlmUnavailable
from backend.ports.llm import BulkStatus, EndpointState
from tests import llm_faults as faults
from tests.llm_team import Team, labels, llm_team, request


def nobody(_: str) -> None:
    """Wants to know no other id of a batch."""


@pytest.fixture
def team() -> Iterator[Team]:
    with llm_team() as made:
        yield made


def test_a_batch_asks_as_a_single_request_would(team: Team) -> None:
    team.known(logprobs=False, dropped=("max_tokens",))
    team.ask(request(1))
    batch = team.client().bulk_send([request(1), request(2)], nobody)
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
    batch = team.client().bulk_send([request()], nobody)
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
    found = client.bulk_fetch(client.bulk_send(list(requests.values()), nobody), requests)
    problems = [found.replies[name].samples[0].problem if name in found.replies else None for name in requests]
    assert problems == [Problem.CONTENT_FILTER, Problem.REJECTED, None, None, Problem.NONE]
    assert "500" in found.problem


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
def test_a_batch_that_came_to_nothing_has_ended(team: Team, status: str) -> None:
    team.server.batch_status = status
    team.server.fail(faults.CUT)
    batch = team.client().bulk_send([request()], nobody)
    found = team.client().bulk_fetch(batch, {request().bulk_id: request()})
    assert (found.status, dict(found.replies)) == (BulkStatus.ENDED, {})
    assert status in found.problem


def test_a_batch_learns_what_the_endpoint_does_not_take(team: Team) -> None:
    requests = {item.bulk_id: item for item in (request(1), request(2))}
    team.server.refuse("json_schema", "logprobs")
    for expected in [EndpointState(ReplyFormat.JSON_OBJECT), EndpointState(ReplyFormat.JSON_OBJECT, False)]:
        batch = team.client().bulk_send(list(requests.values()), nobody)
        assert team.client().bulk_fetch(batch, requests).replies == {}
        assert team.memory.states[team.server.base_url, "m"] == expected
    batch = team.client().bulk_send(list(requests.values()), nobody)
    assert set(team.client().bulk_fetch(batch, requests).replies) == set(requests)


def test_several_samples_in_a_batch_where_n_is_not_taken(team: Team) -> None:
    team.known(dropped=("n",))
    one = request(samples=3)
    found = team.client().bulk_fetch(team.client().bulk_send([one], nobody), {one.bulk_id: one})
    assert len(found.replies[one.bulk_id].samples) == 3


@pytest.mark.parametrize("fault", [faults.CUT, faults.CUT_BODY, faults.GARBAGE])
def test_a_batch_is_never_made_twice(team: Team, fault: faults.Fault) -> None:
    team.server.batch_faults.append(fault)
    assert [team.client().bulk_send([request()], nobody)] == list(team.server.batches)


def test_a_batch_is_found_by_what_was_announced_before_it_was_made(team: Team) -> None:
    announced: list[str] = []

    def remember(bulk_id: str) -> None:
        assert team.server.batches == {}
        announced.append(bulk_id)

    team.client().bulk_send([request()], remember)
    found = team.client().bulk_fetch(announced[0], {request().bulk_id: request()})
    assert set(found.replies) == {request().bulk_id}


def test_a_batch_that_was_announced_and_never_made_has_ended(team: Team) -> None:
    def die(_: str) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        team.client().bulk_send([request()], die)
    (name,) = team.server.files
    found = team.client().bulk_fetch(f"file:{name}", {request().bulk_id: request()})
    assert (found.status, dict(found.replies)) == (BulkStatus.ENDED, {})
    assert "not sent" in found.problem


def test_an_endpoint_without_a_batch_api_is_told_apart(team: Team) -> None:
    team.server.has_batches = False
    with pytest.raises(LlmRefused, match="no Batch API"):
        team.client().bulk_send([request()], nobody)


def test_a_batch_of_somebody_else_is_refused(team: Team) -> None:
    with pytest.raises(LlmRefused, match="doesn't know the batch batch_99"):
        team.client().bulk_fetch("batch_99", {request().bulk_id: request()})


def test_no_batch_is_sent_while_the_endpoint_is_down(team: Team) -> None:
    team.memory.mark_down(team.server.base_url, "It was broken.", 60)
    with pytest.raises(LlmUnavailable, match="It was broken"):
        team.client().bulk_send([request()], nobody)
    assert team.server.seen == []
