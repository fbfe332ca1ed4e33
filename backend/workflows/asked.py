"""Asked: what a project asks, as its current version knows it."""

from backend.domain.label_config import LabelConfig
from backend.errors import ModelMissing
from backend.ports import Deps


def can_learn(deps: Deps, label_config: str) -> bool:
    """Whether a project asks anything that a version can answer, now or once people have answered.

    Raises:
        BadRequest: the label config can't be parsed.
    """
    config = deps.parse_label_config(label_config)
    return bool(config.answered or config.unlisted)


def config_of(deps: Deps, key: str, label_config: str, version: int | None = None) -> LabelConfig:
    """A label config, with the labels that the version (None: the current one) has for questions that list none.

    Raises:
        BadRequest: the label config can't be parsed.
    """
    config = deps.parse_label_config(label_config)
    if not config.unlisted:
        return config
    try:
        number = deps.versions.current(key) if version is None else version
        return config.as_in(deps.versions.questions(key, number)) if number else config
    except ModelMissing:
        # Others say so; what is listed can be answered by rules all the same.
        return config
