"""Run a command of this project on a machine that has only Python and git: brings uv, which brings everything else.

    python3 backend/entrypoints/with_uv.py prelabel demo

uv is taken from PATH; else it is installed into `.uv/` with pip; else, where Python has no pip (Debian), its wheel is
fetched from the index that uv's or pip's settings name, PyPI without any, and checked against the index's hash. Nothing
outside this folder is changed. Needs the standard library only.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import html.parser
import http.client
import io
import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = ROOT / ".uv"
MIN_PYTHON = (3, 11)
PYPI = "https://pypi.org/simple"
TIMEOUT_S = 60
NOT_ON_WINDOWS = "Prelabel runs on Linux and macOS. On Windows, run it in WSL: https://learn.microsoft.com/windows/wsl"


class NoUv(Exception):
    """uv can't be had; the message says what to do."""


def main(arguments: list[str]) -> int:
    """Run a command in the project's own environment; returns its exit code."""
    if sys.platform == "win32":
        return fail(NOT_ON_WINDOWS)
    if sys.version_info < MIN_PYTHON:
        return fail(f"Prelabel needs Python 3.11 or newer; this is {platform.python_version()}.")
    if not arguments:
        return fail("Say what to run, for example: prelabel demo")
    try:
        uv = find_uv() or install_with_pip() or download()
    except NoUv as error:
        return fail(str(error))
    # The interpreter that runs this file is known to be there; uv would otherwise look for one, or download one.
    path = f"{uv.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = os.environ | {"UV_PYTHON": sys.executable, "PATH": path}
    environment.pop("VIRTUAL_ENV", None)
    command = [str(uv), "run", "--project", str(ROOT), "--locked", "--no-dev", *arguments]
    # Replaces this process, so that signals such as Ctrl-C reach the command itself.
    return os.execve(uv, command, environment)


def find_uv() -> Path | None:
    """uv of PATH, or the one an earlier run has brought."""
    for found in (shutil.which("uv"), PRIVATE / "bin" / "uv"):
        if found and works(Path(found)):
            return Path(found)
    return None


def install_with_pip() -> Path | None:
    """Install uv into an environment of its own (which externally managed Pythons allow); None when there is no pip."""
    made = subprocess.run([sys.executable, "-m", "venv", str(PRIVATE)], capture_output=True, check=False)
    pip = PRIVATE / "bin" / "pip"
    if made.returncode or not pip.exists():
        shutil.rmtree(PRIVATE, ignore_errors=True)
        return None
    installed = subprocess.run([str(pip), "install", "--quiet", "uv"], capture_output=True, check=False)
    uv = PRIVATE / "bin" / "uv"
    return uv if installed.returncode == 0 and works(uv) else None


def download() -> Path:
    """Fetch uv's wheel from the user's index and take the program out of it.

    Raises:
        NoUv: there is no connection, or no wheel for this machine.
    """
    problems = []
    for index in indexes():
        try:
            wheels = [wheel for wheel in wheels_of(index) if fits(wheel.filename)]
            if not wheels:
                problems.append(f"{without_user(index)} has no uv for this machine ({platform.machine()})")
                continue
            wheel = max(wheels, key=lambda item: item.version)
            content = fetch(wheel.url, index)[0]
        except (OSError, ValueError, http.client.HTTPException) as error:
            # Some of these repeat the address, which may hold a password.
            said = str(error).replace(index, without_user(index))
            problems.append(f"{without_user(index)}: {said}")
            continue
        if wheel.hash_name and hashlib.new(wheel.hash_name, content).hexdigest() != wheel.digest:
            raise NoUv(f"The uv that came from {without_user(index)} is damaged (wrong hash). Run this again.")
        return unpack(content)
    raise NoUv(f"uv could not be fetched ({'; '.join(problems)}). Is there a network? Or install uv yourself.")


class Wheel(NamedTuple):
    """A wheel of uv that an index offers. Without `hash_name` the index gives no digest."""

    filename: str
    url: str
    hash_name: str
    digest: str

    @property
    def version(self) -> tuple[int, ...]:
        """Of its name, to compare; () for one that is no final release."""
        found = re.match(r"uv-(\d+(?:\.\d+)*)-", self.filename)
        return tuple(map(int, found[1].split("."))) if found else ()


def indexes() -> list[str]:
    """Addresses of the indexes that the user's uv or pip asks, the default one first; PyPI where none is set."""
    default, more = [], []
    for settings in (environment_settings(), *uv_settings(), *pip_settings()):
        default += settings["default"]
        more += settings["more"]
    found = [*(default[:1] or [PYPI]), *more]
    return list(dict.fromkeys(address.rstrip("/") for address in found))


def environment_settings() -> dict[str, list[str]]:
    """What environment variables say; in uv's, an index may have a name before it."""

    def words(*names: str) -> list[str]:
        given = " ".join(os.environ.get(name, "") for name in names).split()
        return [re.sub(r"^[\w.-]+=", "", word) for word in given]

    default = words("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
    return {"default": default, "more": words("UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL")}


def uv_settings() -> Iterator[dict[str, list[str]]]:
    """What uv's files say: the project's, the user's, the system's."""
    import tomllib  # noqa: PLC0415 - an older Python is told that it is too old

    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    own = os.environ.get("UV_CONFIG_FILE")
    places = (
        [Path(own)]
        if own
        else [ROOT / "uv.toml", ROOT / "pyproject.toml", home / "uv/uv.toml", Path("/etc/uv/uv.toml")]
    )
    for path in places:
        try:
            read = tomllib.loads(path.read_text())
        except (OSError, ValueError):
            # uv itself says what is wrong with it, once it is there.
            continue
        settings = read.get("tool", {}).get("uv", {}) if path.name == "pyproject.toml" else read
        named = [item for item in settings.get("index", []) if item.get("url")]
        default = [item["url"] for item in named if item.get("default")]
        yield {
            "default": default + [settings[name] for name in ("index-url",) if settings.get(name)],
            "more": [item["url"] for item in named if not item.get("default")] + settings.get("extra-index-url", []),
        }


def pip_settings() -> Iterator[dict[str, list[str]]]:
    """What pip's files say: the named one, the user's, the system's."""
    home = Path.home()
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    own = [Path(os.environ["PIP_CONFIG_FILE"])] if os.environ.get("PIP_CONFIG_FILE") else []
    mac = home / "Library/Application Support/pip/pip.conf"
    for path in (
        *own,
        mac,
        config / "pip/pip.conf",
        home / ".pip/pip.conf",
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
    ):
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(path.read_text())
        except (OSError, ValueError, configparser.Error):
            continue
        given: dict[str, list[str]] = {}
        for section in ("install", "global"):
            for name, value in parser.items(section) if parser.has_section(section) else ():
                given.setdefault(name.replace("_", "-"), value.split())
        yield {"default": given.get("index-url", []), "more": given.get("extra-index-url", [])}


def wheels_of(index: str) -> list[Wheel]:
    """The final releases of uv in an index that speaks the simple API, as JSON (PEP 691) or HTML (PEP 503)."""
    content, kind, page = fetch(f"{index}/uv/", index)
    if "json" in kind:
        files = [item for item in json.loads(content)["files"] if not item.get("yanked")]
        offered = [
            (item["filename"], item["url"], next(iter(sorted(item.get("hashes", {}).items(), reverse=True)), ("", "")))
            for item in files
        ]
    else:
        links = Links()
        links.feed(content.decode(errors="replace"))
        offered = []
        for address in links.found:
            place, _, fragment = address.partition("#")
            name, _, digest = fragment.partition("=")
            filename = urllib.parse.unquote(place.rpartition("/")[2])
            offered.append((filename, place, (name, digest) if name in hashlib.algorithms_available else ("", "")))
    wheels = [Wheel(name, urllib.parse.urljoin(page, url), *known) for name, url, known in offered]
    return [wheel for wheel in wheels if wheel.filename.endswith(".whl") and wheel.version]


class Links(html.parser.HTMLParser):
    """The addresses of a page of the simple API, without withdrawn files."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a link."""
        given = dict(attrs)
        if tag == "a" and given.get("href") and "data-yanked" not in given:
            self.found.append(str(given["href"]))


def fetch(url: str, index: str) -> tuple[bytes, str, str]:
    """Content, type and last address of a page or file. The index's user and password go to its own host only."""
    parts = urllib.parse.urlsplit(url)
    request = urllib.request.Request(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
    request.add_header("Accept", "application/vnd.pypi.simple.v1+json, text/html;q=0.5, */*;q=0.1")
    given = urllib.parse.urlsplit(index)
    if given.username and (given.scheme, given.hostname, given.port) == (parts.scheme, parts.hostname, parts.port):
        word = f"{urllib.parse.unquote(given.username)}:{urllib.parse.unquote(given.password or '')}"
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(word.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return answer.read(), answer.headers.get("Content-Type", ""), answer.geturl()


def without_user(url: str) -> str:
    """An address fit to be shown: without user, password and query."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def unpack(content: bytes) -> Path:
    """Take the program out of a wheel."""
    target = PRIVATE / "bin" / "uv"
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        name = next(name for name in archive.namelist() if re.search(r"\.data/scripts/uv$", name))
        target.write_bytes(archive.read(name))
    target.chmod(target.stat().st_mode | stat.S_IXUSR)
    return target


def fits(filename: str) -> bool:
    """Whether a wheel is for this machine."""
    machine = {"arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    if sys.platform == "darwin":
        return "macosx" in filename and ("arm64" if machine == "aarch64" else machine) in filename
    libc = "musllinux" if list(Path("/lib").glob("ld-musl-*")) else "manylinux"
    return libc in filename and machine in filename


def works(uv: Path) -> bool:
    """Whether a uv can be run."""
    try:
        return subprocess.run([str(uv), "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def fail(sentence: str) -> int:
    """Say what is wrong in one sentence."""
    sys.stderr.write(f"{sentence}\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
