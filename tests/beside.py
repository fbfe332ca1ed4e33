"""What `tests/run.py` adds to pytest: linters and types beside the tests, and how long each part took.

A check that fails is an error among pytest's own, with what it said; so it is in pytest's last lines and its exit code.
"""

import functools
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.caches import mypy_cache, temporary_root

ROOT = Path(__file__).resolve().parents[1]
ON_THE_DEMO, OTHERS = "tests on the demo", "all other tests"
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("lint-imports",),
    ("mypy",),
)


@functools.cache
def needs_demo(nodeid: str) -> bool:
    """Whether a test may use the demo, by its file: such tests share one, so they run in one process."""
    path = nodeid.partition("::")[0]
    return path.startswith(("tests/e2e/", "tests/faults/")) or bool(re.search(r"\bDemo\b", (ROOT / path).read_text()))


class Groups(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Gives all that needs the demo to one process, as the largest part first, and any other test to who is free."""

    def _split_scope(self, nodeid: str) -> str:
        return ON_THE_DEMO if needs_demo(nodeid) else nodeid


@dataclass(frozen=True)
class Checked:
    """What a linter said, and how long it took."""

    name: str
    failed: bool
    said: str
    seconds: float


class Checks(threading.Thread):
    """Runs the linters, one after the other: they share two cores with the tests."""

    def __init__(self) -> None:
        super().__init__(name="checks", daemon=True)
        self.done: list[Checked] = []
        self._running: subprocess.Popen[str] | None = None
        self._stopped = False

    def run(self) -> None:
        """Run them all."""
        with mypy_cache() as environment:
            self._run(os.environ | environment)

    def _run(self, environment: Mapping[str, str]) -> None:
        for command in CHECKS:
            if self._stopped:
                return
            began, name = time.monotonic(), " ".join(command).removesuffix(" .")
            try:
                self._running = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=environment,
                    text=True,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
                said, _ = self._running.communicate()
                failed = self._running.returncode != 0
            except OSError as error:
                said, failed = f"{name} can't be run: {error}.", True
            self.done.append(Checked(name, failed, said, time.monotonic() - began))

    def end(self) -> None:
        """Stop: somebody pressed Ctrl-C."""
        self._stopped = True
        if self._running is not None:
            self._running.terminate()


@dataclass
class Group:
    """Some of the tests: which, from when to when, and how long they took themselves."""

    tests: set[str] = field(default_factory=set)
    began: float = float("inf")
    ended: float = 0.0
    busy_s: float = 0.0

    def add(self, report: pytest.TestReport) -> None:
        """Count a test's preparation, its call or its end."""
        self.tests.add(report.nodeid)
        self.began, self.ended = min(self.began, report.start), max(self.ended, report.stop)
        self.busy_s += report.duration


class Beside:
    """The plugin, in pytest's first process only."""

    def __init__(self) -> None:
        self.checks = Checks()
        self.groups = {ON_THE_DEMO: Group(), OTHERS: Group()}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> Groups:
        """Say which tests stay together."""
        return Groups(config, log)

    def pytest_sessionstart(self) -> None:
        """Begin with the checks."""
        self.checks.start()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add a test to its group."""
        if not report.start:
            # A failed check, reported below.
            return
        self.groups[ON_THE_DEMO if needs_demo(report.nodeid) else OTHERS].add(report)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Wait for the checks; each that failed is an error of this run."""
        if exitstatus == pytest.ExitCode.INTERRUPTED:
            self.checks.end()
        self.checks.join()
        failed = [check for check in self.checks.done if check.failed]
        if exitstatus == pytest.ExitCode.INTERRUPTED or not failed:
            return
        for check in failed:
            report = pytest.TestReport(
                check.name, (check.name, None, check.name), {}, "failed", check.said, "setup", duration=check.seconds
            )
            session.config.hook.pytest_runtest_logreport(report=report)
        if exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how long each part took."""
        terminalreporter.section("how long each part took")
        for line in chain(self._about_groups(), self._about_checks()):
            terminalreporter.write_line(line)

    def _about_groups(self) -> Iterator[str]:
        for name, group in self.groups.items():
            if group.tests:
                took = f"{group.ended - group.began:.0f} s from the first to the last, {group.busy_s:.0f} s in them"
                yield f"{name}: {len(group.tests)} in {took}"

    def _about_checks(self) -> Iterator[str]:
        for check in self.checks.done:
            yield f"{check.name}: {'FAILED' if check.failed else 'passed'} in {check.seconds:.0f} s"


def pytest_configure(config: pytest.Config) -> None:
    """Take part in the first process; its workers only run tests."""
    if not hasattr(config, "workerinput"):
        if root := temporary_root():
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(root))
        config.pluginmanager.register(Beside(), "prelabel-beside")
