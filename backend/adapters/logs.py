"""Logs of all processes: one line an event, with ids, never with content; and no secret in what is shown or kept."""

import logging
import sys
import textwrap
import threading
import traceback
from types import TracebackType
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from backend.adapters.redaction import redact
from backend.domain.outside import visible, visible_lines


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
