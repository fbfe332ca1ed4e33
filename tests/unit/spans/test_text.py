"""Spans of texts in any script become rows of tokens and come back to the character."""

import pytest

from backend.domain.spans.text import Run, Span, Text

TEXTS = [
    "Don't  cut 5mg/kg\r\n of na\u00efve cafe\u0301s!",
    "\U0001f600\U0001f469\u200d\U0001f469\u200d\U0001f467 Ann\U0001f44d\U0001f3fd!",
    "\u6771\u4eac\u30bf\u30ef\u30fc\u306b\u884c\u304f",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\u0e1b\u0e23\u0e30\u0e40\u0e17\u0e28\u0e44\u0e17\u0e22",
    "&amp; <b>bold</b>\ttab",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_hold_every_character_but_white_space_once(text: str) -> None:
    read = Text.read(text)
    assert "".join(read.words) == "".join(text.split())
    assert all(text[start:end] == word for word, start, end in zip(read.words, read.starts, read.ends, strict=True))


@pytest.mark.parametrize("text", TEXTS)
def test_every_span_that_does_not_touch_white_space_comes_back_unchanged(text: str) -> None:
    spans = [
        Span(start, end, "A")
        for start in range(len(text))
        for end in range(start + 1, len(text) + 1)
        if not text[start].isspace() and not text[end - 1].isspace()
    ]
    for span in spans:
        read = Text.read(text, [span])
        runs, left_out = read.runs([span])
        assert (read.spans(runs), left_out) == ([span], 0)


def test_scripts_without_spaces_are_split_into_characters_and_an_emoji_is_one_token() -> None:
    assert Text.read(TEXTS[2]).words == tuple(TEXTS[2])
    assert Text.read(TEXTS[1]).words[1:4] == (
        "\U0001f469\u200d\U0001f469\u200d\U0001f467",
        "Ann",
        "\U0001f44d\U0001f3fd",
    )
    assert len(Text.read(TEXTS[3]).words) == 2


def test_white_space_at_the_ends_is_left_off_and_nothing_else_is_moved() -> None:
    text = "Bob  saw Lidocaineinduced "
    read = Text.read(text)
    asked = [Span(0, 5, "P"), Span(8, 26, "C"), Span(9, 18, "C"), Span(3, 5, "P"), Span(2, 2, "P"), Span(9, 40, "C")]
    asked += [Span(-1, 3, "P"), Span(5, 3, "P")]
    runs, left_out = read.runs(asked)
    assert runs == [Run(0, 1, "P"), Run(2, 3, "C")]
    assert read.spans(runs) == [Span(0, 3, "P"), Span(9, 25, "C")]
    assert left_out == 6


def test_tokens_that_are_given_are_used_as_they_are() -> None:
    read = Text.of_words(["Mac", "book's", "fan"])
    assert read.spans([Run(1, 3, "A")]) == [Span(4, 14, "A")]
    assert read.runs([Span(4, 14, "A"), Span(5, 14, "A")]) == ([Run(1, 3, "A")], 1)
