"""Rules are tried out in a process of their own before anything uses them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from backend.adapters.rules.trial import TrialLimits
from backend.adapters.rules.tried import TriedRules
from backend.domain.questions import Choices
from backend.errors import ConfigurationError
from backend.ports import LoadedRules, RuleSample

SENTIMENT = Choices("sentiment", "text", ("Positive", "Negative", "Neutral"))
SAMPLE = RuleSample("1.1-a x", 1, "", (SENTIMENT,), tuple({"text": f"good number {number}"} for number in range(40)))
HEAD = "from backend.domain.rules import labeling_function\n\n"
GOOD = """
@labeling_function(question="sentiment", labels=["Positive"])
def praises(task):
    return "Positive" if "good" in task.text else None
"""
LIMITS = TrialLimits(sample_s=4.0, memory_bytes=256 * 1024 * 1024)


def rule(name: str, body: str) -> str:
    return f'\n@labeling_function(question="sentiment")\ndef {name}(task):\n    {body}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "rules"
    path.mkdir()
    (path / "good.py").write_text(HEAD + GOOD)
    return path


@pytest.fixture
def rules(folder: Path, tmp_path: Path) -> TriedRules:
    return TriedRules(folder, tmp_path / "store", limits=LIMITS)


@contextmanager
def marked(mark: str) -> Iterator[None]:
    """Processes that are started inside have the mark in their environment, and so have all that they start."""
    os.environ["PRELABEL_TEST_MARK"] = mark
    try:
        yield
    finally:
        del os.environ["PRELABEL_TEST_MARK"]


def marked_processes(mark: str) -> list[str]:
    """What such processes are doing that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        # Some are another user's, and some have ended.
        with suppress(OSError):
            if mark.encode() in path.read_bytes():
                found.append((path.parent / "cmdline").read_text())
    return found


def names(loaded: LoadedRules) -> list[str]:
    return [item.name for item in loaded.rules]


BAD_RULES = {
    "endless": ("\n    while True: pass", "wasn't done after 4 s"),
    "large": ("return [bytearray(10**9), 'Positive'][1]", "256 MiB of memory"),
    "broken": ("return task.text / 2", "failed on 100% of 40 tasks: TypeError"),
    "off_list": ("return 'Great'", "a label that 'sentiment' doesn't have"),
    "nonsense": ("return [[]]", "failed on 100% of 40 tasks: returned something that isn't a label"),
    "half": ("raise ValueError('\\ud800')", "failed on 100% of 40 tasks: ValueError: \ufffd"),
    "dying": ("import os; os._exit(1)", "died of it"),
    "killing": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "died of it"),
    "slow": ("import time; time.sleep(.06)", "ms a task; 50 are allowed"),
    "leaving": ("raise SystemExit", "failed on 100% of 40 tasks"),
    "interrupting": ("raise KeyboardInterrupt", "failed on 100% of 40 tasks: KeyboardInterrupt"),
    "slower": ("import time; time.perf_counter = time.time = lambda: 0.0", "changes time."),
    "json_too": ("import json; json.dumps = json.loads = None", "changes json."),
    "away": ("import os; os.chdir('/')", "changes the working folder"),
    "writing": ("open(__file__ + '.x', 'wb').truncate(10**9)", "File too large"),
    "opening": ("files = [open(__file__) for _ in range(300)]", "Too many open files"),
    "bomb": ("import os\n    while True: os.fork()", "more than 16 processes"),
    "forking": ("import os, time\n    if os.fork() == 0: time.sleep(600)", "16 processes"),
}
BAD_FILES = {
    "syntax.py": ("def (", "SyntaxError"),
    "hanging.py": ("while True: pass", "wasn't done after 4 s"),
    "missing.py": ("import nothing_like_this", "nothing_like_this"),
    "leaving.py": ("raise SystemExit(2)", "SystemExit: 2"),
    "memory.py": ("x = bytearray(10**10)", "MemoryError"),
    "time.py": ("import time\ntime.monotonic = lambda: 0", "changes time.monotonic"),
    "method.py": ("import pathlib\npathlib.Path.read_text = None", "changes pathlib.Path.read_text"),
    "module.py": ("import sys\nsys.modules['json'] = sys", 'changes sys.modules["json"]'),
    "mute.py": ("class E(BaseException):\n    def __str__(self): raise self\nraise E", "text can't be read"),
    "loud.py": (f"raise ValueError({'x' * 20_000!r})", "xxx…"),
    "unnamed.py": (f"{HEAD}r = labeling_function(name=' ')(print)", "a rule's name must be"),
    "labels.py": (f"{HEAD}r = labeling_function(labels=[[]])(print)", "labels must be texts"),
    "daemons.py": (
        "import os, time, pathlib\nfor _ in range(5):\n    if os.fork() == 0:\n        os.setsid()\n"
        "        if os.fork() == 0:\n            time.sleep(600)\n        os._exit(0)\nimport nothing",
        "No module named 'nothing'",
    ),
}


def test_bad_rules_and_files_are_set_aside_with_their_reasons_and_the_others_go_on(
    rules: TriedRules, folder: Path
) -> None:
    for name, (body, _) in BAD_RULES.items():
        (folder / f"{name}_rule.py").write_text(HEAD + rule(name, body) + rule(f"beside_{name}", "return None"))
    for name, (text, _) in BAD_FILES.items():
        (folder / name).write_text(text)
    mark = f"MARK-{folder}"
    with marked(mark):
        loaded = rules.try_out([SAMPLE])
    expected = {name: reason for name, (_, reason) in [*BAD_RULES.items(), *BAD_FILES.items()]}
    assert loaded.set_aside.keys() == expected.keys()
    assert {name: reason for name, reason in loaded.set_aside.items() if expected[name] not in reason} == {}
    assert all(len(reason) <= 2100 for reason in loaded.set_aside.values())
    assert sorted(names(loaded)) == sorted(["praises", *(f"beside_{name}" for name in BAD_RULES)])
    # Whoever forked, left the group or was orphaned has ended.
    assert marked_processes(mark) == []


UNSTABLE = """
import json, os
from backend.domain.rules import labeling_function

@labeling_function(question="sentiment", name=f"r{os.getpid()}")
def f(task):
    %s

@labeling_function(question="sentiment")
def steady(task):
    return None
"""


@pytest.mark.parametrize("body", ["os._exit(1)", "os.kill(os.getpid(), 9)", "json.dumps = None"])
def test_a_file_whose_rules_have_other_names_in_each_process_is_set_aside(
    body: str, rules: TriedRules, folder: Path
) -> None:
    (folder / "pid.py").write_text(UNSTABLE % body)
    loaded = rules.try_out([SAMPLE])
    assert names(loaded) == ["praises"]
    assert list(loaded.set_aside) == ["pid.py"]
    assert "other names each time" in loaded.set_aside["pid.py"]


def test_a_file_of_which_every_rule_dies_is_tried_to_its_end(rules: TriedRules, folder: Path) -> None:
    (folder / "all.py").write_text("import os\n" + HEAD + "".join(rule(f"d{n}", "os._exit(1)") for n in range(3)))
    loaded = rules.try_out([SAMPLE])
    assert names(loaded) == ["praises"]
    assert set(loaded.set_aside) == {"d0", "d1", "d2"}


def test_an_edit_that_breaks_a_file_leaves_its_last_good_version_in_use(
    rules: TriedRules, folder: Path, tmp_path: Path
) -> None:
    rules.try_out([SAMPLE])
    (folder / "good.py").write_text("def (")
    assert names(rules.load()) == ["praises"]
    loaded = rules.try_out([SAMPLE])
    assert names(loaded) == ["praises"]
    assert "last good version is in use" in loaded.set_aside["good.py"]
    elsewhere = TriedRules(folder, tmp_path / "store", limits=LIMITS)
    assert names(elsewhere.load()) == ["praises"]


def test_an_edit_is_used_once_it_was_tried_out_by_whoever_did_it(
    rules: TriedRules, folder: Path, tmp_path: Path
) -> None:
    rules.try_out([SAMPLE])
    web = TriedRules(folder, tmp_path / "store")
    before = web.load()
    assert not rules.changed()
    (folder / "more.py").write_text(HEAD + rule("more", "return None"))
    assert rules.changed()
    assert names(web.load()) == ["praises"]
    assert not rules.is_tried({SAMPLE.id})
    rules.try_out([SAMPLE])
    assert names(web.load()) == ["praises", "more"]
    assert web.load().signature != before.signature
    assert rules.is_tried({SAMPLE.id})


def test_a_new_project_is_another_try_out(rules: TriedRules, folder: Path) -> None:
    (folder / "short.py").write_text(HEAD + rule("short", "return task.title.lower() and None"))
    other = RuleSample("2.1-a x", 2, "", (SENTIMENT,), ({"title": "A"},) * 30)
    assert "short" in names(rules.try_out([other]))
    assert not rules.is_tried({SAMPLE.id, other.id})
    loaded = rules.try_out([SAMPLE, other])
    assert "short" not in names(loaded)
    assert loaded.set_aside["short"].endswith("(project 1)")


def test_a_failure_now_and_then_is_forgiven(rules: TriedRules, folder: Path) -> None:
    (folder / "odd.py").write_text(HEAD + rule("odd", "return 1 / 0 if task.text.endswith('7 ') else None"))
    tasks = ({"text": "good 7 "}, *({"text": "good"} for _ in range(39)))
    assert "odd" in names(rules.try_out([RuleSample("1", 1, "", (SENTIMENT,), tasks)]))


def test_what_rules_print_confuses_nobody(rules: TriedRules, folder: Path) -> None:
    (folder / "loud.py").write_text(HEAD + "print('{}')\n" + rule("loud", "print('hello')"))
    assert names(rules.try_out([SAMPLE])) == ["praises", "loud"]


def test_a_store_that_cant_be_read_is_explained(rules: TriedRules, tmp_path: Path) -> None:
    rules.try_out([])
    (tmp_path / "store" / "in-use.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"in-use\.json can't be read"):
        rules.load()


def test_a_folder_s_rules_are_apart_and_tried_on_the_projects_bound_to_it(rules: TriedRules, folder: Path) -> None:
    (folder / "movies").mkdir()
    (folder / "movies" / "own.py").write_text(HEAD + GOOD + rule("titles", "return task.title.lower() and None"))
    bound = RuleSample("2.1-a x", 2, "movies", (SENTIMENT,), ({"title": "A", "text": ""},) * 30)
    loaded = rules.try_out([SAMPLE, bound])
    assert loaded.set_aside == {}
    assert [item.name for item in loaded.of("")] == ["praises"]
    assert [item.name for item in loaded.of("movies")] == ["praises", "titles"]


def test_a_folder_that_vanishes_leaves_its_rules_in_use(rules: TriedRules, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="LF_RULES_DIR"):
        TriedRules(tmp_path / "none", tmp_path / "other").is_tried(set())
    rules.try_out([SAMPLE])
    folder.rename(tmp_path / "elsewhere")
    assert rules.is_tried({"another project"})
    assert not rules.changed()
    assert names(rules.load()) == ["praises"]
