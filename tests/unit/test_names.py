"""Names that others rely on stay: see `tests/frozen/names.json`."""

import importlib
from dataclasses import fields
from pathlib import Path

from fastapi.routing import APIRoute
from pydantic import AliasChoices
from typer.main import get_command

import backend.domain.rules
from backend.adapters.redis.queue import RUN
from backend.entrypoints.cli.main import cli
from backend.entrypoints.web.app import create_app
from backend.ports.llm import PromptContext
from backend.settings import Settings
from tests.frozen.names import NAMES


def test_what_rules_import_is_there() -> None:
    assert [name for name in NAMES["rules"] if not hasattr(backend.domain.rules, name)] == []


def test_jobs_of_before_name_a_function_that_is_there() -> None:
    (named,) = NAMES["job_function"]
    assert named == RUN
    module, _, function = named.rpartition(".")
    assert callable(getattr(importlib.import_module(module), function))


def test_the_class_for_label_studio_ml_is_where_docs_say() -> None:
    module = importlib.import_module("backend.entrypoints.label_studio_ml")
    assert {"predict", "fit"} <= set(dir(module.PrelabelModel))


def test_templates_find_their_variables() -> None:
    assert set(NAMES["prompt"]) <= {field.name for field in fields(PromptContext)}


def test_settings_keep_their_names() -> None:
    aliases = [field.validation_alias for field in Settings.model_fields.values()]
    known = {str(name) for alias in aliases for name in (alias.choices if isinstance(alias, AliasChoices) else [alias])}
    assert set(NAMES["settings"]) <= known


def test_routes_stay(tmp_path: Path) -> None:
    api = create_app(Settings(model_dir=tmp_path, label_studio_url="http://127.0.0.1:1"))
    routes = [route for route in api.routes if isinstance(route, APIRoute)]
    known = {f"{method} {route.path}" for route in routes for method in route.methods or ()}
    assert set(NAMES["routes"]) <= known


def test_commands_stay() -> None:
    assert set(NAMES["commands"]) <= set(get_command(cli).commands)  # type: ignore[attr-defined] # a group has them
