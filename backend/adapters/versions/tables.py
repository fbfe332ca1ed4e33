"""The Parquet files of a version's folder (see `folders`). In a module of its own because pyarrow takes 40 MiB."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from backend.domain.frame import CLASSIFIER, Frame
from backend.domain.questions import decisions
from backend.domain.questions.forms import ABSTAIN, Posteriors, Votes
from backend.domain.questions.units import Units
from backend.domain.suggestions import Suggestion
from backend.errors import ModelMissing
from backend.ports import Prediction, VersionContents

COLUMN_SEPARATOR = "\t"
"""Between decision and source (or class) in a column's name: no label contains a tab."""


def write_tables(folder: Path, built: VersionContents) -> None:
    """Write all tables of a version."""
    ids, frame = built.task_ids, built.trained.frame
    pq.write_table(_votes_table(ids, frame), folder / "votes.parquet")
    pq.write_table(_posteriors_table(ids, frame, frame.held_out), folder / "held_out.parquet")
    pq.write_table(_posteriors_table(ids, frame, frame.members[CLASSIFIER]), folder / "classifier.parquet")
    several = {name: units for name, units in frame.units.items() if units.of_task is not None}
    if several:
        regions = {name: _cells(units, pa.array(units.regions or [""] * units.n)) for name, units in several.items()}
        pq.write_table(pa.table({"task_id": ids, **regions}), folder / "units.parquet")
    rows = [
        {
            "task_id": item.task_id,
            "score": item.score,
            "suggestion": json.dumps(asdict(item.suggestion), ensure_ascii=False),
            "chosen_by": item.chosen_by,
            "reason": item.reason,
            "withheld": item.withheld,
        }
        for item in built.predictions
    ]
    schema = pa.schema(
        [
            ("task_id", pa.int64()),
            ("score", pa.float64()),
            ("suggestion", pa.string()),
            ("chosen_by", pa.string()),
            ("reason", pa.string()),
            ("withheld", pa.bool_()),
        ]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "predictions.parquet")


def read_predictions(folder: Path) -> list[Prediction]:
    """What the version suggested, most useful task first."""
    return [
        Prediction(
            row["task_id"],
            _suggestion(json.loads(row["suggestion"])),
            row["score"],
            # Versions before these were recorded have none.
            row.get("chosen_by", ""),
            row.get("reason", ""),
            row.get("withheld", False),
        )
        for row in _read_table(folder / "predictions.parquet").to_pylist()
    ]


def read_posteriors(path: Path) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Task ids, and for each decision float64 (n_units, n_classes); NaN = nothing known."""
    table = _read_table(path)
    columns: dict[str, list[NDArray[np.float64]]] = {}
    for name in table.column_names[1:]:
        decision = name.rsplit(COLUMN_SEPARATOR, 1)[0]
        columns.setdefault(decision, []).append(_values(table[name]).to_numpy())
    ids = table["task_id"].to_numpy().astype(np.int64)
    return ids, {decision: np.stack(values, axis=1) for decision, values in columns.items()}


def read_votes(folder: Path) -> dict[str, tuple[tuple[str, ...], Votes]]:
    """Sources and votes, int16 (n_units, n_sources), by decision key; -1 = abstain."""
    table = _read_table(folder / "votes.parquet")
    columns: dict[str, dict[str, Votes]] = {}
    for name in table.column_names[1:]:
        # A source's name may have no tab either, so the last one is ours.
        decision, source = name.rsplit(COLUMN_SEPARATOR, 1)
        values = _values(table[name]).fill_null(ABSTAIN).to_numpy().astype(np.int16)
        columns.setdefault(decision, {})[source] = values
    return {
        decision: (tuple(sources), np.stack(list(sources.values()), axis=1)) for decision, sources in columns.items()
    }


def read_units(path: Path) -> dict[str, Units]:
    """Units by question, of those of which a task may have several."""
    table, found = _read_table(path), {}
    for name in table.column_names[1:]:
        counts = pc.list_value_length(table[name]).to_numpy().astype(np.int64)
        regions = tuple(_values(table[name]).to_pylist())
        found[name] = Units(len(counts), np.repeat(np.arange(len(counts)), counts), regions if any(regions) else ())
    return found


def _values(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """What a column holds of each unit."""
    return pc.list_flatten(column) if pa.types.is_list(column.type) else column


def _cells(units: Units, values: pa.Array) -> pa.Array:
    """What is known of each unit, in one cell for each task."""
    return values if units.of_task is None else pa.ListArray.from_arrays(units.firsts.astype(np.int32), values)


def _read_table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ModelMissing(f"{path} can't be read ({error}). Train anew.") from error


def _votes_table(task_ids: NDArray[np.int64], frame: Frame) -> pa.Table:
    columns: dict[str, Any] = {"task_id": task_ids}
    for question in frame.questions:
        for key in (decision.key for decision in decisions(question)):
            matrix = frame.votes[key]
            for column, source in enumerate(matrix.sources):
                values = matrix.votes[:, column]
                cells = _cells(frame.units[question.name], pa.array(values, mask=values == ABSTAIN))
                columns[f"{key}{COLUMN_SEPARATOR}{source}"] = cells
    return pa.table(columns)


def _posteriors_table(task_ids: NDArray[np.int64], frame: Frame, posteriors: Posteriors) -> pa.Table:
    columns: dict[str, Any] = {"task_id": task_ids}
    for question in frame.questions:
        for key in (decision.key for decision in decisions(question)):
            for index, values in enumerate(posteriors[key].T):
                cells = _cells(frame.units[question.name], pa.array(values))
                columns[f"{key}{COLUMN_SEPARATOR}{index}"] = cells
    return pa.table(columns)


def _suggestion(fields: Mapping[str, Any]) -> Suggestion:
    answers = {name: tuple(labels) for name, labels in fields["answers"].items()}
    # Versions of before spans were marked have none.
    scores = {name: tuple(sure) for name, sure in fields.get("scores", {}).items()}
    return Suggestion(**{**fields, "answers": answers, "scores": scores})
