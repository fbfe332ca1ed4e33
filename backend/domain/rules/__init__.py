"""Labeling functions: what a user writes in `lf_rules/`. Everything to import is here."""

from backend.domain.rules.fields import Field, When, compare_rule, lookup_rule
from backend.domain.rules.history import History, history_rule
from backend.domain.rules.interface import Not, Rule, Vote, labeling_function, labels_in
from backend.domain.rules.models import model_rule
from backend.domain.rules.task_fields import TaskFields
from backend.domain.rules.tasks import Tasks
from backend.domain.rules.text import gazetteer_rule, heuristic_rule, keyword_rule, regex_rule

__all__ = [
    "Field",
    "History",
    "Not",
    "Rule",
    "TaskFields",
    "Tasks",
    "Vote",
    "When",
    "compare_rule",
    "gazetteer_rule",
    "heuristic_rule",
    "history_rule",
    "keyword_rule",
    "labeling_function",
    "labels_in",
    "lookup_rule",
    "model_rule",
    "regex_rule",
]
