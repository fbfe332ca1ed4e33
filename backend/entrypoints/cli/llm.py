"""`prelabel llm`: what asking an LLM would cost, what it answered, and how often it is right."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from backend.adapters.llm.calls import address_of
from backend.bootstrap import App
from backend.domain.codec import to_json
from backend.domain.llm.options import Again, LlmPolicyName
from backend.domain.llm.records import UNREADABLE
from backend.domain.policy import LlmPolicy
from backend.domain.reports.llm import LabelFigures, SourceReport
from backend.domain.statistics import Interval
from backend.domain.words import counted, share
from backend.entrypoints.cli import installation
from backend.entrypoints.console import Grid, say, say_json
from backend.errors import ConfigurationError
from backend.ports import Job
from backend.ports.llm import SourceRecord, Spending
from backend.workflows.llm.ask import asked_for, forget
from backend.workflows.llm.estimate import Estimate, estimate
from backend.workflows.llm.measure import measure
from backend.workflows.llm.requests import HOW_AGAIN
from backend.workflows.llm.view import LlmProject, llm_disabled_reason, notes_on, view_of


def show_estimates(project: int, *, as_json: bool) -> None:
    """Print what asking about a project would cost."""
    app = installation.looked_at()
    view = _view(app, project)
    show = estimates_json if as_json else estimates_table
    show(estimate(view, app.settings.llm_concurrency), view.parts.records.spending(view.key), view.policy)


def show_report(project: int, *, as_json: bool) -> None:
    """Print how far people agree with each LLM in a project."""
    app = installation.looked_at()
    view = _view(app, project)
    measure(view)
    records, spending = view.parts.records.sources(view.key), view.parts.records.spending(view.key)
    show = report_json if as_json else report_tables
    show(records, spending, view.policy, notes_on(view, address_of(app.settings.openai_base_url)))


def ask_at_once(project: int, policy: LlmPolicyName | None, again: Again | None, *, batch: bool) -> None:
    """Ask for a job that asks LLMs about a project. `policy`: instead of its own. `again`: what is forgotten first.

    Raises:
        ConfigurationError: no LLM may be asked about it.
    """
    app = installation.looked_at()
    key = installation.key_of(app, project)
    idle = llm_disabled_reason(app.deps, key, policy)
    if idle:
        raise ConfigurationError(f"Nothing is asked: {idle}.")
    if again is not None:
        forgotten = forget(_view(app, project), again)
        say(f"{forgotten} answers ({again}) are forgotten. What they cost stays spent, and asking again costs anew.")
    app.queue.request(Job.ASK, key, options=asked_for(policy, bulk=batch))
    say(f"Asking about project {project} begins: see `prelabel jobs`, then `prelabel llm report {project}`.")


def _view(app: App, project: int) -> LlmProject:
    info = app.label_studio.project(project)
    return view_of(
        app.deps, installation.record_of(app, installation.key_of_info(app, info), project), info.instructions
    )


def estimates_table(estimates: Sequence[Estimate], spending: Spending, policy: LlmPolicy) -> None:
    """A line for each policy and model, then what the budget still allows."""
    table = Grid("policy", "model", "tasks", "requests", "input tokens", "output tokens", "USD", "time")
    for item in estimates:
        most = "up to " if item.at_most else ""
        table.row(
            item.policy.value,
            item.model,
            f"{most}{item.tasks}",
            f"{most}{item.requests}",
            f"{item.input_tokens:,}",
            f"{item.output_tokens:,}",
            f"{most}{item.usd:.4f}",
            _duration(item.seconds),
        )
    table.show()
    say(_about_money(spending, policy))


def report_tables(records: Sequence[SourceRecord], spending: Spending, policy: LlmPolicy, notes: Sequence[str]) -> None:
    """Each source: how far people agree with it, whether its votes count, and what it cost."""
    asked = [(record, record.report) for record in records if record.report is not None and record.report.n_answers]
    for record, report in sorted(
        asked, key=lambda item: (not item[0].current, item[0].source.question, item[0].source.name)
    ):
        _print_source(record, report, policy)
    if not asked:
        say("No LLM has answered yet.")
    if any(problem in UNREADABLE for record, report in asked if record.current for problem in report.problems):
        say(f"Answers that can't be read: {HOW_AGAIN}.")
    for note in notes:
        say(note)
    say(_about_money(spending, policy))


def report_json(records: Sequence[SourceRecord], spending: Spending, policy: LlmPolicy, notes: Sequence[str]) -> None:
    """The same for scripts."""
    sources = [
        {"name": item.source.name, **asdict(item.source), "current": item.current, "trusted": item.trusted}
        | {"report": {} if item.report is None else to_json(item.report), "prompt_text": item.text}
        for item in records
    ]
    money = asdict(spending) | {"budget": policy.budget_usd}
    say_json({"sources": sources, "usd": money, "notes": list(notes)})


def estimates_json(estimates: Sequence[Estimate], spending: Spending, policy: LlmPolicy) -> None:
    """Estimates for scripts."""
    money = asdict(spending) | {"budget": policy.budget_usd}
    say_json({"estimates": [asdict(item) for item in estimates], "usd": money})


def _print_source(record: SourceRecord, report: SourceReport, policy: LlmPolicy) -> None:
    source = record.source
    shown = counted(source.examples, "example") if source.examples else "no examples"
    title = f"{source.name} on {source.question} ({shown})"
    say(title if record.current else f"{title}, an earlier prompt")
    say(f"  {_verdict(record, policy)}")
    say(
        f"  {counted(report.n_answers, 'answer')}, {counted(report.n_abstained, 'abstention')}"
        + "".join(f", {count} {name}" for name, count in report.problems.items())
        + f"; {report.usd:.4f} USD",
    )
    if (
        report.agreement is not None
        and report.agreement_interval
        and report.kappa is not None
        and report.kappa_interval
    ):
        low, high = report.agreement_interval
        kappa_low, kappa_high = report.kappa_interval
        say(
            f"  agreement {share(report.agreement, '.3f')} ({low:.3f}-{high:.3f}), kappa {report.kappa:.3f} "
            f"({kappa_low:.3f}-{kappa_high:.3f}) on {counted(report.n_compared, 'task')} of the sample that people "
            "labeled",
        )
        _print_labels(report.labels)
    if report.entity_f1 is not None and report.entity_f1_interval:
        low, high = report.entity_f1_interval
        say(
            f"  entity F1 {share(report.entity_f1, '.3f')} ({low:.3f}-{high:.3f}) on "
            f"{counted(report.n_compared, 'text')} of the sample that people labeled",
        )
        _print_labels(report.labels)
    if report.reliability:
        bins = "; ".join(f"{item.confidence:.2f} -> {item.right:.2f} of {item.n}" for item in report.reliability)
        say(f"  says -> is right: {bins}")
        say(
            f"  calibration error {_figure(report.calibration_error)}, calibrated ({report.calibration}) "
            f"{_figure(report.calibrated_error)}; AUROC {_figure(report.auroc)}",
        )


def _verdict(record: SourceRecord, policy: LlmPolicy) -> str:
    if record.trusted:
        return "passed the validation gate: its votes count"
    if not record.current:
        return "on record, not asked any more: its votes don't count"
    least = f"{policy.gate_kappa:.2f} on 50 tasks or more"
    return f"hasn't passed the validation gate (kappa, of spans F1, {least}): its votes are recorded and don't count"


def _print_labels(labels: Mapping[str, LabelFigures]) -> None:
    table = Grid("label", "precision (95 %)", "recall (95 %)")
    for label, item in labels.items():
        table.row(
            label,
            _share_and_interval(item.precision, item.precision_interval, item.n_precision),
            _share_and_interval(item.recall, item.recall_interval, item.n_recall),
        )
    table.show()


def _share_and_interval(value: float | None, interval: Interval | None, n: int) -> str:
    if value is None or interval is None:
        return "-"
    low, high = interval
    return f"{share(value)} ({low:.2f}-{high:.2f}) of {n}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _about_money(spending: Spending, policy: LlmPolicy) -> str:
    parts = [f"{spending.spent:.4f} USD spent"]
    parts += [f"{spending.held:.4f} reserved by requests under way"] if spending.held else []
    parts += [f"{spending.unknown:.4f} reserved by workers that died, counted as spent"] if spending.unknown else []
    return f"{', '.join(parts)}; budget {policy.budget_usd:.2f} USD (LLM_BUDGET_USD)."


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
