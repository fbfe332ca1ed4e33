"""Prices of models from a settings file: the `Prices` port."""

import threading
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.domain.llm.records import ModelPrice
from backend.errors import ConfigurationError

SHIPPED = Path(__file__).with_name("prices.yaml")
"""Public prices of well-known models; it says how such a file is written."""

Usd = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class _Price(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    input_usd: Usd
    output_usd: Usd
    batch: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.5
    image_tokens: Annotated[int, Field(ge=0, le=10_000_000)] = 2000


class _PriceFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    models: dict[str, _Price]


class FilePrices:
    """Prices of a team's own file, and below them those that Prelabel ships.

    Files are read at the first question, once: a mistake in one stops what needs a price, and nothing else.
    """

    def __init__(self, path: Path | None) -> None:
        """`path`: the team's own file; None = only what is shipped."""
        self._path = path
        self._files: list[Mapping[str, ModelPrice]] = []
        self._reading = threading.Lock()

    def of(self, model: str) -> ModelPrice | None:
        """Price of a model; None when nobody said.

        The team's file counts before the shipped one. In each an exact name counts before a pattern, a longer pattern
        before a shorter one.

        Raises:
            ConfigurationError: a file can't be read or used; the message names file, model and field.
        """
        with self._reading:
            if not self._files:
                paths = [SHIPPED] if self._path is None else [self._path, SHIPPED]
                self._files = [read_prices(path) for path in paths]
        for prices in self._files:
            if model in prices:
                return prices[model]
            fitting = [pattern for pattern in prices if fnmatchcase(model, pattern)]
            if fitting:
                return prices[max(fitting, key=len)]
        return None


def read_prices(path: Path) -> dict[str, ModelPrice]:
    """Prices by name or pattern, in a file's order.

    Raises:
        ConfigurationError: the file can't be read or used; the message names file, model and field.
    """
    try:
        content = yaml.load(path.read_bytes(), _Loader)  # noqa: S506 (a SafeLoader)
        if not isinstance(content, dict):
            raise ConfigurationError(f"{path} can't be used: it must hold `models:`, as {SHIPPED.name} does.")
        parsed = _PriceFile.model_validate(content)
    except OSError as error:
        raise ConfigurationError(f"The prices of LLMs can't be read: {path} ({error.strerror}).") from error
    except ValidationError as error:
        problems = "; ".join(f"{_place(item['loc'])}: {item['msg']}" for item in error.errors(include_url=False))
        raise ConfigurationError(f"{path} can't be used: {problems}. {SHIPPED.name} shows the form.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} isn't YAML: {error}") from error
    return {name: ModelPrice(**price.model_dump()) for name, price in parsed.models.items()}


def _place(steps: tuple[int | str, ...]) -> str:
    """`models`, then the model, then the field; a bad name of a model is marked "[key]" by pydantic."""
    return ", ".join(str(step) for step in steps) or "the file"


class _Loader(yaml.SafeLoader):
    """Refuses a model or a field that is there twice: PyYAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping without doubles."""
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                mark = key_node.start_mark
                raise yaml.YAMLError(f"line {mark.line + 1}: {key!r} is there twice")
            seen.add(key if isinstance(key, str) else id(key_node))
        return super().construct_mapping(node, deep)
