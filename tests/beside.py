"""What `tests/run.py` adds to pytest: linters and types beside the tests, and how long each part took.

A check that fails is an error among pytest's own, with what it said; so it is in pytest's last lines and its exit code.
"""

import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ON_THE_DEMO = "demo"
"""Name of the group of tests that share the demo: they run in one process."""
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("lint-imports",),
    ("mypy",),
)


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
        for command in CHECKS:
            if self._stopped:
                return
            began, name = time.monotonic(), " ".join(command).removesuffix(" .")
            try:
                self._running = subprocess.Popen(
                    command,
                    cwd=ROOT,
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
        self.groups = {"tests on the demo": Group(), "all other tests": Group()}

    def pytest_sessionstart(self) -> None:
        """Begin with the checks."""
        self.checks.start()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add a test to its group."""
        if not report.start:
            # A failed check, reported below.
            return
        on_demo = report.nodeid.endswith(f"@{ON_THE_DEMO}")
        self.groups["tests on the demo" if on_demo else "all other tests"].add(report)

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
        config.pluginmanager.register(Beside(), "prelabel-beside")
