"""Label configs: what is asked in a project, and what annotators see."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from backend.domain.questions import Question, Spans
from backend.domain.tasks import Answer


@dataclass(frozen=True, slots=True)
class ShownFields:
    """Fields of task data that annotators see. `other`: what is neither text nor image, with its object tag."""

    texts: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    other: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """A parsed label config.

    questions: those that are made of decisions. spans: those whose answers are marked parts of a text.
    unsupported: the controls we leave empty, each with its reason; those of `unlisted` too. meanings: question name ->
    label -> what annotators read of it besides its name (hint; what a label with an alias is shown as). unlisted:
    questions whose labels follow from what people answer; `fitted` and `as_in` put them behind `questions` once these
    are known.
    """

    questions: tuple[Question, ...]
    unsupported: Mapping[str, str] = field(default_factory=dict)
    shown: ShownFields = field(default_factory=ShownFields)
    meanings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    unlisted: tuple[Question, ...] = ()
    spans: tuple[Spans, ...] = ()

    @property
    def answered(self) -> tuple[Question, ...]:
        """All questions that are answered, however they are learned."""
        return self.questions + self.spans

    def fitted(self, answers: Sequence[Sequence[Mapping[str, Answer]]]) -> "LabelConfig":
        """The config with the labels that follow from what people answered: for each task the answers given to it."""

        def of(question: Question) -> Iterable[Answer]:
            return (given[question.name] for task in answers for given in task if question.name in given)

        return self._listed(lambda question: question.fitted(of(question)))

    def as_in(self, version: Iterable[Question]) -> "LabelConfig":
        """The config with the labels that its questions had when a version was trained."""
        trained = {question.name: question for question in version}
        return self._listed(
            lambda question: question.as_in(trained[question.name]) if question.name in trained else question
        )

    def _listed(self, known: Callable[[Question], Question]) -> "LabelConfig":
        if not self.unlisted:
            return self
        found = tuple(map(known, self.unlisted))
        listed = {item.name: item for item in found if not item.is_unlisted}
        return replace(
            self,
            questions=self.questions + tuple(listed.values()),
            unsupported={name: reason for name, reason in self.unsupported.items() if name not in listed},
            unlisted=tuple(item for item in found if item.is_unlisted),
        )
