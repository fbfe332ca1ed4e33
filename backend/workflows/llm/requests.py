"""Requests of one source on their way: money is reserved before each, its answers are saved before the next."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from backend.domain.audit import is_audit
from backend.domain.llm.answers import read_reply, reply_schema
from backend.domain.llm.examples import choose_examples
from backend.domain.llm.price import estimated_tokens, reservation
from backend.domain.llm.records import LlmAnswer, LlmReply, LlmRequest, ModelPrice
from backend.domain.questions import Question
from backend.errors import BadRequest, ConfigurationError
from backend.ports.llm import MOST_CHARGED, Claim
from backend.workflows.llm.view import LlmView, Prompt

CLAIM_S = 900.0
"""A request that got no answer within so many seconds was its worker's last."""
ANSWER_TOKENS = 40
"""Room for the answer to one task, beside its labels."""
TOKENS_PER_LABEL = 2
"""Room for each byte of a label: no tokenizer needs more than one, and JSON escapes some."""


@dataclass
class Tally:
    """What became of one job's asking.

    until: no request is begun after this moment (`Deps.now`). learn: asks for a training; called before answers that
    count are saved. answered: tasks that got an answer, abstentions included; labeled: those that got a label. skipped:
    reason -> number of tasks that could not be sent. stopped: why not all were asked; "" if they were. unfinished: the
    time was over, or the project's settings changed.
    """

    until: float
    learn: Callable[[], None]
    answered: int = 0
    labeled: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    stopped: str = ""
    unfinished: bool = False

    def add(self, answers: Sequence[LlmAnswer]) -> None:
        """Count answers."""
        self.answered += len(answers)
        self.labeled += sum(bool(answer.labels) for answer in answers)

    def outcome(self) -> str:
        """For a person: what was asked, and what was not and why."""
        parts = [f"{self.answered} tasks answered, {self.labeled} with a label"]
        parts += [f"{count} not sent: {reason}" for reason, count in self.skipped.items()]
        parts += [self.stopped] if self.stopped else []
        return "; ".join([*parts, "going on"] if self.unfinished else parts)


@dataclass
class Asking:
    """A source's requests for some rows. Used once."""

    view: LlmView
    prompt: Prompt
    rows: Sequence[int]
    price: ModelPrice
    tally: Tally
    claim_s: float = CLAIM_S
    claims: dict[tuple[str, ...], Claim] = field(default_factory=dict)
    """Of requests without an answer yet, by their contents."""

    def requests(self) -> Iterator[LlmRequest]:
        """One request after the other, its contents claimed and its price reserved."""
        policy, records = self.view.policy, self.view.parts.records
        for chunk in self.chunks():
            if self.view.deps.now() >= self.tally.until or self.view.is_outdated():
                self.tally.unfinished = True
                return
            request = self.build(chunk)
            if request is None:
                continue
            wanted = tuple(request.contents.values())
            most = MOST_CHARGED * reservation(request, self.price)
            source = self.prompt.source
            claim = records.claim(self.view.key, source, wanted, most, policy.budget_usd, self.claim_s)
            if claim is None:
                if records.spending(self.view.key).total + most > policy.budget_usd:
                    self.tally.stopped = f"the budget of {policy.budget_usd:.2f} USD (LLM_BUDGET_USD) is used up"
                    return
                # Others have asked about all of them meanwhile.
                continue
            if len(claim.contents) < len(wanted):
                request = self.build([row for row in chunk if self.view.hashes[row] in claim.contents])
                if request is None:
                    records.settle(claim, [], 0.0)
                    continue
                records.reduce(claim, MOST_CHARGED * reservation(request, self.price))
            self.claims[tuple(request.contents.values())] = claim
            yield request

    def answer(self, request: LlmRequest, reply: LlmReply) -> None:
        """Save what came back, and what it cost."""
        claim = self.claims.pop(tuple(request.contents.values()))
        settle_reply(self.view, self.prompt.question, request, reply, self.price, claim, self.tally)

    def give_back(self) -> None:
        """Free what got no answer: its contents and its money."""
        for claim in self.claims.values():
            self.view.parts.records.settle(claim, [], 0.0)
        self.claims.clear()

    def chunks(self) -> Iterator[list[int]]:
        """Rows that go into one request. An image goes alone, and so do several samples, whose texts must compare."""
        per_request = 1 if self.prompt.source.samples > 1 else self.view.policy.per_request
        chunk: list[int] = []
        for row in self.rows:
            if self.view.contents[row].images:
                yield [row]
                continue
            # Two tasks with the same content would be one id: the second finds the answer of the first.
            if self.view.hashes[row] not in {self.view.hashes[other] for other in chunk}:
                chunk.append(row)
            if len(chunk) == per_request:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def build(self, rows: Sequence[int]) -> LlmRequest | None:
        """The request for some rows; None when nothing of them can be sent."""
        question, source = self.prompt.question, self.prompt.source
        contents = [self.view.contents[row] for row in rows]
        try:
            images = [self.view.parts.fetch_image(url) for content in contents for url in content.images]
        except BadRequest as error:
            self.tally.skipped[str(error)] = self.tally.skipped.get(str(error), 0) + len(rows)
            return None
        ids = [f"t{number}" for number in range(1, len(rows) + 1)]
        context = replace(
            self.prompt.context,
            tasks={number: dict(content.fields) for number, content in zip(ids, contents, strict=True)},
            examples=[(dict(self.view.contents[row].fields), self._human[row]) for row in self._examples(rows)],
        )
        system, user = self.view.parts.templates.render(self.view.policy.prompts, context)
        return LlmRequest(
            source=source,
            contents=dict(zip(ids, (content.hash for content in contents), strict=True)),
            system=system,
            user=user,
            schema=reply_schema(question, ids),
            max_output_tokens=most_output_tokens(question) * len(rows),
            images=tuple(images),
        )

    @cached_property
    def _human(self) -> dict[int, tuple[str, ...]]:
        return self.view.human(self.prompt.question)

    @cached_property
    def _teaching(self) -> NDArray[np.int64]:
        """Rows that may become examples: what people labeled, without audit tasks."""
        rows = [
            row
            for row in self._human
            if not is_audit(self.view.key, self.view.items[row].task.id) and not self.view.contents[row].images
        ]
        return np.array(rows, dtype=np.int64)

    @cached_property
    def _words(self) -> TfidfVectorizer:
        """TF-IDF of the words of labeled tasks: cheap, and enough to find similar ones."""
        return TfidfVectorizer(sublinear_tf=True).fit([*(self._text(row) for row in self._teaching), "nothing"])

    @cached_property
    def _taught(self) -> csr_matrix:
        return self._words.transform([self._text(row) for row in self._teaching])

    def _text(self, row: int) -> str:
        return " ".join(map(str, self.view.contents[row].fields.values()))

    def _examples(self, rows: Sequence[int]) -> list[int]:
        """Labeled rows to show with a request; see `choose_examples` for what keeps answers from leaking."""
        n = self.prompt.source.examples
        if not n or not self._teaching.size:
            return []
        labels = list(dict.fromkeys(self._human.values()))
        classes = np.array([labels.index(self._human[int(row)]) for row in self._teaching], dtype=np.int64)
        asked = self._words.transform([self._text(row) for row in rows])
        return [int(self._teaching[place]) for place in choose_examples(asked, self._taught, classes, n)]


def most_output_tokens(question: Question) -> int:
    """Room for the answer to one task."""
    sizes = [len(label.encode()) for label in question.labels]
    return ANSWER_TOKENS + TOKENS_PER_LABEL * (sum(sizes) if question.multiple else max(sizes, default=0))


def settle_reply(
    view: LlmView,
    question: Question,
    request: LlmRequest,
    reply: LlmReply,
    price: ModelPrice,
    claim: Claim,
    tally: Tally,
) -> None:
    """Save the answers of a reply with what it cost, in one step; what got lost may have been charged, and counts."""
    cost = reply.lost * reservation(request, price)
    if not reply.samples:
        view.parts.records.settle(claim, [], cost)
        return
    if not reply.input_tokens:
        # An endpoint that doesn't count: by length.
        counted = sum(estimated_tokens(sample.text) for sample in reply.samples)
        reply = replace(reply, input_tokens=estimated_tokens(request.system + request.user), output_tokens=counted)
    if view.is_trusted(request.source):
        # Before they are saved: what a killed worker saved is learned from too.
        tally.learn()
    now = view.deps.now()
    answers = [replace(answer, answered_at=now) for answer in read_reply(request, reply, question, price)]
    view.parts.records.settle(claim, answers, cost + price.of(reply.input_tokens, reply.output_tokens))
    tally.add(answers)


def price_of(view: LlmView, model: str) -> ModelPrice:
    """Price of a model.

    Raises:
        ConfigurationError: nobody said; then no budget could be kept.
    """
    price = view.parts.prices.of(model)
    if price is None:
        raise ConfigurationError(
            f"The price of {model!r} is unknown, so its budget can't be kept: add it to the file LLM_PRICES "
            "(input_usd and output_usd per million tokens; 0 for a model of your own)."
        )
    return price
