"""Connections that send nothing, or too slowly, hold neither the service nor its files. On a real process."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from backend.entrypoints.web.connections import bounded_protocol
from tests.conftest import free_port, wait_for
from tests.on_demand import slow

FILES = 128
TIMEOUT_S = 1.0
HEAD = b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
KINDS = {
    "nothing": b"",
    "half a header": HEAD,
    "half a body": HEAD + b"Content-Length: 100000\r\n\r\n{",
    "half a body without a length": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    "blank lines": b"\r\n",
    "a whole request": b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a refused body": b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{",
}


class Web:
    """A web service that may open few files."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        own = {
            "PORT": str(self.port),
            "MODEL_DIR": str(folder),
            "REDIS_URL": f"unix://{folder}/none.sock",
            "LABEL_STUDIO_URL": "http://127.0.0.1:1",
            "REQUEST_TIMEOUT_S": str(TIMEOUT_S),
        }
        self.log = folder / "web.log"
        self.process = subprocess.Popen(
            ["bash", "-c", f"ulimit -n {FILES}; exec {sys.executable} -m backend.entrypoints.cli.main web"],
            env=os.environ | own,
            stderr=self.log.open("w"),
        )
        wait_for(lambda: self.process.poll() is not None or self.is_well(), 120, "the web service")

    def open(self, start: bytes) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        made.sendall(start)
        return made

    def is_well(self) -> bool:
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.port}/health", trust_env=False, timeout=1, verify=False)
            return answer.status_code == 200
        except httpx.HTTPError:
            return False

    def ended(self, reason: str) -> float:
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics", trust_env=False, timeout=10, verify=False).text
        line = f'prelabel_connections_ended_total{{reason="{reason}"}} '
        return sum(float(found.removeprefix(line)) for found in text.splitlines() if found.startswith(line))


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    started = Web(tmp_path_factory.mktemp("web"))
    yield started
    half = [started.open(KINDS[kind]) for kind in ("half a header", "half a body")]
    assert started.is_well()
    started.process.terminate()
    # It waits for nobody who waits.
    assert started.process.wait(TIMEOUT_S / 2 + 5) is not None
    for item in half:
        item.close()


def is_over(connection: socket.socket) -> bool:
    """Whether the other side has ended it; also takes what it says."""
    connection.settimeout(0.01)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def test_more_connections_than_files_leave_health_answered_at_once_and_all_end(web: Web) -> None:
    held = []
    for place in range(FILES + 40):
        kind = list(KINDS)[place % len(KINDS)]
        held.append(web.open(KINDS[kind]))
    assert web.is_well()
    process = psutil.Process(web.process.pid)
    assert process.num_fds() < FILES
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.2):
            for item in held:
                try:
                    item.send(b"a" if item.fileno() % 2 else b"\r\n")
                except OSError:
                    continue

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        wait_for(lambda: web.is_well() and all(map(is_over, held)), 30, "the end of all")
    finally:
        stop.set()
        dripping.join()
    assert process.cpu_percent(0.3) < 50
    assert web.ended("crowded") >= 40
    assert web.ended("slow") >= 20
    said = [json.loads(line) for line in web.log.read_text().splitlines()]
    assert any("ulimit -n" in line["event"] for line in said)
    assert sum(line["event"] == "connections were ended" for line in said) in {1, 2}
    assert not any(line["level"] == "error" for line in said)


def test_a_slow_sender_is_told_what_was_too_slow(web: Web) -> None:
    for connection in [web.open(KINDS[kind]) for kind in list(KINDS)[1:4]]:
        with connection:
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"REQUEST_TIMEOUT_S" in answer
            assert b"Connection: close" in answer


def test_endless_headers_are_refused(web: Web) -> None:
    for start, more in (
        (HEAD, b"X-%d: y\r\n"),
        (HEAD + b"X: ", b"%d" + b"y" * 10_000),
        (b"GET /", b"%d" + b"y" * 10_000),
    ):
        with web.open(start) as connection:
            try:
                for number in range(1000):
                    connection.sendall(more % number)
                answer = connection.recv(65536)
            except OSError:
                continue
            assert answer[:13] in {b"HTTP/1.1 400 ", b"HTTP/1.1 431 "}


@slow
def test_a_body_that_comes_steadily_may_take_longer_than_the_time_out(web: Web) -> None:
    body = json.dumps(
        {"action": "NOTHING", "x": "y" * 20_000, "project": {"id": 1, "created_at": "2026-01-01"}}
    ).encode()
    with web.open(HEAD + b"Content-Length: %d\r\n\r\n" % len(body)) as connection:
        started = time.monotonic()
        for start in range(0, len(body), 1000):
            connection.sendall(body[start : start + 1000])
            time.sleep(2 * TIMEOUT_S / 20)
        assert time.monotonic() - started > 1.5 * TIMEOUT_S
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")


@slow
def test_an_answer_that_nobody_takes_is_given_up(web: Web) -> None:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", web.port))
    before = web.ended("slow")
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    connection.settimeout(0.5)
    try:
        while True:
            connection.sendall(request * 100)
    except OSError:
        pass
    wait_for(lambda: web.ended("slow") > before, 20, "the end of the connection")
    connection.close()
    assert web.is_well()


def test_places_are_kept_for_probes_while_all_others_work() -> None:
    go_on = asyncio.Event()

    async def work(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/health":
            await go_on.wait()
        await PlainTextResponse("done")(scope, receive, send)

    async def story() -> None:
        ended: list[str] = []
        port = free_port()
        config = uvicorn.Config(
            work, port=port, http=bounded_protocol(5, 12, ended.append), lifespan="off", log_config=None
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client:
            asked = [asyncio.create_task(client.get(f"/{number}")) for number in range(12)]
            while len(ended) < 8:
                await asyncio.sleep(0.01)
            assert (await client.get("/health")).status_code == 200
            go_on.set()
            found = [answer.status_code for answer in await asyncio.gather(*asked)]
        assert sorted(found) == [200] * 4 + [503] * 8
        assert set(ended) == {"busy"}
        server.should_exit = True
        await serving

    asyncio.run(story())
