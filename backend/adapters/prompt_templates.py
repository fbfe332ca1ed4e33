"""Templates of prompts: the `PromptTemplates` port, on Jinja files that a team can replace."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import SandboxedEnvironment

from backend.errors import ConfigurationError
from backend.ports.llm import PromptContext

SHIPPED = Path(__file__).parent / "prompts"
TEMPLATES = ("system.jinja", "user.jinja")


class JinjaTemplates:
    """Finds each template in the project's folder, else in `LLM_PROMPTS_DIR` itself, else among the shipped ones."""

    def __init__(self, folder: Path | None) -> None:
        """`folder`: LLM_PROMPTS_DIR; None where a team has no templates of its own."""
        self._folder = folder
        self._environments: dict[str, SandboxedEnvironment] = {}

    def text(self, folder: str) -> str:
        """The two templates with all that they include, as they are now."""
        environment = self._environment(folder)
        sources: dict[str, str] = {}
        left = list(TEMPLATES)
        with _explained():
            while left:
                name = left.pop(0)
                if name not in sources:
                    source, _, _ = environment.loader.get_source(environment, name)  # type: ignore[union-attr] # it has one
                    sources[name] = source
                    left += [found for found in meta.find_referenced_templates(environment.parse(source)) if found]
        return "\n".join(f"{name}\n{source}" for name, source in sources.items())

    def render(self, folder: str, context: PromptContext) -> tuple[str, str]:
        """System and user message."""
        environment = self._environment(folder)
        with _explained():
            system, user = (environment.get_template(name).render(asdict(context)) for name in TEMPLATES)
        return system.strip(), user.strip()

    def _environment(self, folder: str) -> SandboxedEnvironment:
        """With its compiled templates, which Jinja compiles anew when their files change."""
        if folder not in self._environments:
            self._environments[folder] = self._make_environment(folder)
        return self._environments[folder]

    def _make_environment(self, folder: str) -> SandboxedEnvironment:
        places = [SHIPPED]
        if self._folder is not None:
            places.insert(0, self._folder)
        if folder:
            if self._folder is None or not (self._folder / folder).is_dir():
                raise ConfigurationError(
                    f"llm_prompts is {folder!r}, but LLM_PROMPTS_DIR ({self._folder or 'not set'}) has no such folder."
                )
            places.insert(0, self._folder / folder)
        environment = SandboxedEnvironment(
            loader=FileSystemLoader(places),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            # Prompts are no HTML; what tasks say is quoted as JSON.
            autoescape=False,
        )
        # Jinja's own filter escapes for HTML, which costs tokens. JSON keeps what a task says inside its quotes.
        environment.filters["json"] = _to_json
        return environment


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except TemplateSyntaxError as error:
        raise ConfigurationError(f"{error.filename or error.name}, line {error.lineno}: {error.message}") from error
    except TemplateError as error:
        raise ConfigurationError(f"A prompt template can't be used: {error}") from error
