"""Dockerfile and docker-compose.yml can't be run by every developer, so they are held to what can be read in them."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import AliasChoices

from backend.settings import Settings

ROOT = Path(__file__).parents[2]
OURS = ("web", "worker", "scheduler")


def variables() -> set[str]:
    names: set[str] = set()
    for field in Settings.model_fields.values():
        alias = field.validation_alias
        names |= set(map(str, alias.choices)) if isinstance(alias, AliasChoices) else {str(alias)}
    return names


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def test_every_variable_of_our_services_is_a_setting(compose: dict[str, Any]) -> None:
    for name in OURS:
        assert set(compose["services"][name]["environment"]) <= variables(), name


def test_every_setting_can_be_set_through_compose_with_its_own_default(compose: dict[str, Any]) -> None:
    environment = compose["services"]["web"]["environment"]
    # Workers are scaled by compose itself.
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        names = list(map(str, alias.choices)) if isinstance(alias, AliasChoices) else [str(alias)]
        if name == "workers":
            continue
        assert set(names) & set(environment), name
        default = re.fullmatch(r"\$\{\w+:-([^}]*)\}", str(environment[names[0]]))
        if default and field.default and default[1] and name not in {"label_studio_url", "backend_url"}:
            assert type(field.default)(default[1]) == field.default, name


def test_every_variable_of_the_image_is_a_setting_or_pythons(dockerfile: str) -> None:
    final = dockerfile.rsplit("FROM ", maxsplit=1)[-1]
    env = next(line for line in final.splitlines() if line.startswith("ENV"))
    assert set(re.findall(r"(\w+)=", env)) - {"PATH", "PYTHONUNBUFFERED"} <= variables()


def test_settings_accept_what_compose_passes(compose: dict[str, Any]) -> None:
    environment = compose["services"]["web"]["environment"]
    values = {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)) for name, value in environment.items()}
    # What must be given is given.
    values = {name: re.sub(r"\$\{\w+:\?[^}]*\}", "given", value) for name, value in values.items()}
    settings = Settings.model_validate({name: value for name, value in values.items() if value})
    assert settings.sql_url == "postgresql+psycopg://prelabel:prelabel@postgres:5432/prelabel"
    assert settings.queue_url == "redis://redis:6379/0"
    assert settings.host == "0.0.0.0"
    assert settings.public_url == "http://host.docker.internal:9090"


def test_all_parts_run_and_share_what_they_must(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert {*OURS, "redis", "postgres", "label-studio"} == set(services)
    for name in OURS:
        assert services[name]["command"] == ["prelabel", name]
        assert services[name]["init"] is True
        assert "host.docker.internal:host-gateway" in services[name]["extra_hosts"]
        assert "models:/data" in services[name]["volumes"]
        assert services[name]["environment"]["MODEL_DIR"].startswith("/data/")
        assert set(services[name]["depends_on"]) == {"redis", "postgres"}
    # A fixed name or published port would make `--scale worker=N` fail.
    assert not {"container_name", "ports"} & set(services["worker"])


def test_only_data_and_tmp_can_be_written_to(compose: dict[str, Any]) -> None:
    for name in OURS:
        service = compose["services"][name]
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/tmp"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert [volume for volume in service["volumes"] if not volume.endswith(":ro")] == ["models:/data"]


def test_redis_keeps_jobs_and_postgres_data_over_restarts(compose: dict[str, Any]) -> None:
    redis, postgres = compose["services"]["redis"], compose["services"]["postgres"]
    assert "--appendonly yes" in " ".join(redis["command"])
    assert redis["volumes"]
    assert postgres["volumes"]
    named = {volume.split(":")[0] for volume in redis["volumes"] + postgres["volumes"]}
    assert named <= set(compose["volumes"])


def test_label_studio_only_comes_with_its_profile_and_may_call_us(compose: dict[str, Any]) -> None:
    studio = compose["services"]["label-studio"]
    assert studio["profiles"] == ["label-studio"]
    assert studio["environment"]["ML_BLOCK_LOCAL_IP"] == "false"
    assert studio["environment"]["SSRF_PROTECTION_ENABLED"] == "false"


def test_image_is_locked_multi_stage_and_not_root(dockerfile: str) -> None:
    stages = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert len(stages) == 2
    assert all("--locked" in line for line in dockerfile.splitlines() if "uv sync" in line)
    final = dockerfile.rsplit("FROM ", maxsplit=1)[-1]
    assert "uv sync" not in final
    assert re.search(r"^USER prelabel$", final, re.MULTILINE)
    assert "/health" in next(line for line in final.splitlines() if "HTTPConnection" in line)


def test_copied_files_exist_and_pass_dockerignore(dockerfile: str) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        source
        for line in dockerfile.splitlines()
        if line.startswith("COPY") and "--from" not in line
        for source in line.split()[1:-1]
        if not source.startswith("--")
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source in allowed, source


def test_image_installs_the_extra_that_compose_needs(dockerfile: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any("psycopg" in requirement for requirement in extras["postgres"])
    assert "--extra postgres" in dockerfile
