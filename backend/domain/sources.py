"""Names of sources, which are the columns of vote matrices."""

LLM = "llm"
"""Begins the name of an LLM's column, before a colon."""
UNSURE = " (unsure)"
"""Ends the name of the column of an LLM's less sure answers."""


def is_llm(source: str) -> bool:
    """Whether a column holds answers of an LLM."""
    return source.partition(":")[0] == LLM


def is_validated(source: str) -> bool:
    """Whether a column holds answers that people have found to be good: those of an LLM, which only count once it has
    passed the validation gate, but for the less sure ones."""
    return is_llm(source) and not source.endswith(UNSURE)
