"""Getting uv on a machine that has only Python, from an index that this test serves."""

import base64
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
from typing import ClassVar

import pytest

from backend.entrypoints import with_uv

SCRIPT = b"#!/bin/sh\necho pretended uv\n"


class Index(http.server.BaseHTTPRequestHandler):
    """A simple index's page of uv, and its wheels."""

    damaged = hashed = True
    as_json = False
    password = ""
    versions = ("0.9.0", "0.10.0", "1.0.0rc1")
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        right = f"Basic {base64.b64encode(self.password.encode()).decode()}"
        if self.password and self.headers.get("Authorization") != right:
            self.send_error(401)
            return
        wheel = io.BytesIO()
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("uv-1.data/scripts/uv", SCRIPT)
            archive.writestr("uv-1.data/scripts/uvx", b"not this one")
        content = wheel.getvalue()
        digest = hashlib.sha256(b"other" if self.damaged else content).hexdigest()
        names = [f"uv-{version}-py3-none-{flavour}.whl" for version in self.versions for flavour in PLATFORMS]
        kind = "application/octet-stream"
        if self.path == "/simple/uv/" and self.as_json:
            hashes = {"sha256": digest} if self.hashed else {}
            files = [{"filename": name, "url": f"../../files/{name}", "hashes": hashes} for name in names]
            content, kind = json.dumps({"files": files}).encode(), "application/vnd.pypi.simple.v1+json"
        elif self.path == "/simple/uv/":
            end = f"#sha256={digest}" if self.hashed else ""
            links = [f'<a href="../../files/{name}{end}">{name}</a>' for name in names]
            links += [f'<a data-yanked="" href="../../files/uv-9-py3-none-{name}.whl">x</a>' for name in PLATFORMS]
            content, kind = "".join(links).encode(), "text/html"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Silent."""


PLATFORMS = [
    f"{system}_{machine}" for machine in ("x86_64", "aarch64") for system in ("manylinux_2_17", "musllinux_1_1")
]
VARIABLES = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_CONFIG_FILE",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_CONFIG_FILE",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any settings."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(with_uv, "PRIVATE", tmp_path / "uv")
    monkeypatch.setattr(with_uv, "PYPI", "http://127.0.0.1:1/simple")
    return tmp_path


@pytest.fixture
def index(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setattr(Index, "damaged", False)
    monkeypatch.setattr(Index, "asked", [])
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("hashed", [True, False])
def test_the_newest_wheel_is_fetched_checked_and_unpacked(
    index: str, monkeypatch: pytest.MonkeyPatch, as_json: bool, hashed: bool
) -> None:
    monkeypatch.setattr(Index, "as_json", as_json)
    monkeypatch.setattr(Index, "hashed", hashed)
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://{index}/simple/")
    uv = with_uv.download()
    assert subprocess.run([uv], capture_output=True, check=True).stdout == b"pretended uv\n"
    assert with_uv.works(uv)
    assert Index.asked[0] == "/simple/uv/"
    assert "uv-0.10.0-" in Index.asked[1]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_damaged_wheel_is_refused(index: str, monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    monkeypatch.setattr(Index, "damaged", True)
    monkeypatch.setattr(Index, "as_json", as_json)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://{index}/simple")
    with pytest.raises(with_uv.NoUv, match="wrong hash"):
        with_uv.download()
    assert not (with_uv.PRIVATE / "bin" / "uv").exists()


def test_credentials_of_an_index_are_sent_and_never_shown(index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Index, "password", "me:hunter2@")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:hunter2%40@{index}/simple")
    assert with_uv.works(with_uv.download())
    for wrong in (f"http://me:hunter3@{index}/simple", "http://me:hunter3@127.0.0.1:1/x", "htp://me:hunter3@x/y"):
        monkeypatch.setenv("PIP_INDEX_URL", wrong)
        with pytest.raises(with_uv.NoUv) as caught:
            with_uv.download()
        assert "hunter" not in str(caught.value)


def test_without_a_network_it_says_so(home: Path) -> None:
    with pytest.raises(with_uv.NoUv, match="Is there a network"):
        with_uv.download()


def test_indexes_come_from_the_environment_then_uvs_files_then_pips(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first() -> list[str]:
        # What this machine's own files name comes after the user's.
        return with_uv.indexes()[:2]

    (home / "config" / "pip").mkdir(parents=True)
    (home / "config" / "pip" / "pip.conf").write_text("[global]\nindex_url = http://a/s/\nextra-index-url = http://b/s")
    assert first() == ["http://a/s", "http://b/s"]
    (home / "config" / "uv").mkdir()
    (home / "config" / "uv" / "uv.toml").write_text(
        '[[index]]\nurl = "http://c/s"\n[[index]]\nurl = "http://d/s"\ndefault = true\n'
    )
    assert first() == ["http://d/s", "http://c/s"]
    (home / "config" / "uv" / "uv.toml").write_text('index-url = "http://e/s"')
    assert first() == ["http://e/s", "http://b/s"]
    monkeypatch.setenv("PIP_INDEX_URL", "http://f/s")
    assert first()[0] == "http://f/s"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "ours=http://g/s")
    assert first()[0] == "http://g/s"
    (home / "config" / "uv" / "uv.toml").write_text("no toml")
    assert first()[0] == "http://g/s"


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
