"""What we do with labels that are probably wrong until a person has ruled."""

from enum import StrEnum


class Action(StrEnum):
    """What follows when a suspect is found."""

    RELABEL = "relabel"
    """People are asked to look at it again; until they have, it counts less."""
    EXCLUDE = "exclude"
    """Nobody is asked, and nothing is learned from it."""
    DOWNWEIGHT = "downweight"
    """Nobody is asked, and it counts less."""


WEIGHTS = {Action.RELABEL: 0.3, Action.EXCLUDE: 0.0, Action.DOWNWEIGHT: 0.3}
"""How much a suspect's label counts in training: among suspects more are wrong than right, but many are rare cases."""
