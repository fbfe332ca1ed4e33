"""Peak memory of a call."""

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection


def peak_mib(call: Callable[[], object]) -> float:
    """Highest resident memory, in MiB, of a forked process that makes the call; all it inherits included."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(call, sender))
    process.start()
    sender.close()
    peak: float = receiver.recv()
    process.join()
    return peak


def _measure(call: Callable[[], object], sender: Connection) -> None:
    call()
    sender.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
