"""The search for wrong and missing spans, beside that for other labels."""

from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean

from backend.domain.corpus import Corpus
from backend.domain.marking.learn import gold_of, marks_of_each, prepare
from backend.domain.marking.suspects import NOBODY, SpanSearch, consensus_answer, search_spans
from backend.domain.questions.marks import readable
from backend.domain.reports.check import AnnotatorFigures, ConsensusReport, QuestionCheck
from backend.domain.spans.consensus import rank_people
from backend.ports import Deps
from backend.workflows.check.annotators import CONSENSUS, EVIDENCE, best_first
from backend.workflows.check.inputs import SearchResult
from backend.workflows.llm.contents import Contents
from backend.workflows.marking import cast_marks
from backend.workflows.try_rules import tried_rules

METHOD = "exact spans of more than half"


def with_spans(deps: Deps, searched: SearchResult, corpus: Corpus, *, seed: int) -> SearchResult:
    """What was found, with what is wrong or missing among people's spans in the same tasks.

    Models are trained for it, on other texts than they judge. The rules in use vote anew.
    """
    if not corpus.config.spans:
        return searched
    by_id = {item.task.id: item for item in corpus.items}
    items = [by_id[task_id] for task_id in searched.task_ids]
    data = [item.task.data for item in items]
    contents = Contents(deps, corpus.key, corpus.config, data)
    votes, _ = cast_marks(deps, contents, tried_rules(deps).of(deps.policy(corpus.key).rules))
    findings, reports = dict(searched.findings), {}
    for question in corpus.config.spans:
        gold = gold_of(question, items)
        known = prepare(question, votes[question.name], data, gold, marks_of_each(question, items))
        found = search_spans(question, known, items, seed=seed)
        findings[question.name] = found.findings
        reports[question.name] = QuestionCheck(
            n_judged=len(found.findings.quality),
            n_suspects=len(found.findings.suspects),
            not_yet=tuple(found.findings.not_yet),
            annotators=_annotators(found),
            consensus=ConsensusReport(
                methods={question.name: METHOD},
                reasons={question.name: "each mark counts as often as people set it"},
                n_shared=len(found.shared),
                n_agree=sum(item.agreement == 1 for item in found.shared),
                tasks=tuple(searched.task_ids[item.row] for item in found.shared),
                answers=tuple((readable(consensus_answer(question, known, item)),) for item in found.shared),
                quality=tuple(round(item.agreement, 4) for item in found.shared),
                n_labels=tuple(len(item.marked) for item in found.shared),
                n_disputed=sum(len(item.said.disputed) for item in found.shared),
            ),
        )
    return replace(searched, findings=findings, spans=reports)


def _annotators(found: SpanSearch) -> tuple[AnnotatorFigures, ...]:
    """Annotators, the best first: by how far they agree with others on the same texts, else by the doubts about what
    they alone marked."""
    marked = [{str(who): runs for who, runs in item.marked.items()} for item in found.shared]
    exact, overlapping = (rank_people(marked, exact=kind) for kind in (True, False))
    shared_rows = {item.row for item in found.shared}
    figures = []
    for who, texts in found.by_person.items():
        name = str(who)
        wrong = _expected_wrong(found, {row: len(runs) for row, runs in texts.items() if row not in shared_rows})
        quality, measured_on = None, None
        if name in exact:
            quality, measured_on = exact[name], CONSENSUS
        elif wrong is not None:
            quality, measured_on = 1 - wrong, EVIDENCE
        figures.append(
            AnnotatorFigures(
                id=None if who == NOBODY else who,
                n_labels=len(texts),
                n_shared=sum(row in shared_rows for row in texts),
                quality=_rounded(quality),
                measured_on=measured_on,
                expected_wrong=_rounded(wrong),
                overlapping=_rounded(overlapping.get(name)),
            )
        )
    return tuple(sorted(figures, key=best_first))


def _expected_wrong(found: SpanSearch, alone: Mapping[int, int]) -> float | None:
    """Share of spans, those that are missing included, that is expected to be wrong; `alone`: how many stand in each
    text that nobody else labeled."""
    if found.findings.not_yet or not alone:
        return None
    return fmean(min(1.0, found.doubts.get(row, 0.0) / max(n, 1)) for row, n in alone.items())


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
