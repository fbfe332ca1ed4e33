"""Users' code kept apart from ours: it may raise anything, and the signals that end a job are none of its doing."""

import os
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from backend.domain.outside import storable
from backend.errors import RuleError

Result = TypeVar("Result")

RULES_MODULE = "_prelabel_rules_"
"""How the names of modules begin that are made of users' files."""


class Forks:
    """How many forks lie between this process and the one that was started; a look at it costs less than a `getpid`."""

    n = 0

    @classmethod
    def count(cls) -> None:
        """Called in each process that is forked."""
        cls.n += 1


os.register_at_fork(after_in_child=Forks.count)


def off_main_thread(work: Callable[[], Result]) -> Result:
    """Do work that calls users' code, and return, or raise, what comes of it; never in the main thread.

    Python raises Ctrl-C and the time limit of a job in the main thread, in whatever runs there. Here that is our own
    waiting. So whatever is raised inside of the work is the users' own, also `KeyboardInterrupt`, and what ends a job
    isn't taken for their fault. A process that they forked ends where it comes back to us.
    """
    done: list[Result] = []
    raised: list[BaseException] = []
    n_forks = Forks.n

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised.append(error)
        if Forks.n != n_forks:
            end_fork()

    if threading.current_thread() is not threading.main_thread():
        run()
        return _result(done, raised)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    return _result(done, raised)


def _result(done: list[Result], raised: list[BaseException]) -> Result:
    if raised:
        raise raised[0]
    return done[0]


def end_fork() -> NoReturn:
    """End a process that users' code forked and let come back to us: there is one of us already."""
    os._exit(0)


def described(error: BaseException, place: str = "") -> str:
    """What users' code raised, as text that can be kept, and where; `RuleError`s are sentences already.

    `place`: file and line, for an error that has none of its own.
    """
    try:
        text = str.__str__(str(error))
        said = storable(text if isinstance(error, RuleError) else f"{type(error).__name__}: {text}")
    except BaseException:  # noqa: BLE001 - a text that they make may raise anything, too
        said = "an error whose text can't be read"
    where = _raised_at(error) or place
    return f"{said} ({where})" if where else said


def _raised_at(error: BaseException) -> str:
    """File and line of users' code that an error came from, the innermost; "" for none."""
    where = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).startswith(RULES_MODULE):
            where = f"{Path(frame.f_code.co_filename).name}, line {line}"
    return where
