"""Settings of who may come in, where, and with how much."""

import re
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings


class AccessSettings(BaseSettings):
    """Credentials, the address that is listened on, and the limits of requests."""

    basic_auth_user: str = Field(
        default="", validation_alias="BASIC_AUTH_USER", description="User name that Label Studio must send."
    )
    basic_auth_pass: SecretStr = Field(
        default=SecretStr(""), validation_alias="BASIC_AUTH_PASS", description="Password that Label Studio must send."
    )
    host: str = Field(
        default="127.0.0.1",
        validation_alias="BIND_HOST",
        description="Address the web service listens on; 0.0.0.0 to be reached from other machines, which takes "
        "BASIC_AUTH_USER and BASIC_AUTH_PASS.",
    )
    health_auth: bool = Field(
        default=False, validation_alias="HEALTH_AUTH", description="`/`, `/health` and `/ready` want basic auth too."
    )
    metrics_auth: bool = Field(
        default=True, validation_alias="METRICS_AUTH", description="`/metrics` wants basic auth, when it is set."
    )
    max_body_mb: int = Field(
        default=128, ge=1, validation_alias="MAX_BODY_MB", description="Larger requests are refused."
    )
    max_tasks_per_request: int = Field(
        default=100_000,
        ge=1,
        validation_alias="MAX_TASKS_PER_REQUEST",
        description="Tasks in one `/predict`; Label Studio sends all that are selected.",
    )
    max_json_depth: int = Field(
        default=64,
        ge=8,
        le=500,
        validation_alias="MAX_JSON_DEPTH",
        description="Requests that are nested deeper are refused.",
    )
    max_text_chars: int = Field(
        default=20_000_000,
        ge=1000,
        validation_alias="MAX_TEXT_CHARS",
        description="Characters of one text in a request; an image of 10 MB as a data URL has 14 million.",
    )
    max_labels: int = Field(
        default=100_000, ge=1, validation_alias="MAX_LABELS", description="Labels in one label config."
    )
    max_connections: int = Field(
        default=500,
        ge=16,
        le=10_000,
        validation_alias="MAX_CONNECTIONS",
        description="Connections at a time; the one that has waited longest makes room for another one.",
    )
    request_timeout_s: float = Field(
        default=20.0,
        gt=0,
        le=3600,
        validation_alias="REQUEST_TIMEOUT_S",
        description="Seconds for a request's headers, and again for its body, plus one for each 1,000 bytes.",
    )
    port: int = Field(default=9090, ge=1, le=65535, validation_alias="PORT", description="Port of the web service.")

    @field_validator("basic_auth_user")
    @classmethod
    def _check_user(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("it has a colon, which ends a user name in basic auth: choose another one")
        return value

    @field_validator("basic_auth_user", "basic_auth_pass")
    @classmethod
    def _check_words(cls, value: str | SecretStr) -> str | SecretStr:
        # The value itself stays out of the message: it may be a secret.
        if not re.fullmatch(r"[\x20-\x7e]*", _text(value)):
            raise ValueError("choose one of ASCII letters, digits and signs: others are sent in more than one way")
        if _text(value) != _text(value).strip():
            raise ValueError("it begins or ends with a space, which Label Studio doesn't send: choose another one")
        return value

    @model_validator(mode="after")
    def _check_basic_auth(self) -> Self:
        if bool(self.basic_auth_user) != bool(self.basic_auth_pass.get_secret_value()):
            raise ValueError("set both BASIC_AUTH_USER and BASIC_AUTH_PASS, or neither: one alone protects nothing")
        return self


def _text(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
