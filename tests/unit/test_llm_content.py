import json
import threading
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.llm.content import CUT, MASKED, MAX_CHARACTERS, MAX_LATE, compile_masks, content_of, content_of_each
from backend.domain.locations import fields_elsewhere
from backend.errors import BadRequest

MAIL = compile_masks([r"\S+@\S+"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)

SECRETS = st.recursive(
    st.text("abQ"), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abQ"), inner, max_size=3)
)


def test_only_the_fields_that_annotators_see_are_sent_in_their_order() -> None:
    data = {"note": "n", "text": "t", "id": 7}
    content = content_of(data, ["text", "note", "gone"], (), ())
    assert list(content.fields.items()) == [("text", "t"), ("note", "n")]
    assert dict(content_of(data, None, (), ()).fields) == data


def test_our_own_keys_are_never_sent_even_when_named() -> None:
    data = {"text": "t", "prelabel_expected": "Positive"}
    assert dict(content_of(data, None, (), ()).fields) == {"text": "t"}
    assert dict(content_of(data, ["text", "prelabel_expected"], (), ()).fields) == {"text": "t"}


def test_left_out_fields_never_leave_images_included() -> None:
    content = content_of(
        {"text": "t", "name": "Ann", "photo": "x.png"}, None, ["name", "photo"], (), image_fields=["photo"]
    )
    assert dict(content.fields) == {"text": "t"}
    assert content.images == ()


def test_masks_reach_nested_strings_keys_and_numbers() -> None:
    masks = compile_masks([r"\S+@\S+", r"\d{10}"])
    data = {
        "text": "write to ann@example.com now",
        "people": [{"ann@example.com": {"mail": "bob@example.com", "age": 41}}],
        "phone": 5551234567,
    }
    content = content_of(data, None, (), masks)
    assert dict(content.fields) == {
        "text": f"write to {MASKED} now",
        "people": [{MASKED: {"mail": MASKED, "age": 41}}],
        "phone": MASKED,
    }


def test_keys_that_are_masked_alike_are_all_kept() -> None:
    content = content_of({"x": {"a@b.c": 1, "d@e.f": 2}}, None, (), MAIL)
    assert content.fields["x"] == {MASKED: 1, f"{MASKED} 2": 2}


def test_masks_do_not_touch_the_marker_of_another_and_their_order_does_not_matter() -> None:
    for patterns in (["secret", "masked|cre"], ["masked|cre", "secret"]):
        assert content_of({"t": "a secret"}, None, (), compile_masks(patterns)).fields["t"] == f"a {MASKED}"


@pytest.mark.parametrize("pattern", ["(", "x*", "", "[a"])
def test_a_mask_that_cannot_be_used_is_named(pattern: str) -> None:
    with pytest.raises(BadRequest) as error:
        compile_masks(["fine", pattern])
    assert repr(pattern) in str(error.value)


@pytest.mark.parametrize("pattern", ["x" * 10_001, "(?:" * 2_000])
def test_a_mask_that_is_too_large_is_refused_in_a_short_sentence(pattern: str) -> None:
    with pytest.raises(BadRequest) as error:
        compile_masks([pattern])
    assert len(str(error.value)) < 500
    with pytest.raises(BadRequest, match="101 masks"):
        compile_masks(["x"] * 101)


ENDLESS = ("(a|aa)+$", "a" * 80 + "b")
"""A mask, and a text that it would be done with in years."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.domain.llm.content.LIMIT_S", 0.1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "data",
    [{"t": ENDLESS[1]}, {"a": "fine", "t": [{ENDLESS[1]: 1}], "z": "fine"}, {"a": "fine", "photo": ENDLESS[1]}],
    ids=["text", "key", "address of an image"],
)
def test_nothing_of_a_task_leaves_when_a_mask_takes_too_long_for_it(data: dict[str, object]) -> None:
    masks = compile_masks(["fine", ENDLESS[0]])
    slow, quick = content_of_each([data, {"t": "a fine one"}], None, (), masks, image_fields=["photo"])
    assert (dict(slow.fields), slow.images, slow.too_slow) == ({}, (), ENDLESS[0])
    assert quick == content_of({"t": "a fine one"}, None, (), masks)


@pytest.mark.usefixtures("impatient")
@pytest.mark.timeout(60)
def test_a_mask_that_was_too_slow_a_few_times_lets_nothing_more_leave() -> None:
    rows = [{"t": ENDLESS[1]}] * MAX_LATE + [{"t": "fine"}] * 1000
    contents = content_of_each(rows, None, (), compile_masks([ENDLESS[0]]))
    assert all(content.too_slow and not content.fields for content in contents)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(?x)(a+) +b", "(?x: (a+) + )b", "(a+)(?#why)+b", "(?:a|a)" * 29 + "b", r"(a*)*(a*)*b"]
)
def test_masks_that_python_would_not_end_are_done_with_while_others_run(pattern: str) -> None:
    done = threading.Event()
    ticks: list[float] = []

    def tick() -> None:
        while not done.wait(0.005):
            ticks.append(time.monotonic())

    beside = threading.Thread(target=tick)
    beside.start()
    started = time.monotonic()
    try:
        content_of_each([{"t": "a" * 29}], None, (), compile_masks([pattern]))
    finally:
        done.set()
        beside.join()
    moments = [started, *ticks, time.monotonic()]
    # Python's own `re` would let nothing else run for half a minute.
    assert max(after - before for before, after in pairwise(moments)) < 5


def test_a_long_text_is_cut_visibly_and_what_a_mask_matches_cannot_hide_in_the_cut() -> None:
    text = "x" * (MAX_CHARACTERS - 4) + " ann@example.com"
    cut = content_of({"t": text}, None, (), MAIL).fields["t"]
    assert isinstance(cut, str)
    assert cut.endswith(CUT)
    assert len(cut) == MAX_CHARACTERS + len(CUT)
    assert "ann" not in cut
    assert content_of({"t": "y" * 20}, None, (), (), max_characters=20).fields["t"] == "y" * 20


def test_images_are_kept_apart_and_withheld_when_their_address_is_masked() -> None:
    data = {"photo": ["https://x/1.png", "https://x/ann@example.com.png", 5], "scan": "data:image/png;base64,a@b"}
    content = content_of(data, None, (), MAIL, image_fields=["photo", "scan"])
    assert content.images == ("https://x/1.png", "data:image/png;base64,a@b")
    assert content.withheld == 1
    assert dict(content.fields) == {}


def test_the_hash_knows_content_and_images_but_not_the_order_of_keys() -> None:
    def hashed(data: dict[str, object], **options: Any) -> str:
        return content_of(data, None, (), MAIL, **options).hash

    assert hashed({"a": 1, "b": {"c": 2, "d": "é"}}) == hashed({"b": {"d": "é", "c": 2}, "a": 1})
    assert hashed({"a": "é"}) != hashed({"a": "e"})
    assert hashed({"a": 1}) != hashed({"a": "1"})
    assert hashed({"i": "1.png"}, image_fields=["i"]) != hashed({"i": "2.png"}, image_fields=["i"])
    assert hashed({"i": "1.png"}, image_fields=["i"]) != hashed({"i": "1.png"})
    # Recorded answers are found by this very value: a change here would ask, and pay for, everything again.
    assert hashed({"text": "héllo"}) == "4e1f756f4c468892f9b92ff8eae2e0162105c798b1d35bcaa7109065e5c652e1"


def test_what_is_masked_has_no_say_in_the_hash() -> None:
    assert content_of({"t": "to a@b.c"}, None, (), MAIL).hash == content_of({"t": "to d@e.f"}, None, (), MAIL).hash


def test_no_content_in_the_repr() -> None:
    assert "secret" not in repr(content_of({"t": "secret"}, None, (), ()))


def test_too_deep_values_are_cut() -> None:
    deep: object = "x"
    for _ in range(3000):
        deep = [deep]
    assert len(json.dumps(content_of({"t": deep}, None, (), ()).fields)) < 200


@settings(deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_any_task_data_gives_json_that_can_be_sent(data: dict[str, object]) -> None:
    content = content_of(data, None, (), MAIL, image_fields=["photo"])
    assert json.dumps(content.fields, ensure_ascii=False, allow_nan=False).encode()


@settings(deadline=None)
@given(st.dictionaries(st.just("field"), SECRETS, max_size=1))
def test_what_a_mask_matches_is_nowhere_in_what_is_sent(data: dict[str, object]) -> None:
    assert "Q" not in json.dumps(content_of(data, None, (), compile_masks(["Q+"])).fields)


def test_a_text_that_only_says_where_something_is_stored_is_not_sent() -> None:
    data = {
        "a": "s3://bucket/Dog photo (3).txt",
        "b": "Dog photo (3).jpg",
        "c": "https://example.org/offer",
        "d": "km/h",
    }
    assert dict(content_of(data, None, (), (), elsewhere=data).fields) == {
        "c": "https://example.org/offer",
        "d": "km/h",
    }


def test_what_most_values_of_a_field_are_tells_where_something_is_stored() -> None:
    said = ["I can't open report.pdf", "The app crashes when I upload photo.jpg", "It is fine", "bit.ly/x.html"]
    rows: list[dict[str, object]] = [
        {"said": text, "file": f"Dog photo ({number}).jpg", "files": [f"a/{number}.png"], "gone": None}
        for number, text in enumerate([*said, "file://x is broken. please help me", *["Nothing works"] * 5, ""])
    ]
    rows[0] |= {"file": "It is on my desk", "files": ["none", "at all"]}
    assert fields_elsewhere(rows) == {"file", "files"}
    contents = content_of_each(rows, None, (), (), elsewhere={"file", "files"})
    assert dict(contents[1].fields) == {"said": said[1], "gone": None}
    assert contents[0].fields["file"] == "It is on my desk"
