"""What a request will cost: bounds that hold, and estimates that are near."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.llm.price import estimated_tokens, expected_tokens, most_tokens, reservation
from backend.domain.llm.records import LlmRequest, LlmSource, ModelPrice

PRICE = ModelPrice(2.0, 8.0, batch=0.5, image_tokens=1000)


def estimate(request: LlmRequest, price: ModelPrice) -> float:
    """Expected price in USD."""
    return price.of(*expected_tokens(request, price.image_tokens))


def asked(
    system: str = "s", user: str = "u", *, tasks: int = 1, samples: int = 1, images: int = 0, most_output: int = 100
) -> LlmRequest:
    source = LlmSource("q", "m", "p", samples=samples)
    contents = {str(number): f"c{number}" for number in range(tasks)}
    schema = {"properties": {"label": {"enum": ["żółw", "B"]}}}
    return LlmRequest(source, contents, system, user, schema, most_output, ("data:image/png;base64,AA==",) * images)


@given(st.text(), st.lists(st.integers(0, 400)))
def test_no_split_of_a_texts_bytes_has_more_tokens_than_the_bound(text: str, cuts: list[int]) -> None:
    content = text.encode()
    places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    tokens = [content[start:end] for start, end in pairwise(places)]
    assert b"".join(tokens) == content
    assert len(tokens) <= most_tokens(text)
    assert len(list(content)) <= most_tokens(text)


@given(
    st.text(max_size=300),
    st.text(max_size=300),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(0, 500),
    st.data(),
)
def test_no_reply_within_its_limit_costs_more_than_was_reserved(
    system: str, user: str, samples: int, images: int, most_output: int, data: st.DataObject
) -> None:
    request = asked(system, user, samples=samples, images=images, most_output=most_output)
    # The worst tokenizer makes a token of each byte, and each message has a header of a few tokens.
    text_tokens = data.draw(st.integers(0, len((system + user).encode()) + 40))
    image_tokens = sum(data.draw(st.integers(0, PRICE.image_tokens)) for _ in range(images))
    output_tokens = sum(data.draw(st.integers(0, most_output)) for _ in range(samples))
    assert PRICE.of(text_tokens + image_tokens, output_tokens) <= reservation(request, PRICE)


@given(st.text(max_size=300), st.integers(1, 20), st.integers(1, 3), st.integers(1, 500))
def test_an_estimate_is_never_above_the_reservation(text: str, tasks: int, samples: int, most_output: int) -> None:
    request = asked(text, text, tasks=tasks, samples=samples, most_output=most_output, images=1)
    assert 0 < estimate(request, PRICE) <= reservation(request, PRICE)


def test_other_scripts_count_more_tokens_for_a_character_than_english() -> None:
    english = "The turtle crossed the road. " * 10
    assert estimated_tokens(english) == 73  # 290 characters, four to a token
    assert estimated_tokens("龟") == 1
    assert estimated_tokens("черепаха") == 6  # 16 bytes
    assert estimated_tokens("") == 0


def test_a_lone_surrogate_is_counted_and_not_an_error() -> None:
    assert most_tokens("\ud800") == 3
    assert estimated_tokens("a\ud800") >= 1


def test_the_batch_api_costs_its_share() -> None:
    request = asked("s" * 400, "u" * 400)
    assert reservation(request, PRICE.in_bulk) == reservation(request, PRICE) / 2
    assert estimate(request, PRICE.in_bulk) == estimate(request, PRICE) / 2


def test_more_tasks_samples_and_images_cost_more() -> None:
    one = estimate(asked(most_output=10_000), PRICE)
    assert estimate(asked(tasks=5, most_output=10_000), PRICE) > one
    assert estimate(asked(samples=3), PRICE) > one
    assert estimate(asked(images=1), PRICE) - estimate(asked(), PRICE) == pytest.approx(1000 * 2.0 / 1e6)
    assert reservation(asked(samples=3), PRICE) == pytest.approx(3 * reservation(asked(), PRICE))
    assert reservation(asked(images=1), PRICE) - reservation(asked(), PRICE) >= 0.0019
