"""The `prelabel` command."""

import json
import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from backend.adapters.llm.calls import address_of
from backend.adapters.logs import redact
from backend.bootstrap import App, build, rules_in
from backend.entrypoints.cli_annotators import checked_json, export_consensus, print_annotators
from backend.entrypoints.cli_backup import backup_command, restore_command
from backend.entrypoints.cli_check import export as write_suspects
from backend.entrypoints.cli_check import print_checked, wait_for_check
from backend.entrypoints.cli_issues import export_issues as write_issues
from backend.entrypoints.cli_llm import estimates_json, estimates_table, report_json, report_tables
from backend.entrypoints.cli_rules import SHOW, ShowsByDefault, print_diff, print_mistakes, print_report
from backend.entrypoints.cli_settings import read_settings
from backend.entrypoints.cli_simulate import simulate_command
from backend.entrypoints.cli_status import status_json, status_line
from backend.entrypoints.cli_versions import print_versions, versions_json
from backend.errors import BackendError, ConfigurationError
from backend.ports import FORCED, Job, ProjectRecord, version_name
from backend.ports.llm import LlmPolicyName
from backend.workflows import rules as about_rules
from backend.workflows.config_notes import why_nothing
from backend.workflows.llm.ask import ask_argument
from backend.workflows.llm.estimate import estimate
from backend.workflows.llm.measure import measure
from backend.workflows.llm.view import LlmView, notes_on, view_of, why_idle
from backend.workflows.reconcile import TRAINED
from backend.workflows.status import status_of
from backend.workflows.suspects import checked

cli = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
rules = typer.Typer(cls=ShowsByDefault, no_args_is_help=True)
llm = typer.Typer(no_args_is_help=True)
cli.add_typer(
    llm, name="llm", help="LLMs as annotators: what asking costs, what they answered, how often they are right."
)
cli.add_typer(rules, name="rules", help="What each rule does, `rules PROJECT`; what an edit changes, `rules diff`.")
cli.command("simulate")(simulate_command)
cli.command("backup")(backup_command)
cli.command("restore")(restore_command)
# Names like "llm:pick:1a2b" are no emoji.
out = Console(emoji=False)
err = Console(stderr=True, emoji=False)


def say(sentence: str) -> None:
    """Print a sentence as it is: not wrapped, and without taking [brackets] for markup."""
    out.print(redact(sentence), markup=False, highlight=False, soft_wrap=True)


AsJson = Annotated[bool, typer.Option("--json", help="For scripts.")]
ProjectId = Annotated[int, typer.Argument(metavar="PROJECT", help="Label Studio's project id, as in /projects/<id>.")]


@cli.callback()
def choose(
    demo_folder: Annotated[
        Path | None, typer.Option("--demo", metavar="DIR", help="Work on the demo in this folder.")
    ] = None,
) -> None:
    """A Label Studio ML backend: pre-fills annotations, learns from each, orders the queue, finds wrong labels."""
    if demo_folder is not None:
        from backend.entrypoints.demo import demo_settings  # noqa: PLC0415 - as below

        os.environ.update(demo_settings(demo_folder))


def main() -> None:
    """Run the command; an expected failure is one sentence on standard error and exit code 1."""
    try:
        cli()
    except BackendError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}. Check MODEL_DIR and the other paths.")


def _fail(sentence: str) -> NoReturn:
    err.print(redact(f"prelabel: {sentence}"), style="red", markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(1) from None


def _app() -> App:
    return build(read_settings())


def _key(app: App, project: int) -> str:
    return app.key(app.label_studio.project(project).uid)


@cli.command()
def web() -> None:
    """Run the web service only."""
    from backend.entrypoints.web import run_web  # noqa: PLC0415 - other commands start faster without it

    run_web(read_settings())


@cli.command()
def worker() -> None:
    """Run one worker only."""
    from backend.entrypoints.worker import run_worker  # noqa: PLC0415 - as above

    run_worker(read_settings())


@cli.command()
def scheduler() -> None:
    """Run the scheduler only."""
    from backend.entrypoints.scheduler import run_scheduler  # noqa: PLC0415 - as above

    run_scheduler(read_settings())


@cli.command()
def up() -> None:
    """Run everything for a Label Studio that exists: Redis (unless REDIS_URL is set), web, workers, scheduler."""
    from backend.entrypoints.up import run_up  # noqa: PLC0415 - as above

    run_up(read_settings())


@cli.command()
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Folder for all data of the demo.")] = Path("prelabel-demo"),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the backend.")] = 9090,
    label_studio_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of Label Studio.")] = 8080,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running in the background.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop a demo that runs in the background.")] = False,
) -> None:
    """Start a real Label Studio with a sample project, connected and pre-filled."""
    from backend.entrypoints.demo import run_demo, stop_demo  # noqa: PLC0415 - as above

    if stop:
        stop_demo(directory)
    else:
        run_demo(directory=directory, port=port, label_studio_port=label_studio_port, detach=detach)


@cli.command()
def connect(project: ProjectId) -> None:
    """Connect a project: backend, webhook, sampling, first version."""
    from backend.entrypoints.connect import connect_project  # noqa: PLC0415 - as above

    nothing, unread = connect_project(read_settings(), project)
    said = nothing or "its first suggestions come in a moment: see `prelabel jobs`."
    say(f"Project {project} is connected; {said}")
    if unread and not nothing:
        say(f"But {unread}")


@cli.command()
def doctor(
    project: Annotated[int | None, typer.Argument(metavar="[PROJECT]", help="Also look at this project.")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired.")] = False,
) -> None:
    """Check the installation, and a project's connection; each finding says what to do."""
    from backend.entrypoints.doctor import apply_repairs, examine  # noqa: PLC0415 - as above

    app = _app()
    findings = []
    for finding in examine(app, project):
        findings.append(finding)
        mark = "[green]ok[/]  " if finding.good else "[red]BAD[/] "
        out.print(f"{mark} [bold]{finding.name}[/]: ", end="")
        say(finding.detail)
        if not finding.good and finding.fix:
            say(f"      -> {finding.fix}")
    left = sum(not finding.good for finding in findings)
    if fix:
        for finding, problem in apply_repairs(findings):
            say(f"{finding.name}: {problem or 'repaired'}")
            left -= not problem
    if left:
        raise typer.Exit(1)


@cli.command()
def retrain(project: ProjectId) -> None:
    """Train a new version at once."""
    app = _app()
    info = app.label_studio.project(project)
    nothing = why_nothing(app.deps.parse_label_config(info.label_config))
    if nothing:
        raise ConfigurationError(f"Nothing is trained: {nothing}")
    app.queue.request(Job.TRAIN, app.key(info.uid), argument=FORCED)
    say(f"Training of project {project} is asked for: see `prelabel jobs`.")


@cli.command()
def check(
    project: ProjectId,
    top: Annotated[int, typer.Option("--top", min=0, help="List so many suspects, the worst ones.")] = 50,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE.csv", help="Write all suspects to this file.")
    ] = None,
    consensus: Annotated[
        Path | None, typer.Option("--consensus", metavar="FILE.csv", help="Write what annotators of a task agree on.")
    ] = None,
    annotators: Annotated[bool, typer.Option("--annotators", help="Say how good each annotator is, by name.")] = False,
    export_issues: Annotated[
        Path | None, typer.Option("--export-issues", metavar="FILE.csv", help="Write data issues to this file.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the check, and show what it found.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look for wrong labels at once; list those that the last check found."""
    app = _app()
    key = _key(app, project)
    app.queue.request(Job.CHECK, key)
    if wait:
        wait_for_check(app.queue, key, err)
    elif not as_json:
        say(f"A check of project {project} is asked for: its suspects come into the tab 'Prelabel: check'.")
    found = checked(app.deps, key)
    if export is not None:
        write_suspects(export, found.suspects)
    if consensus is not None:
        export_consensus(consensus, found.report)
    if export_issues is not None:
        write_issues(export_issues, found.report)
    names = app.label_studio.people() if as_json or annotators else {}
    if as_json:
        say(checked_json(found, top, names))
        return
    print_checked(out, found, top)
    if annotators:
        print_annotators(out, found.report, names)


@cli.command()
def versions(project: ProjectId, as_json: AsJson = False) -> None:
    """List a project's versions with their out-of-fold figures."""
    app = _app()
    key = _key(app, project)
    if as_json:
        say(versions_json(app, key))
        return
    print_versions(out, app, key)


@cli.command()
def status(project: ProjectId, as_json: AsJson = False) -> None:
    """Say in one line how far a project is, and whether it is worth labeling on."""
    app = _app()
    found = status_of(app.deps, _record(app, _key(app, project), project))
    say(status_json(found) if as_json else status_line(found))


@cli.command()
def rollback(
    project: ProjectId, version: Annotated[str, typer.Argument(help="The version to go back to, as v3.")]
) -> None:
    """Make an older version current again; its suggestions come back from its folder."""
    app = _app()
    key = _key(app, project)
    number = version.removeprefix("v")
    if not number.isdigit() or int(number) not in {
        record.number for record in app.database.versions(key) if record.status in TRAINED
    }:
        raise ConfigurationError(f"There is no version {version}: `prelabel versions {project}` lists them.")
    app.queue.request(Job.ROLLBACK, key, argument=int(number))
    say(f"Rolling back to {version_name(int(number))}: see `prelabel jobs`.")


@rules.command(SHOW)
def show_rules(
    project: ProjectId,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this rule.")] = None,
    mistakes: Annotated[bool, typer.Option("--mistakes", help="The tasks where people disagree with it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what each rule does, how often people agree with it, and what is suspicious about it."""
    if mistakes and name is None:
        raise typer.BadParameter("--mistakes needs the name of a rule.")
    app = _app()
    key = _key(app, project)
    if mistakes and name is not None:
        print_mistakes(out, name, about_rules.mistakes(app.deps, key, name), as_json=as_json)
    else:
        print_report(out, about_rules.report(app.deps, key, name), as_json=as_json)


@rules.command("diff")
def diff_rules(
    project: ProjectId,
    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="DIR", help="An edited copy; default: LF_RULES_DIR.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what edited rules would change if they took the place of those in use."""
    app = _app()
    edited = rules_in(folder or app.settings.lf_rules_dir, app.settings).load()
    print_diff(out, about_rules.diff(app.deps, _key(app, project), edited), as_json=as_json)


@llm.command("estimate")
def llm_estimate(project: ProjectId, as_json: AsJson = False) -> None:
    """Say what asking would cost under each policy: tasks, tokens, money, time. Nothing is sent."""
    app = _app()
    view = _llm_view(app, project)
    show = estimates_json if as_json else estimates_table
    show(out, estimate(view, app.settings.llm_concurrency), view.parts.records.spending(view.key), view.policy)


@llm.command("report")
def llm_report(project: ProjectId, as_json: AsJson = False) -> None:
    """Show how far people agree with each LLM, whether its votes count, and what it cost."""
    app = _app()
    view = _llm_view(app, project)
    measure(view)
    records, spending = view.parts.records.sources(view.key), view.parts.records.spending(view.key)
    show = report_json if as_json else report_tables
    show(out, records, spending, view.policy, notes_on(view, address_of(app.settings.openai_base_url)))


@llm.command("ask")
def llm_ask(
    project: ProjectId,
    policy: Annotated[
        LlmPolicyName | None, typer.Option("--policy", help="Instead of the project's own policy.")
    ] = None,
    batch: Annotated[bool, typer.Option("--batch", help="Through the Batch API: cheaper, within a day.")] = False,
) -> None:
    """Ask LLMs at once, within the budget."""
    app = _app()
    key = _key(app, project)
    idle = why_idle(app.deps, key, policy)
    if idle:
        raise ConfigurationError(f"Nothing is asked: {idle}.")
    app.queue.request(Job.ASK, key, argument=ask_argument(policy, bulk=batch))
    say(f"Asking about project {project} begins: see `prelabel jobs`, then `prelabel llm report {project}`.")


def _llm_view(app: App, project: int) -> LlmView:
    info = app.label_studio.project(project)
    return view_of(app.deps, _record(app, app.key(info.uid), project), info.instructions)


def _record(app: App, key: str, project: int) -> ProjectRecord:
    record = app.database.project(key)
    if record is None:
        raise ConfigurationError(f"Nothing is known of project {project} yet: `prelabel connect {project}`.")
    return record


@cli.command()
def jobs(
    as_json: AsJson = False,
    last: Annotated[int, typer.Option("--last", min=1, help="Show so many, the newest ones.")] = 30,
) -> None:
    """Show what is asked for, running, done and failed, with progress; newest last."""
    found = _app().queue.jobs()[-last:]
    if as_json:
        fields = ("id", "job", "key", "status", "step", "done", "total", "error")
        say(json.dumps([{name: getattr(job, name) for name in fields} for job in found], indent=1))
        return
    table = Table("job", "project", "status", "progress", "started", "error")
    for job in found:
        progress = f"{job.step} {job.done}/{job.total}" if job.total else job.step
        started = job.started_at.strftime("%H:%M:%S") if job.started_at else ""
        table.add_row(job.job, job.key.split(".")[0], job.status, progress, started, redact(job.error))
    out.print(table)


if __name__ == "__main__":
    main()
