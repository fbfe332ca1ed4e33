"""Data issues: what is wrong with tasks besides their labels, in the report of a check and as tags."""

from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, zip_longest

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.corpus import Corpus
from backend.domain.frame import Frame
from backend.domain.label_config import LabelConfig
from backend.domain.label_errors.data_issues import DataIssue, find_data_issues, rare_classes
from backend.domain.label_errors.records import SearchInputs
from backend.domain.locations import fields_elsewhere, is_elsewhere
from backend.domain.marking.learn import gold_of
from backend.domain.questions import Question, Spans, decisions
from backend.domain.reports.check import DataIssues, IssueKind, ListedIssue, RareLabel
from backend.domain.tasks import MirroredTask, user_fields
from backend.ports import Deps, Progress, ProjectRecord, Tab, TagPlace, TagValue
from backend.workflows.check.inputs import SearchResult
from backend.workflows.check.tags import ISSUE_KEY, write

DATA_TAB = Tab(
    title="Prelabel: data",
    # Every tag has a colon. Label Studio's "is not empty" looks at its first task to know what empty means.
    filters=((f"data.{ISSUE_KEY}", "contains", "String", ":"),),
    ordering=(f"tasks:data.{ISSUE_KEY}",),
    shown_columns=("id", "annotations_results", "annotators"),
)
MOST_LISTED = 1_000
"""Issues that a report names; it counts all of them."""
MOST_OTHERS = 5
"""Near-duplicates named with a task."""
ABOUT = {
    IssueKind.EMPTY: "there is nothing to read",
    IssueKind.FOREIGN: "hardly any other task is in this language",
    IssueKind.ODD: "broken characters, repeated ones, or hardly any letters",
    IssueKind.OUTLIER: "unlike all other tasks",
}


def data_issues_of(corpus: Corpus, features: csr_matrix | None) -> DataIssues:
    """What is wrong with a project's tasks: for the report of a check.

    Args:
        corpus: all tasks; what annotators see of them is searched.
        features: sparse float32 (n, d), of them; None where they say nothing of what annotators see.

    Returns:
        With at most `MOST_LISTED` issues listed.
    """
    marked = {question: _marked(question, corpus.items) for question in corpus.config.spans}
    asked = [*_labels(corpus.frame), *(_numbered(found) for found in marked.values())]
    labels = np.column_stack(asked) if asked else np.full((len(corpus.items), 1), -1, dtype=np.int64)
    elsewhere = fields_elsewhere(corpus.data)
    found = find_data_issues([_text(corpus.config, item, elsewhere) for item in corpus.items], features, labels)
    return DataIssues(
        counts=dict(Counter(item.kind.value for item in found)),
        listed=tuple(_described(item, corpus.ids) for item in _in_turns(found)[:MOST_LISTED]),
        rare=(
            *(entry for question in corpus.questions for entry in _rare(question, question.form.counts(corpus.gold))),
            *(entry for question, found in marked.items() for entry in _rare(question, _counts(question, found))),
        ),
    )


def about_data(corpus: Corpus, searched: SearchResult) -> DataIssues:
    """The part of a report that is about data issues, as in `data_issues_of`."""
    # Of a project of images, fields hold addresses, whose likeness says nothing.
    inputs = SearchInputs(
        features=searched.features if _shows_text(corpus.config) else None, embedded=searched.embedded
    )
    return data_issues_of(corpus, inputs.joined)


def write_issue_tags(deps: Deps, record: ProjectRecord, progress: Progress) -> None:
    """Make Label Studio's tags say what the report of the last check says."""
    issues = deps.database.check_report(record.key).data_issues
    alive = deps.database.task_ids(record.key)
    tagged = dict[int, str]()
    for item in issues.listed:
        if item.task in alive and len(tagged) < deps.policy(record.key).check_budget:
            # Of several issues of a task the first is worth looking at first.
            tagged.setdefault(item.task, tag_of(item))
    wanted: dict[TagPlace, TagValue] = {place: "" for place in deps.database.tags(record.key) if place[1] == ISSUE_KEY}
    wanted |= {(task_id, ISSUE_KEY): text for task_id, text in tagged.items()}
    write(deps, record, wanted, partial(progress, "tagging data issues"))


def ensure_data_tab(deps: Deps, key: str) -> None:
    """Make the tab once there is something to list; it is known by its id, so it may be renamed."""
    record = deps.database.project(key)
    if record is None or not any(value for (_, name), value in deps.database.tags(key).items() if name == ISSUE_KEY):
        return
    tabs = deps.label_studio.tabs(record.project_id)
    if record.data_tab in {tab.id for tab in tabs}:
        return
    by_title = [tab.id for tab in tabs if tab.title == DATA_TAB.title]
    tab_id = by_title[0] if by_title else deps.label_studio.create_tab(record.project_id, DATA_TAB)
    deps.database.save_project(replace(record, data_tab=tab_id))


def tag_of(item: ListedIssue) -> str:
    """What a tag says of a listed issue: its kind, and which tasks are like it or what it means."""
    if not item.others:
        return f"{item.kind}: {ABOUT.get(item.kind, 'see others')}"
    more = item.n_others - len(item.others)
    return f"{item.kind}: task {', '.join(map(str, item.others))}{f' and {more} more' if more else ''}"


def _shows_text(config: LabelConfig) -> bool:
    """Whether annotators read task data, so that features of its fields say what they see."""
    shown = config.shown
    return bool(shown.texts) or not (shown.images or shown.other)


def _text(config: LabelConfig, item: MirroredTask, elsewhere: Collection[str]) -> str | None:
    """All text that annotators see of a task; None if what they see is something else. See `fields_elsewhere`."""
    shown, data = config.shown, user_fields(item.task.data)
    media = {*shown.images, *shown.other}
    names = shown.texts if shown.texts or media else tuple(data)
    values = [data.get(name) for name in names]
    read = [
        isinstance(value, str) and not (name in elsewhere and is_elsewhere(value))
        for name, value in zip(names, values, strict=True)
    ]
    text = "\n".join(str(value) for value, is_text in zip(values, read, strict=True) if is_text).strip()
    else_ = [
        *(value for value, is_text in zip(values, read, strict=True) if not is_text),
        *(data.get(name) for name in media),
    ]
    return None if not text and any(value not in (None, "", [], {}) for value in else_) else text


def _in_turns(found: Sequence[DataIssue]) -> list[DataIssue]:
    """Conflicting near-duplicates, then one of each other kind at a time, so that no kind hides the others."""
    of_kind = {kind: [item for item in found if item.kind is kind] for kind in IssueKind}
    first = of_kind.pop(IssueKind.CONFLICTING_DUPLICATE)
    turns = chain.from_iterable(zip_longest(*of_kind.values()))
    return first + [item for item in turns if item is not None]


def _described(item: DataIssue, ids: NDArray[np.int64]) -> ListedIssue:
    return ListedIssue(
        task=int(ids[item.row]),
        kind=item.kind,
        score=round(item.score, 4),
        others=tuple(int(ids[row]) for row in item.others[:MOST_OTHERS]),
        n_others=len(item.others),
    )


def _labels(frame: Frame) -> Iterator[NDArray[np.int64]]:
    """For each decision the label of each task, int64 (n_tasks,), -1 = none; of several units, a number for each
    combination of their labels."""
    for question in frame.questions:
        units = frame.units[question.name]
        for known in (frame.gold[decision.key] for decision in decisions(question)):
            if units.of_task is None:
                yield known
                continue
            numbers: dict[tuple[int, ...], int] = {}
            of_tasks = [tuple(labels) for labels in units.grouped(known.tolist())]
            found = [
                numbers.setdefault(labels, len(numbers)) if min(labels, default=-1) >= 0 else -1 for labels in of_tasks
            ]
            yield np.array(found, dtype=np.int64)


def _marked(question: Spans, items: Sequence[MirroredTask]) -> list[tuple[tuple[str, str], ...] | None]:
    """What people marked in each task, label and text, wherever it stands; None where nobody looked."""
    found: list[tuple[tuple[str, str], ...] | None] = []
    for item, spans in zip(items, gold_of(question, items), strict=True):
        text = question.text(item.task.data)
        found.append(None if spans is None else tuple(sorted((label, text[start:end]) for start, end, label in spans)))
    return found


def _numbered(answers: Sequence[Hashable | None]) -> NDArray[np.int64]:
    """A number for each answer, the same for the same ones: int64 (n,), -1 = none."""
    numbers: dict[Hashable, int] = {}
    return np.array(
        [-1 if answer is None else numbers.setdefault(answer, len(numbers)) for answer in answers], dtype=np.int64
    )


def _counts(question: Spans, marked: Sequence[Sequence[tuple[str, str]] | None]) -> NDArray[np.int64]:
    """How many spans have each label: int64 (n_labels,)."""
    counts = Counter(label for spans in marked for label, _ in spans or ())
    return np.array([counts[label] for label in question.labels], dtype=np.int64)


def _rare(question: Question, counts: NDArray[np.int64]) -> Iterator[RareLabel]:
    """Classes with hardly any label. Of a set of labels, each label that was rarely chosen, next to the others."""
    given = np.repeat(np.arange(len(counts)), counts)
    for index, share in rare_classes(given, len(counts)).items():
        yield RareLabel(question.name, question.labels[index], int(counts[index]), round(share, 4))
