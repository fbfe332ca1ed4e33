"""What an LLM may see of a project, and the sources that ask it."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backend.domain.corpus import Corpus
from backend.domain.frame import Frame
from backend.domain.label_config import LabelConfig
from backend.domain.llm.content import Content, compile_masks, content_of_each
from backend.domain.llm.options import LlmPolicyName
from backend.domain.llm.records import LlmAnswer, LlmSource
from backend.domain.locations import fields_elsewhere
from backend.domain.marking.learn import gold_of
from backend.domain.outside import one_line
from backend.domain.policy import LlmPolicy
from backend.domain.questions import Question, Spans, decisions
from backend.domain.questions.marks import Mark, written
from backend.domain.suggestions import Suggestion
from backend.domain.tasks import Answer, MirroredTask
from backend.domain.visibility import hidden_rows
from backend.errors import ConfigurationError, ModelMissing
from backend.ports import Deps, ProjectRecord
from backend.ports.llm import LlmPorts, PromptContext, SourceRecord

TELLING = 200
"""Tasks that tell what is in a field."""
READY_FOR_EXAMPLES = 20
"""Human answers to a question from which on examples are shown: fewer are no choice of similar ones."""
PLACEHOLDER = {"t1": {"...": "..."}}
"""Stands for the tasks in the prompt that is kept for the record."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A source with all that its prompts are made of. text: the prompt in full, with a placeholder for the tasks."""

    source: LlmSource
    question: Question
    context: PromptContext
    text: str


def llm_disabled_reason(deps: Deps, key: str, override: LlmPolicyName | None = None) -> str:
    """Why LLMs take no part in a project; "" when they do. `override`: a policy instead of the project's own."""
    policy = deps.policy(key).llm
    if deps.llm is None or not policy.models:
        return "no LLM is set up (LLM_MODEL)"
    if policy.forbidden:
        return "this project forbids sending anything to an LLM (llm_forbidden)"
    if (override or policy.policy) is LlmPolicyName.OFF:
        return "the policy is off (LLM_POLICY, or llm_policy of the project)"
    return ""


def contents_of(deps: Deps, key: str, config: LabelConfig, data: Sequence[Mapping[str, object]]) -> list[Content]:
    """What may be sent of each of some tasks of a project: what annotators see, without the fields left out, masked."""
    return _contents(config, deps.policy(key).llm, data, elsewhere_in(deps, key))


def elsewhere_in(deps: Deps, key: str) -> frozenset[str]:
    """Fields of a project's tasks that only say where something is stored, see `fields_elsewhere`.

    By its first tasks, whichever tasks are looked at: else the same content would have several hashes, and be asked
    about, and paid for, again.
    """
    return fields_elsewhere(deps.database.first_data(key, TELLING))


def _contents(
    config: LabelConfig, policy: LlmPolicy, data: Sequence[Mapping[str, object]], elsewhere: Collection[str]
) -> list[Content]:
    shown = config.shown
    masks = compile_masks(policy.masks)
    names = (*shown.texts, *shown.images) if _names_fields(config) else None
    return content_of_each(data, names, policy.left_out, masks, image_fields=shown.images, elsewhere=elsewhere)


def _names_fields(config: LabelConfig) -> bool:
    """Whether it is known which fields annotators see; else it may be any."""
    return bool(config.shown.texts or config.shown.images or config.shown.other)


def too_slow(contents: Sequence[Content]) -> dict[str, int]:
    """What keeps tasks from being sent because a mask takes too long -> number of tasks."""
    counts = Counter(content.too_slow for content in contents if content.too_slow)
    return {
        f"the mask {one_line(mask)!r} (llm_masks) takes too long for a text, and nothing is sent unmasked: write it "
        "without repetitions inside of repetitions": count
        for mask, count in counts.items()
    }


def prompts_of(
    parts: LlmPorts, policy: LlmPolicy, config: LabelConfig, question: Question, instructions: str
) -> Iterator[Prompt]:
    """The sources of a question: each model without examples, then with as many as the policy says.

    Raises:
        ConfigurationError: a template can't be used.
    """
    meanings = {label: _meaning(config, policy, question, label) for label in question.labels}
    for model in policy.models:
        for examples in dict.fromkeys((0, policy.examples)):
            context = PromptContext(
                question.name,
                meanings,
                question.multiple,
                instructions,
                PLACEHOLDER,
                [({"...": "..."}, ["..."])] * bool(examples),
                question.marked,
            )
            text = "\n\n".join(parts.templates.render(policy.prompts, context))
            # Nothing but what the model is told: the same prompt in another project is the same source.
            # The question and its labels too: a template need not name them, but answers are read by them.
            asked = [question.name, question.labels, question.multiple]
            # With more room to think, a model may answer what it couldn't.
            form = [examples, policy.samples, policy.thinking_tokens]
            told = [parts.templates.text(policy.prompts, marks=bool(context.marked)), text, form, asked]
            prompt = hashlib.sha256(json.dumps(told).encode()).hexdigest()
            yield Prompt(LlmSource(question.name, model, prompt, examples, policy.samples), question, context, text)


def _meaning(config: LabelConfig, policy: LlmPolicy, question: Question, label: str) -> str:
    leaf = question.short_name(label)
    said = config.meanings.get(question.name, {})
    parts = (said.get(label, ""), policy.definitions.get(label) or policy.definitions.get(leaf, ""))
    return "; ".join(part for part in parts if part)


@dataclass(frozen=True)
class LlmProject:
    """A project as asking sees it. Rows are those of the corpus."""

    deps: Deps
    parts: LlmPorts
    policy: LlmPolicy
    instructions: str
    corpus: Corpus

    @property
    def config(self) -> LabelConfig:
        """The label config."""
        return self.corpus.config

    @property
    def key(self) -> str:
        """The project's."""
        return self.corpus.key

    @cached_property
    def contents(self) -> list[Content]:
        """What may be sent of each task."""
        return _contents(self.config, self.policy, self.corpus.data, self.elsewhere)

    @cached_property
    def elsewhere(self) -> frozenset[str]:
        """See `elsewhere_in`."""
        return elsewhere_in(self.deps, self.key)

    @cached_property
    def hashes(self) -> list[str]:
        """Of the contents."""
        return [content.hash for content in self.contents]

    @cached_property
    def sendable(self) -> NDArray[np.int64]:
        """Rows of which there is anything to send: int64 (n_rows,), ascending."""
        rows = [row for row, content in enumerate(self.contents) if content.images or _says_anything(content)]
        return np.array(rows, dtype=np.int64)

    @cached_property
    def unsent(self) -> dict[str, int]:
        """Why nothing is sent of some tasks -> how many."""
        slow = too_slow(self.contents)
        n_empty = len(self.corpus.items) - len(self.sendable) - sum(slow.values())
        return slow | ({"they have nothing that can be sent": n_empty} if n_empty else {})

    @cached_property
    def suggested(self) -> dict[int, Suggestion]:
        """What the current version suggests for open tasks, by task id; {} where there is none that can be read."""
        number = self.deps.versions.current(self.key)
        try:
            predictions = self.deps.versions.predictions(self.key, number) if number else []
        except ModelMissing:
            predictions = []
        return {item.task_id: item.suggestion for item in predictions}

    @cached_property
    def hidden(self) -> dict[str, NDArray[np.bool_]]:
        """Where nobody is asked a question, bool (n,) by its name, see `hidden_rows`. People count first.

        What nobody has answered, and no version suggests, is not chosen in the form either.
        """
        if not any(question.shown_when for question in self.config.questions):
            return {}
        answers, asked = {}, {}
        for question in self.config.questions:
            given, name = self.human(question), question.name
            suggested = [self.suggested.get(item.task.id, Suggestion()) for item in self.corpus.items]
            answers[name] = [given.get(row, item.answers.get(name, ())) for row, item in enumerate(suggested)]
            asked[name] = np.isin(np.arange(len(self.corpus.items)), list(given))
        return {name: rows & ~asked[name] for name, rows in hidden_rows(self.config.questions, answers).items()}

    def shown(self, question: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some rows, int64 (n_rows,), where a question is asked."""
        return rows[~self.hidden[question][rows]] if question in self.hidden else rows

    def is_outdated(self) -> bool:
        """Whether the project's settings for LLMs have changed since, as to what may be sent above all."""
        return replace(self.deps.policy(self.key).llm, policy=self.policy.policy) != self.policy

    def prompts(self, question: Question) -> list[Prompt]:
        """See `prompts_of`."""
        return list(prompts_of(self.parts, self.policy, self.config, question, self.instructions))

    def to_ask(self, question: Question) -> Iterator[tuple[Prompt, list[LlmSource]]]:
        """For each model, the cheap one first: the prompt to ask it by, and all its sources of this question.

        With examples as soon as there are enough. What was answered without them counts, and isn't asked for again.
        """
        ready = len(self.human(question)) >= READY_FOR_EXAMPLES
        prompts = self.prompts(question)
        for model in self.policy.models:
            of_model = [prompt for prompt in prompts if prompt.source.model == model]
            yield of_model[-1 if ready else 0], [prompt.source for prompt in of_model]

    @property
    def questions(self) -> tuple[Question, ...]:
        """What LLMs are asked."""
        return self.config.answered

    def answers(self, source: LlmSource, rows: NDArray[np.int64]) -> dict[int, LlmAnswer]:
        """The answers that a source has given, by row; rows: int64 (n_rows,)."""
        found = self.parts.records.answers(source.prompt, source.model, {self.hashes[row] for row in rows})
        return {int(row): found[self.hashes[row]] for row in rows if self.hashes[row] in found}

    def record(self, source: LlmSource) -> SourceRecord | None:
        """What is known of a source; None before it was measured."""
        records = self.parts.records.sources(self.key)
        return next((item for item in records if item.source == source), None)

    def is_trusted(self, source: LlmSource) -> bool:
        """Whether a source passed the validation gate."""
        record = self.record(source)
        return record is not None and record.trusted

    def human(self, question: Question) -> dict[int, Answer]:
        """What people answered to a question, by row; rows on which they disagree are left out. Of spans, those that
        more than half of a text's people marked."""
        if question.name in self.marking:
            return human_marks(self.marking[question.name], self.corpus.items)
        return human_answers(question, self.corpus.frame)

    def sent_text(self, question: Question, row: int) -> str:
        """What is sent of the text that a question marks; "" for other questions."""
        return question.text(self.contents[row].fields)

    @cached_property
    def marking(self) -> dict[str, Spans]:
        """The questions about spans, by name."""
        return {question.name: question for question in self.config.spans}

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The first row with each content, by hash."""
        return {content: row for row, content in reversed([*enumerate(self.hashes)])}


def view_of(deps: Deps, record: ProjectRecord, instructions: str, policy: LlmPolicyName | None = None) -> LlmProject:
    """A project as asking sees it; `policy` instead of its own.

    Raises:
        ConfigurationError: no LLM is set up.
    """
    if deps.llm is None:
        raise ConfigurationError("No LLM is set up: set LLM_MODEL, and OPENAI_BASE_URL if it isn't OpenAI's.")
    own = deps.policy(record.key).llm
    return LlmProject(
        deps=deps,
        parts=deps.llm,
        policy=own if policy is None else replace(own, policy=policy),
        instructions=instructions,
        corpus=Corpus(record.key, deps.parse_label_config(record.label_config), deps.database.tasks(record.key)),
    )


def notes_on(view: LlmProject, endpoint: str) -> list[str]:
    """What a person should know of asking in this project: what isn't sent, and an endpoint that is down."""
    notes = [
        f"{field} ({tag}) can't be sent, so the LLM doesn't see it" for field, tag in view.config.shown.other.items()
    ]
    notes += [
        f"{one_line(question.name)} isn't asked about: its labels follow from what people answer"
        for question in view.config.unlisted
    ]
    seen = view.elsewhere & {*view.config.shown.texts} if _names_fields(view.config) else view.elsewhere
    notes += [
        f"{one_line(name)} can't be sent where it is only a file name or an address, as most of its values are"
        for name in sorted(seen - {*view.policy.left_out})
    ]
    n_tasks = len(view.corpus.items)
    notes += [f"{count} of {n_tasks} tasks aren't sent: {reason}" for reason, count in view.unsent.items()]
    withheld = sum(content.withheld for content in view.contents)
    if withheld:
        notes.append(f"{withheld} images aren't sent, because a mask matches their address")
    idle = llm_disabled_reason(view.deps, view.key)
    down = view.parts.records.down_reason(endpoint)
    return notes + ([f"nothing is asked: {idle}"] if idle else []) + ([f"{endpoint} is down: {down}"] if down else [])


def _says_anything(content: Content) -> bool:
    return any(value not in (None, "", [], {}) for value in content.fields.values())


def human_marks(question: Spans, items: Sequence[MirroredTask]) -> dict[int, Answer]:
    """Row -> what people marked, in their texts."""
    found = {}
    for row, spans in enumerate(gold_of(question, items)):
        if spans is not None:
            text = question.text(items[row].task.data)
            found[row] = tuple(written(Mark(*span, text[span.start : span.end])) for span in spans)
    return found


def human_answers(question: Question, frame: Frame) -> dict[int, Answer]:
    """Task -> labels, from what people chose; of a multiple question where each label's yes or no is known."""
    units, tasks = frame.units[question.name], np.flatnonzero(frame.labeled(question))
    rows = units.of_tasks(tasks)
    columns = np.column_stack([frame.gold[decision.key][rows] for decision in decisions(question)])
    answers = question.join([question.form.answer(of_unit) for of_unit in columns], units.part(tasks))
    return dict(zip(tasks.tolist(), answers, strict=True))
