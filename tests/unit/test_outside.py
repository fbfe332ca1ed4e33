import json
import math

import pytest

from backend.domain.outside import bounded_number, bounded_whole, cell, one_line, storable, visible, visible_lines


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5),
        (1, 1.0),
        (1.5, None),
        (10**401, None),
        (-(10**401), None),
        (math.nan, None),
        (math.inf, None),
        (True, None),
        ("0.5", None),
        (None, None),
        ([1], None),
    ],
)
def test_a_number_is_read_within_its_bounds(value: object, expected: float | None) -> None:
    assert bounded_number(value, 0, 1) == expected


@pytest.mark.parametrize(("value", "expected"), [(3, 3), (3.0, 3), (3.5, None), (10**30, None), (False, None)])
def test_a_whole_number_has_no_fraction(value: object, expected: int | None) -> None:
    assert bounded_whole(value, 0, 10**9) == expected


def test_numbers_without_bounds_are_still_finite() -> None:
    assert bounded_number(math.inf, -math.inf, math.inf) is None
    assert bounded_number(math.nan, -math.inf, math.inf) is None


def test_what_is_kept_can_be_encoded_and_is_short() -> None:
    assert storable("half \ud800 and \0 nul") == "half \ufffd and \ufffd nul"
    assert storable("whole 😀 stays") == "whole 😀 stays"
    assert storable("a\0b") == "a\ufffdb"
    assert len(storable("x" * 10_000_000)) == 2000
    assert storable("x" * 30, 10) == "x" * 9 + "…"
    json.dumps(storable("\ud83d" * 5000)).encode()
    # Cut between the halves of what Python holds as two.
    storable("\ud83d\ude00" * 3, 4).encode()


def test_what_is_shown_is_one_line_without_sequences_for_the_terminal() -> None:
    assert one_line("two\r\nlines\tand \x1b]0;title\x07 more") == "two lines and ]0;title more"
    assert one_line("\x9b31mred \u202eright to left\u202c \u2028") == "31mred right to left"
    assert one_line("q[/red]") == "q[/red]"
    assert one_line("👩\u200d🚀 \u0645\u06cc\u200c\u062e") == "👩\u200d🚀 \u0645\u06cc\u200c\u062e"
    assert one_line("x" * 500) == "x" * 199 + "…"
    assert one_line("\x1b" * 10_000_000 + "end").endswith("…")


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


def test_what_acts_on_a_terminal_is_a_space_and_all_else_stays() -> None:
    assert visible("  -> \x1b[31mred\x9b0m\n\u202eab\u2066 \ud800 \x7f") == "  ->  [31mred 0m  ab     "
    assert visible("naïve 👩\u200d🚀 سلام") == "naïve 👩\u200d🚀 سلام"
    assert visible_lines("one\r\n  two\u2028\x1b") == "one \n  two  "


def test_a_cell_can_be_written_and_kept_by_a_spreadsheet() -> None:
    assert cell("half \ud800") == "half \ufffd"
    assert len(str(cell("x" * 10**6))) == 32_767


def test_other_cells_stay() -> None:
    assert [cell(value) for value in ("text", -1, None, 0.5, "")] == ["text", -1, None, 0.5, ""]
