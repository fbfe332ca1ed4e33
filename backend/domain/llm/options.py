"""Options for LLMs, by their names in settings and commands."""

from enum import StrEnum


class LlmPolicyName(StrEnum):
    """Which tasks an LLM is asked about."""

    OFF = "off"
    SAMPLE = "sample"
    """A random sample only, to see how often it is right."""
    UNCERTAIN = "uncertain"
    """Where rules and classifier are unsure or disagree, most value for money first."""
    ALL = "all"


class Again(StrEnum):
    """Which answers a person wants asked for again, after a fix."""

    UNREADABLE = "unreadable"
    REFUSED = "refused"
    OFF_LIST = "off-list"
