"""The errors that callers may see.

BackendError
├── BadRequest            what was sent can't be used
├── ConfigurationError    a setting is missing or wrong
│   ├── ReadOnlyDatabase       the database answers, and takes no writes
│   └── WrongDatabase          the database isn't the one that MODEL_DIR belongs to
├── LabelStudioError      Label Studio refused, or did not answer
│   ├── LabelStudioAuthError   it refused our API key
│   └── ProjectMissing         it has no such project
├── LlmError              an LLM endpoint can't be used
│   ├── LlmUnavailable         it is down, or wants us to wait
│   └── LlmRefused             it refuses the key, the model or the form of our requests
├── ModelMissing          a version that does not exist, or can't be read
└── RuleError             a labeling function can't be used

Each message names what is wrong and what to do. Nothing here knows of HTTP status codes:
`entrypoints/web/app.py` maps them.
"""


class BackendError(Exception):
    """Base of all errors raised on purpose."""


class BadRequest(BackendError):
    """What was sent can't be used; the message names the field."""


class ConfigurationError(BackendError):
    """A setting is missing or wrong; the message names the setting."""


class ReadOnlyDatabase(ConfigurationError):
    """The database answers, and takes no writes: its files, its folder, or the server itself."""


class WrongDatabase(ConfigurationError):
    """The database was deleted or replaced, or is none that MODEL_DIR belongs to; nothing is written to it."""


class LabelStudioError(BackendError):
    """Label Studio refused or did not answer.

    `status` is its HTTP status, or None when there was no answer at all.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class LabelStudioAuthError(LabelStudioError):
    """Label Studio refused our API key."""


class ProjectMissing(LabelStudioError):
    """Label Studio itself says that it has no such project; a proxy's 404 is not this."""


class ModelMissing(BackendError):
    """A version does not exist or its folder can't be read."""


class RuleError(BackendError):
    """A labeling function can't be used; the message names it."""


class LlmError(BackendError):
    """An LLM endpoint can't be used; the message has neither the key nor any content."""


class LlmUnavailable(LlmError):
    """The endpoint is down or wants us to wait: asking later may succeed."""


class LlmRefused(LlmError):
    """The endpoint refuses the key, the model or the form of our requests: only a person can change that."""
