"""All votes on some tasks: those of the rules, and those of LLMs whose votes count."""

from collections.abc import Sequence

from backend.domain.frame import Frame
from backend.domain.llm.votes import join, llm_columns
from backend.domain.rules import History, Rule
from backend.domain.votes import RuleFaults, VoteMatrix, apply_rules
from backend.ports import Deps
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
    if deps.llm is None or llm_disabled_reason(deps, key):
        return {}
    sources = [item for item in deps.llm.records.sources(key) if item.current and item.trusted]
    if not sources:
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


def voters(deps: Deps, key: str) -> str:
    """Changes with the LLM sources whose votes count in a project; "" without any."""
    if deps.llm is None or llm_disabled_reason(deps, key):
        return ""
    sources = [item for item in deps.llm.records.sources(key) if item.current and item.trusted]
    return " ".join(sorted(item.source.name for item in sources))
