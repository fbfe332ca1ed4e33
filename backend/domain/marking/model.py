"""What was learned about a question of spans, and what it suggests."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from backend.domain.codec import Json, JsonObject, Unreadable, from_json, to_json
from backend.domain.marking.before import SOURCE, MarkedBefore
from backend.domain.marking.votes import Marks, SpanVotes
from backend.domain.outside import MOST_LISTED, listed, one_line
from backend.domain.questions import Spans, from_dict, learned_by, to_dict
from backend.domain.spans.model import SpanModel, Suggested
from backend.domain.spans.model import from_parts as span_model_from_parts
from backend.domain.spans.text import Run, Text
from backend.domain.spans.vote import Voted, first_trust
from backend.domain.suggestions import Suggestion
from backend.domain.tasks import Answer
from backend.errors import ModelMissing


@dataclass(frozen=True, slots=True)
class Marked:
    """The spans that we suggest in one text.

    confidence: probability that a person changes nothing; None where nothing is known. best: see `Suggested`. votes:
    what each source marked, for the record.
    """

    answer: Answer = ()
    scores: tuple[float, ...] = ()
    confidence: float | None = None
    best: float | None = None
    votes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text with its tokens, and what the sources of a model marked in it."""

    text: str
    read: Text
    voted: Voted


@dataclass(frozen=True)
class MarkingModel:
    """What was learned about one question. sources: those that the model knows, in order; last, `SOURCE`."""

    question: Spans
    sources: tuple[str, ...]
    model: SpanModel
    before: MarkedBefore

    @property
    def trust(self) -> dict[str, float]:
        """Share of each source's spans that it believes people keep."""
        return {name: self.model.trust.of(place) for place, name in enumerate(self.sources)}

    def suggest(self, votes: SpanVotes, data: Sequence[Mapping[str, object]]) -> list[Marked]:
        """The spans that we suggest in the texts of some tasks.

        Sources are matched by name: one that is gone marks nothing, one that wasn't there in training isn't counted.
        """
        texts = [self.question.text(item) for item in data]
        again = [self.before.spans(Text.read(text)) if self.before.marked else () for text in texts]
        said = matched(votes, self.sources, again)
        tokens = [tokens_of(text, spans, against) for text, (spans, against) in zip(texts, said, strict=True)]
        return self.settled(tokens, self.model.suggest([item.voted for item in tokens]))

    def settled(self, tokens: Sequence[Tokens], suggested: Sequence[Suggested]) -> list[Marked]:
        """The answers that the model's suggestions for some texts mean."""
        return [self._settled(item, found) for item, found in zip(tokens, suggested, strict=True)]

    def _settled(self, tokens: Tokens, found: Suggested) -> Marked:
        voted = {name: _told(tokens, runs) for name, runs in zip(self.sources, tokens.voted.votes, strict=True) if runs}
        # Without a tagger, a text in which nobody marked anything is unknown, not surely empty.
        if not tokens.voted.words or not (voted or self.model.taggers):
            return Marked()
        spans = zip(tokens.read.spans(found.runs), found.runs.values(), strict=True)
        chances = {(span.start, span.end, span.label): p for span, p in spans}
        answer, scores = self.question.answer_of(chances, tokens.text)
        return Marked(answer, scores, found.confidence, found.best, voted)


def from_rules(question: Spans, sources: tuple[str, ...]) -> MarkingModel:
    """The model before the first version: a vote of rules that are all trusted alike."""
    labels = question.labels
    model = SpanModel(labels, (labels,), first_trust(len(sources) + 1))
    return MarkingModel(question, (*sources, SOURCE), model, MarkedBefore())


def matched(
    votes: SpanVotes, sources: Sequence[str], again: Sequence[Marks]
) -> list[tuple[tuple[Marks, ...], tuple[Marks, ...]]]:
    """What the sources marked in each text, and what they say is no span, in the order of `sources`.

    again: what is marked by `SOURCE`.
    """
    places = [votes.sources.index(name) if name in votes.sources else None for name in sources]

    def ordered(given: Sequence[Marks], mine: Marks) -> tuple[Marks, ...]:
        return tuple(
            mine if name == SOURCE else () if place is None else given[place]
            for name, place in zip(sources, places, strict=True)
        )

    return [
        (ordered(spans, mine), ordered(against, ()))
        for spans, against, mine in zip(votes.spans, votes.against, again, strict=True)
    ]


def tokens_of(text: str, spans: Sequence[Marks], against: Sequence[Marks] = (), people: Marks = ()) -> Tokens:
    """A text in tokens that are split where a span of a source or of a person begins or ends."""
    read = Text.read(text, [*people, *(span for of_source in (*spans, *against) for span in of_source)])
    runs, denied = (tuple(tuple(read.runs(of_source)[0]) for of_source in said) for said in (spans, against))
    return Tokens(text, read, Voted(read.words, runs, denied))


def with_marks(suggestion: Suggestion, marked: Mapping[str, Marked]) -> Suggestion:
    """A suggestion with what we would mark, by question."""
    known = {name: item for name, item in marked.items() if item.confidence is not None}
    sure = suggestion.per_question | {name: item.confidence or 0.0 for name, item in known.items()}
    return replace(
        suggestion,
        answers=suggestion.answers | {name: item.answer for name, item in known.items() if item.answer},
        score=min(sure.values(), default=0.0),
        per_question=sure,
        votes=suggestion.votes | {name: dict(item.votes) for name, item in known.items() if item.votes},
        scores=suggestion.scores | {name: item.scores for name, item in known.items() if item.answer},
    )


def _object(found: Json, name: str) -> JsonObject:
    inner = found.get(name) if isinstance(found, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _told(tokens: Tokens, runs: Sequence[Run]) -> str:
    shown = [f"{tokens.text[start:end]} ({label})" for start, end, label in tokens.read.spans(runs[:MOST_LISTED])]
    return one_line(listed(shown) if len(runs) <= MOST_LISTED else f"{listed(shown)} and more")


@dataclass(frozen=True, slots=True)
class _Stored:
    """A model without its files."""

    question: Mapping[str, object]
    sources: tuple[str, ...]
    model: Mapping[str, object]
    before: tuple[tuple[tuple[str, ...], Mapping[str, int], int], ...]


def to_parts(models: Mapping[str, MarkingModel]) -> tuple[dict[str, bytes], JsonObject]:
    """Models for storage: files by name, and the rest as JSON, with the SHA-256 of each file."""
    files: dict[str, bytes] = {}
    described: dict[str, Json] = {}
    for place, (name, item) in enumerate(models.items()):
        of_model, about = item.model.to_parts()
        files |= {f"spans-{place}-{file}": data for file, data in of_model.items()}
        before = tuple((words, dict(labels), item.before.seen[words]) for words, labels in item.before.marked.items())
        described[name] = to_json(_Stored(to_dict(item.question), item.sources, about, before))
    return files, described


def from_parts(files: Mapping[str, bytes], described: JsonObject) -> dict[str, MarkingModel]:
    """The models that `to_parts` took apart.

    Raises:
        ModelMissing: something is missing, isn't what was stored, or is of another release.
    """
    models = {}
    for place, (name, about) in enumerate(described.items()):
        prefix = f"spans-{place}-"
        mine = {file.removeprefix(prefix): data for file, data in files.items() if file.startswith(prefix)}
        try:
            stored = from_json(_Stored, about)
            (question,) = learned_by([from_dict(stored.question)])[1]
            model = span_model_from_parts(mine, _object(about, "model"))
        except (KeyError, ValueError, Unreadable) as error:
            raise ModelMissing(f"what was learned of {name!r} can't be read ({error}); train anew") from error
        before = MarkedBefore(
            {words: Counter(labels) for words, labels, _ in stored.before},
            {words: seen for words, _, seen in stored.before},
        )
        models[name] = MarkingModel(question, stored.sources, model, before)
    return models
