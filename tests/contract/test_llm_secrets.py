"""Neither the LLM key nor any task gets into logs and errors."""

import logging
from collections.abc import Iterator

import pytest

from backend.adapters.llm.endpoint import OpenAiEndpoint
from backend.errors import LlmRefused, LlmUnavailable
from tests import llm_faults as faults
from tests.llm_team import KEY, TEXT, Team, llm_team, request


@pytest.fixture
def team() -> Iterator[Team]:
    with llm_team() as made:
        yield made


LEAKS = [
    faults.error(status, f"Invalid {KEY} in: {TEXT}", kind=TEXT, code=KEY, param=TEXT)
    for status in (400, 401, 403, 404, 418, 429, 500)
]


@pytest.mark.parametrize("fault", [*LEAKS, faults.CUT, faults.GARBAGE], ids=lambda fault: f"{fault.status}{fault.how}")
def test_neither_key_nor_content_gets_into_logs_or_errors(
    team: Team, fault: faults.Fault, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        team.ask(request())
        team.server.answer = lambda _: fault
        with pytest.raises((LlmRefused, LlmUnavailable), match=r"127\.0\.0\.1") as caught:
            team.ask(*[request(number) for number in range(20)], concurrency=2)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    output = capfd.readouterr()
    everything = (
        caplog.text + f"{caught.value!r}" + output.out + output.err + repr(team.memory.down) + repr(team.client())
    )
    everything += repr(team.replies) + repr(request(images=(TEXT,)))
    for secret in (KEY, "tortoise", "verysecret"):
        assert secret not in everything


def test_a_password_in_the_address_is_not_logged(team: Team, caplog: pytest.LogCaptureFixture) -> None:
    url = team.server.base_url.replace("http://", "http://user:hunter2@")
    with caplog.at_level(logging.DEBUG):
        team.client(url=url).ask([request()], lambda *_: None)
    assert len(team.server.chats) == 1
    assert "hunter2" not in caplog.text + repr(team.memory.states)


def test_a_key_that_was_copied_badly_is_not_shown(team: Team) -> None:
    client = OpenAiEndpoint(team.server.base_url, "sk-“secret”", team.memory)
    with pytest.raises(LlmRefused, match="OPENAI_API_KEY") as caught:
        client.ask([request()], lambda *_: None)
    assert "secret”" not in str(caught.value)
