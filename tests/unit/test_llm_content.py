import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.llm.content import CUT, MASKED, MAX_CHARACTERS, compile_masks, content_of
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
