"""All votes on some tasks: those of the rules, and those of LLMs whose votes count."""

from collections.abc import Mapping, Sequence

from backend.domain.frame import Frame
from backend.domain.llm.content import Content
from backend.domain.llm.votes import join, llm_columns
from backend.domain.marking.votes import Marks, SpanVotes
from backend.domain.questions import Spans
from backend.domain.questions.marks import mark_in
from backend.domain.questions.quotes import moved
from backend.domain.rules import History, Rule
from backend.domain.spans.text import Span
from backend.domain.tasks import Answer
from backend.domain.votes import RuleFaults, VoteMatrix, apply_rules
from backend.ports import Deps
from backend.ports.llm import SourceRecord
from backend.workflows.llm.contents import Contents
from backend.workflows.llm.view import llm_disabled_reason


def cast_votes(
    deps: Deps, frame: Frame, contents: Contents, rules: Sequence[Rule], history: History
) -> tuple[Frame, RuleFaults]:
    """The frame with all votes on its tasks, which are those of the contents; and what went wrong in the rules.

    LLMs are not asked: what they answered before is looked up. See `apply_rules` for the rest.
    """
    votes, faults = apply_rules(rules, contents.data, contents.config.questions, history)
    return frame.with_votes(join(votes, llm_votes(deps, contents))), faults


def llm_votes(deps: Deps, contents: Contents) -> dict[str, VoteMatrix]:
    """The votes of the LLM sources that passed the validation gate, from their recorded answers; {} without any."""
    key = contents.key
    sources = _trusted(deps, key)
    if deps.llm is None or not sources:
        return {}
    hashes = [content.hash for content in contents.each]
    questions = {question.name: question for question in contents.config.questions}
    votes: dict[str, VoteMatrix] = {}
    for item in sources:
        question = questions.get(item.source.question)
        if question is not None:
            found = deps.llm.records.answers(item.source.prompt, item.source.model, set(hashes))
            answers = [found.get(content) for content in hashes]
            votes = join(votes, llm_columns(question, item.source, answers, item.calibration, item.split))
    return votes


def llm_marks(deps: Deps, contents: Contents) -> dict[str, SpanVotes]:
    """The same of questions about spans: what these sources marked, by question."""
    found: dict[str, SpanVotes] = {}
    for question in contents.config.spans:
        columns = {}
        for item in _trusted(deps, contents.key):
            if item.source.question == question.name and deps.llm is not None:
                hashes = [content.hash for content in contents.each]
                answers = deps.llm.records.answers(item.source.prompt, item.source.model, set(hashes))
                columns[item.source.name] = [
                    _marked(question, answers[content.hash].labels, content, data) if content.hash in answers else ()
                    for content, data in zip(contents.each, contents.data, strict=True)
                ]
        each = [tuple(column[row] for column in columns.values()) for row in range(len(contents.data))]
        found[question.name] = SpanVotes(tuple(columns), each, [((),) * len(columns)] * len(contents.data))
    return found


def _marked(question: Spans, answer: Answer, content: Content, data: Mapping[str, object]) -> Marks:
    """An answer about what was sent of a text, as spans of the text."""
    placed = moved(answer, question.text(content.fields), question.text(data))
    marks = [mark for mark in map(mark_in, placed) if mark is not None and question.index(mark.label) is not None]
    return tuple(Span(*mark[:3]) for mark in marks)


def _trusted(deps: Deps, key: str) -> list[SourceRecord]:
    """The sources that passed the validation gate; none where LLMs take no part."""
    if deps.llm is None or llm_disabled_reason(deps, key):
        return []
    return [item for item in deps.llm.records.sources(key) if item.current and item.trusted]


def voters(deps: Deps, key: str) -> str:
    """Changes with the LLM sources whose votes count in a project; "" without any."""
    return " ".join(sorted(item.source.name for item in _trusted(deps, key)))
