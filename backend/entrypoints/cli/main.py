"""The `prelabel` command."""

import os
from pathlib import Path
from typing import Annotated

import typer

from backend.adapters.files import OTHERS
from backend.adapters.llm.calls import address_of
from backend.bootstrap import App, build, tried_in
from backend.domain.words import counted
from backend.entrypoints.cli import options
from backend.entrypoints.cli.annotators import checked_json, export_consensus, print_annotators
from backend.entrypoints.cli.backup import backup_command, restore_command
from backend.entrypoints.cli.check import export as write_suspects
from backend.entrypoints.cli.check import print_checked, wait_for_check
from backend.entrypoints.cli.issues import export_issues as write_issues
from backend.entrypoints.cli.llm import estimates_json, estimates_table, report_json, report_tables
from backend.entrypoints.cli.options import AsJson, ProjectId
from backend.entrypoints.cli.rules import SHOW, ShowsByDefault, print_diff, print_mistakes, print_report
from backend.entrypoints.cli.settings import read_settings, serve, service_settings
from backend.entrypoints.cli.simulate import simulate_command
from backend.entrypoints.cli.status import status_json, status_line
from backend.entrypoints.cli.versions import print_versions, versions_json
from backend.entrypoints.console import (
    Grid,
    complain,
    fail,
    fail_unexpectedly,
    say,
    say_json,
    write_what_can_be_written,
)
from backend.entrypoints.failing import failing_of, say_failing
from backend.entrypoints.held import held_sentence
from backend.errors import BackendError, ConfigurationError
from backend.ports import FORCED, LET_GO, Job, ProjectRecord, version_name
from backend.ports.llm import LlmPolicyName
from backend.workflows import rules as about_rules
from backend.workflows.check.suspects import checked
from backend.workflows.check.tags import adopt_tags
from backend.workflows.check.verdicts import keep_labels
from backend.workflows.config_notes import why_nothing
from backend.workflows.held import held_at
from backend.workflows.llm.ask import Again, ask_argument, forget
from backend.workflows.llm.estimate import estimate
from backend.workflows.llm.measure import measure
from backend.workflows.llm.view import LlmView, notes_on, view_of, why_idle
from backend.workflows.measure.status import status_of
from backend.workflows.reconcile import TRAINED
from backend.workflows.try_rules import sample_of

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


@cli.callback()
def choose(
    demo_folder: Annotated[
        Path | None, typer.Option("--demo", metavar="DIR", help="Work on the demo in this folder.")
    ] = None,
) -> None:
    """A Label Studio ML backend: pre-fills annotations, learns from each, orders the queue, finds wrong labels."""
    if demo_folder is not None:
        from backend.entrypoints.run.demo import demo_settings  # noqa: PLC0415 - as below

        os.environ.update(demo_settings(demo_folder))


def main() -> None:
    """Run the command; a failure is one sentence on standard error and exit code 1, or 70 if nobody foresaw it."""
    # What is kept and written here holds tasks, answers and secrets.
    os.umask(OTHERS)
    write_what_can_be_written()
    try:
        cli()
    except BackendError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or 'a file'}: {error.strerror or error}. Check MODEL_DIR and the other paths.")
    except Exception as error:  # noqa: BLE001 - whatever it is, a person at a terminal wants to know what to do
        fail_unexpectedly(error)


def _app() -> App:
    """The application for a command that looks, asks or repairs: it makes no database where there is none."""
    return build(read_settings(), makes_database=False)


def _key(app: App, project: int) -> str:
    return app.key(app.label_studio.project(project).uid)


@cli.command()
def web() -> None:
    """Run the web service only."""
    from backend.entrypoints.web.app import run_web  # noqa: PLC0415 - other commands start faster without it

    serve(run_web, service_settings())


@cli.command()
def worker() -> None:
    """Run one worker only."""
    from backend.entrypoints.run.worker import run_worker  # noqa: PLC0415 - as above

    serve(run_worker, service_settings())


@cli.command()
def scheduler() -> None:
    """Run the scheduler only."""
    from backend.entrypoints.run.scheduler import run_scheduler  # noqa: PLC0415 - as above

    serve(run_scheduler, service_settings())


@cli.command()
def up() -> None:
    """Run everything for a Label Studio that exists: Redis (unless REDIS_URL is set), web, workers, scheduler."""
    from backend.entrypoints.run.up import run_up  # noqa: PLC0415 - as above

    serve(run_up, service_settings())


@cli.command()
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Folder for all data of the demo.")] = Path("prelabel-demo"),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the backend.")] = 9090,
    label_studio_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of Label Studio.")] = 8080,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running in the background.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop a demo that runs in the background.")] = False,
) -> None:
    """Start a real Label Studio with a sample project, connected and pre-filled."""
    from backend.entrypoints.run.demo import run_demo, stop_demo  # noqa: PLC0415 - as above

    if stop:
        stop_demo(directory)
    else:
        run_demo(directory=directory, port=port, label_studio_port=label_studio_port, detach=detach)


@cli.command()
def connect(project: ProjectId) -> None:
    """Connect a project: backend, webhook, sampling, first version."""
    from backend.entrypoints.connect import connect_project, outlook  # noqa: PLC0415 - as above

    settings = read_settings()
    connect_project(settings, project)
    app = build(settings)
    say(f"Project {project} is connected. {outlook(app, app.label_studio.project(project))}")


@cli.command()
def doctor(
    project: options.AnyProject = None,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired.")] = False,
) -> None:
    """Check the installation, and a project's connection; each finding says what to do."""
    from backend.entrypoints.doctor.examine import apply_repairs, examine  # noqa: PLC0415 - as above

    app = _app()
    findings = []
    for finding in examine(app, project):
        findings.append(finding)
        mark = ("ok  ", "green") if finding.good else ("BAD ", "red")
        say(mark, " ", (finding.name, "bold"), f": {finding.detail}")
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
    tasks: options.Tasks = None,
    top: options.Top = 50,
    export: options.Export = None,
    consensus: options.Consensus = None,
    annotators: options.Annotators = False,
    export_issues: options.ExportIssues = None,
    wait: options.Wait = False,
    keep: options.Keep = False,
    adopt: options.AdoptTags = False,
    as_json: AsJson = False,
) -> None:
    """Look for wrong labels at once; list those that the last check found."""
    if bool(tasks) != keep:
        raise typer.BadParameter("--keep and the ids of tasks go together, as in `prelabel check 1 --keep 17 23`.")
    app = _app()
    key = _key(app, project)
    if keep:
        keep_labels(app.deps, _record(app, key, project), tasks or [])
        app.queue.request(Job.RECONCILE, key)
        say(f"Confirmed: {counted(len(set(tasks or [])), 'task')} will leave the tab 'Prelabel: check' in a moment.")
        return
    if adopt:
        adopted = adopt_tags(app.deps, _record(app, key, project))
        said = ", ".join(f"{name} of {counted(n, 'task')}" for name, n in adopted.items())
        complain(f"Adopted: {said or 'nothing, all tags are ours'}.")
    app.queue.request(Job.CHECK, key)
    if wait:
        wait_for_check(app.queue, key)
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
        say_json(checked_json(found, top, names))
        return
    print_checked(found, top)
    if annotators:
        print_annotators(found.report, names)


@cli.command()
def versions(project: ProjectId, as_json: AsJson = False) -> None:
    """List a project's versions with their out-of-fold figures."""
    app = _app()
    key = _key(app, project)
    if as_json:
        say_json(versions_json(app, key))
        return
    say_failing(app.queue, key)
    print_versions(app, key)
    record = app.database.project(key)
    held = held_at(app.deps, record) if record else None
    if held:
        say(f"The project is {held_sentence(held, project)}.")


@cli.command()
def status(project: ProjectId, as_json: AsJson = False) -> None:
    """Say in one line how far a project is, and whether it is worth labeling on."""
    app = _app()
    key = _key(app, project)
    failing = failing_of(app.queue, key)
    found = status_of(app.deps, _record(app, key, project), failing.sentences, hides_state=failing.hides_state)
    if as_json:
        say_json(status_json(found))
    else:
        say(status_line(found))


@cli.command()
def rollback(
    project: ProjectId,
    version: options.Version = None,
    release: options.Release = False,
) -> None:
    """Show an older version again, and hold the project at it until a person lets go."""
    if release == (version is not None):
        raise typer.BadParameter("name a version to go back to, as v3, or --release to let go of it.")
    app = _app()
    key = _key(app, project)
    if version is None:
        app.queue.request(Job.ROLLBACK, key, argument=LET_GO)
        say(f"Project {project} is let go: the next training replaces what it shows.")
        return
    numbers = {record.name: record.number for record in app.database.versions(key) if record.status in TRAINED}
    number = numbers.get(version, numbers.get(f"v{version}"))
    if number is None:
        raise ConfigurationError(f"There is no version {version}: `prelabel versions {project}` lists them.")
    app.queue.request(Job.ROLLBACK, key, argument=number)
    say(
        f"Rolling back to {version_name(number)}: see `prelabel jobs`. The project stays there, and new labels are "
        f"only counted, until `prelabel retrain {project}`, Start Training or `prelabel rollback {project} --release`."
    )


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
        found = about_rules.mistakes(app.deps, key, name)
        faults = None if found else about_rules.faults_of(app.deps, key, name)
        print_mistakes(name, found, as_json=as_json, faults=faults)
    else:
        print_report(about_rules.report(app.deps, key, name), as_json=as_json)


@rules.command("diff")
def diff_rules(
    project: ProjectId,
    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="DIR", help="An edited copy; default: LF_RULES_DIR.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what edited rules would change if they took the place of those in use. Fails if one can't be used at all."""
    app = _app()
    key = _key(app, project)
    record = app.deps.database.project(key)
    samples = [] if record is None else [sample_of(app.deps, record)]
    edited = tried_in(folder or app.settings.lf_rules_dir, app.settings, samples)
    found = about_rules.diff(app.deps, key, edited)
    print_diff(found, as_json=as_json)
    if not found.is_usable:
        raise typer.Exit(1)


@llm.command("estimate")
def llm_estimate(project: ProjectId, as_json: AsJson = False) -> None:
    """Say what asking would cost under each policy: tasks, tokens, money, time. Nothing is sent."""
    app = _app()
    view = _llm_view(app, project)
    show = estimates_json if as_json else estimates_table
    show(estimate(view, app.settings.llm_concurrency), view.parts.records.spending(view.key), view.policy)


@llm.command("report")
def llm_report(project: ProjectId, as_json: AsJson = False) -> None:
    """Show how far people agree with each LLM, whether its votes count, and what it cost."""
    app = _app()
    view = _llm_view(app, project)
    measure(view)
    records, spending = view.parts.records.sources(view.key), view.parts.records.spending(view.key)
    show = report_json if as_json else report_tables
    show(records, spending, view.policy, notes_on(view, address_of(app.settings.openai_base_url)))


@llm.command("ask")
def llm_ask(
    project: ProjectId,
    policy: Annotated[
        LlmPolicyName | None, typer.Option("--policy", help="Instead of the project's own policy.")
    ] = None,
    batch: Annotated[bool, typer.Option("--batch", help="Through the Batch API: cheaper, within a day.")] = False,
    again: Annotated[
        Again | None, typer.Option("--again", help="First forget answers without a label for this reason, after a fix.")
    ] = None,
) -> None:
    """Ask LLMs at once, within the budget."""
    app = _app()
    key = _key(app, project)
    idle = why_idle(app.deps, key, policy)
    if idle:
        raise ConfigurationError(f"Nothing is asked: {idle}.")
    if again is not None:
        forgotten = forget(_llm_view(app, project), again)
        say(f"{forgotten} answers ({again}) are forgotten. What they cost stays spent, and asking again costs anew.")
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
    app = _app()
    found = app.queue.jobs()[-last:]
    if as_json:
        fields = ("id", "job", "key", "status", "step", "done", "total", "error")
        say_json([{name: getattr(job, name) for name in fields} for job in found])
        return
    say_failing(app.queue)
    table = Grid("job", "project", "status", "progress", "started", "error")
    for job in found:
        progress = f"{job.step} {job.done}/{job.total}" if job.total else job.step
        started = job.started_at.strftime("%H:%M:%S") if job.started_at else ""
        table.row(job.job, job.key.split(".")[0], job.status, progress, started, job.error)
    table.show()


if __name__ == "__main__":
    main()
