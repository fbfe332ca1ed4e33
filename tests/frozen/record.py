"""Write down what the five frozen projects end in: `python -m tests.frozen.record [FILE]`.

Run it before a change that should change no result, and again after it; `tests/unit/test_frozen.py` compares with the
file that is committed. A change that should change results commits a new file, and says why.
"""

import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from backend.ports import Deps
from tests.frozen.projects import frozen_projects, installation, learned

RECORDED = Path(__file__).parent / "recorded.json"
DIGITS = 12


def results_of(deps: Deps, key: str, first_task: int) -> dict[str, Any]:
    """Suggestions in the queue's order, posteriors of all tasks, and suspects. Tasks are numbered from 0."""
    number = deps.versions.current(key)
    task_ids, held_out = deps.versions.held_out(key, number)
    return {
        "version": number,
        "queue": [
            {
                "task": item.task_id - first_task,
                "answers": {name: list(labels) for name, labels in sorted(item.suggestion.answers.items())},
                "confidence": {name: _round(value) for name, value in sorted(item.suggestion.per_question.items())},
                "score": _round(item.score),
                "served": item.is_served,
                "withheld": item.withheld,
            }
            for item in deps.versions.predictions(key, number)
        ],
        "held_out": {
            name: [None if math.isnan(value) else _round(value) for value in posterior[:, 0].tolist()]
            for name, posterior in sorted(held_out.items())
        },
        "tasks": [int(task_id) - first_task for task_id in task_ids],
        "suspects": [
            {
                "task": item.task_id - first_task,
                "question": item.question,
                "given": list(item.given),
                "expected": list(item.expected),
                "quality": _round(item.quality),
                "status": item.status.value,
            }
            for item in sorted(deps.database.suspects(key), key=lambda item: (item.task_id, item.question))
        ],
    }


def record(folder: Path) -> dict[str, Any]:
    """Results by the project's name. Each has an installation of its own: what is drawn hangs on ids of tasks."""
    threadpool_limits(1)
    found = {}
    for number, project in enumerate(frozen_projects()):
        deps, label_studio = installation(folder / str(number), lambda: 1_800_000_000.0)
        key = learned(deps, label_studio, project)
        found[project.name] = results_of(deps, key, min(label_studio.fakes[1].tasks))
    return found


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def main(arguments: list[str]) -> None:
    """Record into a file."""
    target = Path(arguments[0]) if arguments else RECORDED
    with tempfile.TemporaryDirectory() as folder:
        found = record(Path(folder) / "installation")
    lines = [f"{json.dumps(name)}: {json.dumps(results)}" for name, results in found.items()]
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
