"""Prelabel's whole loop on real Label Studios of several releases, each from PyPI in an environment of its own.

    python -m tests.label_studio_versions 1.12.1 1.23.2

It takes some minutes for each, and is no part of the test run. Its last result is in docs/label-studio-versions.md.
"""

import argparse
import os
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import httpx

from backend.bootstrap import build
from backend.domain.outside import one_line
from backend.entrypoints.console import say
from backend.entrypoints.doctor.label_studio import NEWEST_TRIED, OLDEST, read_release
from backend.entrypoints.run.demo import DemoState, demo_settings
from backend.entrypoints.run.label_studio import Account, label_studio_program, make_token
from backend.entrypoints.run.processes import Program, Supervisor, answers
from backend.settings import Settings
from backend.workflows.check.tags import CHECK_KEY
from tests.command_server import Commands
from tests.conftest import Demo, free_port, wait_for
from tests.e2e.team import Team

VERSIONS = ("1.12.1", "1.13.1", "1.14.0", "1.16.0", "1.18.0", "1.20.0", "1.22.0", "1.23.1", "1.23.2")
N_TASKS = 120
N_LABELED = 90
FLIPPED = {"Positive": "Negative", "Negative": "Positive", "Neutral": "Positive"}
EACH_FLIPPED = 15
"""Every 15th label is wrong."""
FORGOTTEN_S = 120
OK, SKIPPED = "ok", "not run"


class Trial:
    """One release, from its start to the project's end. The steps are its methods, in this order."""

    def __init__(self, version: str, folder: Path, commands: Commands) -> None:
        self.version = version
        self.folder = folder
        self.commands = commands
        self.supervisor = Supervisor(folder / "logs", say, threading.Event())
        self.account = Account("trial@example.com", secrets.token_urlsafe(12))
        self.state = DemoState(
            label_studio_url=f"http://localhost:{free_port()}",
            backend_url=f"http://localhost:{free_port()}",
            email=self.account.email,
            password=self.account.password,
            model_dir=str(folder / "prelabel"),
        )
        self.settings = {
            "BASIC_AUTH_USER": "team",
            "BASIC_AUTH_PASS": secrets.token_urlsafe(12),
            "TRAINING_QUIET_S": "4",
            "RECONCILE_EACH_S": "10",
            "AUDIT_SHARE": "0",
        }

    @cached_property
    def demo(self) -> Demo:
        """What runs, as the end-to-end tests use it."""
        return Demo(self.folder, asdict(self.state), self.settings, self.commands)

    @cached_property
    def team(self) -> Team:
        """The project, and who works in it."""
        return Team.with_reviews(self.demo, N_TASKS)

    def starts(self) -> None:
        """Label Studio starts, and says which it is."""
        port = int(self.state.label_studio_url.rsplit(":", 1)[1])
        data = self.folder / "label-studio"
        self.supervisor.start(label_studio_program(data, port, self.account, version=self.version))
        assert read_release(self.state.label_studio_url).name == self.version

    def token(self) -> None:
        """A token is made in the way that exists there, and `prelabel up` runs with it."""
        self.state.api_key = make_token(self.state.label_studio_url, self.account)
        self.state.save(self.folder)
        command = [sys.executable, "-m", "backend.entrypoints.cli.main", "--demo", str(self.folder), "up"]
        ready = f"{self.state.backend_url}/health"
        self.supervisor.start(Program("Prelabel", command, os.environ | self.settings, lambda: answers(ready), 120))

    def connects(self) -> None:
        """A project is connected, and its first version is shown for all tasks."""
        self.team.connect()
        assert self.team.versions() == {"v1": N_TASKS}, self.team.versions()

    def doctor(self) -> None:
        """Doctor finds nothing to do, and names the version and the kind of token that is there."""
        said = self.demo.prelabel("doctor", str(self.team.project))
        assert "BAD" not in said, [line for line in said.splitlines() if "BAD" in line]
        assert self.version in said, said
        personal = read_release(self.state.label_studio_url).knows_personal_tokens
        kind = "personal access token" if personal else "access token"
        assert f"API key: {kind} of {self.account.email}" in said, said

    def basic_auth(self) -> None:
        """Nobody gets in without the password; Label Studio has it, and gets in."""
        assert httpx.post(f"{self.state.backend_url}/setup", json={}).status_code == httpx.codes.UNAUTHORIZED
        (listed,) = self.team.get("/api/ml/", project=self.team.project)
        found = self.team.get(f"/api/ml/{listed['id']}")
        assert found["state"] == "CO", found
        assert found["auth_method"] == "BASIC_AUTH", found

    def order(self) -> None:
        """The label stream serves the task with the lowest score, with its suggestion."""
        self._serves_the_lowest(self.team.info()["model_version"])

    def trains(self) -> None:
        """Annotations bring a new version by webhook, whose predictions take the place of the old ones."""
        team = self.team
        for task_id in self.labeled:
            right = team.gold[task_id]
            team.annotate(task_id, FLIPPED[right] if task_id in self.flipped else right)
        team.settle()
        version = team.info()["model_version"]
        assert version not in {"", "v1"}, version
        assert set(team.predictions(version)) == set(team.task_ids) - set(self.labeled)
        assert len(team.versions()) == 2, team.versions()
        self._serves_the_lowest(version)

    def tabs(self) -> None:
        """The tab "Prelabel: next" is in the order of the scores."""
        team = self.team
        current = team.predictions(team.info()["model_version"])
        scores = [current[item["id"]]["score"] for item in team.tab("Prelabel: next")]
        assert scores
        assert scores == sorted(scores), scores

    def tags(self) -> None:
        """Most of the labels that were made wrong on purpose are tagged, and in the tab "Prelabel: check"."""
        self.demo.prelabel("check", str(self.team.project), "--wait")
        shown = {item["id"] for item in self.team.tab("Prelabel: check") if item["data"].get(CHECK_KEY)}
        found = len(shown & self.flipped)
        assert 2 * found > len(self.flipped), f"{found} of {len(self.flipped)} wrong labels are tagged"

    def rollback(self) -> None:
        """The first version's predictions are shown again."""
        team = self.team
        self.demo.prelabel("rollback", str(team.project), "v1")
        team.reaches("v1")
        team.settle()
        assert team.predictions("v1")

    def deleted(self) -> None:
        """A project that is deleted is forgotten, without a failed job."""
        self._delete(self.team)

    def deleted_at_work(self) -> None:
        """So is one that is deleted while a job works on it."""
        other = Team.with_reviews(self.demo, N_TASKS)
        self.demo.prelabel("connect", str(other.project))
        wait_for(lambda: other.under_way()[1], FORGOTTEN_S, "a job", each_s=0.02)
        self._delete(other)

    @cached_property
    def labeled(self) -> list[int]:
        """Tasks that get a label. One is what Label Studio reserves for us: until then it serves no other."""
        reserved = self.team.next_task()["id"]
        others = [task_id for task_id in self.team.task_ids if task_id != reserved]
        return [*others[: N_LABELED - 1], reserved]

    @cached_property
    def flipped(self) -> set[int]:
        """Tasks whose label is wrong."""
        return set(self.labeled[::EACH_FLIPPED])

    def _serves_the_lowest(self, version: str) -> None:
        scores = {task_id: item["score"] for task_id, item in self.team.predictions(version).items()}
        served = self.team.next_task()
        lowest = min(scores.values())
        assert scores[served["id"]] == lowest, f"{scores[served['id']]} is served, {lowest} is the lowest"
        assert [item["model_version"] for item in served["predictions"]] == [version], served["predictions"]

    def _delete(self, team: Team) -> None:
        with self.demo.api as api:
            api.delete(f"/api/projects/{team.project}/").raise_for_status()
        app = build(Settings.model_validate(demo_settings(self.folder)))

        def known() -> bool:
            return team.project in {item.project_id for item in app.database.projects()}

        # It fails when a job of the project failed for good.
        wait_for(lambda: not any(team.under_way()[1:]) and not known(), FORGOTTEN_S, "a forgotten project")


STEPS: tuple[Callable[[Trial], None], ...] = (
    Trial.starts,
    Trial.token,
    Trial.connects,
    Trial.doctor,
    Trial.basic_auth,
    Trial.order,
    Trial.trains,
    Trial.tabs,
    Trial.tags,
    Trial.rollback,
    Trial.deleted,
    Trial.deleted_at_work,
)
NEEDED = 3
"""Without the first steps there is nothing to try."""


def try_version(version: str, commands: Commands) -> dict[str, str]:
    """What became of each step, by its name."""
    outcome = dict.fromkeys((step.__name__ for step in STEPS), SKIPPED)
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(version, Path(folder), commands)
        try:
            for place, step in enumerate(STEPS):
                began = time.monotonic()
                outcome[step.__name__] = _outcome_of(step, trial)
                say(f"{version} {step.__name__}: {outcome[step.__name__]} ({time.monotonic() - began:.0f} s)")
                if place < NEEDED and outcome[step.__name__] != OK:
                    break
        finally:
            trial.supervisor.stop()
    return outcome


def _outcome_of(step: Callable[[Trial], None], trial: Trial) -> str:
    try:
        step(trial)
    except Exception as error:  # noqa: BLE001 - the other steps and releases are tried all the same
        return one_line(f"{type(error).__name__}: {error}", 600)
    return OK


def promised(version: str) -> bool:
    """Whether it is one that Prelabel promises to work with."""
    return OLDEST <= tuple(int(part) for part in version.split(".")) <= NEWEST_TRIED


def table(outcomes: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A line for each release, in Markdown, after those of the heading."""
    names = [step.__name__ for step in STEPS]
    rows = [["Label Studio", *names], ["---"] * (len(names) + 1)]
    for version, outcome in outcomes.items():
        rows.append([version, *(said if said in {OK, SKIPPED} else "FAILED" for said in outcome.values())])
    return [f"| {' | '.join(row)} |" for row in rows]


def main(arguments: Sequence[str]) -> int:
    """Try all; the exit code is 1 when something failed on a release that is promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", default=VERSIONS, help="as PyPI has them: 1.14.0, not 1.14")
    versions: Sequence[str] = parser.parse_args(arguments).versions
    outcomes = {}
    with Commands() as commands:
        for version in versions:
            outcomes[version] = try_version(version, commands)
    for line in table(outcomes):
        say(line)
    failed = {version for version, outcome in outcomes.items() if set(outcome.values()) != {OK}}
    return int(any(promised(version) for version in failed))


if __name__ == "__main__":
    # Asked to end, it stops all that it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    raise SystemExit(main(sys.argv[1:]))
