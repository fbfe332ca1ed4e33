"""Requests of one source on their way: money is reserved before each, its answers are saved before the next."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from backend.domain.audit.draw import AUDIT_SHARE, is_audit
from backend.domain.llm.answers import read_reply, reply_schema
from backend.domain.llm.examples import choose_examples
from backend.domain.llm.price import reservation
from backend.domain.llm.records import UNREADABLE, LlmAnswer, LlmReply, LlmRequest, ModelPrice, Problem
from backend.domain.questions import Question
from backend.domain.questions.quotes import moved
from backend.errors import BadRequest, ConfigurationError, LlmRefused
from backend.ports.llm import MOST_CHARGED, Claim
from backend.workflows.llm.view import LlmProject, Prompt

CLAIM_S = 900.0
"""A request that got no answer within so many seconds was its worker's last."""
ANSWER_TOKENS = 40
"""Room for the answer to one task, beside its labels."""
TOKENS_PER_LABEL = 2
"""Room for each byte of a label: no tokenizer needs more than one, and JSON escapes some."""


MAX_CHARACTERS = 12_000
"""Of the tasks in one request, unless one alone has more: models lose track in long prompts."""
MAX_TEACHING = 5000
"""Labeled tasks among which examples are looked for."""
NEAR = 0.75
"""Cosine from which two tasks are near-duplicates, by pieces of words. In the sample project no two reviews reach 0.5;
a review has 0.9 with itself after three typing errors, a Chinese sentence 0.8 after one word was changed."""
TURNED_DOWN = {Problem.CONTENT_FILTER, Problem.REJECTED}
HOW_AGAIN = "after a fix, `prelabel llm ask PROJECT --again unreadable` asks about what can't be read once more"
UNREADABLE_ALIKE = 3
"""Replies that can't be read, at the start of asking, after which the fault is in how the model is asked."""


@dataclass
class AskReport:
    """What became of one job's asking.

    until: no request is begun after this moment (`Deps.now`). learn: asks for a training; called before answers that
    count are saved. answered: tasks that got an answer, abstentions included; labeled: those that got a label.
    problems: why others got none although the model didn't abstain. skipped: reason -> number of tasks that could not
    be sent. elsewhere: tasks that other workers were asking about, or had claimed when they died. stopped: why not all
    were asked; "" if they were. unfinished: the time was over, or the project's settings changed.
    """

    until: float
    learn: Callable[[], None]
    answered: int = 0
    labeled: int = 0
    problems: Counter[Problem] = field(default_factory=Counter)
    skipped: dict[str, int] = field(default_factory=dict)
    elsewhere: int = 0
    stopped: str = ""
    unfinished: bool = False

    def add(self, answers: Sequence[LlmAnswer]) -> None:
        """Count answers."""
        self.answered += len(answers)
        self.labeled += sum(bool(answer.labels) for answer in answers)
        self.problems.update(answer.problem for answer in answers if answer.problem)

    def outcome(self) -> str:
        """For a person: what was asked, and what was not and why."""
        parts = [f"{self.answered} tasks answered, {self.labeled} with a label"]
        if self.problems:
            parts.append(", ".join(f"{count} {problem}" for problem, count in self.problems.most_common()))
        if UNREADABLE & self.problems.keys():
            parts.append(HOW_AGAIN)
        parts += [f"{count} not sent: {reason}" for reason, count in self.skipped.items()]
        parts += [f"{self.elsewhere} claimed by other workers"] if self.elsewhere else []
        parts += [self.stopped] if self.stopped else []
        return "; ".join([*parts, "going on"] if self.unfinished else parts)


@dataclass
class Asking:
    """A source's requests for some rows. Used once."""

    view: LlmProject
    prompt: Prompt
    rows: Sequence[int]
    price: ModelPrice
    tally: AskReport
    claim_s: float = CLAIM_S
    claims: dict[tuple[str, ...], Claim] = field(default_factory=dict)
    """Of requests without an answer yet, by their contents."""
    left: deque[list[int]] = field(init=False)
    """Rows of the requests that are still to be sent."""
    _n_unreadable: int = 0
    """Replies without a readable answer, before the first one with any."""
    _was_read: bool = False

    def __post_init__(self) -> None:
        self.left = deque(self.chunks())

    def requests(self) -> Iterator[LlmRequest]:
        """One request after the other, its contents claimed and its price reserved.

        It ends early where money is short only because requests under way have reserved it: what is `left` can be asked
        once they have ended.
        """
        while self.left:
            if self.view.deps.now() >= self.tally.until or self.view.is_outdated():
                self.tally.unfinished = True
                return
            chunk = self.left.popleft()
            request = self.build(chunk)
            if request is None:
                continue
            claim = self._claim(request)
            if claim is None:
                if not self._is_short(request):
                    self.tally.elsewhere += len(chunk)
                    continue
                if self.claims:
                    self.left.appendleft(chunk)
                else:
                    budget = self.view.policy.budget_usd
                    self.tally.stopped = f"the budget of {budget:g} USD (LLM_BUDGET_USD) is used up or reserved"
                    self.left.clear()
                return
            if len(claim.contents) < len(request.contents):
                self.tally.elsewhere += len(request.contents) - len(claim.contents)
                request = self.build([row for row in chunk if self.view.hashes[row] in claim.contents])
                if request is None:
                    self.view.parts.records.settle(claim, [], 0.0)
                    continue
                claim = replace(claim, usd=most_usd(request, self.price))
                self.view.parts.records.reduce(claim, claim.usd)
            self.claims[tuple(request.contents.values())] = claim
            yield request

    def answer(self, request: LlmRequest, reply: LlmReply) -> None:
        """Save what came back, and what it cost.

        Of several tasks in a request that is turned down, one may be to blame: each is asked alone then.

        Raises:
            LlmRefused: no reply so far could be read.
        """
        claim = self.claims.pop(tuple(request.contents.values()))
        if len(request.contents) > 1 and any(sample.problem in TURNED_DOWN for sample in reply.samples):
            self.view.parts.records.settle(claim, [], cost_of(claim, reply, self.price))
            rows = {self.view.hashes[row]: row for row in self.rows}
            self.left.extend([rows[content]] for content in request.contents.values())
            return
        answers = settle_reply(self.view, self.prompt.question, request, reply, self.price, claim, self.tally)
        unreadable = bool(answers) and all(answer.problem in UNREADABLE for answer in answers)
        self._n_unreadable += unreadable
        self._was_read |= bool(answers) and not unreadable
        if self._n_unreadable >= UNREADABLE_ALIKE and not self._was_read:
            raise LlmRefused(
                f"{self.prompt.source.model} doesn't answer in the form that it is asked for, or is cut off before it "
                f"does ({', '.join(sorted({answer.problem for answer in answers}))}). Set LLM_THINKING_TOKENS for a "
                f"reasoning model, or use another LLM_MODEL. If the fault was the server's: {HOW_AGAIN}."
            )

    def give_back(self) -> None:
        """Free what got no answer: its contents and its money."""
        for claim in self.claims.values():
            self.view.parts.records.settle(claim, [], 0.0)
        self.claims.clear()

    def chunks(self) -> Iterator[list[int]]:
        """Rows that go into one request. An image goes alone, and so do several samples, whose texts must compare."""
        per_request = 1 if self.prompt.source.samples > 1 else self.view.policy.tasks_per_request
        chunk: list[int] = []
        size = 0
        # Tasks with the same content are asked about once: the others find the answer of the first.
        first_of = {self.view.hashes[row]: row for row in reversed(self.rows)}
        for row in (row for row in self.rows if first_of[self.view.hashes[row]] == row):
            content = self.view.contents[row]
            if content.images:
                yield [row]
                continue
            length = len(str(content.fields))
            if chunk and (len(chunk) == per_request or size + length > MAX_CHARACTERS):
                yield chunk
                chunk, size = [], 0
            chunk.append(row)
            size += length
        if chunk:
            yield chunk

    def _claim(self, request: LlmRequest) -> Claim | None:
        return self.view.parts.records.claim(
            self.view.key,
            self.prompt.source,
            tuple(request.contents.values()),
            most_usd(request, self.price),
            self.view.policy.budget_usd,
            self.claim_s,
        )

    def _is_short(self, request: LlmRequest) -> bool:
        """Whether money is what a request lacks."""
        spending = self.view.parts.records.spending(self.view.key)
        return spending.total + most_usd(request, self.price) > self.view.policy.budget_usd

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
            examples=[self._example(row) for row in self._examples(rows)],
        )
        system, user = self.view.parts.templates.render(self.view.policy.prompts, context)
        return LlmRequest(
            source=source,
            contents=dict(zip(ids, (content.hash for content in contents), strict=True)),
            system=system,
            user=user,
            schema=reply_schema(question, ids),
            max_output_tokens=sum(most_output_tokens(question, self.view.sent_text(question, row)) for row in rows)
            + self.view.policy.thinking_tokens,
            images=tuple(images),
        )

    def _example(self, row: int) -> tuple[dict[str, object], list[object]]:
        """What is sent of a labeled task, and what people said of it."""
        question, answer = self.prompt.question, self._human[row]
        sent = self.view.sent_text(question, row)
        answer = moved(answer, question.text(self.view.corpus.data[row]), sent)
        return dict(self.view.contents[row].fields), question.example(answer, sent)

    @cached_property
    def _human(self) -> dict[int, tuple[str, ...]]:
        return self.view.human(self.prompt.question)

    @cached_property
    def _teaching(self) -> NDArray[np.int64]:
        """Rows that may become examples: some that people labeled, without audit tasks."""
        # Where a project has no audit tasks, the slice is kept back all the same, see `what_labels_brought`.
        share = self.view.deps.policy(self.view.key).audit_share or AUDIT_SHARE
        rows = [
            row
            for row in self._human
            if not is_audit(self.view.key, self.view.corpus.items[row].task.id, share)
            and self.view.contents[row].fields
            and not self.view.contents[row].images
        ]
        return np.random.default_rng(0).permutation(np.array(rows, dtype=np.int64))[:MAX_TEACHING]

    @cached_property
    def _words(self) -> TfidfVectorizer:
        """TF-IDF of pieces of words: they show likeness in any script, and in spite of typing errors."""
        texts = [self._text(row) for row in self._teaching]
        return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit([*texts, "nothing"])

    @cached_property
    def _teaching_features(self) -> csr_matrix:
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
        places = choose_examples(asked, self._teaching_features, classes, n, near=NEAR)
        return [int(self._teaching[place]) for place in places]


def most_output_tokens(question: Question, text: str) -> int:
    """Room for the answer to one task."""
    return ANSWER_TOKENS + TOKENS_PER_LABEL * question.reply_bytes(text)


def most_usd(request: LlmRequest, price: ModelPrice) -> float:
    """The most that a request can cost, sent again after its answer got lost."""
    return MOST_CHARGED * reservation(request, price)


def cost_of(claim: Claim, reply: LlmReply, price: ModelPrice) -> float:
    """What a reply cost. What got lost may have been charged, and counts as the most that the request can cost; so does
    a reply of which the endpoint doesn't say, or not credibly, how many tokens it took."""
    most = claim.usd / MOST_CHARGED
    is_counted = reply.input_tokens > 0 or all(sample.problem in TURNED_DOWN for sample in reply.samples)
    return reply.lost * most + (price.of(reply.input_tokens, reply.output_tokens) if is_counted else most)


def settle_reply(
    view: LlmProject,
    question: Question,
    request: LlmRequest,
    reply: LlmReply,
    price: ModelPrice,
    claim: Claim,
    tally: AskReport,
) -> list[LlmAnswer]:
    """Save the answers of a reply with what it cost, in one step; returns them."""
    usd, answered_at = cost_of(claim, reply, price), view.deps.now()
    texts = {
        content: view.sent_text(question, view.row_of[content])
        for content in request.contents.values()
        if content in view.row_of
    }
    answers = read_reply(request, reply, question, usd, answered_at=answered_at, texts=texts) if reply.samples else []
    try:
        if view.is_trusted(request.source):
            # Before they are saved: what a killed worker saved is learned from too.
            tally.learn()
    finally:
        # They are paid for, also where a training can't be asked for.
        view.parts.records.settle(claim, answers, usd)
    tally.add(answers)
    return answers


def price_of(view: LlmProject, model: str) -> ModelPrice:
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
