"""Rules tried out in processes of their own, so that one that hangs, dies or eats the memory takes nothing with it.

`try_out` starts `python -m backend.adapters.rules.tryout`, which runs no rule itself. It forks a process for each file
(see `trial`), listens to what that begins and what it finds wrong, and ends it with all that it started. When it
goes silent for too long, or dies, what it began last is to blame; that is left out, and the rest of the file is tried
again.
"""

import gc
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from backend.adapters.rules.loader import FolderRules
from backend.adapters.rules.module_watch import ModuleWatch
from backend.adapters.rules.process_family import adopt_orphans, descendants, end_family, end_with_parent, has_ended
from backend.adapters.rules.trial import TOO_MANY, Trial, TrialLimits
from backend.domain.outside import one_line, storable
from backend.domain.questions import from_dict, to_dict
from backend.errors import ConfigurationError
from backend.ports import RuleSample

ENDING_S = 20.0
"""What the process may take to end those that it started."""
LOOK_EACH_S = 0.1
"""How often a silent process is looked at."""
OTHER_NAMES = "its rules have other names each time it is loaded: give each of them a name that stays"
MAX_SAID_BYTES = 4_000_000
"""What a process may say of one rule or file; more isn't ours."""


def try_out(
    folder: Path,
    databases: Mapping[str, str],
    samples: Sequence[RuleSample],
    limits: TrialLimits,
    known: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What must be set aside of a folder's rules: file, or "file: rule", or rule -> reason.

    `known`: what is known to be bad already, and isn't waited for again.

    Raises:
        ConfigurationError: the process fails.
    """
    request = {
        "folder": str(folder),
        "databases": dict(databases),
        "aside": dict(known or {}),
        "limits": asdict(limits),
        "samples": [asdict(sample) | {"questions": list(map(to_dict, sample.questions))} for sample in samples],
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "backend.adapters.rules.tryout"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        said, problem = process.communicate(json.dumps(request).encode())
    finally:
        # Also when our own job ends: it has to end what it started before it ends itself.
        process.terminate()
        try:
            process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    try:
        aside: dict[str, str] = json.loads(said)
    except ValueError:
        *_, reason = ["no reason", *problem.decode(errors="replace").split("\n")[:-1]]
        raise ConfigurationError(
            f"The rules can't be tried out: the process for it ended: {one_line(reason)}"
        ) from None
    return aside


# The other side: everything below runs in the process that was started, which itself runs no rule.


def main() -> None:
    """Try out what standard input says, and say what has to be set aside."""
    # `sys.exit` unwinds to where the processes below this one are ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    end_with_parent(signal.SIGTERM)
    adopt_orphans()
    request = json.load(sys.stdin)
    limits = TrialLimits(**request["limits"])
    samples = tuple(map(_sample, request["samples"]))
    aside: dict[str, str] = request["aside"]
    taken: set[str] = set()
    loader = FolderRules(Path(request["folder"]), request["databases"])
    if any(not name.endswith(".py") for name in loader.names()):
        import backend.adapters.rules.yaml_rules  # noqa: F401, PLC0415 - once, instead of in each file's process

    watch = ModuleWatch()
    # What is there now is shared with all processes to come; none of them needs to look through it for garbage.
    gc.freeze()
    for name in loader.names():
        if name not in aside:
            trial = Trial(loader, name, frozenset(taken), samples, limits, watch)
            heard = _try_file(trial, aside)
            aside |= heard.aside
            taken |= heard.keys
    json.dump(aside, sys.stdout)


@dataclass(slots=True)
class _Heard:
    """What was said of one file. `begun`: what the process is at; `passed`: rules that need not be tried again."""

    begun: str
    aside: dict[str, str] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)
    done: bool = False
    again: bool = False

    def take(self, said: Mapping[str, Any]) -> None:
        self.begun = said.get("begun", self.begun)
        self.keys |= set(said.get("keys", ()))
        self.passed |= set(said.get("passed", ()))
        self.aside |= {name: storable(reason) for name, reason in said.get("aside", {}).items()}
        self.done, self.again = "done" in said, "again" in said


def _try_file(trial: Trial, known: Mapping[str, str]) -> _Heard:
    """One file, by as many processes as it takes until one comes to the end of it.

    Each of them ends what is to be said of one rule at least, so they are one more than the file has rules at most.
    """
    heard = _Heard(trial.name)
    first: set[str] | None = None
    n_processes = 0
    while not heard.done:
        hearing, saying = os.pipe()
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.close(hearing)
            trial.run(saying, {*known, *heard.aside, *heard.passed})
        try:
            os.close(saying)
            heard.begun, heard.again = trial.name, False
            reason = _listen(hearing, child, heard, trial)
        finally:
            os.close(hearing)
            end_family(child)
        if reason:
            heard.aside[heard.begun] = reason
            heard.done = heard.begun == trial.name
        n_processes += 1
        first = set(heard.keys) if first is None else first
        if heard.keys != first or (n_processes > len(first) and not heard.done):
            return _Heard(trial.name, aside={trial.name: OTHER_NAMES}, done=True)
    return heard


def _listen(hearing: int, child: int, heard: _Heard, trial: Trial) -> str:
    """Take in what a process says until it is through, or until something is wrong; returns what, "" for nothing."""
    limits = trial.limits
    rest, since = b"", time.monotonic()
    while not (heard.done or heard.again):
        ready, _, _ = select.select([hearing], [], [], LOOK_EACH_S)
        if not ready and len(descendants()) > limits.processes:
            return TOO_MANY.format(limits.processes)
        if time.monotonic() - since > limits.sample_s:
            return f"it wasn't done after {limits.sample_s:g} s"
        said = os.read(hearing, 1 << 16) if ready else b""
        if not said and (ready or has_ended(child)):
            return "the process that tried it out died of it"
        *lines, rest = (rest + said).split(b"\n")
        try:
            for line in lines:
                heard.take(json.loads(line))
                since = time.monotonic()
        except (ValueError, TypeError, AttributeError):
            return "it wrote into a pipe that isn't its own"
        if len(rest) > MAX_SAID_BYTES:
            return f"more than {MAX_SAID_BYTES:,} bytes had to be said of it"
    if heard.done and len(descendants()) > limits.processes:
        # They left their parents, so that nobody knows which rule began them. One that was caught at it was named.
        heard.begun = trial.name
        return TOO_MANY.format(limits.processes)
    return ""


def _sample(fields: Mapping[str, Any]) -> RuleSample:
    questions = tuple(map(from_dict, fields["questions"]))
    return RuleSample(**{**fields, "questions": questions, "tasks": tuple(fields["tasks"])})


if __name__ == "__main__":
    main()
