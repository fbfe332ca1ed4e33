"""What a log must not tell."""

import subprocess
import sys

import pytest

from backend.adapters.redaction import Redaction

SCRIPT = """
import structlog
from backend.adapters.logs import configure_logging

configure_logging("INFO")

def work(secret):
    content = "what a task says"
    raise RuntimeError("it failed")

try:
    work("sk-" + "verysecret")
except RuntimeError:
    structlog.get_logger().exception("job failed")
"""


def test_a_traceback_in_the_log_shows_where_and_not_with_what() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120)
    assert "it failed" in done.stderr
    assert '"work"' in done.stderr
    assert "what a task says" not in done.stderr
    assert "sk-verysecret" not in done.stderr


def test_half_a_character_is_logged_and_stops_nothing() -> None:
    for form, shown in (("json", "ud800"), ("console", "word='a '")):
        code = (
            "from backend.adapters.logs import configure_logging; import structlog;"
            f"configure_logging('INFO', '{form}'); structlog.get_logger().info('seen', word='a' + chr(0xD800))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
        assert "seen" in done.stderr
        assert shown in done.stderr


def test_a_log_for_people_shows_no_sequences_of_users_and_no_lines_of_theirs() -> None:
    code = (
        "from backend.adapters.logs import configure_logging; import logging, structlog; configure_logging('INFO', "
        "'console'); text = 'x' + chr(10) + '2026 [info] forged' + chr(27) + ']0;title' + chr(7) + chr(0x202e)\n"
        "structlog.get_logger().info(text, title=text)\nlogging.getLogger('lib').warning(text)\n"
        "try:\n    raise ValueError(text)\nexcept ValueError:\n    structlog.get_logger().exception('failed')\n"
        "raise ValueError(text)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr.count("forged") == 5
    assert not {"\x1b", "\x07", "\u202e"} & set(done.stderr)
    # A traceback has several lines; an uncaught one ends the program, and its log.
    logged = done.stderr.partition("Traceback")[0]
    assert not any(line.startswith("2026 [info]") for line in logged.splitlines())


@pytest.mark.parametrize("before", ["", "Bearer ", "\n", "%3D", "a line\\n", "?access="])
def test_signed_tokens_are_taken_out_wherever_they_begin(before: str) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3NjcyMjU2MDB9.c2lnbmF0dXJlLW9m"
    assert Redaction()(f"sent {before}{token} there") == f"sent {before}*** there"
