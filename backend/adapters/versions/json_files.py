"""JSON files of a version."""

import json
from pathlib import Path
from typing import Any

from backend.errors import ModelMissing


def read_json(path: Path) -> Any:
    """What a file holds. Raises ModelMissing."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelMissing(f"{path} can't be read ({error}). Train anew.") from error


def write_json(path: Path, value: object) -> None:
    """Write it without indentation, which takes ten times as long: a question may have thousands of labels."""
    path.write_text(json.dumps(value, ensure_ascii=False, allow_nan=False))
