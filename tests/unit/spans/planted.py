"""Short texts about films in which a rule finds some of the names."""

from collections.abc import Sequence

import numpy as np

from backend.domain.spans.text import Run
from backend.domain.spans.vote import Runs, Voted

PEOPLE = ("Ada", "Berta", "Carla", "Dora", "Edda", "Frieda", "Greta", "Hanna")
FILMS = ("Dawn", "Heat", "Wings", "Rain", "Dust", "Snow")
KNOWN = frozenset(PEOPLE[:5])
"""What the rule knows."""


def planted(n: int, seed: int = 0) -> tuple[list[Voted], list[Runs]]:
    """So many texts of six tokens, with the votes of a rule that knows half of the people, and what people mark."""
    random = np.random.default_rng(seed)
    texts: list[Voted] = []
    gold: list[Runs] = []
    for _ in range(n):
        person, film = random.choice(PEOPLE), random.choice(FILMS)
        words: Sequence[str] = [*random.choice([["director", person], ["said", person]]), "about", "the", film, "."]
        texts.append(Voted(tuple(map(str, words)), ((Run(1, 2, "person"),) if person in KNOWN else (),)))
        gold.append((Run(1, 2, "person"), Run(4, 5, "film")))
    return texts, gold
