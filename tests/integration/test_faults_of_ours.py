"""What the command says where nobody foresaw a failure, and of arguments that make no sense."""

import logging
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import structlog

from backend.entrypoints.cli import installation
from backend.entrypoints.cli import main as cli
from backend.entrypoints.cli import settings as cli_settings
from backend.settings import Settings
from tests.screen import screen


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int | str | None, str]:
    """Run the command as the shell does; returns its exit code, and what it said."""
    monkeypatch.setattr(sys, "argv", ["prelabel", *arguments])
    monkeypatch.setattr(cli_settings, "start_logging", lambda _: None)
    with screen() as text, pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, text.getvalue()


def broken(settings: Settings, **_: bool) -> NoReturn:
    raise KeyError("half \ud800 \x1b]0;x\x07 two\nlines")


def test_a_fault_is_a_sentence_and_a_traceback_only_for_those_who_ask(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installation, "build", broken)
    # As before any of our own logging: other tests in this process may have set it up.
    structlog.reset_defaults()
    with caplog.at_level(logging.INFO):
        code, said = main(monkeypatch, "jobs")
    assert code == 70
    assert said.startswith("prelabel: This is a fault of Prelabel itself, at entrypoints/cli/installation.py:")
    assert "KeyError" in said
    assert not {"\x1b", "\ud800"} & set(said)
    assert len(said.splitlines()) == 1
    assert "Traceback" not in said + "".join(capsys.readouterr())
    with caplog.at_level(logging.DEBUG):
        assert main(monkeypatch, "jobs")[0] == 70
    assert "Traceback" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "9" * 5000),
        ("status", "²"),
        ("status", "0"),
        ("check", "1", "--keep", "9" * 30),
        ("check", "1", "17"),
        ("check", "1", "--keep"),
        ("rollback", "1"),
        ("rollback", "1", "v2", "--release"),
        ("--demo", "", "status", "1"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_in_words(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(monkeypatch, *arguments)[0] in {1, 2}


def test_a_demo_folder_of_odd_shapes_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in ("[" * 100_000, "[]", '{"label_studio_url": 7}', "\x00"):
        (tmp_path / "demo.json").write_text(content)
        code, said = main(monkeypatch, "--demo", str(tmp_path), "status", "1")
        assert code == 1
        assert "is damaged: delete the folder" in said
