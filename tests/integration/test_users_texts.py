"""What commands print and write of a project whose texts are made to do harm."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rq import SimpleWorker
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer

from backend.adapters.redis import running_job
from backend.adapters.redis.queue import RedisQueue
from backend.adapters.rules.loader import FolderRules
from backend.entrypoints.doctor import examine as doctor
from backend.entrypoints.run.worker import PrelabelWorker
from backend.ports import Job
from backend.settings import Settings
from backend.workflows.check.search import check
from tests.commands import app_of, run, use
from tests.unit.house import House, nothing

NASTY = "=cmd|' /C x'!A0 [/red] \x1b]0;x\x07 \x9b31m two\nlines\r\u2028 \u202eback \ud800"
"""Of tasks and errors; Label Studio itself can keep no half character in a title."""
WHOLE = NASTY.replace("\ud800", "")
ACTS = set("\x1b\x07\x9b\r\u2028\u202e\ud800\x00")
# XML has neither ESC nor half characters, but all the others.
NAME, GOOD, BAD = (f"={word}[/red]\x9b1m\u202e&#10;" for word in ("q", "good", "bad"))
CONFIG = f"""<View><Text name="text" value="$text"/><Choices name="{NAME}" toName="text">
<Choice value="{GOOD}"/><Choice value="{BAD}"/></Choices></View>"""
Q, YES, NO = (text.replace("&#10;", "\n") for text in (NAME, GOOD, BAD))
RULES = f"""
from backend.domain.rules import labeling_function

@labeling_function(question={Q!r}, labels=[{YES!r}, {NO!r}], name={"=r[/red]" + chr(27) + "]0;x" + chr(7)!r})
def rule(task):
    if task.n == 7:
        raise ValueError({WHOLE!r})
    return {YES!r} if "good" in (task.text or "") else {NO!r}
"""


class OneJob(PrelabelWorker):
    """Our worker, in this process, for a job of a test."""

    job_class = RqJob  # type: ignore[assignment] # any function may be a job here
    execute_job = SimpleWorker.execute_job


def failing_job(job: str, key: str, argument: int) -> None:
    running_job.without_retries()
    raise ValueError(NASTY)


@pytest.fixture
def project(tmp_path: Path, clean_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project whose title, question, labels, tasks, rules, annotators and failures are all of this kind."""
    house = House(tmp_path)
    fake, rules = house.fake, tmp_path / "nasty"
    rules.mkdir()
    (rules / "film.py").write_text(RULES, errors="surrogatepass")
    (rules / "=x[red]\x1b]0;x\x07.py").write_text("no python")
    fake.info = replace(fake.info, title=WHOLE, label_config=CONFIG)
    house.deps = replace(house.deps, rules=FolderRules(rules))
    for number, item in fake.tasks.items():
        item.task.data["text"] = f"{item.task.data['text']} {NASTY}"
        # Two copies with different labels are a data issue.
        label = YES if item.task.data["n"] in {9, 21} or "good" in str(item.task.data["text"]) else NO
        for annotator in (1, 2):
            house.label_studio.annotate(house.project, number, {Q: (label,)}, annotator=annotator)
    monkeypatch.setattr(house.label_studio, "people", lambda: {1: NASTY, 2: "=two@example.com"})
    house.learn()
    check(house.deps, house.key, nothing)
    queue = RedisQueue(clean_redis_url, 60)
    queue.rq.enqueue_call(f"{__name__}.failing_job", args=(Job.ASK.value, house.key, 0))
    OneJob([queue.rq], connection=queue.redis, serializer=JSONSerializer).work(burst=True, logging_level="CRITICAL")
    use(monkeypatch, app_of(house, queue, Settings.model_validate({"LF_RULES_DIR": str(rules)})))
    monkeypatch.setattr(doctor, "WebhookSecret", lambda _: SimpleNamespace(read=lambda: "secret"))
    monkeypatch.setattr(doctor, "examine", doctor._examine_project)
    return str(house.project)


def test_nothing_that_users_wrote_acts_on_a_terminal_or_a_spreadsheet(project: str, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("suspects.csv", "issues.csv", "consensus.csv")]
    exports = ["--export", str(files[0]), "--export-issues", str(files[1]), "--consensus", str(files[2])]
    name = "=r[/red]\x1b]0;x\x07"
    said = {
        "status": run("status", project),
        "versions": run("versions", project),
        "jobs": run("jobs"),
        "check": run("check", project, "--annotators", *exports),
        "rules": run("rules", project),
        "mistakes": run("rules", project, name, "--mistakes"),
        # One of its files can't be read.
        "diff": run("rules", "diff", project, code=1),
        "doctor": run("doctor", project, code=1),
    }
    for command, text in said.items():
        assert not ACTS & set(text), command
        assert "[/red]" in text, command
    for words in (["status"], ["versions"], ["check"], ["rules"], ["rules", "diff"]):
        printed = run(*words, project, "--json", code=int("diff" in words))
        assert "[/red]" in json.dumps(json.loads(printed))
        assert printed.isascii()
    assert json.loads(run("jobs", "--json"))
    for file in files:
        cells = [cell for row in csv.reader(file.open(newline="")) for cell in row]
        assert len(cells) > 4, file
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells), file
