"""Rules that ask a model that exists already."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np

from backend.domain.rules.interface import Not, Rule, Vote, batch_rule, labels_in
from backend.domain.rules.tasks import Tasks
from backend.errors import RuleError

Content = str | dict[str, object]
"""What a model is asked about: one field's text, or several fields by name."""


class Predictor(Protocol):
    """Anything like a scikit-learn classifier: `predict` takes contents and gives as many labels."""

    def predict(self, contents: Any, /) -> Any:
        """Labels, in order."""


def model_rule(
    name: str,
    model: Predictor,
    *,
    fields: str | Sequence[str] | None,
    votes: Mapping[str, Vote] | None = None,
    labels: Sequence[str] | None = None,
    min_confidence: float | None = None,
    time_limit_s: float = 10.0,
    cache_size: int = 100_000,
    question: str | None = None,
    description: str = "",
) -> Rule:
    """Vote what a model says.

    Args:
        name: the rule's name.
        model: it is asked with `predict`, or `predict_proba` and `classes_` where `min_confidence` is given.
        fields: one field: the model gets its text, and isn't asked where there is none; several: a dict of them;
            None: a dict of all.
        votes: what each of the model's labels means as a vote; one that isn't there abstains. None: it is the label.
        labels: the labels it can vote for; default: those in `votes`, else any.
        min_confidence: probability that a label needs, 0..1.
        time_limit_s: after so many seconds the tasks without an answer are abstained on. Python can't stop a
            model that hangs: it is left to itself, and not asked again before it is back.
        cache_size: so many answers are kept, by content; the one that wasn't used longest goes first.
        question: the question; None for every one that has the labels.
        description: what the rule means.

    A model that raises or is late is a fault for each task it was asked about.
    """
    asked = _Asked(name, model, min_confidence, time_limit_s, cache_size)
    known = labels if labels is not None or votes is None else _labels(votes)

    def batch(tasks: Tasks) -> list[Vote | RuleError]:
        contents: list[Content | None]
        if isinstance(fields, str):
            contents = [text or None for text in tasks.texts(fields)]
        else:
            contents = [dict(task) if fields is None else {field: task[field] for field in fields} for task in tasks]
        said = asked.answers(contents)
        if votes is None:
            return said
        return [votes.get(label) if isinstance(label, str) else label for label in said]

    return batch_rule(name, batch, question=question, labels=known, description=description)


def _labels(votes: Mapping[str, Vote]) -> list[str]:
    return list(dict.fromkeys(label for vote in votes.values() for label in labels_in(vote)))


class _Asked:
    """A model with its time limit and what it answered before."""

    def __init__(
        self, name: str, model: Predictor, min_confidence: float | None, time_limit_s: float, cache_size: int
    ) -> None:
        self._name = name
        self._model = model
        self._min_confidence = min_confidence
        self._time_limit_s = time_limit_s
        self._cache_size = cache_size
        self._cache: OrderedDict[bytes, Vote] = OrderedDict()
        # Rules are applied by several threads (requests), and an OrderedDict isn't made for that.
        self._lock = threading.Lock()
        self._hanging: threading.Thread | None = None

    def answers(self, contents: Sequence[Content | None]) -> list[Vote | RuleError]:
        """What the model says of each content, None where there is none; a RuleError where it failed."""
        keys = [None if content is None else _digest(content) for content in contents]
        missing: dict[bytes, Content] = {}
        answers: dict[bytes, Vote | RuleError] = {}
        with self._lock:
            for key, content in zip(keys, contents, strict=True):
                if key is None or content is None:
                    continue
                if key in self._cache:
                    self._cache.move_to_end(key)
                    answers[key] = self._cache[key]
                else:
                    missing[key] = content
        if missing:
            answers |= self._ask(missing)
        return [None if key is None else answers[key] for key in keys]

    def _ask(self, missing: Mapping[bytes, Content]) -> dict[bytes, Vote | RuleError]:
        said: list[Vote | RuleError] = []
        asking = threading.Thread(target=self._predict, args=(list(missing.values()), said), daemon=True)
        with self._lock:
            if self._hanging is not None and self._hanging.is_alive():
                return dict.fromkeys(missing, RuleError("the model hasn't come back from what it was asked before"))
        asking.start()
        asking.join(self._time_limit_s)
        # A copy: a late model may still write.
        given = said[: len(missing)]
        late = RuleError(f"the model gave no answer within {self._time_limit_s:g} s")
        answers = dict(zip(missing, [*given, *[late] * (len(missing) - len(given))], strict=True))
        with self._lock:
            if asking.is_alive():
                self._hanging = asking
            self._cache.update((key, vote) for key, vote in answers.items() if not isinstance(vote, RuleError))
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        return answers

    def _predict(self, contents: list[Content], said: list[Vote | RuleError]) -> None:
        """Write what the model says, as it comes, and why it stopped for the rest."""
        error = RuleError("the model gave too few answers")
        try:
            # One more than there may be: a model need not stop by itself.
            for vote in islice(self._votes(contents), len(contents) + 1):
                said.append(vote)
        except RuleError as reason:
            error = reason
        except BaseException as reason:  # noqa: BLE001 - someone else's model may raise anything
            # Only its kind: a message may hold an address with a password, or a task's text.
            error = RuleError(f"the model failed: {type(reason).__name__}")
        if len(said) > len(contents):
            error = RuleError(f"the model gave at least {len(said)} answers for {len(contents)} tasks")
            said.clear()
        said.extend([error] * (len(contents) - len(said)))

    def _votes(self, contents: list[Content]) -> Iterator[Vote | RuleError]:
        if self._min_confidence is None:
            yield from map(_plain, self._model.predict(contents))
            return
        if not hasattr(self._model, "predict_proba") or not hasattr(self._model, "classes_"):
            raise RuleError("min_confidence needs a model with predict_proba and classes_")
        proba = np.asarray(self._model.predict_proba(contents), dtype=np.float64)
        sure = proba.max(axis=1) >= self._min_confidence
        for index, enough in zip(proba.argmax(axis=1), sure, strict=True):
            yield str(self._model.classes_[index]) if enough else None


def _plain(label: Any) -> Vote | RuleError:
    """A label as our own types: models answer with numpy's."""
    if label is None or isinstance(label, Not | RuleError):
        return label
    if isinstance(label, list | tuple):
        return [part if isinstance(part, Not) else str(part) for part in label]
    return str(label)


def _digest(content: Content) -> bytes:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
