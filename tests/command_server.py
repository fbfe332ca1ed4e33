"""Runs `prelabel` commands as a shell does, but for the seconds that each of them takes to import everything.

A process has imported it all, and each command is a fork of it.
"""

import importlib
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

COMMANDS = "backend.entrypoints.cli"
PRELOADED = ("label_studio_sdk.base_client",)
"""Besides all that commands do."""


class Commands:
    """The process that has imported everything."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.command_server"],
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # It ends with its input.
        self._process.communicate(timeout=30)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in our environment with some variables more; returns its exit code and what it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            self._process.stdin.write(json.dumps([arguments, os.environ | environment, folder]) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            out, err = ((Path(folder) / name).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(["prelabel", *arguments], code, out, err)


def serve() -> None:
    """Run the commands that come as lines of JSON, one after the other; answer with their exit codes."""
    does = pkgutil.iter_modules(importlib.import_module(COMMANDS).__path__, f"{COMMANDS}.")
    for name in [*PRELOADED, *(module.name for module in does)]:
        importlib.import_module(name)
    for line in sys.stdin:
        arguments, environment, folder = json.loads(line)
        child = os.fork()
        if child == 0:
            # Ends this process as any other: with an exit code, or a traceback.
            _run(arguments, environment, Path(folder))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> NoReturn:
    from backend.entrypoints.cli.main import main

    nothing = os.open(os.devnull, os.O_RDONLY)
    out, err = (os.open(folder / name, os.O_WRONLY | os.O_CREAT) for name in ("out", "err"))
    for descriptor, standard in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(descriptor, standard)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["prelabel", *arguments]
    main()
    raise SystemExit


if __name__ == "__main__":
    serve()
