"""What is known of a Label Studio is found again at its new address, whatever stood there for a while."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from typer.testing import CliRunner

from backend.adapters.label_studio.client import LabelStudioApi
from backend.bootstrap import App, build
from backend.entrypoints.cli import main as cli
from backend.entrypoints.doctor.examine import examine
from backend.errors import ConfigurationError
from backend.ports import ProjectRecord
from backend.settings import Settings
from tests.commands import use as use_app
from tests.fakes import FakeLabelStudio

OLD, NEW = "http://old:8080", "http://new:8080"
CONFIG = '<View><Text name="text" value="$text"/></View>'


@pytest.fixture
def label_studio() -> FakeLabelStudio:
    fake = FakeLabelStudio()
    fake.add_project(CONFIG)
    return fake


def started(folder: Path, url: str, label_studio: FakeLabelStudio) -> App:
    """A process of an installation that starts now, on this Label Studio."""
    settings = {"MODEL_DIR": str(folder), "LABEL_STUDIO_URL": url, "REDIS_URL": f"unix://{folder}/none.sock"}
    return replace(build(Settings.model_validate(settings)), label_studio=cast("LabelStudioApi", label_studio))


def use(app: App) -> list[str]:
    """The keys of the projects that a worker, or another process, knows of its Label Studio."""
    app.settle_mark()
    return [project.key for project in app.projects()]


def work_on(app: App, project: int) -> str:
    """What a job that finds a project leaves; returns its key."""
    info = app.label_studio.project(project)
    app.database.save_project(ProjectRecord(app.key(info.uid), project, title=info.title))
    return app.key(info.uid)


def test_a_label_studio_that_showed_no_project_for_a_while_is_found_again(
    tmp_path: Path, label_studio: FakeLabelStudio
) -> None:
    before = started(tmp_path, OLD, label_studio)
    key = work_on(before, 1)
    before.settle_mark()
    # Its database isn't restored yet, or the API key's user sees no project.
    empty = FakeLabelStudio()
    early = started(tmp_path, NEW, empty)
    assert use(early) == []
    said = next(finding for finding in examine(early, None) if finding.name == "State of this Label Studio")
    assert not said.good
    assert "LABEL_STUDIO_API_KEY" in said.fix
    assert use(started(tmp_path, NEW, label_studio)) == [key]
    moved = started(tmp_path, NEW, label_studio)
    assert use(moved) == [key]
    assert moved.mark.earlier() == [OLD]


@pytest.mark.parametrize("command", ["status", "llm ask"])
def test_commands_say_that_it_isnt_known_yet_whether_it_moved(
    command: str, tmp_path: Path, label_studio: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_on(started(tmp_path, OLD, label_studio), 1)
    moved = started(tmp_path, NEW, label_studio)
    use_app(monkeypatch, moved)
    with pytest.raises(ConfigurationError, match="may be one that moved"):
        CliRunner().invoke(
            cli.cli, [*command.split(), "1", *(["v1"] * (command == "rollback"))], catch_exceptions=False
        )
    # A new Label Studio is connected first, which needs no such word.
    fresh = started(tmp_path / "new", NEW, label_studio)
    use_app(monkeypatch, fresh)
    with pytest.raises(ConfigurationError, match="Nothing is known of project 1 yet"):
        CliRunner().invoke(cli.cli, ["status", "1"], catch_exceptions=False)


def test_what_an_earlier_release_said_without_proof_is_looked_at_again(
    tmp_path: Path, label_studio: FakeLabelStudio
) -> None:
    key = work_on(started(tmp_path, OLD, label_studio), 1)
    wrong = started(tmp_path, NEW, FakeLabelStudio())
    wrong.mark.settle(wrong.mark.fresh)
    assert use(started(tmp_path, NEW, label_studio)) == [key]


def test_a_project_of_before_the_restore_leaves_no_trace(tmp_path: Path, label_studio: FakeLabelStudio) -> None:
    key = work_on(started(tmp_path, OLD, label_studio), 1)
    empty = FakeLabelStudio()
    empty.add_project(CONFIG)
    empty.fakes[1].info = replace(empty.fakes[1].info, uid="1.1800000000")
    early = started(tmp_path, NEW, empty)
    tried = work_on(early, 1)
    assert use(early) == [tried]
    # A job finds that it is gone.
    early.database.forget_project(tried)
    assert use(started(tmp_path, NEW, label_studio)) == [key]


def test_another_label_studio_stays_apart_once_a_project_of_it_is_known(
    tmp_path: Path, label_studio: FakeLabelStudio
) -> None:
    work_on(started(tmp_path, OLD, label_studio), 1)
    other = FakeLabelStudio()
    other.add_project(CONFIG)
    other.fakes[1].info = replace(other.fakes[1].info, uid="1.1800000000")
    key = work_on(started(tmp_path, NEW, other), 1)
    assert use(started(tmp_path, NEW, other)) == [key]
    other.calls.clear()
    assert use(started(tmp_path, NEW, other)) == [key]
    assert other.calls == []
