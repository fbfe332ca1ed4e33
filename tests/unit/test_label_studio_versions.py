"""Other releases of Label Studio than the demo's: how they are started, and what a trial of several says."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from backend.entrypoints.run import label_studio as label_studio_process
from backend.entrypoints.run.label_studio import VERSION, Account, label_studio_program
from tests import label_studio_versions
from tests.label_studio_versions import OK, STEPS, main, table


@pytest.mark.parametrize(("version", "needs"), [("1.9.2", True), ("1.14.0", True), ("1.15.0", False), (VERSION, False)])
def test_a_release_gets_the_setuptools_that_it_can_start_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, needs: bool
) -> None:
    # It has nothing in its cache.
    monkeypatch.setattr(label_studio_process, "_uv", lambda: "false")
    command = label_studio_program(tmp_path, 1, Account("", ""), version=version).command
    assert f"label-studio=={version}" in command
    assert ("setuptools<81" in command) is needs


@pytest.mark.parametrize(
    ("failing", "code"), [((), 0), (("1.11.0",), 0), (("1.24.0",), 0), (("1.11.0", "1.12.1"), 1), (("1.23.2",), 1)]
)
def test_a_trial_fails_with_what_is_promised(
    monkeypatch: pytest.MonkeyPatch, failing: tuple[str, ...], code: int
) -> None:
    def trial(version: str, _: object) -> dict[str, str]:
        return dict.fromkeys((step.__name__ for step in STEPS), "it broke" if version in failing else OK)

    monkeypatch.setattr(label_studio_versions, "try_version", trial)
    monkeypatch.setattr(label_studio_versions, "Commands", nullcontext)
    assert main(["1.11.0", "1.12.1", "1.23.2", "1.24.0"]) == code


def test_the_table_has_a_line_for_each_release() -> None:
    outcome = dict.fromkeys((step.__name__ for step in STEPS), OK)
    lines = table({"1.12.1": outcome, "1.23.2": outcome | {"tabs": "AssertionError: 0.9 | 0.4"}})
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| 1.12.1 | ok |")
    assert lines[3].count("FAILED") == 1
