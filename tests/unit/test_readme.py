"""What the README says is true."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import AliasChoices
from typer.main import get_command

from backend.domain.policy import PARAMETERS
from backend.entrypoints.cli.main import cli
from backend.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_in_the_table(field: str) -> None:
    alias = Settings.model_fields[field].validation_alias
    names = list(map(str, alias.choices)) if isinstance(alias, AliasChoices) else [str(alias)]
    row = next((line for line in README.splitlines() if line.startswith(f"| `{names[0]}`")), None)
    assert row is not None, f"{names[0]} is missing in README.md"
    assert all(f"`{name}`" in row for name in names)
    assert str(Settings.model_fields[field].description) in row


def test_the_table_has_no_setting_that_is_gone() -> None:
    table = README.split("## Settings")[1].split("## HTTP")[0]
    known = {
        str(name)
        for field in Settings.model_fields.values()
        for name in (
            field.validation_alias.choices
            if isinstance(field.validation_alias, AliasChoices)
            else [field.validation_alias]
        )
    }
    assert set(re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE)) <= known


def test_the_table_has_the_defaults_that_hold() -> None:
    for name, default in re.findall(r"^\| `(\w+)`[^|]*\| ([^|`]+) \|", README, re.MULTILINE):
        field = next((item for item in Settings.model_fields.values() if item.validation_alias == name), None)
        if field is not None:
            assert default == str(field.default).lower() or default == str(field.default), name


def test_what_a_project_can_set_for_itself_is_marked_or_listed() -> None:
    table = README.split("## Settings")[1].split("## HTTP")[0]
    marked = re.findall(r"^\| `(\w+)` \* \|", table, re.MULTILINE)
    assert [name.lower() for name in marked] == [item.name for item in PARAMETERS if item.is_setting]
    listed = [f"| `{item.name}` | {item.help} |" for item in PARAMETERS if not item.is_setting]
    assert [line for line in table.splitlines() if re.match(r"\| `[a-z]", line)] == listed


def test_every_command_is_described() -> None:
    commands = get_command(cli).commands  # type: ignore[attr-defined]
    for name in commands:
        assert f"`prelabel {name}" in README, name


def test_ci_runs_the_readmes_command_and_nothing_else() -> None:
    documented = re.findall(r"^python3 .*$", README, re.MULTILINE)
    script = [line for line in (ROOT / ".ci/run").read_text().splitlines() if not line.startswith("#")]
    assert documented[-1] == script[-1]
    assert script[:-1] == ["set -euo pipefail", 'cd "$(dirname "$0")/.."']


def test_the_license_that_is_declared_is_there_word_for_word() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    # Of https://www.apache.org/licenses/LICENSE-2.0.txt.
    published = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == published
    assert "LICENSE" in (ROOT / "Dockerfile").read_text(), "the image's package has it, too"
