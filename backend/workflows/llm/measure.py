"""Measure: how often each LLM source is right, by people's labels, and whether its votes count."""

from collections.abc import Iterator
from dataclasses import replace

from backend.domain.llm.gate import SourceReport, report_source
from backend.domain.questions import Question
from backend.ports.llm import SourceRecord
from backend.workflows.llm.view import LlmView, Prompt


def measure(view: LlmView) -> bool:
    """Compare all answers with people's labels, and remember what came of it; returns whether other votes count now.

    Sources of earlier prompts stay on record. Nothing is asked.
    """
    before = {item.source: item for item in view.parts.records.sources(view.key)}
    now = {record.source: record for record in _measured(view)}
    past = [replace(item, current=False, trusted=False) for source, item in before.items() if source not in now]
    view.parts.records.save_sources(view.key, [*now.values(), *past])
    voting = {(item.source, item.split) for item in before.values() if item.trusted}
    return voting != {(item.source, item.split) for item in now.values() if item.trusted}


def _measured(view: LlmView) -> Iterator[SourceRecord]:
    for question in view.config.questions:
        for prompt in view.prompts(question):
            report = report_of(view, question, prompt)
            yield SourceRecord(
                source=prompt.source,
                text=prompt.text,
                current=True,
                trusted=report.passes(view.policy.gate_kappa),
                calibration=report.calibration,
                split=report.split,
                report=report.to_dict(),
            )


def report_of(view: LlmView, question: Question, prompt: Prompt) -> SourceReport:
    """One source's answers to the tasks that people labeled."""
    human = view.human(question)
    answers = view.answers(prompt.source, view.sendable)
    return report_source(question, answers, human)
