"""The model in a version's folder, and what describes it, without the tables: the web service needs no more."""

from dataclasses import replace
from pathlib import Path

import skops.io

from backend.adapters.versions.json_files import read_json, write_json
from backend.domain.codec import to_json
from backend.domain.marking.model import from_parts as marking_from_parts
from backend.domain.marking.model import to_parts as marking_to_parts
from backend.domain.model.project import ProjectModel
from backend.domain.model.storage import TRUSTED_TYPES, from_parts, to_parts
from backend.domain.questions import to_dict
from backend.errors import ModelMissing
from backend.ports import VersionContents


def read_model(folder: Path) -> ProjectModel:
    """The trained model.

    Raises:
        ModelMissing: a file isn't there, can't be read, or holds types that we don't trust.
    """
    try:
        fitted = skops.io.load(folder / "model.skops", trusted=list(TRUSTED_TYPES))
    except FileNotFoundError as error:
        raise ModelMissing(f"Version {folder.name} isn't in MODEL_DIR ({folder}). Train anew.") from error
    except Exception as error:
        # skops raises many kinds for a file that isn't its own or that holds types we don't trust.
        raise ModelMissing(f"The model file of {folder.name} can't be trusted or read: {error}") from error
    model = from_parts(fitted, read_json(folder / "label_models.json"))
    described = folder / "spans.json"
    if not described.exists():
        # Nothing is marked in its project, or the version is of before anything was.
        return model
    files = {path.name: path.read_bytes() for path in folder.glob("spans-*")}
    return replace(model, marking=marking_from_parts(files, read_json(described)))


def write_model(folder: Path, built: VersionContents) -> None:
    """Write all files of a version but its tables into an empty folder."""
    fitted, described = to_parts(built.trained.model)
    skops.io.dump(fitted, folder / "model.skops")
    write_json(folder / "label_models.json", described)
    if built.trained.model.marking:
        files, about = marking_to_parts(built.trained.model.marking)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        write_json(folder / "spans.json", about)
    write_json(folder / "labels.json", [to_dict(question) for question in built.trained.model.answered])
    write_json(
        folder / "sources.json", {name: list(matrix.sources) for name, matrix in built.trained.frame.votes.items()}
    )
    write_json(folder / "metrics.json", to_json(built.metrics))
