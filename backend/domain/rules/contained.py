"""Users' code kept apart from ours: it may raise anything, and the signals that end a job are none of its doing."""

import os
import threading
from collections.abc import Callable
from typing import NoReturn, TypeVar

from backend.domain.outside import storable
from backend.errors import RuleError

Result = TypeVar("Result")


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
    if threading.current_thread() is not threading.main_thread():
        return work()
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

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return done[0]


def end_fork() -> NoReturn:
    """End a process that users' code forked and let come back to us: there is one of us already."""
    os._exit(0)


def described(error: BaseException) -> str:
    """What users' code raised, as text that can be kept; `RuleError`s are sentences already."""
    try:
        text = str.__str__(str(error))
        return storable(text if isinstance(error, RuleError) else f"{type(error).__name__}: {text}")
    except BaseException:  # noqa: BLE001 - a text that they make may raise anything, too
        return "an error whose text can't be read"
