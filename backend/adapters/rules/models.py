"""Models that rules ask: an HTTP endpoint, and a file of scikit-learn's."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from backend.adapters.bounded import TooLarge, read_all, text_of
from backend.adapters.certificates import tls_problem
from backend.domain.outside import read_json
from backend.errors import RuleError

TASKS_PER_REQUEST = 100
MAX_ANSWER_BYTES = 10_000_000


class HttpModel:
    """A model behind an HTTP endpoint. It gets `{"tasks": [...]}` by POST and answers `{"labels": [...]}`."""

    def __init__(self, url: str, time_limit_s: float, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url
        self._time_limit_s = time_limit_s
        self._transport = transport

    def predict(self, contents: Sequence[object], /) -> Iterator[Any]:
        """A label, labels or None for each content, as the answers come.

        Raises:
            RuleError: it didn't answer as it should. The message never has the address, which may hold a password.
        """
        with httpx.Client(timeout=self._time_limit_s, transport=self._transport) as client:
            for start in range(0, len(contents), TASKS_PER_REQUEST):
                yield from self._labels(client, contents[start : start + TASKS_PER_REQUEST])

    def _labels(self, client: httpx.Client, contents: Sequence[object]) -> list[Any]:
        try:
            with client.stream("POST", self._url, json={"tasks": list(contents)}) as answer:
                if not answer.is_success:
                    raise RuleError(f"the model's endpoint answered with HTTP status {answer.status_code}")
                content = read_all(answer.iter_bytes(), MAX_ANSWER_BYTES, self._time_limit_s)
        except TooLarge as error:
            raise RuleError(f"the model's endpoint answered with {error}") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TypeError, ValueError) as error:
            reason = tls_problem(error) or f"can't be asked: {type(error).__name__}"
            raise RuleError(f"the model's endpoint {reason}") from None
        body = read_json(text_of(content, answer.headers.get("content-type", "")))
        labels = body.get("labels") if isinstance(body, dict) else None
        if not isinstance(labels, list) or len(labels) != len(contents):
            raise RuleError(f'the model\'s endpoint must answer {{"labels": [...]}} with {len(contents)} labels')
        return labels


def load_model(path: Path) -> Any:
    """A scikit-learn classifier from a skops file that has only types which skops trusts.

    Raises:
        RuleError: it can't be read, or has other types: loading these could run anyone's code.
    """
    import skops.io  # noqa: PLC0415 - it brings scikit-learn, and most rules ask no model
    from skops.io.exceptions import UntrustedTypesFoundException  # noqa: PLC0415

    try:
        return skops.io.load(path, trusted=[])
    except UntrustedTypesFoundException as error:
        raise RuleError(f"{path.name} has types that aren't trusted: {error}") from error
    except Exception as error:  # A broken file may make zip, JSON or scikit-learn raise anything
        raise RuleError(f"{path.name} is not a model that skops wrote: {type(error).__name__}") from error
