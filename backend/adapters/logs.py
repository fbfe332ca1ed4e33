"""Logs of all processes: one line an event, with ids, never with content; and no secret in what is shown or kept."""

import base64
import json
import logging
import re
import sys
import textwrap
import threading
import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from backend.domain.outside import visible, visible_lines

HIDDEN = "***"
SHORTEST = 4
"""Shorter secrets are left alone: they are parts of words, and a log without these words tells nothing."""


SIGNED_TOKEN = re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+")
"""A JSON Web Token (RFC 7519). Label Studio's client gets a new one every few minutes, so they can't be known."""


class Redaction:
    """Takes out of texts all signed tokens, and known secrets, also as they stand in addresses, JSON and basic auth."""

    def __init__(self) -> None:
        self._forms: tuple[str, ...] = ()

    def learn(self, secrets: Iterable[str], basic_auth: tuple[str, str] = ("", "")) -> None:
        """Take these secrets out from now on, besides those that were known before."""
        forms = set(self._forms)
        for secret in secrets:
            forms |= {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
        if basic_auth[1]:
            forms.add(base64.b64encode(":".join(basic_auth).encode()).decode())
        # The longest first: one secret may be a part of another.
        self._forms = tuple(sorted((form for form in forms if len(form) >= SHORTEST), key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        return SIGNED_TOKEN.sub(HIDDEN, text) if "eyJ" in text else text


redact = Redaction()
"""Of this process: what starts it says which secrets there are."""


def configure_logging(level: str, form: str = "json") -> None:
    """Log to standard error: our own lines, and those of libraries, in one form.

    `form`: "json", one object a line; "console", for people.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        # Local variables hold task content and keys.
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
        if form == "json"
        else structlog.processors.format_exc_info,
    ]
    # A machine's JSON escapes what a terminal would act on.
    tidy: list[Processor] = [] if form == "json" else [_harmless]
    render: Processor = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    # Half characters (lone surrogates) can't be written as they are, and must not stop what is logged about.
    stream = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115 - standard error
    structlog.configure(
        processors=[*shared, *tidy, render, _without_secrets],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(file=stream),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tidy, render, _without_secrets],
        )
    )
    logging.basicConfig(level=level, handlers=[handler])
    # They name each address they call, at every poll, or each sign of life.
    for name in ("httpx", "httpx2", "httpcore", "httpcore2", "rq.scheduler", "matplotlib", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _harmless(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:  # noqa: ARG001
    """Texts that a terminal can show: they may be of users. A line that begins at the margin is ours."""
    for key, value in event.items():
        if key in {"exception", "stack"}:
            event[key] = textwrap.indent(visible_lines(str(value)), "    ")
        elif isinstance(value, str):
            event[key] = visible(value)
    return event


def _without_secrets(logger: WrappedLogger, name: str, line: EventDict | str | Any) -> Any:  # noqa: ARG001
    return redact(line) if isinstance(line, str) else line


def _uncaught(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
    sys.stderr.write(redact(visible_lines("".join(traceback.format_exception(kind, error, where)))))
