"""What lies in MODEL_DIR is its owner's alone, and what only looks makes nothing there."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.adapters.files import make_own, make_private, replace_synced
from backend.adapters.label_studio.client import LabelStudioApi
from backend.bootstrap import build, webhook_secret
from backend.entrypoints.cli.main import cli
from backend.errors import ConfigurationError
from backend.ports import ProjectInfo, ProjectRecord
from backend.settings import Settings

INFO = ProjectInfo(1, "1.99", "x", "<View/>", "", shows_predictions=False, sampling="", n_tasks=0)


def modes(root: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in [root, *root.rglob("*")]}


def fill(root: Path) -> None:
    names = (
        "projects/1.2-0123abcd/v1/metrics.json",
        "logs/web-service.log",
        "prelabel.sqlite3",
        "prelabel.sqlite3-wal",
    )
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        path.chmod(0o644)
        path.parent.chmod(0o755)


def test_a_new_folder_is_private_and_an_old_one_becomes_it_with_a_word(tmp_path: Path) -> None:
    assert make_private(tmp_path / "new" / "er") == []
    assert modes(tmp_path / "new" / "er") == {0o700}
    root = tmp_path / "old"
    fill(root)
    (said,) = make_private(root)
    assert "were open to others" in said
    assert modes(root) == {0o700, 0o600}
    assert make_private(root) == []


def test_a_folder_with_other_files_keeps_its_mode_and_theirs(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "others.txt").write_text("x")
    for path in (tmp_path, tmp_path / "others.txt"):
        path.chmod(0o755)
    assert "isn't Prelabel's alone" in make_private(tmp_path)[0]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path, tmp_path / "others.txt")} == {0o755}
    assert modes(tmp_path / "projects") == {0o700, 0o600}


THEIRS = (
    *("projects/site/index.html", "projects/1.2-notours/x", "rules-of-mine/r.yaml", "logs.d/app.log"),
    *(
        "redis-data/dump.rdb",
        "logs/apache.log",
        "redis/users.acl",
        "rules/house.md",
        "installation.md",
        "webhook-secrets",
        "projects.txt",
    ),
)


def test_folders_of_others_with_names_like_ours_are_left_alone(tmp_path: Path) -> None:
    fill(tmp_path)
    for name in THEIRS:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        for each in (path, path.parent):
            each.chmod(0o755)
    assert "isn't Prelabel's alone" in make_private(tmp_path)[0]
    theirs = {path for name in THEIRS for path in (tmp_path / name, (tmp_path / name).parent)}
    assert {path.stat().st_mode & 0o777 for path in theirs} == {0o755}
    assert modes(tmp_path / "projects" / "1.2-0123abcd") == {0o700, 0o600}
    ours = [tmp_path / "prelabel.sqlite3", tmp_path / "logs" / "web-service.log"]
    assert {path.stat().st_mode & 0o777 for path in ours} == {0o600}
    with pytest.raises(ConfigurationError, match="of something else"):
        make_own(tmp_path / "redis")


def test_a_folder_of_others_is_not_taken_for_ours_by_its_name(tmp_path: Path) -> None:
    root = tmp_path / "home"
    (root / "projects" / "site").mkdir(parents=True)
    for path in (root, root / "projects", root / "projects" / "site"):
        path.chmod(0o755)
    make_private(root)
    assert modes(root) == {0o755}


def test_all_that_an_installation_makes_is_known_as_its_own(tmp_path: Path) -> None:
    app = build(Settings.model_validate({"MODEL_DIR": tmp_path, "LABEL_STUDIO_URL": "http://127.0.0.1:1"}))
    webhook_secret(tmp_path)
    app.database.save_project(ProjectRecord("1.1-aaaaaaaa", 1))
    app.versions.set_current("1.1-aaaaaaaa", 1)
    assert len(list(tmp_path.iterdir())) >= 4
    assert not any("isn't Prelabel's alone" in said for said in make_private(tmp_path))


def test_a_folder_that_is_made_for_many_stays_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    assert "isn't Prelabel's alone" in make_private(tmp_path)[0]
    assert tmp_path.stat().st_mode & 0o7777 == 0o1777


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x")
    (tmp_path / "elsewhere").chmod(0o644)
    root = tmp_path / "root"
    fill(root)
    (root / "projects" / "link").symlink_to(tmp_path / "elsewhere")
    make_private(root)
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o644


def test_a_file_is_replaced_as_a_whole_and_private(tmp_path: Path) -> None:
    replace_synced(tmp_path / "a.json", b"1")
    replace_synced(tmp_path / "a.json", b"2")
    assert [(path.name, path.read_bytes(), path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [
        ("a.json", b"2", 0o600)
    ]


COMMANDS = {
    "doctor 1": "there is no",
    "versions 1": "Nothing is there yet",
    "status 1": "Nothing is there yet",
    "rules 1": "Nothing is there yet",
    "rules diff 1": "Nothing is there yet",
    "llm report 1": "Nothing is there yet",
    "llm estimate 1": "Nothing is there yet",
    "llm ask 1": "Nothing is there yet",
    "rollback 1 v1": "Nothing is there yet",
    "jobs": "Redis",
    "backup x.zip": "Nothing is there yet",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_looks_makes_nothing_and_says_that_nothing_is_there(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in os.environ:
        if name.startswith(("MODEL_DIR", "DATABASE", "REDIS", "LLM_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0" * 40)
    monkeypatch.setattr(LabelStudioApi, "project", lambda _, number: replace(INFO, id=number))
    for name in ("whoami", "refuses_to_call", "connections"):
        monkeypatch.setattr(LabelStudioApi, name, lambda *_: [])
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, command.split())
    assert COMMANDS[command] in result.output + str(result.exception)
    assert result.exit_code == 1
    assert isinstance(result.exception, ConfigurationError | SystemExit)
    assert list(tmp_path.rglob("*")) == []
