"""What the benchmarks share: servers to measure, quantiles, rows of results."""

import argparse
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

from backend.entrypoints.embedded_redis import redis_server

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
                    raise
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
    with server([sys.executable, "-m", "backend.entrypoints.cli", "web"], url, environment) as pid:
        yield url, pid


@contextmanager
def peer_server(folder: Path) -> Iterator[str]:
    """label-studio-ml's own server with a text classifier of the same kind as ours; gives its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with server([sys.executable, "-m", "benchmarks.peer", str(folder), str(port)], url, {}):
        yield url
