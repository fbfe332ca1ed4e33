"""Rules tried out in a process of their own, so that one that hangs, dies or eats the memory takes nothing with it.

This module is both sides: `try_out` starts `python -m backend.adapters.rule_tryout`, which reads one request from
standard input and says on standard output, line by line, what it begins and what it found wrong. When it goes silent
for too long, or dies, what it began last is to blame; it is left out, and the rest is tried again.
"""

import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from backend.adapters.rule_loader import FolderRules
from backend.domain.questions import Kind, Question
from backend.domain.rules import Rule
from backend.domain.votes import apply_rules
from backend.errors import ConfigurationError
from backend.ports import RuleSample

START_S = 60.0
"""What the process may take to start."""
FAULT_SHARE = 0.05
"""A rule that fails on a larger share of a project's sample is set aside."""
FEW = 20
"""Tasks that a rule's time is spread over at least: its first call may compile or load something."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a rule may take: seconds a task, seconds a sample, bytes of memory beyond what the process had before."""

    task_s: float = 0.05
    sample_s: float = 10.0
    memory_bytes: int = 512 * 1024 * 1024


def try_out(
    folder: Path,
    databases: Mapping[str, str],
    samples: Sequence[RuleSample],
    limits: Limits,
    known: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What must be set aside of a folder's rules: file, or "file: rule", or rule -> reason.

    `known`: what is known to be bad already, and isn't waited for again.

    Raises:
        ConfigurationError: the process fails before it begins with any of them.
    """
    aside = dict(known or {})
    while True:
        blamed, found = _run(folder, databases, samples, limits, aside)
        aside |= found
        if blamed is None:
            return aside
        name, reason = blamed
        if not name:
            raise ConfigurationError(f"The rules can't be tried out: {reason}.")
        aside[name] = reason


def _run(
    folder: Path,
    databases: Mapping[str, str],
    samples: Sequence[RuleSample],
    limits: Limits,
    aside: Mapping[str, str],
) -> tuple[tuple[str, str] | None, dict[str, str]]:
    """One process; returns what it hung or died of, if it did, and what it found."""
    request = {
        "folder": str(folder),
        "databases": dict(databases),
        "aside": dict(aside),
        "limits": asdict(limits),
        "samples": [asdict(sample) for sample in samples],
    }
    command = [sys.executable, "-m", "backend.adapters.rule_tryout"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - for the type checker
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_pass_on, args=(process.stdout, lines), daemon=True).start()
    try:
        # By a thread as well: a process that hangs before it reads would block us here.
        threading.Thread(target=_send, args=(process.stdin, request), daemon=True).start()
        return _listen(lines, limits)
    finally:
        process.kill()
        process.wait()


def _listen(lines: "queue.SimpleQueue[str]", limits: Limits) -> tuple[tuple[str, str] | None, dict[str, str]]:
    found: dict[str, str] = {}
    begun, patience_s = "", START_S
    while True:
        try:
            line = lines.get(timeout=patience_s)
        except queue.Empty:
            return (begun, f"it wasn't done after {patience_s:g} s"), found
        if not line:
            return (begun, "the process that tried it out died of it"), found
        said = json.loads(line)
        if "aside" in said:
            found |= said["aside"]
        if "begun" in said:
            begun, patience_s = said["begun"], limits.sample_s
        if "done" in said:
            return None, found


def _send(pipe: TextIO, request: Mapping[str, Any]) -> None:
    try:
        with pipe:
            json.dump(request, pipe)
    except OSError:
        # It died before it had read everything: its silence says so.
        return


def _pass_on(pipe: TextIO, lines: "queue.SimpleQueue[str]") -> None:
    for line in pipe:
        lines.put(line)
    lines.put("")


# The other side: everything below runs in the process that may be killed.


def main() -> None:
    """Try out what standard input says."""
    request = json.load(sys.stdin)
    # What rules print must not mix with what we say.
    said = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def say(**words: object) -> None:
        said.write(json.dumps(words) + "\n")
        said.flush()

    limits = Limits(**request["limits"])
    _limit_memory(limits.memory_bytes)
    loader = FolderRules(
        Path(request["folder"]), request["databases"], request["aside"], begins=lambda name: say(begun=name)
    )
    loaded = loader.load()
    say(aside={name: reason for name, reason in loaded.set_aside.items() if name not in request["aside"]})
    for rule in loaded.rules:
        for sample in map(_sample, request["samples"]):
            if rule.folder != sample.rules_folder or not any(map(rule.answers, sample.questions)):
                continue
            say(begun=rule.key)
            reason = _judge(rule, sample, limits)
            if reason:
                say(aside={rule.key: f"{reason} (project {sample.project_id})"})
                break
    say(done=True)


def _judge(rule: Rule, sample: RuleSample, limits: Limits) -> str:
    """Why a rule can't be used, from a project's tasks; "" when it can."""
    started = time.perf_counter()
    _, faults = apply_rules([rule], sample.tasks, sample.questions)
    task_s = (time.perf_counter() - started) / max(len(sample.tasks), FEW)
    reason = faults.reasons.get(rule.name, "")
    if "MemoryError" in reason:
        return f"it needs more than {limits.memory_bytes // 2**20} MiB of memory"
    if rule.name in faults.off_list:
        return reason
    share = faults.counts.get(rule.name, 0) / max(len(sample.tasks), 1)
    if share > FAULT_SHARE or (reason and rule.batch is not None):
        return f"it failed on {share:.0%} of {len(sample.tasks)} tasks: {reason}"
    if task_s > limits.task_s:
        return f"it takes {task_s * 1000:.0f} ms a task; {limits.task_s * 1000:.0f} are allowed"
    return ""


def _sample(fields: Mapping[str, Any]) -> RuleSample:
    questions = tuple(
        Question(
            **{
                **item,
                "kind": Kind(item["kind"]),
                "labels": tuple(item["labels"]),
                "paths": tuple(map(tuple, item["paths"])),
            }
        )
        for item in fields["questions"]
    )
    return RuleSample(**{**fields, "questions": questions, "tasks": tuple(fields["tasks"])})


def _limit_memory(extra: int) -> None:
    """Let this process take so many bytes more than it has now; where the system can't say that, no limit is set."""
    status = Path("/proc/self/status")
    found = re.search(r"VmData:\s+(\d+) kB", status.read_text()) if status.exists() else None
    if found is None:
        return
    import resource  # noqa: PLC0415 - only where there is /proc

    kib = int(found[1])
    resource.setrlimit(resource.RLIMIT_DATA, (kib * 1024 + extra, kib * 1024 + extra))


if __name__ == "__main__":
    main()
