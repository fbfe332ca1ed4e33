"""One file of rules on trial. All of this runs in a process that may be ended at any moment.

What it needs while users' code has run is bound beforehand: that code may have changed any module.
"""

import os
import signal
from collections.abc import Callable, Set
from dataclasses import dataclass
from json import JSONEncoder
from time import perf_counter
from typing import NoReturn

from backend.adapters.rules.loader import FolderRules
from backend.adapters.rules.module_watch import ModuleWatch
from backend.adapters.rules.process_family import (
    descendants,
    end_with_parent,
    has_children,
    limit_cpu,
    limit_files,
    limit_memory,
)
from backend.domain.marking.votes import apply_marking_rules
from backend.domain.questions import learned_by
from backend.domain.rules import Rule
from backend.domain.rules.contained import off_main_thread
from backend.domain.votes import apply_rules
from backend.ports import RuleSample

FAULT_SHARE = 0.05
"""A rule that fails on a larger share of a project's sample is set aside."""
FEW = 20
"""Tasks that a rule's time is spread over at least: its first call may compile or load something."""
TOO_MANY = "it had more than {} processes at once"
CORES = 4
"""A rule may compute on so many of them at once."""

_encode = JSONEncoder().encode
_write = os.write
_exit = os._exit


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """What a rule may take: seconds a task, seconds a sample, bytes of memory of a process beyond what it had before,
    processes at once, open files, bytes of a file.
    """

    task_s: float = 0.05
    sample_s: float = 10.0
    memory_bytes: int = 512 * 1024 * 1024
    processes: int = 16
    open_files: int = 256
    file_bytes: int = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Trial:
    """A file to try out. `taken`: keys of the rules of other files."""

    loader: FolderRules
    name: str
    taken: frozenset[str]
    samples: tuple[RuleSample, ...]
    limits: TrialLimits
    watch: ModuleWatch

    def run(self, saying: int, skip: Set[str]) -> NoReturn:
        """Try the file's rules out, but for those to skip, say what comes of it to a file descriptor, and end.

        Each line is a JSON object: `begun`, what it is at; `keys`, of the file's rules; `passed`, rules that can be
        used; `aside`, what can't be used and why. The last one has `done`, or `again` when the rest of the rules need a
        process in which nothing has happened yet.
        """

        def say(**words: object) -> None:
            left = (_encode(words) + "\n").encode()
            while left:
                left = left[_write(saying, left) :]

        try:
            self._set_up()
            self._try_out(say, skip)
        finally:
            _exit(0)

    def _set_up(self) -> None:
        os.setsid()
        end_with_parent(signal.SIGKILL)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nothing, stream)
        limit_files(self.limits.open_files, self.limits.file_bytes)
        limit_memory(self.limits.memory_bytes)

    def _try_out(self, say: Callable[..., None], skip: Set[str]) -> None:
        limit_cpu(self.limits.sample_s * CORES)
        say(begun=self.name)
        found = off_main_thread(lambda: self.loader.read(self.name, self.taken))
        changed = self.watch.changed()
        if changed:
            say(aside={self.name: _changing(changed)}, done=True)
            return
        for name, reason in found.set_aside.items():
            say(aside={name: reason})
        say(keys=[rule.key for rule in found.rules])
        for rule in (rule for rule in found.rules if rule.key not in skip):
            reason, clean = self._try_rule(rule, say)
            say(**({"aside": {rule.key: reason}} if reason else {"passed": [rule.key]}))
            if not clean:
                say(again=True)
                return
        say(done=True)

    def _try_rule(self, rule: Rule, say: Callable[..., None]) -> tuple[str, bool]:
        """Why a rule can't be used, "" when it can; and whether the next one may run in the same process."""
        for sample in self.samples:
            if rule.folder != sample.rules_folder or not any(map(rule.answers, sample.questions)):
                continue
            limit_cpu(self.limits.sample_s * CORES)
            say(begun=rule.key)
            reason, clean = self._judge(rule, sample), True
            if changed := self.watch.changed():
                reason, clean = _changing(changed), False
            elif has_children() and len(descendants()) > self.limits.processes:
                reason, clean = TOO_MANY.format(self.limits.processes), False
            elif "MemoryError" in reason:
                reason, clean = f"it needs more than {self.limits.memory_bytes // 2**20} MiB of memory", False
            if reason:
                return f"{reason} (project {sample.project_id})", clean
        return "", True

    def _judge(self, rule: Rule, sample: RuleSample) -> str:
        """Why a rule can't be used, from a project's tasks; "" when it can."""
        started = perf_counter()
        decided, spans = learned_by(sample.questions)
        _, faults = apply_rules([rule], sample.tasks, decided)
        faults.merge(apply_marking_rules([rule], sample.tasks, spans)[1])
        task_s = (perf_counter() - started) / max(len(sample.tasks), FEW)
        reason = faults.reasons.get(rule.name, "")
        if rule.name in faults.off_list:
            return reason
        share = faults.counts.get(rule.name, 0) / max(len(sample.tasks), 1)
        if share > FAULT_SHARE or "MemoryError" in reason:
            return f"it failed on {share:.0%} of {len(sample.tasks)} tasks: {reason}"
        if task_s > self.limits.task_s:
            return f"it takes {task_s * 1000:.0f} ms a task; {self.limits.task_s * 1000:.0f} are allowed"
        return ""


def _changing(what: str) -> str:
    return f"it changes {what}, which everything else in Prelabel's processes uses, too"
