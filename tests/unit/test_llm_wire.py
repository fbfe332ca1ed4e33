"""What an endpoint's replies and headers hold, read with care: it may be anything."""

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from backend.adapters.llm.pace import duration_s, retry_after_s, used_up_s
from backend.adapters.llm.wire import parse_reply
from backend.domain.llm.records import Problem
from backend.domain.outside import read_json

HUGE = 10**401


def completion(usage: object, logprob: object = -0.5) -> object:
    logprobs = {"content": [{"token": "{", "logprob": logprob}, {"token": "}", "logprob": -0.25}]}
    return {"choices": [{"message": {"content": "{}"}, "logprobs": logprobs}], "usage": usage}


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "12",
        {},
        {"prompt_tokens": 10**30, "completion_tokens": 2},
        {"prompt_tokens": 12, "completion_tokens": HUGE},
        {"prompt_tokens": -12, "completion_tokens": 2},
        {"prompt_tokens": 12, "completion_tokens": -1},
        {"prompt_tokens": "12", "completion_tokens": "2"},
        {"prompt_tokens": 12.5, "completion_tokens": 2},
        {"prompt_tokens": math.nan, "completion_tokens": math.inf},
        {"prompt_tokens": True, "completion_tokens": 2},
        {"prompt_tokens": 0, "completion_tokens": 2},
        {"prompt_tokens": 12},
    ],
)
def test_tokens_that_cant_be_are_unknown_and_the_text_is_there(usage: object) -> None:
    reply = parse_reply(completion(usage), 1)
    assert reply is not None
    assert (reply.input_tokens, reply.output_tokens) == (0, 0)
    assert reply.samples[0].text == "{}"


ANSWER = '{"answers": [{"id": "t1", "labels": ["Positive"]}]}'


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "", "reasoning_content": f"Well. {ANSWER}"}, f"Well. {ANSWER}"),
        ({"content": None, "reasoning": f"```json\n{ANSWER}\n```\n"}, f"```json\n{ANSWER}\n```\n"),
        ({"content": " ", "reasoning_content": None, "reasoning": f"{ANSWER}<|im_end|>"}, f"{ANSWER}<|im_end|>"),
        ({"reasoning_content": f"{ANSWER} Or not?"}, ""),
        ({"content": "Positive", "reasoning_content": ANSWER}, "Positive"),
        ({"content": [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": ANSWER}]}, ANSWER),
        ({"content": 7, "reasoning_content": {"a": 1}}, ""),
    ],
)
def test_an_answer_among_the_thoughts_counts_where_there_is_no_other(message: object, text: str) -> None:
    reply = parse_reply({"choices": [{"message": message, "finish_reason": "stop"}]}, 1)
    assert reply is not None
    assert reply.samples[0].text == text
    cut = parse_reply({"choices": [{"message": message, "finish_reason": "length"}]}, 1)
    assert cut is not None
    assert cut.samples[0].text in {"", " ", text if message.get("content") else ""}  # type: ignore[attr-defined]


@pytest.mark.parametrize("choices", [[], None, {}, [None], [{}], [{"message": None}], [{"message": "x"}], 7])
def test_a_completion_without_a_usable_choice_is_unreadable_and_counted(choices: object) -> None:
    reply = parse_reply({"choices": choices, "usage": {"prompt_tokens": 9, "completion_tokens": 0}}, 1)
    assert reply is not None
    assert [sample.problem for sample in reply.samples] == [Problem.UNREADABLE]
    assert reply.input_tokens == 9


@pytest.mark.parametrize("body", [None, [], "choices", {}, {"data": []}])
def test_what_has_no_choices_is_no_completion(body: object) -> None:
    assert parse_reply(body, 1) is None


def test_whole_tokens_count_however_they_are_written() -> None:
    reply = parse_reply(completion({"prompt_tokens": 12.0, "completion_tokens": 2}), 1)
    assert reply is not None
    assert (reply.input_tokens, reply.output_tokens) == (12, 2)


@pytest.mark.parametrize("logprob", [HUGE, -HUGE, math.nan, math.inf, -math.inf, 0.5, "x", None, True])
def test_a_logprob_that_cant_be_costs_only_itself(logprob: object) -> None:
    reply = parse_reply(completion({}, logprob), 1)
    assert reply is not None
    first, second = reply.samples[0].tokens
    assert math.isnan(first.logprob)
    assert second.logprob == -0.25


def test_numbers_of_any_length_are_read_with_all_else() -> None:
    text = f'{{"usage": {"9" * 5000}, "low": -{"9" * 5000}, "text": "kept"}}'
    assert read_json(text) == {"usage": math.inf, "low": -math.inf, "text": "kept"}


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "", "<html>"])
def test_what_cant_be_read_is_none(text: str) -> None:
    assert read_json(text) is None


@pytest.mark.parametrize(
    "said", ["9" * 401, "1e9", "-1", "nan", "inf", "٣", "9" * 90_000, "Mon, 01 Jan 99999 00:00:00 GMT", "x"]
)
def test_a_pause_that_cant_be_was_not_asked_for(said: str) -> None:
    assert retry_after_s({"retry-after": said}) is None
    assert retry_after_s({"retry-after-ms": said}) is None
    assert used_up_s({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": said}) is None


def test_dates_at_the_ends_of_time_are_no_pause() -> None:
    for date in (
        "Fri, 31 Dec 9999 23:59:59 -2300",
        "Mon, 01 Jan 0001 00:00:00 +2300",
        "Mon, 01 Jan 2024 00:00:00 +99999999999999",
    ):
        assert retry_after_s({"retry-after": date}) in {None, 0.0}
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < (retry_after_s({"retry-after": later}) or 0) <= 100


def test_a_long_duration_is_not_searched_through() -> None:
    assert duration_s("1m2.5s") == 62.5
    assert duration_s("1" * 90_000 + "s") is None
