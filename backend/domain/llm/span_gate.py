"""How far people agree with what an LLM marks, and whether it counts."""

from collections import Counter
from collections.abc import Mapping

from backend.domain.llm.records import LlmAnswer, Problem
from backend.domain.questions import Question
from backend.domain.questions.marks import Mark, mark_in
from backend.domain.reports.llm import LabelFigures, SourceReport
from backend.domain.spans.scores import span_scores
from backend.domain.spans.text import Run
from backend.domain.statistics import wilson
from backend.domain.tasks import Answer


def report_marks(question: Question, answers: Mapping[int, LlmAnswer], human: Mapping[int, Answer]) -> SourceReport:
    """Compare what a source marked with what people did, span by span: same ends, same label.

    F1 takes the place of kappa: of spans, nearly nothing agrees by chance, and kappa approaches F1 (Hripcsak and
    Rothschild 2005).

    Args:
        question: the question.
        answers: by task; places are those in its text. One that couldn't be read says nothing; one without spans says
            that there are none.
        human: what people marked, by task.
    """
    compared = [task for task in answers if task in human and says_something(answers[task])]
    ours = [_runs(question, answers[task].labels) for task in compared]
    theirs = [_runs(question, human[task]) for task in compared]
    scores = span_scores(ours, theirs) if compared else None
    n_same = sum(mine == other for mine, other in zip(ours, theirs, strict=True))
    return SourceReport(
        n_answers=len(answers),
        n_abstained=sum(not answer.labels for answer in answers.values()),
        problems=dict(Counter(answer.problem.value for answer in answers.values() if answer.problem)),
        usd=sum(answer.price_usd for answer in answers.values()),
        n_compared=len(compared),
        agreement=n_same / len(compared) if compared else None,
        agreement_interval=wilson(n_same, len(compared)),
        labels={
            label: _figures(
                {(task, run) for task, runs in enumerate(ours) for run in runs if run.label == label},
                {(task, run) for task, runs in enumerate(theirs) for run in runs if run.label == label},
            )
            for label in question.labels
        },
        entity_f1=None if scores is None else scores.f1,
        entity_f1_interval=None if scores is None else scores.interval,
    )


def says_something(answer: LlmAnswer) -> bool:
    """Whether an answer was read: then without spans it means that there are none."""
    return bool(answer.labels) or answer.problem is Problem.NONE


def _runs(question: Question, answer: Answer) -> frozenset[Run]:
    """Spans in code points, as what is compared."""
    marks: list[Mark] = [mark for mark in map(mark_in, answer) if mark is not None]
    return frozenset(Run(*mark[:3]) for mark in marks if question.index(mark.label) is not None)


def _figures(ours: set[tuple[int, Run]], theirs: set[tuple[int, Run]]) -> LabelFigures:
    both = len(ours & theirs)
    return LabelFigures(
        n_precision=len(ours),
        precision=both / len(ours) if ours else None,
        precision_interval=wilson(both, len(ours)),
        n_recall=len(theirs),
        recall=both / len(theirs) if theirs else None,
        recall_interval=wilson(both, len(theirs)),
    )
