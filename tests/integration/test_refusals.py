"""What can't be used is refused in a sentence that repeats nothing of it, whatever it is."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backend.adapters.sql.label_studios import mark_of_address
from backend.entrypoints.web.app import create_app
from backend.settings import Settings
from tests.integration.test_access import CONFIG, UID, client, predict

JSON = {"Content-Type": "application/json"}
HALF = "\\ud800"
"""Half a character, as JSON can write it and UTF-8 can't."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """One for all that keeps nothing: without Redis."""
    return client(tmp_path_factory.mktemp("plain"))


def sentence(answer: Any) -> str:
    assert answer.status_code in {404, 405, 410, 422}, (answer.status_code, answer.text)
    said: str = answer.json()["detail"]
    assert said.endswith(".")
    return said


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
@pytest.mark.parametrize("body", [b"\xff\xfe", b"tortoise=1", b'{"tortoise": 1}'])
@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook", "/train", "/job_status"])
def test_a_body_that_is_not_said_to_be_json_is_refused(plain: TestClient, path: str, body: bytes, kind: str) -> None:
    answer = plain.post(path, content=body, headers={"Content-Type": kind})
    assert "application/json" in sentence(answer)
    assert "tortoise" not in answer.text


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-1e999", f'"{HALF}"', f'{{"{HALF}": NaN}}', "null", "1", '"tortoise"']
)
@pytest.mark.parametrize("field", ["tasks", "project", "label_config"])
def test_values_that_no_answer_could_repeat_are_refused_by_the_name_of_their_field(
    plain: TestClient, field: str, value: str
) -> None:
    fields = {"tasks": "[]", "project": f'"{UID}"', "label_config": '"<View/>"'} | {field: value}
    body = ",".join(f'"{name}": {said}' for name, said in fields.items())
    answer = plain.post("/predict", content=f"{{{body}}}", headers=JSON)
    assert field.replace("_", " ") in sentence(answer).replace("_", " ")
    assert "tortoise" not in answer.text


def test_of_many_wrong_tasks_a_few_are_named_and_nothing_of_them_is_repeated(plain: TestClient) -> None:
    answer = plain.post("/predict", json=predict([{"data": "tortoise"}] * 1000))
    assert "tasks.0.data" in sentence(answer)
    assert "995 more" in answer.text
    assert "tortoise" not in answer.text
    assert len(answer.text) < 1000


def test_an_unknown_address_or_method_is_told_where_the_known_ones_are(plain: TestClient) -> None:
    assert "/docs" in sentence(plain.get("/tortoise"))
    answer = plain.get("/predict")
    assert "/docs" in sentence(answer)
    assert answer.headers["Allow"] == "POST"


def test_made_up_methods_dont_fill_the_metrics(plain: TestClient) -> None:
    for number in range(20):
        plain.request(f"TORTOISE{number}", "/predict")
    assert "TORTOISE" not in plain.get("/metrics").text
    assert 'method="other"' in plain.get("/metrics").text


@pytest.mark.parametrize("length", [b"\xb2", b"9" * 5000])
def test_a_length_that_is_no_number_is_not_believed(plain: TestClient, length: bytes) -> None:
    headers = [(b"Content-Length", length), (b"Content-Type", b"application/json")]
    answer = plain.post("/predict", content=b"{}", headers=headers)
    assert answer.status_code in {413, 422}


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "[7]", "{}", "null"])
def test_a_project_whose_id_is_no_number_is_refused(plain: TestClient, number: str) -> None:
    body = f'{{"action": "TASKS_CREATED", "project": {{"id": {number}, "created_at": "2026-01-01T00:00:00Z"}}}}'
    assert "project" in sentence(plain.post("/webhook", content=body, headers=JSON))


@pytest.fixture
def web(tmp_path: Path, clean_redis_url: str) -> TestClient:
    values = {"MODEL_DIR": str(tmp_path / "models"), "REDIS_URL": clean_redis_url, "LABEL_STUDIO_URL": "http://x"}
    made = TestClient(create_app(Settings.model_validate(values)), "http://localhost")
    made.__enter__()
    return made


def test_a_job_that_could_be_none_is_not_known(web: TestClient) -> None:
    for job in (
        "a b",
        "é",
        "",
        "\\u0000",
        "train:é",
        "train:\\n|",
        "x:y",
        "x:dependents",
        "a" * 100_000,
        HALF,
        f"train:{HALF}",
    ):
        answer = web.post("/job_status", content=f'{{"job": "{job}"}}', headers=JSON)
        assert "not known" in sentence(answer), job


def test_extra_parameters_that_cant_be_kept_leave_what_was_set_before(web: TestClient, tmp_path: Path) -> None:
    setup = {"project": UID, "schema": CONFIG}
    # A project that is known has a folder.
    (tmp_path / "models" / "projects" / f"{UID}-{mark_of_address('http://x')}").mkdir(parents=True)
    assert web.post("/setup", json=setup | {"extra_params": {"training_quiet_s": 5}}).status_code == 200
    (kept,) = (tmp_path / "models").glob("projects/*/settings.json")
    before = kept.read_text()
    deep = '"' + "[" * 100_000 + '"'
    half = f'{{"llm_definitions": {{"Positive": "{HALF}"}}}}'
    endless = '{"training_quiet_s": Infinity}'
    for given in (deep, half, endless, f'{{"{HALF}": 1}}', '{"rules": "' + "9" * 5000 + '"}', "[1]", "NaN"):
        fields = f'"project": "{UID}", "schema": "<View/>", "extra_params": {given}'
        assert web.post("/setup", content=f"{{{fields}}}", headers=JSON).status_code == 200
        assert kept.read_text() == before, given[:80]
