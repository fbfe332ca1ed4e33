"""Settings of single projects."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from pydantic import ValidationError

from backend.adapters.project_settings import ProjectParams, ProjectSettings
from backend.adapters.sql.engine import Sql
from backend.bootstrap import App
from backend.entrypoints.jobs import _keep_params
from backend.errors import BadRequest
from backend.ports import Policy
from tests.fakes import FakeLabelStudio


@pytest.mark.parametrize("mask", ["(", r"\d*"])
def test_a_mask_that_no_task_can_be_masked_with_is_refused_when_it_is_set(mask: str) -> None:
    with pytest.raises(ValidationError, match="mask"):
        ProjectParams(llm_masks=(mask,))


def test_nothing_is_sent_while_what_a_project_forbids_cant_be_read(tmp_path: Path) -> None:
    settings = ProjectSettings(Sql(f"sqlite:///{tmp_path}/x.sqlite3"), tmp_path, Policy(10, 60.0, 50, "auto"))
    settings.save("1", '{"llm_masks": ["secret"], "check_budget": 5}')
    (tmp_path / "projects" / "1" / "settings.json").write_text('{"llm_masks": ["("]}')
    assert settings.policy("1").llm.forbidden
    assert not settings.policy("2").llm.forbidden


def test_a_project_has_its_own_budget_of_suspects(tmp_path: Path) -> None:
    settings = ProjectSettings(Sql(f"sqlite:///{tmp_path}/x.sqlite3"), tmp_path, Policy(10, 60.0, 50, "auto"))
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
    settings = ProjectSettings(Sql(f"sqlite:///{tmp_path}/x.sqlite3"), tmp_path, Policy(10, 60.0, 50, "auto"))
    app = cast("App", SimpleNamespace(label_studio=label_studio, project_settings=settings, key=lambda uid: f"{uid}-0"))
    for key in ("77.1-0", f"{uid.split('.')[0]}.1-0", f"{uid}-1"):
        _keep_params(app, key, '{"top_tasks": 3}')
    assert not (tmp_path / "projects").exists()
    _keep_params(app, f"{uid}-0", '{"top_tasks": 3}')
    assert settings.is_known(f"{uid}-0")
    assert settings.policy(f"{uid}-0").top_tasks == 3
