"""Run a command of this project on a machine that has only Python and git: brings uv, which brings everything else.

    python3 backend/entrypoints/with_uv.py prelabel demo

uv is taken from PATH; else it is installed into `.uv/` with pip; else, where Python has no pip (Debian), its wheel is
fetched from PyPI and checked against PyPI's hash. Nothing outside this folder is changed. Needs the standard library
only.
"""

import hashlib
import io
import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = ROOT / ".uv"
MIN_PYTHON = (3, 11)
INDEX = "https://pypi.org/pypi/uv/json"
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
    """Fetch uv's wheel from PyPI and take the program out of it.

    Raises:
        NoUv: there is no connection, or no wheel for this machine.
    """
    try:
        with urllib.request.urlopen(INDEX, timeout=TIMEOUT_S) as answer:
            files = json.load(answer)["urls"]
        wheel = next((item for item in files if fits(item["filename"])), None)
        if wheel is None:
            raise NoUv(f"PyPI has no uv for this machine ({platform.machine()}): install uv, then run this again.")
        with urllib.request.urlopen(urllib.parse.urljoin(INDEX, wheel["url"]), timeout=TIMEOUT_S) as answer:
            content = answer.read()
    except (urllib.error.URLError, TimeoutError) as error:
        raise NoUv(
            f"uv could not be fetched from PyPI ({error}). Is there a network? Or install uv yourself."
        ) from error
    if hashlib.sha256(content).hexdigest() != wheel["digests"]["sha256"]:
        raise NoUv("The uv that came from PyPI is damaged (wrong hash). Run this again.")
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
