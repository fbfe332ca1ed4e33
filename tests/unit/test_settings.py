"""Settings that tests of whole commands don't reach."""

import pytest
from pydantic import ValidationError

from backend.settings import Settings


def test_rule_databases_are_read_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LF_DATABASES", '{"crm": "postgresql://user:hunter2@db/crm"}')
    assert Settings().rule_databases == {"crm": "postgresql+psycopg://user:hunter2@db/crm"}
    monkeypatch.setenv("LF_DATABASES", "")
    assert Settings().rule_databases == {}


def test_a_broken_list_of_databases_is_explained_without_its_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LF_DATABASES", "crm=postgresql://user:hunter2@db/crm")
    with pytest.raises(ValidationError, match="not JSON") as caught:
        Settings()
    assert "hunter2" not in str(caught.value.errors()[0]["msg"])


@pytest.mark.parametrize("user", ["te:am", " ", "team ", "\tteam", "te\nam", "tèam", "te\x7fam"])
def test_a_user_name_that_basic_auth_cannot_carry_is_refused(monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    monkeypatch.setenv("BASIC_AUTH_USER", user)
    monkeypatch.setenv("BASIC_AUTH_PASS", "hunter2")
    with pytest.raises(ValidationError, match="BASIC_AUTH_USER"):
        Settings()


@pytest.mark.parametrize("password", [" ", "\n", "hunter2 ", "hunter2\r", "hünter2"])
def test_a_password_that_label_studio_sends_otherwise_is_refused(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv("BASIC_AUTH_USER", "team")
    monkeypatch.setenv("BASIC_AUTH_PASS", password)
    with pytest.raises(ValidationError, match="BASIC_AUTH_PASS"):
        Settings()


@pytest.mark.parametrize("name", ["LABEL_STUDIO_API_KEY", "OPENAI_API_KEY", "EMBEDDING_API_KEY"])
def test_keys_lose_what_surrounds_them_and_are_refused_when_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, " sk-0123456789\r\n")
    assert "sk-0123456789" in Settings().secrets()
    for bad in (" ", "\n", "Token abc", "sk-\n0123"):
        monkeypatch.setenv(name, bad)
        with pytest.raises(ValidationError, match=name):
            Settings()
