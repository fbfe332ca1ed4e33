"""What others may send: any JSON, label configs, and texts that were right before something happened to them."""

import json
from typing import Any

from hypothesis import strategies as st

ODD_INTEGERS = [0, -1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**40, 10**400]
odd_numbers = st.sampled_from([*ODD_INTEGERS, 1e308, -0.0, 5e-324, float("nan"), float("inf"), float("-inf")])
ODD_TEXTS = """NaN|1e999|٣|²|../../etc/passwd|$text|{{ x }}|%s%n|https://[::1|1.2.2020|2020-13-45|good|bad|rating|n't|*|a*
prelabel_quality|__class__|İıſK|ไทย中文|﷽|\r\n|\x00|\ud800|\udfff\ud800|\ufeff|\u202e|e\u0301|""".replace(
    "\n", "|"
).split("|")
odd_texts = st.sampled_from([*ODD_TEXTS, "<" * 50, "a" * 5000, "9" * 400])
texts = st.one_of(st.text(st.characters(exclude_categories=()), max_size=30), odd_texts)
plain_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    texts,
    odd_numbers,
    st.sampled_from(["good film", "a bad plot"]),
)
any_json = st.recursive(
    plain_values,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
fields = st.one_of(st.sampled_from(["text", "rating", "author", "url", "data", "items", "prelabel_quality"]), texts)
task_data = st.dictionaries(fields, any_json, max_size=6)


@st.composite
def mutated(draw: st.DrawFn, original: bytes, pieces: tuple[bytes, ...]) -> bytes:
    """A text with some parts cut out, doubled, replaced by others' words, or with single bytes changed."""
    text = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        how = draw(st.sampled_from(["cut", "double", "piece", "bytes", "repeat"]))
        if how == "cut":
            del text[start:end]
        elif how == "double":
            text[start:start] = text[start:end]
        elif how == "piece":
            text[start:end] = draw(st.sampled_from(pieces))
        elif how == "repeat":
            text[start:end] = bytes(text[start:end]) * draw(st.sampled_from([2, 50, 2000]))
        else:
            text[start:end] = draw(st.binary(max_size=4))
    return bytes(text)


JSON_PIECES = (
    *(
        b"NaN",
        b"Infinity",
        b"-1e999",
        b"1" + b"0" * 5000,
        b"1" + b"0" * 30,
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'""',
        b'"x"',
    ),
    *(
        b'"\\ud800"',
        b'"\\u0000"',
        b"\\",
        b'"',
        b"[" * 5000,
        b'{"a":' * 5000,
        b"\xff",
        b"\xed\xa0\x80",
        b"/**/",
        b",,",
        b"\xef\xbb\xbf",
    ),
)


@st.composite
def changed_json(draw: st.DrawFn, original: Any) -> Any:
    """A JSON value of which some parts are replaced by any other, left out, or put under another name."""
    if draw(st.integers(0, 7)) == 0:
        return draw(any_json)
    if isinstance(original, dict):
        kept = {name: draw(changed_json(value)) for name, value in original.items() if draw(st.integers(0, 9))}
        return kept | (draw(st.dictionaries(texts, any_json, max_size=2)) if draw(st.booleans()) else {})
    if isinstance(original, list):
        return [draw(changed_json(value)) for value in original] * draw(st.sampled_from([1, 1, 1, 0, 3]))
    return original


def as_bytes(value: Any) -> bytes:
    """JSON as Python writes it: with NaN, and half characters as escapes."""
    return json.dumps(value).encode()
