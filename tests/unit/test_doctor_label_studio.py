"""Doctor: which Label Studio it is, and which token is made there."""

import json
from types import SimpleNamespace
from typing import cast

import pytest
from pydantic import SecretStr

from backend.adapters.label_studio.client import LabelStudioApi
from backend.bootstrap import App
from backend.entrypoints.doctor.finding import Finding
from backend.entrypoints.doctor.label_studio import (
    Release,
    examine_label_studio,
    examine_release,
    examine_token,
    read_release,
    token_kind,
)
from backend.errors import ConfigurationError
from tests.unit.test_label_studio_errors import KEY, PERSONAL, label_studio


def released(name: str) -> Release:
    with label_studio(200, json.dumps({"release": name, "label-studio-os-backend": {}})) as api:
        return read_release(api.url)


def of_token(release: Release, key: str, status: int = 401) -> Finding:
    """What is said of a key; the one of whom it is can't be had, or is answered."""
    body = {"email": "me@example.com"} if status == 200 else {"detail": "Invalid token."}
    with label_studio(status, json.dumps(body), key) as api:
        settings = SimpleNamespace(label_studio_api_key=SecretStr(key))
        return examine_token(cast("App", SimpleNamespace(settings=settings, label_studio=api)), release)


@pytest.mark.parametrize("name", ["1.11.0", "1.12.0", "1.12", "0.9.1", "1.11.0.post0", "1.12.0.dev3"])
def test_a_release_that_is_too_old_is_named_with_what_it_lacks(name: str) -> None:
    finding = examine_release(released(name))
    assert not finding.good
    assert f"{name} is too old" in finding.detail
    assert "delete the predictions of one model version" in finding.detail
    assert "auth_method" in finding.detail
    assert "Upgrade Label Studio to 1.12.1 or newer" in finding.fix


@pytest.mark.parametrize("name", ["1.12.1", "1.13.1", "1.14.0.post0", "1.18.0", "1.23.2", "v1.20.0", "1.23.2.dev0"])
def test_a_release_in_the_promised_range_is_good(name: str) -> None:
    assert examine_release(released(name)) == Finding("Label Studio's version", True, name)


@pytest.mark.parametrize("name", ["1.23.3", "1.24.0.dev0", "1.24", "2.0.0", "1.100.0+local"])
def test_a_newer_release_is_good_and_said_to_be_new(name: str) -> None:
    finding = examine_release(released(name))
    assert finding.good
    assert f"{name}, newer than what was tried (1.12.1 to 1.23.2)" in finding.detail


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, '{"detail": "Not found."}'),
        (200, "<html>a proxy's page</html>"),
        (200, "[]"),
        (200, "null"),
        (200, '{"release": null}'),
        (200, '{"release": ["1.23.2"]}'),
        (200, '{"release": 1.23}'),
        (200, '{"release": ""}'),
        (200, "[" * 100_000),
        (200, " " * 2_000_000),
        (302, ""),
    ],
)
def test_an_odd_answer_is_no_version_and_nothing_bad(status: int, body: str) -> None:
    with label_studio(status, body) as api:
        finding = examine_release(read_release(api.url))
    assert finding.good
    assert finding.detail == "it doesn't say which; 1.12.1 to 1.23.2 were tried"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("develop", "develop"),
        ("\x1b[31mmain\n\ud800", "[31mmain"),
        ("1", "1"),
        ("१.२.३", "१.२.३"),
        ("1.2345678901", "1.2345678901"),
        (f"{'9' * 5000}.0.0", "9" * 39 + "…"),
    ],
)
def test_a_name_that_is_no_version_number_is_shown_on_one_line(name: str, shown: str) -> None:
    finding = examine_release(released(name))
    assert finding.good
    assert f"it says {shown!r}, which is no version number" in finding.detail


def test_the_key_is_called_as_its_release_calls_it() -> None:
    old, new, odd = Release("1.16.0", (1, 16, 0)), Release("1.17.0", (1, 17, 0)), Release()
    assert "Account & Settings > Access Token" in of_token(old, KEY).fix
    assert "ersonal" not in of_token(old, KEY).fix
    assert "API Tokens Settings" not in of_token(old, KEY).fix
    assert of_token(old, KEY, 200).detail == "access token of me@example.com"
    assert "Account & Settings > Personal Access Token" in of_token(new, KEY).fix
    assert "before" not in of_token(new, KEY).fix
    assert "Organization > API Tokens Settings" in of_token(new, KEY).fix
    assert of_token(new, KEY, 200).detail == "legacy token of me@example.com"
    assert "or before Label Studio 1.17 an access token" in of_token(odd, KEY).fix
    assert "A personal access token works only where the organization allows" in of_token(new, PERSONAL).fix
    assert "organization" not in of_token(odd, "").fix


def test_a_personal_access_token_for_a_release_that_has_none_is_named_as_such() -> None:
    finding = of_token(Release("1.13.1", (1, 13, 1)), PERSONAL)
    assert not finding.good
    assert "a personal access token, which Label Studio 1.13.1 doesn't know" in finding.detail
    assert "Account & Settings > Access Token" in finding.fix


def test_errors_that_know_no_version_speak_of_both_kinds() -> None:
    with pytest.raises(ConfigurationError, match=r"personal access token .*, or before Label Studio 1\.17 an"):
        LabelStudioApi("http://localhost:1", "").whoami()
    said = of_token(Release(), KEY).detail
    assert "personal access token" in said
    assert "before Label Studio 1.17 an access token" in said


def test_nobody_is_asked_for_a_version_where_nothing_answers() -> None:
    settings = SimpleNamespace(label_studio_url="", label_studio_api_key=SecretStr(""))
    app = cast("App", SimpleNamespace(settings=settings, label_studio=LabelStudioApi("", "")))
    assert [finding.name for finding in examine_label_studio(app)] == ["Label Studio's address", "API key"]


@pytest.mark.parametrize("claims", ["W10", "bnVsbA", "_w", "W1tb", "e30"])
def test_a_key_with_two_dots_is_looked_at_without_an_error(claims: str) -> None:
    assert token_kind(f"a.{claims}.b") in {"legacy token", "personal access token"}
