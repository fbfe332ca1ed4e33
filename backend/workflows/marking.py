"""Spans on the ways that suggestions go: marked beside what is decided, and learned beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from backend.domain.corpus import Corpus
from backend.domain.marking.learn import LearnedMarking, gold_of, learn
from backend.domain.marking.model import from_rules, with_marks
from backend.domain.marking.votes import SpanVotes, apply_marking_rules, beside
from backend.domain.model.project import ProjectModel
from backend.domain.model.training import Trained
from backend.domain.rules import Rule
from backend.domain.suggestions import Suggestion
from backend.domain.votes import RuleFaults
from backend.ports import Deps
from backend.workflows.llm.contents import Contents
from backend.workflows.votes import llm_marks


def marked_too(
    suggestions: Sequence[Suggestion],
    model: ProjectModel | None,
    deps: Deps,
    contents: Contents,
    rules: Sequence[Rule],
) -> tuple[list[Suggestion], RuleFaults]:
    """Suggestions for some tasks with the spans in them, and the faults of rules that mark.

    A question that the model wasn't trained on as it is now is answered from the rules alone.
    """
    votes, faults = cast_marks(deps, contents, rules)
    found = {}
    for question in contents.config.spans:
        known = None if model is None else model.marking.get(question.name)
        mine = votes[question.name]
        if known is None or known.question != question:
            known = from_rules(question, mine.sources)
        found[question.name] = known.suggest(mine, contents.data)
    each = [
        with_marks(item, {name: marked[row] for name, marked in found.items()}) if found else item
        for row, item in enumerate(suggestions)
    ]
    return each, faults


def cast_marks(deps: Deps, contents: Contents, rules: Sequence[Rule]) -> tuple[dict[str, SpanVotes], RuleFaults]:
    """What rules, and LLMs whose votes count, say of some texts, by question; and the faults of the rules."""
    votes, faults = apply_marking_rules(rules, contents.data, contents.config.spans)
    return {name: beside(votes[name], said) for name, said in llm_marks(deps, contents).items()}, faults


def learned_spans(
    deps: Deps, corpus: Corpus, contents: Contents, rules: Sequence[Rule], *, seed: int
) -> tuple[dict[str, LearnedMarking], RuleFaults]:
    """What is learned of each question of spans, and the faults of rules that mark."""
    votes, faults = cast_marks(deps, contents, rules)
    learned = {
        question.name: learn(question, votes[question.name], corpus.data, gold_of(question, corpus.items), seed=seed)
        for question in corpus.config.spans
    }
    return learned, faults


def with_marking(trained: Trained, marking: Mapping[str, LearnedMarking]) -> Trained:
    """What was trained, with what was learned of spans."""
    if not marking:
        return trained
    model = replace(trained.model, marking={name: about.model for name, about in marking.items()})
    figures = dict(trained.metrics.questions) | {name: about.figures for name, about in marking.items()}
    return replace(trained, model=model, metrics=replace(trained.metrics, questions=figures))
