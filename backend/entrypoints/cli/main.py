"""The `prelabel` command: its names, options and help.

What a command does stands in a module of its topic, which is imported when the command runs: each loads what it needs
and nothing else, and help loads none of it.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from backend.adapters.files import OTHERS
from backend.domain.llm.options import Again, LlmPolicyName
from backend.domain.priorities.strategy import Strategy
from backend.entrypoints.cli import options, simulate_options
from backend.entrypoints.cli.groups import SHOW, ShowsByDefault
from backend.entrypoints.cli.options import AsJson, ProjectId
from backend.entrypoints.console import fail, fail_unexpectedly, loading, write_what_can_be_written
from backend.errors import BackendError

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
cli.add_typer(
    rules,
    name="rules",
    help="What each rule does, `rules PROJECT`; what an edit changes, `rules diff`; new ones, `rules suggest`.",
)


@cli.callback()
def choose(
    demo_folder: Annotated[
        Path | None, typer.Option("--demo", metavar="DIR", help="Work on the demo in this folder.")
    ] = None,
) -> None:
    """A Label Studio ML backend: pre-fills annotations, learns from each, orders the queue, finds wrong labels."""
    if demo_folder is not None:
        from backend.entrypoints.run.demo import demo_settings

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


@cli.command("simulate")
def simulate(
    data: simulate_options.Data,
    label: simulate_options.Label = "label",
    config: simulate_options.Config = None,
    strategy: simulate_options.How = Strategy.AUTO,
    against: simulate_options.Against = None,
    label_noise: simulate_options.Noise = 0.0,
    after_finding: simulate_options.After = None,
    rules: simulate_options.Rules = None,
    llm: simulate_options.Llm = None,
    llm_share: simulate_options.LlmShare = 1.0,
    seeds: simulate_options.Seeds = 3,
    batch: simulate_options.Batch = 10,
    growth: simulate_options.Growth = 0.15,
    max_labels: simulate_options.MaxLabels = None,
    budget: simulate_options.Budget = None,
    test_share: simulate_options.TestShare = 0.3,
    cost_per_label: simulate_options.CostPerLabel = 0.30,
    cost_per_llm_answer: simulate_options.CostPerLlmAnswer = 0.001,
    folder: simulate_options.Folder = Path("simulation"),
    as_json: AsJson = False,
) -> None:
    """Replay labeled data: what accuracy costs with rules, LLMs and a strategy, against random order.

    Nothing is sent anywhere: LLMs take part with recorded answers (--llm).
    """
    from backend.entrypoints.cli.simulate import run
    from backend.entrypoints.cli.simulate_plans import Options

    typed = Options(
        data=data,
        label=label,
        config=config,
        strategy=strategy,
        against=against or [],
        label_noise=label_noise,
        after_finding=after_finding,
        rules=rules,
        llm=llm,
        llm_share=llm_share,
        seeds=seeds,
        batch=batch,
        growth=growth,
        max_labels=max_labels,
        budget=budget,
        test_share=test_share,
        cost_per_label=cost_per_label,
        cost_per_llm_answer=cost_per_llm_answer,
        folder=folder,
        as_json=as_json,
    )
    run(typed)


@cli.command()
def backup(file: options.BackupFile) -> None:
    """Write the database and all versions into one file; services may go on."""
    from backend.entrypoints.cli.backup import back_up

    back_up(file)


@cli.command()
def restore(
    file: options.BackupFile,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Bring an installation back from a backup, into an empty one or, with --force, in place of what is there."""
    from backend.entrypoints.cli.backup import bring_back

    bring_back(file, force=force)


@cli.command()
def web() -> None:
    """Run the web service only."""
    from backend.entrypoints.cli.settings import serve, service_settings
    from backend.entrypoints.web.app import run_web

    serve(run_web, service_settings())


@cli.command()
def worker() -> None:
    """Run one worker only."""
    from backend.entrypoints.cli.settings import serve, service_settings
    from backend.entrypoints.run.worker import run_worker

    serve(run_worker, service_settings())


@cli.command()
def scheduler() -> None:
    """Run the scheduler only."""
    from backend.entrypoints.cli.settings import serve, service_settings
    from backend.entrypoints.run.scheduler import run_scheduler

    serve(run_scheduler, service_settings())


@cli.command()
def up() -> None:
    """Run everything for a Label Studio that exists: Redis (unless REDIS_URL is set), web, workers, scheduler."""
    from backend.entrypoints.cli.settings import serve, service_settings
    from backend.entrypoints.run.up import run_up

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
    from backend.entrypoints.run.demo import run_demo, stop_demo

    if stop:
        stop_demo(directory)
    else:
        run_demo(directory=directory, port=port, label_studio_port=label_studio_port, detach=detach)


@cli.command()
def connect(project: ProjectId) -> None:
    """Connect a project: backend, webhook, sampling, first version."""
    from backend.entrypoints.cli import training

    training.connect(project)


@cli.command()
def doctor(
    project: options.AnyProject = None,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired.")] = False,
) -> None:
    """Check the installation, and a project's connection; each finding says what to do."""
    from backend.entrypoints.cli.doctor import show_findings

    if not show_findings(project, repairs=fix):
        raise typer.Exit(1)


@cli.command()
def retrain(project: ProjectId) -> None:
    """Train a new version at once."""
    from backend.entrypoints.cli.training import ask_for_training

    ask_for_training(project)


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
    from backend.entrypoints.cli.check import CheckOptions, confirm_labels, look_for_wrong_labels

    if keep:
        confirm_labels(project, tasks or [])
        return
    typed = CheckOptions(
        top=top,
        export=export,
        consensus=consensus,
        annotators=annotators,
        export_issues=export_issues,
        wait=wait,
        adopt=adopt,
        as_json=as_json,
    )
    look_for_wrong_labels(project, typed)


@cli.command()
def versions(project: ProjectId, as_json: AsJson = False) -> None:
    """List a project's versions with their out-of-fold figures."""
    with loading():
        from backend.entrypoints.cli.versions import show_versions

    show_versions(project, as_json=as_json)


@cli.command()
def status(project: ProjectId, as_json: AsJson = False) -> None:
    """Say in one line how far a project is, and whether it is worth labeling on."""
    with loading():
        from backend.entrypoints.cli.status import show_status

    show_status(project, as_json=as_json)


@cli.command()
def labels(
    project: ProjectId,
    rename: options.Rename = None,
    undo_rename: options.UndoRename = None,
    question: options.OfQuestion = None,
    as_json: AsJson = False,
) -> None:
    """Show since when each label is known and how many tasks have it; let old labels count as those of today."""
    if rename is not None and undo_rename is not None:
        raise typer.BadParameter("--rename and --undo-rename don't go together.")
    from backend.entrypoints.cli.labels import rename_label, show_labels, undo_renaming

    if rename is not None:
        rename_label(project, rename, question)
    elif undo_rename is not None:
        undo_renaming(project, undo_rename, question)
    else:
        show_labels(project, as_json=as_json)


@cli.command()
def rollback(
    project: ProjectId,
    version: options.Version = None,
    release: options.Release = False,
) -> None:
    """Show an older version again, and hold the project at it until a person lets go."""
    if release == (version is not None):
        raise typer.BadParameter("name a version to go back to, as v3, or --release to let go of it.")
    from backend.entrypoints.cli.training import let_go, roll_back

    if version is None:
        let_go(project)
    else:
        roll_back(project, version)


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
    from backend.entrypoints.cli.rules import show_mistakes, show_report

    if mistakes and name is not None:
        show_mistakes(project, name, as_json=as_json)
    else:
        show_report(project, name, as_json=as_json)


@rules.command("diff")
def diff_rules(
    project: ProjectId,
    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="DIR", help="An edited copy; default: LF_RULES_DIR.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what edited rules would change if they took the place of those in use. Fails if one can't be used at all."""
    from backend.entrypoints.cli.rules import show_diff

    if not show_diff(project, folder, as_json=as_json):
        raise typer.Exit(1)


@rules.command("suggest")
def suggest_rules(project: ProjectId, take: options.Take = None, as_json: AsJson = False) -> None:
    """Propose rules from what people labeled, and by an LLM where one is set up, with how often each is right."""
    from backend.entrypoints.cli.suggested_rules import show_suggestions

    show_suggestions(project, take or [], as_json=as_json)


@llm.command("estimate")
def llm_estimate(project: ProjectId, as_json: AsJson = False) -> None:
    """Say what asking would cost under each policy: tasks, tokens, money, time. Nothing is sent."""
    from backend.entrypoints.cli.llm import show_estimates

    show_estimates(project, as_json=as_json)


@llm.command("report")
def llm_report(project: ProjectId, as_json: AsJson = False) -> None:
    """Show how far people agree with each LLM, whether its votes count, and what it cost."""
    from backend.entrypoints.cli.llm import show_report

    show_report(project, as_json=as_json)


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
    from backend.entrypoints.cli.llm import ask_at_once

    ask_at_once(project, policy, again, batch=batch)


@cli.command()
def jobs(
    as_json: AsJson = False,
    last: Annotated[int, typer.Option("--last", min=1, help="Show so many, the newest ones.")] = 30,
) -> None:
    """Show what is asked for, running, done and failed, with progress; newest last."""
    with loading():
        from backend.entrypoints.cli.jobs import show_jobs

    show_jobs(last, as_json=as_json)


if __name__ == "__main__":
    main()
