"""Templates of prompts: the `PromptTemplates` port, on Jinja files that a team can replace."""

import json
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from backend.adapters.llm import prompt_rendering
from backend.adapters.llm.prompt_rendering import CPU_S, Renderer, Unusable
from backend.errors import ConfigurationError
from backend.ports.llm import PromptContext

SHIPPED = Path(__file__).parent / "prompts"
_LATE = {-signal.SIGPROF, -signal.SIGALRM}


class _Renders(Protocol):
    """What makes messages of the templates in some folders. Raises Unusable."""

    def text(self, places: Sequence[str], *, marks: bool = False) -> str:
        """The templates themselves."""

    def render(self, places: Sequence[str], context: Mapping[str, Any]) -> list[str]:
        """System and user message."""


class JinjaTemplates:
    """Finds each template in the project's folder, else in `LLM_PROMPTS_DIR` itself, else among the shipped ones.

    A team's own templates run in a process of their own, which ends when they take too long or too much memory.
    """

    def __init__(self, folder: Path | None) -> None:
        """`folder`: LLM_PROMPTS_DIR; None where a team has no templates of its own."""
        self._folder = folder
        self._renders: _Renders = Renderer() if folder is None else _RenderProcess()

    def text(self, folder: str, *, marks: bool = False) -> str:
        """The two templates with all that they include, as they are now."""
        try:
            return self._renders.text(self._places(folder), marks=marks)
        except Unusable as error:
            raise ConfigurationError(str(error)) from error

    def render(self, folder: str, context: PromptContext) -> tuple[str, str]:
        """System and user message."""
        try:
            system, user = self._renders.render(self._places(folder), asdict(context))
        except Unusable as error:
            raise ConfigurationError(str(error)) from error
        return system, user

    def _places(self, folder: str) -> list[str]:
        places = [SHIPPED]
        if self._folder is not None:
            places.insert(0, self._folder)
        if folder:
            if self._folder is None or not (self._folder / folder).is_dir():
                raise ConfigurationError(
                    f"llm_prompts is {folder!r}, but LLM_PROMPTS_DIR ({self._folder or 'not set'}) has no such folder."
                )
            places.insert(0, self._folder / folder)
        return list(map(str, places))


class _RenderProcess:
    """`prompt_rendering` as a program: started when it is first asked, and anew after it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()

    def text(self, places: Sequence[str], *, marks: bool = False) -> str:
        """The templates themselves."""
        (text,) = self._ask(places, None, marks=marks)
        return text

    def render(self, places: Sequence[str], context: Mapping[str, Any]) -> list[str]:
        """System and user message."""
        return self._ask(places, context)

    def _ask(self, places: Sequence[str], context: Mapping[str, Any] | None, *, marks: bool = False) -> list[str]:
        line = json.dumps({"places": list(places), "context": context, "marks": marks}, default=str)
        with self._turn:
            process = self._process or self._start()
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - for the type checker
            try:
                process.stdin.write(line + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            except OSError:
                answer = ""
            if not answer:
                self._process = None
                raise Unusable(self._why_ended(process, places))
        said = json.loads(answer)
        if "unusable" in said:
            raise Unusable(said["unusable"])
        found: list[str] = said["said"]
        return found

    def _start(self) -> subprocess.Popen[str]:
        # Isolated (-I): what lies in the working folder is not imported.
        command = [sys.executable, "-I", prompt_rendering.__file__]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        weakref.finalize(self, _end, self._process)
        return self._process

    def _why_ended(self, process: subprocess.Popen[str], places: Sequence[str]) -> str:
        _end(process)
        why = f"take more than {CPU_S:g} s" if process.returncode in _LATE else f"ended ({process.returncode})"
        return f"The prompt templates in {places[0]} {why}: they can't be used. Look for loops inside of loops."


def _end(process: subprocess.Popen[str]) -> None:
    """End the process, if it hasn't ended by itself, and all that belongs to it."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                # Something was still to be written.
                continue
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
