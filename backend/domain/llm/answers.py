"""The form of an LLM's replies, and how they are read: an answer or an abstention for each task asked.

A reply is `{"answers": [{"id": "t1", "labels": ["Positive"], "confidence": 0.9}, ...]}`; `labels: []` abstains. Slips
of form that leave no doubt are read (see `reply_text`); two answers to one task that differ are none. Additional keys
are ignored.

A label that the question doesn't have is an abstention with `Problem.OFF_LIST`, also when it differs in case or blanks
only: a guess that is right nine times of ten would count as the model's own word the tenth time.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from backend.domain.codec import Json
from backend.domain.llm.confidence import TokenMap
from backend.domain.llm.records import ConfidenceKind, LlmAnswer, LlmReply, LlmRequest, Problem, Sample
from backend.domain.llm.reply_text import Item, find_answers, label_spans, labels_of, unpacked
from backend.domain.outside import bounded_number
from backend.domain.questions import Question
from backend.domain.questions.base import closed
from backend.domain.tasks import Answer

MAX_ENUM = 500
"""Values in all enums of a schema that OpenAI's strict mode takes from every model; more are refused."""
MAX_ENUM_CHARACTERS = 7_500
"""Of the labels together, when they are more than `LONG_ENUM`."""
LONG_ENUM = 250
MAX_CHARACTERS = 1_000_000
"""A longer reply is not read: no question has that many answers."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What one sample says of one task. label_probability: from its tokens. stated: the confidence it names."""

    labels: Answer = ()
    problem: Problem = Problem.NONE
    label_probability: float | None = None
    stated: float | None = None


def reply_schema(question: Question, ids: Sequence[str]) -> dict[str, Json]:
    """JSON schema of a reply about the tasks with these ids, for OpenAI's strict mode and whoever follows it.

    Strict mode wants every property required (so a missing confidence is null) and takes few keywords; which ones
    differs between endpoints. So only the keywords that all have are used, and `read_reply` checks the rest: one label
    at most, each id once. Labels beyond `MAX_ENUM` are not listed, for the same reason.
    """
    total = len(question.labels) + len(ids)
    too_long = len(question.labels) > LONG_ENUM and sum(map(len, question.labels)) > MAX_ENUM_CHARACTERS
    name: dict[str, Json] = {"type": "string"}
    if total <= MAX_ENUM and not too_long:
        name["enum"] = list(question.labels)
    answer: dict[str, Json] = {
        "id": {"type": "string", "enum": list(ids)} if total <= MAX_ENUM else {"type": "string"},
        "labels": {"type": "array", "items": question.reply_item(name)},
        "confidence": {"type": ["number", "null"]},
    }
    return closed({"answers": {"type": "array", "items": closed(answer)}})


def read_reply(
    request: LlmRequest,
    reply: LlmReply,
    question: Question,
    usd: float = 0.0,
    *,
    answered_at: float = 0.0,
    texts: Mapping[str, str] | None = None,
) -> list[LlmAnswer]:
    """One answer for each task of a request, in its order, whatever the reply holds.

    With several samples the set of labels that most of them give wins; on a tie it is an abstention. Where no sample
    could be read, the problem that most of them have is kept. The confidence is, in this order: the mean probability
    of the labels' tokens times the share of the samples (of those that could be read) that agree, that share alone (of
    two or more), the one that the model states.

    Args:
        request: what was asked.
        reply: what came back. Its tokens and latency are shared equally over the tasks; the shares add up
            exactly.
        question: whose labels count.
        usd: what the request cost; the tasks share it likewise.
        answered_at: seconds since the epoch.
        texts: by `LlmAnswer.content`, what was sent of the text that the question marks.
    """
    if not request.contents:
        return []
    sent = {task_id: (texts or {}).get(content, "") for task_id, content in request.contents.items()}
    samples = [_read_sample(sample, sent, question) for sample in reply.samples]
    n = len(request.contents)
    shares = zip(
        _whole_shares(reply.input_tokens, n),
        _whole_shares(reply.output_tokens, n),
        _shares(usd, n),
        _shares(reply.latency_s, n),
        strict=True,
    )
    answers = []
    for (task_id, content), (input_tokens, output_tokens, price_usd, latency_s) in zip(
        request.contents.items(), shares, strict=True
    ):
        said, confidence, kind = _agreed([sample[task_id] for sample in samples])
        answers.append(
            LlmAnswer(
                content=content,
                prompt=request.source.prompt,
                model=request.source.model,
                labels=said.labels,
                problem=said.problem,
                confidence=confidence,
                confidence_kind=kind,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                price_usd=price_usd,
                latency_s=latency_s,
                answered_at=answered_at,
            )
        )
    return answers


def _agreed(said: Sequence[_Said]) -> tuple[_Said, float | None, ConfidenceKind]:
    """What several samples say of a task together, with the confidence."""
    readable = [item for item in said if item.problem is Problem.NONE or item.labels]
    if not readable:
        problems = Counter(item.problem for item in said).most_common(1)
        return _Said(problem=problems[0][0] if problems else Problem.UNREADABLE), None, ConfidenceKind.NONE
    counts = Counter(item.labels for item in readable).most_common(2)
    labels, votes = counts[0]
    if len(counts) == 2 and counts[1][1] == votes:
        return _Said(), None, ConfidenceKind.NONE
    winners = [item for item in readable if item.labels == labels]
    probabilities = [item.label_probability for item in winners if item.label_probability is not None]
    stated = [item.stated for item in winners if item.stated is not None]
    if probabilities:
        probability = math.fsum(probabilities) / len(probabilities)
        return winners[0], probability * votes / len(readable), ConfidenceKind.LOGPROBS
    if len(readable) > 1:
        return winners[0], votes / len(readable), ConfidenceKind.AGREEMENT
    if stated:
        return winners[0], stated[0], ConfidenceKind.STATED
    return winners[0], None, ConfidenceKind.NONE


def _read_sample(sample: Sample, ids: Mapping[str, str], question: Question) -> dict[str, _Said]:
    """What one text says of each task. ids: of the tasks, with the texts that were sent of them."""
    if sample.problem not in {Problem.NONE, Problem.CUT_OFF}:
        return dict.fromkeys(ids, _Said(problem=sample.problem))
    if len(sample.text) > MAX_CHARACTERS:
        return dict.fromkeys(ids, _Said(problem=Problem.TOO_LARGE))
    found = find_answers(sample.text, ids, cut=sample.problem is Problem.CUT_OFF)
    said: dict[str, list[_Said]] = {task_id: [] for task_id in ids}
    tokens = TokenMap(sample.text, sample.tokens)
    for item in found.items:
        task_id = item.answer.get("id")
        if len(ids) == len(found.items) == 1 and "id" not in item.answer:
            # One task, one answer.
            task_id = next(iter(ids))
        if isinstance(task_id, str) and task_id in said:
            said[task_id].append(_read_answer(item, sample.text, question, tokens, ids[task_id]))
    nothing = Problem.CUT_OFF if found.cut else Problem.UNREADABLE if found.has_json else Problem.NO_JSON
    return {task_id: _one_of(items, nothing) for task_id, items in said.items()}


def _one_of(said: Sequence[_Said], nothing: Problem) -> _Said:
    """What one text says of a task, however often it says it; `nothing`: why it says nothing."""
    if not said:
        return _Said(problem=nothing)
    first = said[0]
    if any((other.labels, other.problem) != (first.labels, first.problem) for other in said):
        return _Said(problem=Problem.AMBIGUOUS)
    return first if all(other.stated == first.stated for other in said) else replace(first, stated=None)


def _read_answer(item: Item, text: str, question: Question, tokens: TokenMap, sent: str) -> _Said:
    given = _labels(labels_of(item.answer), question)
    if given is None:
        return _Said(problem=Problem.UNREADABLE)
    labels, has_all = question.meant(given, sent)
    if not labels and not has_all:
        return _Said(problem=Problem.OFF_LIST)
    if not question.accepts(labels):
        return _Said(problem=Problem.AMBIGUOUS)
    probability = None if item.start is None else tokens.probability(label_spans(text, item.start))
    problem = Problem.NONE if has_all else Problem.OFF_LIST
    return _Said(labels, problem, probability, _stated(item.answer.get("confidence")))


def _labels(given: object, question: Question) -> list[str] | None:
    """Labels that an answer gives, as a list or one alone; None where that is no list of texts."""
    if given not in question.labels:
        given = unpacked(given)
    items: list[object] = given if isinstance(given, list) else [given]
    texts = [label for item in items if (label := question.label_of(item)) is not None]
    return texts if len(texts) == len(items) else None


def _stated(value: object) -> float | None:
    """A confidence that the model named; None for what is no number between 0 and 1."""
    return bounded_number(value, 0, 1)


def _whole_shares(total: int, n: int) -> list[int]:
    """n whole numbers, as equal as can be, whose sum is `total`."""
    each, rest = divmod(total, n)
    return [each + (index < rest) for index in range(n)]


def _shares(total: float, n: int) -> list[float]:
    """n numbers, as equal as can be, whose sum is exactly `total`, in whatever order they are added.

    All are multiples of the spacing of floats at `total`, so that no sum of them is rounded.
    """
    if not math.isfinite(total):
        return [0.0] * n
    spacing = math.ulp(total)
    return [share * spacing for share in _whole_shares(int(total / spacing), n)]
