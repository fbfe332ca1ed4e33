"""What commands print of users' texts."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from backend.adapters.data_files.csv import write_csv
from backend.adapters.redaction import redact
from backend.entrypoints.console import Grid, complain, fail, progress_bar, say, say_json, spinner
from tests.screen import screen

NASTY = "q[/red] \x1b]0;x\x07 \x9b31m two\nlines\r\u2028 \u202eback \ud800 [link=x]"
SEEN = "q[/red]"
ACTS = set("\x1b\x07\x9b\r\u2028\u202e\ud800")


def assert_harmless(shown: str, n_lines: int) -> None:
    assert SEEN in shown
    assert "[link=x]" in shown
    assert not ACTS & set(shown)
    assert len(shown.splitlines()) == n_lines


def test_a_sentence_is_one_line_whatever_is_in_it() -> None:
    with screen(20) as text:
        say(f"  -> {NASTY}", (NASTY, "bold"))
    assert_harmless(text.getvalue(), 1)
    assert text.getvalue().startswith("  -> q")
    with screen() as text:
        complain(NASTY)
    assert_harmless(text.getvalue(), 1)
    with screen() as text, pytest.raises(SystemExit) as ended:
        fail(NASTY)
    assert_harmless(text.getvalue(), 1)
    assert ended.value.code == 1


def test_a_table_has_texts_not_markup() -> None:
    with screen() as text:
        table = Grid(NASTY, "figures", title=NASTY, figures=("figures",))
        table.row(NASTY, "1")
        table.row(["one", (NASTY, "bold")], "2")
        table.show()
    shown = text.getvalue()
    assert shown.count(SEEN) == 4
    assert not ACTS & set(shown)


def test_json_is_exact_and_acts_on_nothing() -> None:
    with screen(20) as text:
        say_json({NASTY: [NASTY, 0.5, float("nan")]})
    assert json.loads(text.getvalue()) == {NASTY: [NASTY, 0.5, None]}
    assert text.getvalue().isascii()


def test_progress_is_described_in_one_harmless_line() -> None:
    for shows in (progress_bar(NASTY), spinner(NASTY)):
        with screen(is_terminal=True) as text, shows as report:
            if report is not None:
                report(NASTY, 1, 2)
        shown = text.getvalue()
        assert SEEN in shown
        # The bar itself moves the cursor and has colours.
        assert "\x1b]0" not in shown
        assert not {"\x07", "\x9b", "\u2028", "\u202e", "\ud800"} & set(shown)


def test_secrets_are_in_no_sentence_table_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_forms", ())
    redact.learn(["sk-verysecret"])
    with screen() as text:
        say("key sk-verysecret")
        table = Grid("error")
        table.row("refused sk-verysecret")
        table.show()
        say_json({"error": "sk-verysecret"})
    assert text.getvalue().count("***") == 3


def test_a_terminal_of_another_encoding_ends_nothing() -> None:
    code = (
        "from backend.entrypoints.console import *; write_what_can_be_written(); say('na\\u00efve \\ud800');"
        "table = Grid('\\u4e2d'); table.row('x'); table.show()"
    )
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    assert "na\\xefve" in done.stdout


def test_no_csv_file_has_formulas(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_csv(path, ["label", "n"], [("=cmd|' /C calc'!A0", -1), ("half \ud800", 2), ("two\nlines", 3)])
    assert path.read_text().splitlines()[1] == "'=cmd|' /C calc'!A0,-1"
    assert len(io.StringIO(path.read_text()).readlines()) == 5
