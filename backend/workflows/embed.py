"""Embed: a vector for each task, made once for each content."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.features.vectors import Vectors
from backend.domain.llm.content import Content
from backend.errors import BadRequest, LabelStudioError, LlmError
from backend.ports import Deps, Progress
from backend.ports.embeddings import EmbeddingPorts, ToEmbed
from backend.workflows.llm.contents import Contents
from backend.workflows.llm.view import too_slow

BATCH = 64
"""Contents in one request; what was answered is kept at once."""
MAX_CHARACTERS = 8_000
"""Of a text. Embedding models read some 8,000 tokens at most, many only 512."""

log = logging.getLogger(__name__)


def vectors_of(deps: Deps, key: str, tasks: Contents, progress: Progress | None = None) -> Vectors | None:
    """Vectors of tasks; None when no embedding model is set up, or the project forbids sending anything.

    What is embedded is what an LLM would be sent: what annotators see, without the fields left out, masked.

    Args:
        deps: the ports.
        key: the project.
        tasks: its tasks, or some of them.
        progress: told how far it is. None: an annotator is waiting, so only vectors that are kept are returned, and
            those that are made in milliseconds.
    """
    parts, policy = deps.embeddings, deps.policy(key).llm
    if parts is None or (policy.forbidden and not parts.embedder.is_local):
        return None
    contents = tasks.each
    name = parts.embedder.name
    known = parts.store.vectors(name, {content.hash for content in contents})
    slow = too_slow(contents)
    problem = "; ".join(f"{count} tasks aren't embedded: {reason}" for reason, count in slow.items())
    missing = {item.hash: item for item in contents if item.hash not in known and _can_embed(parts, item)}
    if progress is not None:
        if problem:
            log.warning("Project %s: %s", key, problem)
        problem = _embed(parts, list(missing.values()), known, progress) or problem
    elif missing:
        known |= _quickly(parts, list(missing.values()))
    widths = [len(vector) for vector in known.values()]
    # An endpoint that changed its model under the same name: the vectors of most tasks count.
    width = max(set(widths), key=widths.count) if widths else 0
    rows = np.full((len(contents), width), np.nan, dtype=np.float32)
    for row, content in enumerate(contents):
        vector = known.get(content.hash)
        if vector is not None and len(vector) == width:
            rows[row] = vector
    return Vectors(name, rows, problem)


def _embed(
    parts: EmbeddingPorts, missing: Sequence[Content], known: dict[str, NDArray[np.float32]], progress: Progress
) -> str:
    """Ask for vectors, keep them and add them to those known. Returns why some could not be had; "" = all are there."""
    problem = ""
    for start in range(0, len(missing), BATCH):
        progress("embedding tasks", start, len(missing))
        ready: list[tuple[str, ToEmbed]] = []
        for content in missing[start : start + BATCH]:
            try:
                ready.append((content.hash, _to_embed(parts, content)))
            except (BadRequest, LabelStudioError) as error:
                problem = str(error)
        if not ready:
            continue
        try:
            made = parts.embedder.embed([item for _, item in ready])
        except LlmError as error:
            # Training goes on with what is known: suggestions without embeddings beat none.
            log.warning("Embedding stopped: %s", error)
            return str(error)
        answered = {name: vector for (name, _), vector in zip(ready, made, strict=True)}
        found = {name: vector for name, vector in answered.items() if np.isfinite(vector).all()}
        if len(found) < len(answered):
            n_bad = len(answered) - len(found)
            problem = (
                f"{parts.embedder.name} answered {n_bad} of {len(answered)} tasks with something else than numbers"
            )
        parts.store.save_vectors(parts.embedder.name, found)
        known.update(found)
    return problem


def _quickly(parts: EmbeddingPorts, missing: Sequence[Content]) -> dict[str, NDArray[np.float32]]:
    """Vectors of what is made in milliseconds, by content hash. None is kept: a worker makes and keeps them soon."""
    most = parts.embedder.quick_characters()
    texts = {item.hash: _text(item) for item in missing if not item.images}
    quick = {name: ToEmbed(text) for name, text in texts.items() if len(text) <= most}
    return dict(zip(quick, parts.embedder.embed(list(quick.values())), strict=True)) if quick else {}


def _to_embed(parts: EmbeddingPorts, content: Content) -> ToEmbed:
    images = tuple(parts.fetch_image(url) for url in content.images) if parts.embedder.takes_images else ()
    return ToEmbed(_text(content), images)


def _can_embed(parts: EmbeddingPorts, content: Content) -> bool:
    return bool(_text(content)) or (parts.embedder.takes_images and bool(content.images))


def _text(content: Content) -> str:
    texts = [str(value) for value in content.fields.values() if value not in (None, "", [], {})]
    return "\n".join(texts)[:MAX_CHARACTERS].strip()
