"""A disk that gets full: what people label meanwhile is learned from once there is room again."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import Demo, free_port, wait_for
from tests.e2e.team import Team

ROOT = Path(__file__).parents[2]
SMALL_DISK = """
set -e
mount --make-rprivate /
mount -t tmpfs -o size=32m tmpfs "$MODEL_DIR"
exec "$1" -m backend.entrypoints.cli.main up
"""


@pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode != 0,
    reason="this machine lets no user make a mount namespace",
)
@pytest.mark.timeout(900)
def test_a_full_disk_is_said_and_nothing_is_lost(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    port = free_port()
    environment = {
        "MODEL_DIR": str(tmp_path / "m"),
        "PORT": str(port),
        "BACKEND_URL": f"http://localhost:{port}",
        "LABEL_STUDIO_URL": demo.url,
        "LABEL_STUDIO_API_KEY": demo.state["api_key"],
        "REDIS_URL": "",
        "DATABASE_URL": "",
        "START_TRAINING_EACH_N_UPDATES": "12",
        "RECONCILE_EACH_S": "10",
        "AUDIT_SHARE": "0",
    }
    command = ["unshare", "-rm", "sh", "-c", SMALL_DISK, "sh", sys.executable]
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=subprocess.STDOUT)
    disk = Path(f"/proc/{running.pid}/root{tmp_path}/m")
    """The folder as the processes see it."""

    def missing() -> list[str]:
        try:
            found: list[str] = httpx.get(f"http://127.0.0.1:{port}/ready", timeout=60, trust_env=False).json()[
                "reasons"
            ]
        except httpx.HTTPError:
            return ["the web service"]
        return found

    try:
        wait_for(lambda: not missing(), 240, "the web service")
        team = Team.with_reviews(demo, 20)
        inside = ["nsenter", "--target", str(running.pid), "--user", "--mount", "--", sys.executable]
        connect = [*inside, "-m", "backend.entrypoints.cli.main", "connect", str(team.project)]
        connected = subprocess.run(
            connect, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert connected.returncode == 0, connected.stdout + connected.stderr
        wait_for(lambda: team.info()["model_version"] == "v1", 240, "the first version")
        fill(disk / "filler")
        for task_id in team.task_ids[:12]:
            team.annotate(task_id, team.gold[task_id])
        wait_for(lambda: any("No space left" in reason for reason in missing()), 60, "a sentence for the operator")
        # Until the embedded Redis has noticed too, and refuses what it can't keep.
        (folder,) = (disk / "projects").glob(f"{team.project}.*")
        event = {"action": "ANNOTATION_CREATED", "project": folder.name.rsplit("-", 1)[0]}
        secret = {"X-Webhook-Secret": (disk / "webhook-secret").read_text()}

        def refused() -> bool:
            answer = httpx.post(f"http://127.0.0.1:{port}/webhook", json=event, headers=secret, timeout=60)
            return answer.status_code == 503 and "disk" in answer.json()["detail"]

        wait_for(refused, 60, "a refused event")
        (disk / "filler").unlink()
        wait_for(lambda: not missing(), 60, "a ready service")
        wait_for(lambda: team.info()["model_version"] not in {"", "v1"}, 300, "a version of what was labeled meanwhile")
        shown = team.predictions(str(team.info()["model_version"]))
        wait_for(lambda: len(team.predictions(str(team.info()["model_version"]))) == 8, 120, f"8, not {len(shown)}")
    finally:
        running.terminate()
        running.wait(60)
    assert running.returncode == 0, (tmp_path / "log").read_text()


def fill(path: Path) -> None:
    """Write until nothing more can be written."""
    with path.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2
