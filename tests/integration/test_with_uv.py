"""Getting uv on a machine that has only Python, from an index that this test serves."""

import hashlib
import http.server
import io
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.entrypoints import with_uv

SCRIPT = b"#!/bin/sh\necho pretended uv\n"


class Index(http.server.BaseHTTPRequestHandler):
    """PyPI's JSON page of uv, and its wheel."""

    damaged = False

    def do_GET(self) -> None:
        wheel = io.BytesIO()
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("uv-1.data/scripts/uv", SCRIPT)
            archive.writestr("uv-1.data/scripts/uvx", b"not this one")
        content = wheel.getvalue()
        digest = hashlib.sha256(b"other" if self.damaged else content).hexdigest()
        names = [f"uv-1-py3-none-{flavour}.whl" for flavour in PLATFORMS]
        files = [{"filename": name, "url": f"../files/{name}", "digests": {"sha256": digest}} for name in names]
        body = json.dumps({"urls": files}).encode() if self.path.endswith("/json") else content
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


PLATFORMS = [
    f"{system}_{machine}" for machine in ("x86_64", "aarch64") for system in ("manylinux_2_17", "musllinux_1_1")
]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(with_uv, "INDEX", f"http://127.0.0.1:{server.server_port}/pypi/json")
    monkeypatch.setattr(with_uv, "PRIVATE", tmp_path / "uv")
    yield
    server.shutdown()


def test_the_wheel_is_fetched_checked_and_unpacked(index: None) -> None:
    uv = with_uv.download()
    assert subprocess.run([uv], capture_output=True, check=True).stdout == b"pretended uv\n"
    assert with_uv.works(uv)


def test_a_damaged_wheel_is_refused(index: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Index, "damaged", True)
    with pytest.raises(with_uv.NoUv, match="wrong hash"):
        with_uv.download()
    assert not (with_uv.PRIVATE / "bin" / "uv").exists()


def test_without_a_network_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(with_uv, "INDEX", "http://127.0.0.1:1/json")
    with pytest.raises(with_uv.NoUv, match="Is there a network"):
        with_uv.download()


def test_pip_brings_it_into_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(with_uv, "PRIVATE", tmp_path / "uv")
    uv = with_uv.install_with_pip()
    assert uv is None or with_uv.works(uv)


def test_an_exit_code_comes_back() -> None:
    command = [sys.executable, str(with_uv.ROOT / "backend/entrypoints/with_uv.py")]
    failed = subprocess.run([*command, "python", "-c", "raise SystemExit(7)"], check=False)
    assert failed.returncode == 7
    nothing = subprocess.run(command, capture_output=True, text=True, check=False)
    assert nothing.returncode == 1
    assert "prelabel demo" in nothing.stderr


def test_windows_is_told_what_to_use(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert with_uv.main(["prelabel", "demo"]) == 1
    assert capsys.readouterr().err == with_uv.NOT_ON_WINDOWS + "\n"
