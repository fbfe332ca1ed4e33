"""Label models: a vote matrix in, a posterior over the classes out."""

from backend.domain.label_model.base import LabelModel
from backend.domain.label_model.choose import Choice, choose, from_dict
from backend.domain.label_model.dawid_skene import DawidSkene
from backend.domain.label_model.majority import MajorityVote
from backend.domain.label_model.propensity import PropensityVote
from backend.domain.label_model.weighted import WeightedVote

__all__ = [
    "Choice",
    "DawidSkene",
    "LabelModel",
    "MajorityVote",
    "PropensityVote",
    "WeightedVote",
    "choose",
    "from_dict",
]
