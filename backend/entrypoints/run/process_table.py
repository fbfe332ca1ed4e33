"""What the system knows of processes: who runs, since when, and in which session; and how these are ended."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

GONE_AFTER_S = 2.0
PR_SET_PDEATHSIG = 1


def kill_session(leader: int) -> None:
    """Kill all processes of the session that a program was started in, also those in groups of their own.

    rq runs each job in a process group of its own: a signal to the worker's group doesn't reach it.
    """
    members = []
    for pid in _all_pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                os.kill(pid, signal.SIGKILL)
                members.append(pid)
    # A killed process holds its port for another moment.
    deadline = time.monotonic() + GONE_AFTER_S
    while any(start_time(pid) for pid in members) and time.monotonic() < deadline:
        time.sleep(0.02)


def start_time(pid: int) -> str:
    """When a process started, as the system says it; "" when there is no such process, or it has ended."""
    try:
        # The name in field 2 may hold spaces, so fields are counted after its parenthesis; the start is field 22.
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        # An ended process stays in the table until its parent asks for it: the first process of a container often
        # never does.
        return "" if fields[0] == "Z" else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self").exists():
            return ""
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def _all_pids() -> list[int]:
    if Path("/proc/self").exists():
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    found = subprocess.run(["ps", "-A", "-o", "pid="], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def signal_group(pid: int, number: int) -> None:
    """Send a signal to a process's group, if there is one."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def end_with_parent() -> None:
    """Have the kernel end this process when its parent ends, however that does. On Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
