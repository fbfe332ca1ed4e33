"""Spans of people that are probably wrong or missing, and what several people say of the same text."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from backend.domain.label_errors.records import Findings, Suspect
from backend.domain.marking.learn import Prepared
from backend.domain.outside import listed
from backend.domain.questions import Spans
from backend.domain.questions.marks import readable
from backend.domain.reports.check import NotYet
from backend.domain.spans.consensus import Consensus, agreement, consensus
from backend.domain.spans.fit import hold_out
from backend.domain.spans.suspects import Fault, find_suspects
from backend.domain.spans.suspects import Suspect as SpanSuspect
from backend.domain.spans.text import Run, Span
from backend.domain.spans.vote import SHORT_FORM, Runs
from backend.domain.tasks import Answer, MirroredTask
from backend.domain.words import counted, share

FEWEST_TEXTS = 10
"""Texts that people looked at from which on they are judged."""
LEAST_DOUBT = 0.3
"""Of suspects with this doubt about every third is wrong, as far as people err as often as they usually do."""
SHORT_FORMS = "short forms"
"""What the source is called that marks abbreviations which a text explains."""
MOST_NAMED = 3
NOBODY = -1
"""The annotator of whom nothing is known."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A text that several people labeled. marked: what each of them marked, by user id; said: what they agree on.
    agreement: mean F1 of each two of them."""

    row: int
    marked: Mapping[int, Runs]
    said: Consensus
    agreement: float


@dataclass(frozen=True, slots=True)
class SpanSearch:
    """What was found. findings: suspects, by row of the texts. shared: texts of several people. by_person: for each of
    them the texts with what he or she marked; doubts: by row, the sum of the doubts about what stands there."""

    findings: Findings
    shared: list[Shared]
    by_person: Mapping[int, Mapping[int, Runs]]
    doubts: Mapping[int, float]


def search_spans(question: Spans, known: Prepared, items: Sequence[MirroredTask], *, seed: int) -> SpanSearch:
    """Judge people's spans, and what they left out, by models that haven't seen them, and by each other.

    Args:
        question: the question.
        known: of n texts.
        items: their tasks.
        seed: draws the folds.
    """
    by_person = _by_person(question, known, items)
    shared = _shared(by_person)
    n = sum(runs is not None for runs in known.gold)
    if n < FEWEST_TEXTS:
        reason = f"{counted(n, 'text')} that people looked at; {FEWEST_TEXTS} are needed"
        disputed = _disputed(question, known, shared, ())
        return SpanSearch(Findings(disputed, np.zeros(0), [NotYet(question.name, reason)]), shared, by_person, {})
    held_out = hold_out([item.voted for item in known.tokens], known.gold, question.labels, seed=seed)
    found = find_suspects([item.voted for item in known.tokens], known.gold, held_out)
    doubts: dict[int, float] = {}
    for item in found:
        doubts[item.row] = doubts.get(item.row, 0.0) + item.doubt
    of_row = {item.row: item for item in shared}
    suspects = [
        _suspect(question, known, item, of_row.get(item.row))
        for item in found
        if item.doubt >= LEAST_DOUBT and not _is_disputed(item, of_row.get(item.row))
    ]
    missing = {(item.row, item.expected) for item in found if item.fault is Fault.MISSING and item.expected}
    disputed = _disputed(question, known, shared, missing)
    n_judged = sum(len(runs) for runs, raw in zip(known.gold, held_out, strict=True) if runs and raw is not None)
    ordered = sorted([*suspects, *disputed], key=lambda item: (item.quality, item.row, item.region))
    return SpanSearch(Findings(ordered, np.ones(n_judged)), shared, by_person, doubts)


def consensus_answer(question: Spans, known: Prepared, item: Shared) -> Answer:
    """What people agree on in a text, as an answer."""
    return tuple(_written(question, known, item.row, run) for run in sorted(item.said.runs))


def _suspect(question: Spans, known: Prepared, item: SpanSuspect, shared: Shared | None) -> Suspect:
    given, expected = (
        () if run is None else (_written(question, known, item.row, run),) for run in (item.given, item.expected)
    )
    place = item.given or item.expected
    assert place is not None  # noqa: S101 - one of them is there in every suspect
    (span,) = known.tokens[item.row].read.spans([place])
    parts = [_fault(item.fault, given, expected)]
    sources = [SHORT_FORMS if source == SHORT_FORM else known.sources[source] for source in item.sources]
    if sources:
        said = listed([*sources[:MOST_NAMED]]) + (
            f" and {len(sources) - MOST_NAMED} more" if sources[MOST_NAMED:] else ""
        )
        parts.append(f"marked by {said}")
    if shared is not None:
        n = sum((item.given or item.expected) in runs for runs in shared.marked.values())
        parts.append(f"{n} of {len(shared.marked)} annotators marked it")
    parts.append(f"probability {share(item.doubt)} that a second look changes it")
    return Suspect(
        row=item.row,
        question=question.name,
        given=given,
        expected=expected,
        quality=1 - item.doubt,
        likelihood=item.doubt,
        region=question.region_at(known.tokens[item.row].text, span),
        reason="; ".join(parts),
    )


def _fault(fault: Fault, given: Answer, expected: Answer) -> str:
    if fault is Fault.MISSING:
        return f"missing: {readable(expected)}"
    if fault is Fault.SPURIOUS:
        return f"spurious: {readable(given)}"
    return f"{fault.value}: {readable(given)}, expected {readable(expected)}"


def _is_disputed(item: SpanSuspect, shared: Shared | None) -> bool:
    """Whether what is missing is where people marked something, each something else: that is a suspect of its own."""
    if shared is None or item.fault is not Fault.MISSING or item.expected is None:
        return False
    return any(item.expected.overlaps(run) for run in shared.said.disputed)


def _disputed(
    question: Spans, known: Prepared, shared: Sequence[Shared], missing: Collection[tuple[int, Run]]
) -> list[Suspect]:
    """Places that most people marked, but each otherwise: what the fewest of them marked is suspect. Expected is what
    the models expect (`missing`: row and run), if somebody marked that, else what most of them did."""
    found = []
    for item in shared:
        for most, agreed in item.said.disputed.items():
            there = [run for runs in item.marked.values() for run in runs if run.overlaps(most)]
            expected = next((run for run in there if (item.row, run) in missing), most)
            there = [run for run in there if run != expected]
            if not there:
                continue
            given = min(there, key=lambda run: (there.count(run), run))
            said = ", ".join(
                f"{counted(count, 'annotator')}: {readable((_written(question, known, item.row, run),))}"
                for run, count in _counts(item, expected).items()
            )
            (span,) = known.tokens[item.row].read.spans([given])
            found.append(
                Suspect(
                    row=item.row,
                    question=question.name,
                    given=(_written(question, known, item.row, given),),
                    expected=(_written(question, known, item.row, expected),),
                    quality=1 - agreed,
                    likelihood=agreed,
                    region=question.region_at(known.tokens[item.row].text, span),
                    reason=f"annotators disagree: {said}",
                )
            )
    return found


def _counts(item: Shared, place: Run) -> dict[Run, int]:
    there = [run for runs in item.marked.values() for run in runs if run.overlaps(place)]
    return {run: there.count(run) for run in sorted(set(there), key=lambda run: (-there.count(run), run))}


def _written(question: Spans, known: Prepared, row: int, run: Run) -> str:
    tokens = known.tokens[row]
    (span,) = tokens.read.spans([run])
    return question.mark_at(tokens.text, span)


def _by_person(question: Spans, known: Prepared, items: Sequence[MirroredTask]) -> dict[int, dict[int, Runs]]:
    """For each annotator the rows of the texts that he or she labeled, and the runs there; of two labels the last."""
    found: dict[int, dict[int, Runs]] = {}
    for row, item in enumerate(items):
        if known.gold[row] is None:
            continue
        for entry in question.said_in(item):
            spans = question.marks(entry.answers.get(question.name, ()), item.task.data)
            who = NOBODY if entry.annotator_id is None else entry.annotator_id
            runs = known.tokens[row].read.runs(Span(*mark[:3]) for mark in spans)[0]
            found.setdefault(who, {})[row] = tuple(sorted(runs))
    return found


def _shared(by_person: Mapping[int, Mapping[int, Runs]]) -> list[Shared]:
    of_rows: dict[int, dict[int, Runs]] = {}
    for who, texts in by_person.items():
        for row, runs in texts.items():
            of_rows.setdefault(row, {})[who] = runs
    found = []
    for row, marked in sorted(of_rows.items()):
        if len(marked) > 1:
            each = list(marked.values())
            pairs = [agreement(one, other) for at, one in enumerate(each) for other in each[at + 1 :]]
            said = consensus({str(who): runs for who, runs in marked.items()})
            found.append(Shared(row, marked, said, fmean(pairs)))
    return found
