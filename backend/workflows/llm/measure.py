"""Measure: how often each LLM source is right, by people's labels, and whether its votes count."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from backend.domain.llm.gate import report_source
from backend.domain.llm.records import Calibration, LlmAnswer, LlmSource
from backend.domain.llm.span_gate import report_marks
from backend.domain.questions import Question
from backend.domain.questions.quotes import moved
from backend.ports.llm import SourceRecord
from backend.workflows.llm.choice import Rows
from backend.workflows.llm.view import LlmProject


def measure(view: LlmProject, samples: Mapping[LlmSource, Rows] | None = None) -> bool:
    """Compare the samples' answers with people's labels, and remember what came of it; returns whether other votes
    count now.

    Sources of earlier prompts stay on record. Nothing is asked.

    Args:
        view: the project.
        samples: rows that are in a source's sample from now on, besides those that are in it already.
    """
    before = {item.source: item for item in view.parts.records.sources(view.key)}
    contents = {source: item.sample for source, item in before.items()}
    for source, rows in (samples or {}).items():
        contents[source] = contents.get(source, frozenset()) | {view.hashes[row] for row in rows}
    now = {record.source: record for record in _measured(view, contents)}
    past = [replace(item, current=False, trusted=False) for source, item in before.items() if source not in now]
    view.parts.records.save_sources(view.key, [*now.values(), *past])
    voting = {(item.source, item.split) for item in before.values() if item.trusted}
    return voting != {(item.source, item.split) for item in now.values() if item.trusted}


def _measured(view: LlmProject, samples: Mapping[LlmSource, frozenset[str]]) -> Iterator[SourceRecord]:
    for question in view.questions:
        human = view.human(question)
        for prompt in view.prompts(question):
            sample = samples.get(prompt.source, frozenset())
            judged = {row: labels for row, labels in human.items() if view.hashes[row] in sample}
            answers = view.answers(prompt.source, view.sendable)
            if question.name in view.marking:
                placed = {row: _placed(view, question, row, answer) for row, answer in answers.items()}
                report, calibration = report_marks(question, placed, judged), Calibration()
            else:
                report, calibration = report_source(question, answers, judged)
            yield SourceRecord(
                source=prompt.source,
                text=prompt.text,
                current=True,
                trusted=report.passes(view.policy.gate_kappa),
                calibration=calibration,
                split=report.split,
                report=report,
                sample=sample,
            )


def _placed(view: LlmProject, question: Question, row: int, answer: LlmAnswer) -> LlmAnswer:
    """An answer about what was sent of a text, as one about the text."""
    text = question.text(view.corpus.data[row])
    return replace(answer, labels=moved(answer.labels, view.sent_text(question, row), text))
