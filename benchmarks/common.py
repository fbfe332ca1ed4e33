"""What the benchmarks share: servers to measure, quantiles, rows of results."""

import argparse
import functools
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from backend.entrypoints.run.embedded_redis import redis_server

PEER = "label-studio-ml 1.0.9"
OURS = "prelabel"


@dataclass(frozen=True)
class Row:
    """One figure. `method` is who was measured."""

    set: str
    method: str
    metric: str
    value: float
    seconds: float


def options(description: str) -> argparse.ArgumentParser:
    """A parser with what all benchmarks take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each load lasts")
    return parser


def report(rows: Sequence[Row], path: Path | None) -> None:
    """Print the rows, with ours as a ratio to the peer's where both were measured; write them to a file if asked to."""
    peers = {(row.set, row.metric): row.value for row in rows if row.method == PEER}
    for row in rows:
        peer = peers.get((row.set, row.metric)) if row.method == OURS else None
        ratio = f"   {row.value / peer:.3f} of the peer's" if peer else ""
        print(f"{row.set:28} {row.method:22} {row.metric:18} {row.value:10.2f}{ratio}")
    if path is not None:
        path.write_text(json.dumps([asdict(row) for row in rows], indent=1))


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values don't exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_peer() -> None:
    """End with a sentence when label-studio-ml is not installed: it takes an extra, which `uv run` alone leaves out."""
    if importlib.util.find_spec("label_studio_ml") is None:
        raise SystemExit(
            f"The peer, {PEER}, is not installed: run `uv sync --extra label-studio-ml`, then this again (or "
            "`uv run --extra label-studio-ml python -m benchmarks...`)."
        )


@functools.cache
def peers_command(packages: tuple[str, ...], python: str = "3.11") -> tuple[str, ...]:
    """A command that runs Python with these packages in an environment of its own, which uv makes at once.

    Ends with a sentence when it can't be made.
    """
    wanted = [word for package in packages for word in ("--with", package)]
    command = ("uv", "run", "--isolated", "--no-project", "--python", python, *wanted, "python")
    try:
        made = subprocess.run([*command, "-c", ""], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SystemExit(
            f"The peers ({', '.join(packages)}) run in an environment that uv makes: install uv."
        ) from None
    if made.returncode:
        raise SystemExit(f"uv can't install the peers ({', '.join(packages)}) for Python {python}:\n{made.stderr}")
    return command


@contextmanager
def server(command: Sequence[str], url: str, environment: dict[str, str]) -> Iterator[int]:
    """Run a server until its /health answers; gives its process id."""
    process = subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                    break
            except httpx.HTTPError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise SystemExit(f"{' '.join(command[1:4])} didn't start: run it by itself to see why.") from None
            time.sleep(0.2)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis on a unix socket, append-only like ours; gives its URL."""
    path = folder / "redis.sock"
    words = ["--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--appendonly", "yes"]
    process = subprocess.Popen([str(redis_server()), *words], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            time.sleep(0.05)
        yield f"unix://{path}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def our_server(folder: Path, redis_url: str) -> Iterator[tuple[str, int]]:
    """Our web service; gives its URL and process id."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "MODEL_DIR": str(folder),
        "REDIS_URL": redis_url,
        "LABEL_STUDIO_URL": "http://localhost:1",
        "PORT": str(port),
    }
    with server([sys.executable, "-m", "backend.entrypoints.cli.main", "web"], url, environment) as pid:
        yield url, pid


@contextmanager
def peer_server(folder: Path) -> Iterator[str]:
    """label-studio-ml's own server with a text classifier of the same kind as ours; gives its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with server([sys.executable, "-m", "benchmarks.peer", str(folder), str(port)], url, {}):
        yield url
