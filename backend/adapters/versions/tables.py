"""The Parquet files of a version's folder (see `folders`). In a module of its own because pyarrow takes 40 MiB."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from backend.domain.model.training import CLASSIFIER
from backend.domain.questions.forms import ABSTAIN, Votes
from backend.domain.suggestions import Suggestion
from backend.domain.votes import VoteMatrix
from backend.errors import ModelMissing
from backend.ports import Prediction, VersionContents

COLUMN_SEPARATOR = "\t"
"""Between decision and source (or class) in a column's name: no label contains a tab."""


def write_tables(folder: Path, built: VersionContents) -> None:
    """Write all tables of a version."""
    pq.write_table(_votes_table(built.task_ids, built.votes), folder / "votes.parquet")
    pq.write_table(_posteriors_table(built.task_ids, built.held_out), folder / "held_out.parquet")
    of_classifier = built.trained.members[CLASSIFIER]
    pq.write_table(_posteriors_table(built.task_ids, of_classifier), folder / "classifier.parquet")
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
        for row in _read(folder / "predictions.parquet").to_pylist()
    ]


def read_posteriors(path: Path) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Task ids, and for each decision float64 (n_tasks, n_classes); NaN = nothing known."""
    table = _read(path)
    columns: dict[str, list[NDArray[np.float64]]] = {}
    for name in table.column_names[1:]:
        decision = name.rsplit(COLUMN_SEPARATOR, 1)[0]
        columns.setdefault(decision, []).append(table[name].to_numpy())
    ids = table["task_id"].to_numpy().astype(np.int64)
    return ids, {decision: np.stack(values, axis=1) for decision, values in columns.items()}


def read_votes(folder: Path) -> dict[str, tuple[tuple[str, ...], Votes]]:
    """Sources and votes by decision key; -1 = abstain."""
    table = _read(folder / "votes.parquet")
    columns: dict[str, dict[str, Votes]] = {}
    for name in table.column_names[1:]:
        # A source's name may have no tab either, so the last one is ours.
        decision, source = name.rsplit(COLUMN_SEPARATOR, 1)
        values = table[name].fill_null(ABSTAIN).to_numpy().astype(np.int16)
        columns.setdefault(decision, {})[source] = values
    return {
        decision: (tuple(sources), np.stack(list(sources.values()), axis=1)) for decision, sources in columns.items()
    }


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ModelMissing(f"{path} can't be read ({error}). Train anew.") from error


def _votes_table(task_ids: NDArray[np.int64], votes: Mapping[str, VoteMatrix]) -> pa.Table:
    columns: dict[str, Any] = {"task_id": task_ids}
    for decision, matrix in votes.items():
        for column, source in enumerate(matrix.sources):
            values = matrix.votes[:, column]
            columns[f"{decision}{COLUMN_SEPARATOR}{source}"] = pa.array(values, mask=values == ABSTAIN)
    return pa.table(columns)


def _posteriors_table(task_ids: NDArray[np.int64], posteriors: Mapping[str, NDArray[np.float64]]) -> pa.Table:
    columns: dict[str, Any] = {"task_id": task_ids}
    for decision, posterior in posteriors.items():
        for index in range(posterior.shape[1]):
            columns[f"{decision}{COLUMN_SEPARATOR}{index}"] = posterior[:, index]
    return pa.table(columns)


def _suggestion(fields: Mapping[str, Any]) -> Suggestion:
    answers = {name: tuple(labels) for name, labels in fields["answers"].items()}
    return Suggestion(**{**fields, "answers": answers})
