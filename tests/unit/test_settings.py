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
