"""What people should know of a project's label config and of what it makes of their answers."""

import logging

from backend.domain.corpus import Corpus
from backend.domain.label_config import LabelConfig
from backend.domain.outside import listed, one_line
from backend.domain.reports.status import Unmatched
from backend.domain.unmatched import told, unmatched_answers
from backend.ports import Deps
from backend.workflows.llm.view import llm_disabled_reason

log = logging.getLogger(__name__)

WHAT_HELPS = "Add Choices, a Rating or a Taxonomy that lists its labels, or Labels on a Text."


def why_nothing(config: LabelConfig) -> str:
    """Why nothing in a project can be suggested; "" when something can."""
    if config.answered:
        return ""
    if config.unlisted:
        return f"nothing can be suggested yet ({left_empty(config)})."
    if not config.unsupported:
        return f"nothing can be suggested: the label config has no question. {WHAT_HELPS}"
    return f"nothing can be suggested ({left_empty(config)}). {WHAT_HELPS}"


def left_empty(config: LabelConfig) -> str:
    """The controls that are left empty, by reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in config.unsupported.items():
        by_reason.setdefault(reason, []).append(one_line(name))
    return listed([f"{listed(names)}: {one_line(reason)}" for reason, names in by_reason.items()], "; ")


def why_content_is_ignored(deps: Deps, key: str, config: LabelConfig) -> str:
    """Why suggestions come from nothing that annotators look at; "" when they come from some of it."""
    shown, policy = config.shown, deps.policy(key).llm
    if shown.texts or not (shown.images or shown.other):
        return ""
    embedder = deps.embeddings.embedder if deps.embeddings is not None else None
    embedded = embedder is not None and embedder.takes_images and (embedder.is_local or not policy.forbidden)
    if shown.images and (embedded or not llm_disabled_reason(deps, key)):
        return ""
    fields = dict.fromkeys(shown.images, "Image") | dict(shown.other)
    tags = listed([f"{one_line(field)} ({tag})" for field, tag in fields.items()])
    helps = " Set EMBEDDING_MODEL to a model that takes images, or LLM_MODEL." if shown.images else ""
    return (
        f"annotators see only {tags}, of which nothing is read: suggestions rest on the other fields of a task.{helps}"
    )


def unmatched_in(corpus: Corpus) -> tuple[Unmatched, ...]:
    """Human answers that are no label, see `unmatched_answers`."""
    each = zip(corpus.data, corpus.answers, strict=True)
    said = ((data, answer) for data, answers in each for answer in answers)
    return unmatched_answers(corpus.config.answered, corpus.config.unsupported, said)


def warn_of_unmatched(corpus: Corpus) -> None:
    """Say in the log what can't be learned from."""
    said = told(unmatched_in(corpus))
    if said:
        log.warning("Project %s: %s", corpus.key, said)
