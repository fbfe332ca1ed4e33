"""What `prelabel doctor` says of a project's label config, and of what people answered to it."""

from collections.abc import Iterator

from backend.bootstrap import App
from backend.domain.corpus import Corpus
from backend.domain.outside import listed, one_line
from backend.domain.unmatched import told
from backend.entrypoints.doctor.finding import Finding
from backend.ports import ProjectInfo
from backend.workflows.asked import config_of
from backend.workflows.config_notes import left_empty, unmatched_in, why_content_is_ignored, why_nothing

SPANS_ONLY = "spans are suggested and learned, but wrong ones aren't looked for, and no LLM is asked"


def examine_config(app: App, info: ProjectInfo) -> Iterator[Finding]:
    """Which controls are answered, and what can't be learned from."""
    yield _examine_controls(app, info)
    yield from _examine_content(app, info)


def _examine_controls(app: App, info: ProjectInfo) -> Finding:
    config = config_of(app.deps, app.key(info.uid), info.label_config)
    if not config.answered:
        return Finding("Controls", False, why_nothing(config))
    answered = listed([one_line(question.name) for question in config.answered])
    rules = app.deps.rules.load().of(app.deps.policy(app.key(info.uid)).rules)
    without = [item.name for item in config.answered if not any(rule.answers(item) for rule in rules)]
    if without:
        answered += f" (no rule votes on {listed([one_line(name) for name in without])}: write some for its labels)"
    if config.spans:
        answered += f"; {listed([one_line(item.name) for item in config.spans])}: {SPANS_ONLY}"
    if config.unsupported:
        answered += f"; left empty: {left_empty(config)}"
    return Finding("Controls", True, f"answered: {answered}")


def _examine_content(app: App, info: ProjectInfo) -> Iterator[Finding]:
    """What can't be learned from: content that nothing reads, answers that are no label, tasks without data."""
    key = app.key(info.uid)
    config = config_of(app.deps, app.key(info.uid), info.label_config)
    ignored = why_content_is_ignored(app.deps, key, config)
    if config.answered and ignored:
        yield Finding("Content", False, ignored)
    corpus = Corpus(key, config, app.database.tasks(key))
    said = told(unmatched_in(corpus))
    if said:
        fix = "Correct these annotations, or give the label config the labels that they have; `status --json` has all."
        yield Finding("Answers", False, said, fix)
    n_empty = sum(not item.task.data for item in corpus.items)
    if n_empty:
        yield Finding("Tasks", False, f"{n_empty} have no data that can be read", "Correct or delete them.")
