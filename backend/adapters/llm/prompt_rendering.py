"""What Jinja makes of prompt templates; as a program, in a process of its own.

Templates that a team brings may loop for ever, or write more than the memory holds, and nothing inside of a process can
stop all that Jinja can do. So `prompt_templates` starts this file as a program, which reads one request a line from
standard input and answers each with a line; a request that takes too long ends the program. It imports nothing of ours,
so that it starts at once.
"""

import json
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import SandboxedEnvironment

TEMPLATES = ("system.jinja", "user.jinja")
OF_MARKS = ("spans.jinja", "user.jinja")
"""The same for questions about spans."""
CPU_S = 2.0
"""Of computing, for one request. The shipped templates take a thousandth of it."""
PATIENCE_S = 30.0
"""For one request, whatever it waits for."""
MEMORY_BYTES = 512 * 1024 * 1024
MAX_CHARACTERS = 10_000_000
"""Of a message: more than any model reads."""


class Unusable(Exception):
    """A template can't be used; the message names the file and the line where it can, and no content of tasks."""


class Renderer:
    """Compiles templates once; Jinja compiles them anew when their files change."""

    def __init__(self) -> None:
        self._environments: dict[tuple[str, ...], SandboxedEnvironment] = {}

    def text(self, places: Sequence[str], *, marks: bool = False) -> str:
        """The two templates, first found in one of some folders, with all that they include. Raises Unusable."""
        environment = self._environment(places)
        sources: dict[str, str] = {}
        left = list(OF_MARKS if marks else TEMPLATES)
        while left:
            name = left.pop(0)
            if name not in sources:
                try:
                    sources[name], _, _ = environment.loader.get_source(environment, name)  # type: ignore[union-attr] # it has one
                    left += [item for item in meta.find_referenced_templates(environment.parse(sources[name])) if item]
                except Exception as error:
                    raise _explained(error) from error
        return "\n".join(f"{name}\n{source}" for name, source in sources.items())

    def render(self, places: Sequence[str], context: Mapping[str, Any]) -> list[str]:
        """System and user message. Raises Unusable."""
        environment = self._environment(places)
        try:
            names = OF_MARKS if context["marked"] else TEMPLATES
            messages = [environment.get_template(name).render(context).strip() for name in names]
        except Exception as error:
            raise _explained(error) from error
        for name, message in zip(names, messages, strict=True):
            if len(message) > MAX_CHARACTERS:
                raise Unusable(
                    f"{name} makes a message of {len(message):,} characters; {MAX_CHARACTERS:,} are the most"
                )
        return messages

    def _environment(self, places: Sequence[str]) -> SandboxedEnvironment:
        found = self._environments.get(tuple(places))
        if found is None:
            found = SandboxedEnvironment(
                loader=FileSystemLoader(places),
                undefined=StrictUndefined,
                trim_blocks=True,
                lstrip_blocks=True,
                # Prompts are no HTML; what tasks say is quoted as JSON.
                autoescape=False,
            )
            # Jinja's own filter escapes for HTML, which costs tokens. JSON keeps what a task says inside its quotes.
            found.filters["json"] = _to_json
            self._environments[tuple(places)] = found
        return found


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _explained(error: Exception) -> Unusable:
    """A template can raise anything; messages of errors that aren't Jinja's may quote a task."""
    if isinstance(error, TemplateSyntaxError):
        return Unusable(f"{error.filename or error.name}, line {error.lineno}: {error.message}")
    if isinstance(error, TemplateError):
        return Unusable(f"A prompt template can't be used: {error}")
    said = "it takes too much memory" if isinstance(error, MemoryError) else type(error).__name__
    return Unusable(f"A prompt template can't be used: {said}.")


# The program: everything below runs in the process that may end.


def main() -> None:
    """Answer requests until there are none left."""
    renderer = Renderer()
    _limit_memory()
    for line in sys.stdin:
        # What these do when they come is to end the process, also in the middle of a computation.
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
        answer = _answer(renderer, line)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


def _answer(renderer: Renderer, line: str) -> str:
    request = json.loads(line)
    try:
        if request["context"] is None:
            return json.dumps({"said": [renderer.text(request["places"], marks=request["marks"])]})
        return json.dumps({"said": renderer.render(request["places"], request["context"])})
    except Unusable as error:
        return json.dumps({"unusable": str(error)[:2000]})


def _limit_memory() -> None:
    """As `rules.tryout` does, of which nothing can be imported here."""
    status = Path("/proc/self/status")
    found = re.search(r"VmData:\s+(\d+) kB", status.read_text()) if status.exists() else None
    if found is not None:
        import resource  # noqa: PLC0415 - only where there is /proc

        most = int(found[1]) * 1024 + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    main()
