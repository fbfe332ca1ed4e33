"""Rubber-stamped labels: suggestions that annotators accepted without reading."""

import re
from collections.abc import Sequence

from backend.domain.tasks import Annotation, Origin

WORDS_PER_S = 10.0
"""People read about 4 words a second (238 a minute, Brysbaert 2019), and skim at twice that."""
SHORTEST_S = 1.0
"""Nobody looks at a task, decides and submits in less, however short its text or whatever its image."""


def is_rubber_stamped(annotations: Sequence[Annotation], question: str, texts: Sequence[str]) -> bool:
    """Whether all who answered a question left the suggestion as it was, in less time than reading takes.

    Most suggestions are right, and most people who leave them have read the task: such a label teaches. If none of
    them did, what remains would be the labels that were corrected, and every suggestion would seem
    wrong. A form without any lead time was never open: the answer was copied through the API.

    Args:
        annotations: of one task, those that teach.
        question: the question's name.
        texts: what annotators see of the task.
    """
    answered = [entry for entry in annotations if entry.answers.get(question)]
    if not answered or any(entry.origins.get(question) is not Origin.ACCEPTED for entry in answered):
        return False
    needed_s = max(SHORTEST_S, sum(len(re.findall(r"\S+", text)) for text in texts) / WORDS_PER_S)
    return all((entry.lead_time_s or 0.0) < needed_s for entry in answered)
