"""Nested choices as Label Studio shows them: whoever chooses one with others below it chooses all of these."""

from collections.abc import Iterable, Sequence

Path = tuple[str, ...]
PATH_SEPARATOR = " / "
"""Between the parts of a path in the name of a label."""


def joined(path: Path) -> str:
    """The name of the label at the end of a path."""
    return PATH_SEPARATOR.join(path)


def choosable(leaves: Sequence[Path], *, multiple: bool) -> list[Path]:
    """The paths that are labels, top to bottom, of a question whose choices without others below them are `leaves`.

    Where several answers are allowed, these: a choice above them is chosen if, and only if, all below it are. Where one
    is, a choice with several below it is an answer of its own: all of these. One with a single choice below it can't be
    told from that.
    """
    if multiple:
        return list(leaves)
    below: dict[Path, set[Path]] = {}
    for leaf in leaves:
        for depth in range(1, len(leaf)):
            below.setdefault(leaf[:depth], set()).add(leaf[: depth + 1])
    return [path for path in _from_the_top(leaves) if len(below.get(path, ())) != 1]


class Nesting:
    """The choices of one question that saves paths."""

    def __init__(self, labels: Sequence[Path], *, multiple: bool) -> None:
        """`labels`: what `choosable` gave."""
        above = {path[:depth] for path in labels for depth in range(1, len(path))}
        leaves = [path for path in labels if path not in above]
        self._multiple = multiple
        self._paths = {joined(path): path for path in _from_the_top(leaves)}
        self._order = {name: place for place, name in enumerate(self._paths)}
        self._below: dict[str, list[str]] = {}
        for leaf in leaves:
            for depth in range(1, len(leaf) + 1):
                self._below.setdefault(joined(leaf[:depth]), []).append(joined(leaf))
        self._whole = {frozenset(self._below[joined(path)]): joined(path) for path in labels}

    def has(self, name: str) -> bool:
        """Whether there is such a choice, at any level."""
        return name in self._below

    def leaves(self, chosen: Iterable[str]) -> dict[str, None]:
        """The choices at the lowest level: each choice stands for all below it, unless some of these are named."""
        named = dict.fromkeys(name for name in chosen if name in self._below)
        above = {joined(self._paths[name][:depth]) for name in named for depth in range(1, len(self._paths[name]))}
        return dict.fromkeys(leaf for name in named if name not in above for leaf in self._below[name])

    def read(self, chosen: Iterable[str]) -> tuple[str, ...]:
        """The labels that an answer means; several where one is asked for, if it is no label as a whole."""
        leaves = self.leaves(chosen)
        whole = None if self._multiple else self._whole.get(frozenset(leaves))
        return tuple(leaves) if whole is None else (whole,)

    def saved(self, labels: Iterable[str]) -> list[Path]:
        """The paths that Label Studio saves for labels, and by which it selects them; top to bottom."""
        leaves = self.leaves(labels)
        touched = {
            joined(self._paths[leaf][:depth]) for leaf in leaves for depth in range(1, len(self._paths[leaf]) + 1)
        }
        full = [name for name in touched if all(leaf in leaves for leaf in self._below[name])]
        return [self._paths[name] for name in sorted(full, key=self._order.__getitem__)]


def _from_the_top(leaves: Iterable[Path]) -> list[Path]:
    """All paths to the leaves, each once, a choice before those below it."""
    return list(dict.fromkeys(leaf[:depth] for leaf in leaves for depth in range(1, len(leaf) + 1)))
