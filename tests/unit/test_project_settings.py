"""Settings of single projects."""

import json
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from pydantic import ValidationError

from backend.adapters.project_settings import ProjectSettings
from backend.adapters.sql.engine import Sql
from backend.bootstrap import App
from backend.domain.policy import PARAMETERS, Parameter, Policy
from backend.entrypoints.jobs import _keep_params
from backend.errors import BadRequest
from backend.settings import Settings
from tests.fakes import FakeLabelStudio


def settings_in(folder: Path, defaults: Policy | None = None) -> ProjectSettings:
    return ProjectSettings(Sql(f"sqlite:///{folder}/x.sqlite3"), folder, defaults or Policy())


@pytest.mark.parametrize("mask", ["(", r"\d*"])
def test_a_mask_that_no_task_can_be_masked_with_is_refused_when_it_is_set(mask: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"llm_masks: .*mask"):
        settings_in(tmp_path).save("1", {"llm_masks": [mask]})


EXAMPLES = {bool: True, str: "films", tuple[str, ...]: ["price"], Mapping[str, str]: {"Good": "praise"}}


def example(item: Parameter) -> object:
    """A value other than the default."""
    if isinstance(item.kind, type) and issubclass(item.kind, StrEnum):
        return list(item.kind)[-1].value
    if item.kind in {int, float}:
        return item.default + 1 if item.high is None else item.high  # type: ignore[operator]
    return EXAMPLES[item.kind]  # type: ignore[index]


@pytest.mark.parametrize("item", PARAMETERS, ids=lambda item: item.name)
def test_each_parameter_can_be_set_for_a_project_and_where_it_is_a_setting_for_all(
    item: Parameter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path, Settings().policy)
    assert settings.policy("1") == Policy()
    settings.save("1", json.dumps({item.name: example(item)}))
    changed = settings.policy("1")
    assert changed != Policy()
    assert settings.policy("2") == Policy()
    if item.is_setting:
        monkeypatch.setenv(item.name.upper(), str(example(item)))
        monkeypatch.setenv("LLM_MODEL", "any")
        policy = Settings().policy
        assert replace(policy, llm=replace(policy.llm, models=())) == changed


@pytest.mark.parametrize("item", [item for item in PARAMETERS if item.low is not None], ids=lambda item: item.name)
def test_bounds_are_the_same_for_a_project_and_for_all(
    item: Parameter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    assert item.low is not None
    for value in [item.low - 1, *([item.high + 1] if item.high is not None else [])]:
        with pytest.raises(BadRequest, match=item.name):
            settings.save("1", {item.name: value})
        monkeypatch.setenv(item.name.upper(), str(value))
        with pytest.raises(ValidationError, match=item.name.upper()):
            Settings()


def test_what_is_refused_is_named_with_its_unit(tmp_path: Path) -> None:
    with pytest.raises(
        BadRequest, match=r"training_quiet_s \(seconds\): .*greater than or equal to 0.* Known: .*top_tasks"
    ):
        settings_in(tmp_path).save("1", {"training_quiet_s": -1})
    for name in ("../films", "films\n", "", "f" * 101):
        with pytest.raises(BadRequest, match=r"rules: .*name of a folder"):
            settings_in(tmp_path).save("1", {"rules": name})


def test_nothing_is_sent_while_what_a_project_forbids_cant_be_read(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.save("1", '{"llm_masks": ["secret"], "check_budget": 5}')
    (tmp_path / "projects" / "1" / "settings.json").write_text('{"llm_masks": ["("]}')
    assert settings.policy("1").llm.forbidden
    assert not settings.policy("2").llm.forbidden


def test_a_project_has_its_own_budget_of_suspects(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert (settings.policy("1").check_budget, settings.policy("1").check_precision) == (200, 0.2)
    settings.save("1", '{"check_budget": 5, "check_precision": 0.5}')
    assert (settings.policy("1").check_budget, settings.policy("1").check_precision) == (5, 0.5)
    assert settings.policy("2").check_budget == 200
    settings.save("1", '{"check_action": "exclude"}')
    assert (settings.policy("1").check_action, settings.policy("2").check_action) == ("exclude", "relabel")
    with pytest.raises(BadRequest, match="check_action"):
        settings.save("1", '{"check_action": "delete"}')
    with pytest.raises(BadRequest, match="check_budget"):
        settings.save("1", '{"check_budget": -1}')


def test_what_setup_brought_is_kept_once_label_studio_has_the_project(tmp_path: Path) -> None:
    label_studio = FakeLabelStudio()
    uid = label_studio.project(label_studio.add_project("<View/>")).uid
    settings = settings_in(tmp_path)
    app = cast("App", SimpleNamespace(label_studio=label_studio, project_settings=settings, key=lambda uid: f"{uid}-0"))
    for key in ("77.1-0", f"{uid.split('.')[0]}.1-0", f"{uid}-1"):
        _keep_params(app, key, '{"top_tasks": 3}')
    assert not (tmp_path / "projects").exists()
    _keep_params(app, f"{uid}-0", '{"top_tasks": 3}')
    assert settings.is_known(f"{uid}-0")
    assert settings.policy(f"{uid}-0").top_tasks == 3
