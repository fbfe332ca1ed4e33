"""Replies that are too large, too slow or in odd encodings: they cost themselves, and little memory or time."""

import json
import tracemalloc
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from backend.adapters.embedding.endpoint import EndpointEmbedder
from backend.domain.llm.records import LlmReply, Problem
from backend.errors import LlmRefused, LlmUnavailable
from backend.ports.embeddings import ToEmbed
from backend.ports.llm import BulkStatus
from tests import llm_faults as faults
from tests.llm_faults import Fault
from tests.llm_team import Team, labels, llm_team, request

MEGABYTE = 1_000_000
SAID = '{"answers": [{"id": "1", "labels": ["Żółw"]}]}'
COMPLETION = {
    "choices": [{"message": {"role": "assistant", "content": SAID}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3},
}
TEXT = json.dumps(COMPLETION, ensure_ascii=False)


@pytest.fixture
def team(monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    # Imported here, where tests of other files have paid for it as well.
    from backend.adapters.llm import client

    for name in ("MAX_REPLY_BYTES", "MAX_FILE_BYTES"):
        monkeypatch.setattr(client, name, MEGABYTE)
    with llm_team() as made:
        yield made


def problems(replies: list[LlmReply]) -> list[Problem]:
    return [reply.samples[0].problem for reply in replies]


@pytest.mark.parametrize("fault", [faults.ENDLESS, faults.BOMB], ids=["endless", "gzip bomb"])
def test_a_reply_that_is_too_large_costs_itself_and_little_memory(team: Team, fault: Fault) -> None:
    team.ask(request())
    team.server.fail(fault)
    tracemalloc.start()
    try:
        replies = team.ask(request(1), request(2))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert problems(replies) == [Problem.TOO_LARGE, Problem.NONE]
    # It was answered, and so is paid for: no second try, and the endpoint isn't down.
    assert len(team.server.chats) == 3
    assert replies[0].input_tokens == 0
    assert team.memory.down == {}
    # What the server wrote may wait in the sockets' buffers; the bomb itself is the server's.
    assert team.server.written < 20 * MEGABYTE
    assert most < (120 if fault is faults.BOMB else 20) * MEGABYTE


@pytest.mark.parametrize("status", [429, 500])
def test_an_error_that_is_too_large_is_known_by_its_status(team: Team, status: int) -> None:
    team.server.fail(Fault(status, how="endless"))
    assert labels(team.ask_one()) == ["Positive"]
    assert len(team.server.chats) == 2


def test_a_server_that_drips_holds_nobody_beyond_the_time_limit(team: Team) -> None:
    team.server.fail(faults.DRIP, 2)
    with pytest.raises(LlmUnavailable, match="nothing within 1 s"):
        team.ask(request(), timeout_s=0.6)


@pytest.mark.parametrize(
    ("raw", "headers"),
    [
        (TEXT.encode("utf-8-sig"), {}),
        (TEXT.encode("utf-16"), {"content-type": "application/json; charset=utf-16"}),
        (TEXT.encode("utf-32-le"), {}),
        (TEXT.encode(), {"content-type": "application/json; charset=base64"}),
        (TEXT.encode(), {"content-type": "application/json; charset=idna"}),
        (TEXT.encode(), {"content-type": "application/json; charset=latin-1"}),
        (TEXT.encode(), {"content-type": "application/json; charset="}),
        (TEXT.encode(), {"content-type": "no type at all"}),
        (TEXT.encode("cp1250"), {"content-type": "application/json; charset=windows-1250"}),
        (zlib.compress(TEXT.encode()), {"content-encoding": "deflate"}),
    ],
)
def test_a_reply_is_read_whatever_it_says_of_its_encoding(team: Team, raw: bytes, headers: dict[str, str]) -> None:
    team.server.fail(Fault(200, raw, headers, how="bytes"))
    assert labels(team.ask_one()) == ["Żółw"]


def test_bytes_in_no_encoding_cost_what_they_stand_for(team: Team) -> None:
    raw = TEXT.encode("cp1250")
    team.server.fail(Fault(200, raw, {"content-type": "application/json; charset=undefined"}, how="bytes"))
    assert labels(team.ask_one()) == ["\ufffd\ufffdw"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "made up"])
def test_a_body_that_isnt_packed_as_it_says_is_no_answer(team: Team, encoding: str) -> None:
    team.server.fail(Fault(200, b"\x1f\x8b not at all", {"content-encoding": encoding}, how="bytes"))
    assert labels(team.ask_one()) == ["Positive"]
    assert len(team.server.chats) == 2


DEEP = "[" * 200_000 + "]" * 200_000


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        f'{{"choices": {DEEP}}}',
        f'{{"choices": [{{"message": {DEEP}}}]}}',
        f'{{"choices": [], "x": {DEEP}}}',
        '{"choices": []}',
        '{"choices": [{"message": null}]}',
    ],
)
def test_a_reply_that_cant_be_read_costs_itself(team: Team, body: str) -> None:
    team.ask(request())
    team.server.fail(Fault(200, body))
    replies = team.ask(request(1), request(2))
    assert problems(replies) == [Problem.UNREADABLE, Problem.NONE]
    assert len(team.server.chats) == 3


@pytest.mark.parametrize("status", [400, 500])
def test_an_error_that_is_nested_deeply_is_known_by_its_status(team: Team, status: int) -> None:
    team.ask(request())
    team.server.fail(Fault(status, f'{{"error": {{"message": {DEEP}}}}}'))
    first, second = team.ask(request(1), request(2))
    assert first.samples[0].problem is (Problem.REJECTED if status == 400 else Problem.NONE)
    assert second.samples[0].problem is Problem.NONE


def test_a_batch_is_read_line_by_line(team: Team) -> None:
    asked = [request(number) for number in range(1, 6)]
    by_id = {one.bulk_id: one for one in asked}
    sent = team.client().bulk_send(asked, lambda _: None)
    first, deep, number, nothing, last = by_id

    def line(name: str, response: object) -> str:
        return json.dumps({"custom_id": name, "response": response})

    lines = [
        line(first, {"status_code": 200, "body": COMPLETION}),
        f'{{"custom_id": "{deep}", "response": {{"status_code": 200, "body": {DEEP}}}}}',
        line(number, {"status_code": "two hundred", "body": {}}).replace('"two hundred"', "9" * 401),
        line(nothing, {"status_code": 200, "body": {}}),
        "no JSON at all",
        line(last, {"status_code": 200, "body": COMPLETION}),
    ]
    team.server.file_faults.append(Fault(200, "\n".join(lines)))
    found = team.client().bulk_fetch(sent, by_id)
    assert {name: reply.samples[0].problem for name, reply in found.replies.items()} == {
        first: Problem.NONE,
        deep: Problem.UNREADABLE,
        nothing: Problem.UNREADABLE,
        last: Problem.NONE,
    }
    assert "answered 500" in found.problem


def test_results_of_a_batch_that_are_too_large_are_paid_for_and_given_up(team: Team) -> None:
    asked = {request().bulk_id: request()}
    sent = team.client().bulk_send([request()], lambda _: None)
    team.server.file_faults.append(faults.ENDLESS)
    found = team.client().bulk_fetch(sent, asked)
    assert found.status is BulkStatus.ENDED
    assert problems(list(found.replies.values())) == [Problem.TOO_LARGE]
    assert "more than 1 MB" in found.problem


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1/v1?api-version=2024-10-21", "query"),
        ("http://127.0.0.1:1/v1#part", "fragment"),
        ("http://[::1", "not an address"),
        ("http://127.0.0.1:99999/v1", "not an address"),
        ("http:///v1", "not an address"),
        ("127.0.0.1:1/v1", "not an address"),
        ("http://127.0.0.1:1/v1 ", "not an address"),
    ],
)
def test_an_address_below_which_nothing_can_be_is_refused(team: Team, url: str, said: str) -> None:
    with pytest.raises(LlmRefused, match=said):
        team.client(url=url).ask([request()], lambda *_: None)
    with pytest.raises(LlmRefused, match=said):
        embedder(url).embed([ToEmbed("a")])


# Vectors


def embedder(url: str, timeout_s: float = 20) -> EndpointEmbedder:
    return EndpointEmbedder(url, "", "small", takes_images=False, timeout_s=timeout_s, retries=0)


@pytest.mark.parametrize("fault", [faults.ENDLESS, faults.BOMB], ids=["endless", "gzip bomb"])
def test_vectors_that_are_too_large_are_refused(team: Team, fault: Fault) -> None:
    team.server.embedding_faults.append(fault)
    with pytest.raises(LlmRefused, match=r"The embedding endpoint at \S+ sends more than 1 MB"):
        embedder(team.server.base_url).embed([ToEmbed("a")])


def test_vectors_that_drip_are_not_waited_for(team: Team) -> None:
    team.server.embedding_faults.append(faults.DRIP)
    with pytest.raises(LlmUnavailable, match="nothing within"):
        embedder(team.server.base_url, 0.6).embed([ToEmbed("a")])


@pytest.mark.parametrize("number", ["9" * 401, "1e300", "-1e10", "NaN", "null", '"x"', "[1.0]"])
def test_a_number_that_is_none_costs_its_vector(team: Team, number: str) -> None:
    data = f'[{{"index": 0, "embedding": [1.0, {number}]}}, {{"index": 1, "embedding": [1.0, 2.0]}}]'
    team.server.embedding_faults.append(Fault(200, f'{{"data": {data}}}'))
    vectors = embedder(team.server.base_url).embed([ToEmbed("a"), ToEmbed("b")])
    assert np.isnan(vectors).all(axis=1).tolist() == [True, False]


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        '{"data": [{"index": 0, "embedding": [1e300]}]}',
        '{"data": [{"index": 1e400, "embedding": [1]}]}',
        '{"data": [{"index": "0", "embedding": [1]}]}',
        '{"data": [{"index": 0, "embedding": "AAAA"}]}',
        '{"data": [7]}',
        '{"data": {}}',
    ],
)
def test_vectors_that_are_none_are_refused(team: Team, body: str) -> None:
    team.server.embedding_faults.append(Fault(200, body))
    with pytest.raises(LlmRefused, match="embedding model"):
        embedder(team.server.base_url).embed([ToEmbed("a")])
