"""All checks and all tests, as CI runs them: `python3 backend/entrypoints/with_uv.py python tests/run.py`.

Installs what the tests need (development packages, Chromium). Prometheus' promtool is fetched where Debian's packages
are; without it, its tests are skipped. Two processes run the tests: one does all that needs the demo, of which there is
one, the other all the rest; who is done first helps the other. Linters and types run beside them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROMTOOL = ROOT / ".venv" / "bin" / "promtool"
PYTEST = ("python", "-m", "pytest", "-p", "tests.beside", "-n", "2", "--dist", "loadscope", "--durations=25")


def main(arguments: list[str]) -> int:
    """Run everything; arguments are passed on to pytest. Returns only when something can't be installed."""
    os.chdir(ROOT)
    if subprocess.run(["uv", "sync", "--locked", "--all-extras", "--quiet"], check=False).returncode:
        return fail("The development packages could not be installed: see above.")
    if find_chromium() is None and not install_chromium():
        return fail("Chromium could not be installed: install your system's package `chromium`, then run this again.")
    if shutil.which("promtool") is None and not PROMTOOL.exists():
        fetch_promtool()
    # Replaces this process, so that Ctrl-C reaches pytest, which ends all others.
    return os.execvp("uv", ["uv", "run", "--no-sync", *PYTEST, *arguments])


def find_chromium() -> str | None:
    """A browser of the system, else Playwright's own; None when there is neither."""
    for name in CHROMIUM_NAMES:
        if found := shutil.which(name):
            return found
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    return next((str(path) for path in sorted(cache.glob("chromium-*/chrome-linux*/chrome"))), None)


def install_chromium() -> bool:
    """By the system's package manager where we may use it, else by Playwright."""
    may_install = os.geteuid() == 0 and shutil.which("apt-get") is not None
    attempts = [["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", "chromium"]] if may_install else []
    for command in attempts:
        subprocess.run(command, check=False, stdout=sys.stderr, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})
    if find_chromium() is None:
        command = ["uv", "run", "--no-sync", "playwright", "install", "--with-deps", "chromium"]
        subprocess.run(command if may_install else [*command[:-2], "chromium"], check=False, stdout=sys.stderr)
    return find_chromium() is not None


def fetch_promtool() -> None:
    """From Debian's package, which isn't installed: it would start a server."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        # A user of apt's own downloads it.
        Path(folder).chmod(0o777)
        for command in (["apt-get", "download", "-q", "prometheus"], ["sh", "-c", "dpkg -x prometheus_*.deb ."]):
            if subprocess.run(command, check=False, cwd=folder, stdout=sys.stderr).returncode:
                return
        shutil.copy2(Path(folder) / "usr" / "bin" / "promtool", PROMTOOL)


def fail(sentence: str) -> int:
    """Say what is wrong in one sentence."""
    sys.stderr.write(f"{sentence}\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
