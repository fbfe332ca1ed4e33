"""The processes below this one: what they may take, and their end, whatever they did to escape it."""

import ctypes
import os
import re
import resource
import signal
import sys
import time
from pathlib import Path

_PROC = Path("/proc")
_PARENT = re.compile(rb"^\d+ \(.*\) \S (\d+) ", re.DOTALL)
_SET_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36
"""Of prctl(2)."""
ENDING_S = 10.0
"""A process that doesn't end within so many seconds of being killed waits for a disk: nobody can end it."""
AGAIN_S = 0.005


def end_with_parent(number: int) -> None:
    """Get a signal when the process that started this one ends; only Linux knows how."""
    _prctl(_SET_DEATH_SIGNAL, number)


def adopt_orphans() -> None:
    """Become the parent of all processes below this one whose own parent ends; only Linux knows how."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants() -> list[int]:
    """Ids of the processes below this one, as far as the system tells."""
    below: dict[int, list[int]] = {}
    for entry in _PROC.glob("[0-9]*/stat"):
        try:
            found = _PARENT.match(entry.read_bytes())
        except OSError:
            # It ended meanwhile.
            continue
        if found:
            below.setdefault(int(found[1]), []).append(int(entry.parent.name))
    known, waiting = [], [os.getpid()]
    while waiting:
        children = below.get(waiting.pop(), [])
        known += children
        waiting += children
    return known


def has_children() -> bool:
    """Whether this process has any that it didn't wait for yet; a cheap question. Only Linux knows, others say no."""
    if sys.platform != "linux":
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def has_ended(child: int) -> bool:
    """Whether a child of this process has ended."""
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:
        # This was asked before.
        return True


def end_family(leader: int) -> None:
    """End a child that leads a group of its own, its group, and everything else below this process."""
    # The group first: that ends all of it at once, however fast it forks. Then those that left it.
    _kill(-leader)
    started = time.monotonic()
    while time.monotonic() - started < ENDING_S:
        for pid in descendants():
            _kill(pid)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(AGAIN_S)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # It has ended; macOS says so with the other error.
        return


def limit_memory(extra: int) -> None:
    """Let this process take so many bytes more than it has now; where the system can't say that, no limit is set."""
    status = _PROC / "self" / "status"
    found = re.search(r"VmData:\s+(\d+) kB", status.read_text()) if status.exists() else None
    if found is not None:
        _limit(resource.RLIMIT_DATA, int(found[1]) * 1024 + extra)


def limit_files(n_open: int, largest_bytes: int) -> None:
    """Let this process, and those it starts, have so many files open, and write none that is larger."""
    _limit(resource.RLIMIT_NOFILE, n_open)
    _limit(resource.RLIMIT_FSIZE, largest_bytes)
    _limit(resource.RLIMIT_CORE, 0)


def limit_cpu(more_s: float) -> None:
    """Let this process, and each that it starts from now on, compute for so many seconds more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(used.ru_utime + used.ru_stime + more_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    lower = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (lower, lower))
