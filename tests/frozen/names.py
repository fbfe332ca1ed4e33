"""Names that people, their files and their dashboards rely on. They may become more; none of them goes.

rules: what a file in `lf_rules` imports from `backend.domain.rules`. prompt: variables of prompt templates.
job_function: what stands in Redis in each job that waits.
"""

import json
from pathlib import Path

NAMES: dict[str, list[str]] = json.loads((Path(__file__).parent / "names.json").read_text())
