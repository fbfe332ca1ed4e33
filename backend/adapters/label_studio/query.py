"""Queries of Label Studio's data manager: which tasks, in which order."""

import json
from collections.abc import Mapping, Sequence


def condition(column: str, operator: str, kind: str, value: object) -> dict[str, object]:
    """What a column of the tasks has to be."""
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def task_query(
    conditions: Sequence[Mapping[str, object]], ordering: Sequence[str] = (), conjunction: str = "and"
) -> str:
    """The parameter `query` of `/api/tasks`: tasks that meet all conditions ("and") or one of them ("or"), by columns
    ("-" in front: descending)."""
    return json.dumps({"filters": {"conjunction": conjunction, "items": list(conditions)}, "ordering": list(ordering)})
