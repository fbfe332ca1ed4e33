"""All settings, read once from the environment. No other module reads it."""

import json
import os
import re
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from backend.domain.llm.options import LlmPolicyName
from backend.domain.policy import CHOICE_S, Policy, with_values
from backend.settings.access import AccessSettings
from backend.settings.llm import LlmSettings
from backend.settings.parameters import SETTINGS, with_parameters

PACKAGED_RULES_DIR = Path(__file__).resolve().parents[2] / "lf_rules"


@with_parameters
class Settings(AccessSettings, LlmSettings):
    """What an operator can set. Names are the environment's; Label Studio's own name where it has one.

    The parameters of projects (`backend.domain.policy`) are among them, see `policy`.
    """

    model_config = SettingsConfigDict(
        env_file=None, env_ignore_empty=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    label_studio_url: str = Field(
        default="",
        validation_alias=AliasChoices("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST"),
        description="Address of Label Studio as this backend reaches it, for example http://localhost:8080.",
    )
    label_studio_api_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias=AliasChoices("LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"),
        description="Personal access token or legacy token of a user who may change the projects.",
    )
    backend_url: str = Field(
        default="",
        validation_alias="BACKEND_URL",
        description="Address of this backend as Label Studio reaches it; default http://localhost:PORT.",
    )
    model_dir: Path = Field(
        default=Path("prelabel-data"),
        validation_alias="MODEL_DIR",
        description="Folder of the versions, and of the embedded Redis and SQLite database.",
    )
    database_url: str = Field(
        default="",
        repr=False,
        validation_alias="DATABASE_URL",
        description="SQLAlchemy URL; default: a SQLite file in MODEL_DIR.",
    )
    redis_url: str = Field(
        default="",
        repr=False,
        validation_alias="REDIS_URL",
        description="Redis or Valkey; default: the embedded Redis on a unix socket in MODEL_DIR.",
    )
    lf_rules_dir: Path = Field(
        default=PACKAGED_RULES_DIR,
        validation_alias="LF_RULES_DIR",
        description="Folder of the labeling functions; default: the shipped examples.",
    )
    lf_databases: Annotated[dict[str, SecretStr], NoDecode] = Field(
        default={},
        validation_alias="LF_DATABASES",
        description="Databases that rules look values up in, name -> SQLAlchemy URL, as JSON.",
    )
    ssl_cert_file: Path | None = Field(
        default=None,
        validation_alias=AliasChoices("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
        description="File (PEM) with all certificates that are trusted, in place of the usual ones: for a Label Studio "
        "or an endpoint with a self-signed one, or one of your own authority.",
    )
    log_level: str = Field(default="INFO", validation_alias="LOG_LEVEL", description="DEBUG, INFO, WARNING or ERROR.")
    log_format: Literal["json", "console"] = Field(
        default="json", validation_alias="LOG_FORMAT", description="json, for machines, or console, for people."
    )
    workers: int = Field(
        default=2,
        ge=1,
        le=64,
        validation_alias="WORKERS",
        description="Number of rq workers that `prelabel up` starts. A project takes one at most, and another one "
        "while an LLM is asked: with two, no project waits for a long training of another one.",
    )
    reconcile_each_s: float = Field(
        default=300.0,
        gt=0,
        validation_alias="RECONCILE_EACH_S",
        description="Compare with Label Studio each so many seconds, in case a webhook was lost.",
    )
    check_each_s: float = Field(
        default=86400.0,
        gt=0,
        validation_alias="CHECK_EACH_S",
        description="Look for wrong labels at least each so many seconds (also after each training).",
    )
    predict_deadline_s: float = Field(
        default=20.0,
        gt=0,
        validation_alias="PREDICT_DEADLINE_S",
        description="After so many seconds `/predict` answers with what is known.",
    )
    classifier_choice_s: float = Field(
        default=CHOICE_S,
        ge=0,
        allow_inf_nan=False,
        validation_alias="CLASSIFIER_CHOICE_S",
        description="Seconds of a training that comparing classifiers may take; it happens when sizes have doubled.",
    )
    train_timeout_s: int = Field(
        default=3600,
        ge=1,
        validation_alias="TRAIN_TIMEOUT_S",
        description="A training job is stopped after so many seconds.",
    )
    label_studio_timeout_s: float = Field(
        default=60.0,
        gt=0,
        validation_alias="LABEL_STUDIO_TIMEOUT_S",
        description="Seconds to wait for an answer of Label Studio (bulk requests wait longer).",
    )

    @field_validator("label_studio_url", "backend_url", "openai_base_url", "embedding_base_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        if value and not re.match(r"https?://[^/]+", value):
            # The value itself stays out of the message: an address may hold a password.
            raise ValueError("it is not an address; write for example http://localhost:8080")
        return value.rstrip("/")

    @field_validator("ssl_cert_file")
    @classmethod
    def _check_certificates(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                if not value.is_dir():
                    ssl.create_default_context(cafile=value)
            except OSError as error:
                raise ValueError(f"it is no file with certificates in PEM ({error.strerror or error})") from None
        return value

    @field_validator("lf_databases", mode="before")
    @classmethod
    def _read_databases(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value or "{}")
        except ValueError:
            # The text itself stays out of the message: it holds passwords.
            raise ValueError('it is not JSON; write for example {"crm": "postgresql://..."}') from None

    @field_validator("redis_url")
    @classmethod
    def _check_redis(cls, value: str) -> str:
        if value and not re.match(r"(rediss?://[^/]|unix://)", value):
            raise ValueError("write for example redis://localhost:6379/0")
        return value

    @field_validator("label_studio_api_key", "openai_api_key", "embedding_api_key")
    @classmethod
    def _check_key(cls, value: SecretStr) -> SecretStr:
        # A file or a copied line ends in a line break. The value itself stays out of the message: it is a secret.
        key = value.get_secret_value().strip()
        if value.get_secret_value() and not key:
            raise ValueError("it is blank: set it to the key, or don't set it")
        if not re.fullmatch(r"[\x21-\x7e]*", key):
            raise ValueError("it has spaces, or characters that an HTTP header can't carry; was only the key copied?")
        return SecretStr(key)

    @field_validator("log_level")
    @classmethod
    def _check_level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("write DEBUG, INFO, WARNING or ERROR")
        return value.upper()

    @model_validator(mode="after")
    def _check_llm(self) -> Self:
        if self.policy.llm.policy is not LlmPolicyName.OFF and not self.llm_model:
            raise ValueError(f"LLM_POLICY is {self.policy.llm.policy}, but LLM_MODEL doesn't say whom to ask")
        return self

    @property
    def policy(self) -> Policy:
        """What holds in a project that says nothing."""
        policy = with_values(Policy(), {item.name: getattr(self, item.name) for item in SETTINGS})
        return replace(policy, choice_s=self.classifier_choice_s, llm=replace(policy.llm, models=self.llm_models))

    @property
    def public_url(self) -> str:
        """Address of this backend as Label Studio reaches it."""
        return self.backend_url or f"http://localhost:{self.port}"

    @property
    def sql_url(self) -> str:
        """SQLAlchemy URL of the database: `DATABASE_URL`, else a SQLite file in `MODEL_DIR`."""
        return _with_driver(self.database_url or f"sqlite:///{self.model_dir.resolve() / 'prelabel.sqlite3'}")

    def trust_certificates(self) -> None:
        """Make all clients of this process and of its children trust `ssl_cert_file`.

        httpx, which they all use, reads its own variable and not that of requests, which is the one that people have.
        """
        if self.ssl_cert_file is not None:
            os.environ["SSL_CERT_DIR" if self.ssl_cert_file.is_dir() else "SSL_CERT_FILE"] = str(self.ssl_cert_file)

    def secrets(self) -> list[str]:
        """All secrets among the settings, and the passwords in addresses."""
        found = [value for name in type(self).model_fields if isinstance(value := getattr(self, name), SecretStr)]
        given = [value.get_secret_value() for value in found]
        urls = [url.get_secret_value() for url in self.lf_databases.values()]
        urls += [self.database_url, self.redis_url, self.label_studio_url, self.backend_url]
        urls += [self.openai_base_url, self.embedding_base_url]
        return [secret for secret in [*given, *(word for url in urls for word in passwords_in(url))] if secret]

    @property
    def rule_databases(self) -> dict[str, str]:
        """SQLAlchemy URLs of `LF_DATABASES` by name."""
        return {name: _with_driver(url.get_secret_value()) for name, url in self.lf_databases.items()}

    @property
    def redis_socket(self) -> Path:
        """Unix socket of the embedded Redis."""
        return self.model_dir.resolve() / "redis" / "redis.sock"

    @property
    def queue_url(self) -> str:
        """Redis URL: `REDIS_URL`, else the embedded Redis."""
        return self.redis_url or f"unix://{self.redis_socket}"


def _with_driver(url: str) -> str:
    # The driver we ship is psycopg 3; a plain postgres URL would make SQLAlchemy look for psycopg2.
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)


def passwords_in(url: str) -> list[str]:
    """The passwords in an address, as they stand there and as they are meant: before the host, or in the query."""
    try:
        parts = urlsplit(url)
        password, query = parts.password, parse_qs(parts.query)
    except ValueError:
        return []
    given = [password, unquote(password)] if password else []
    return given + [value for name in ("password", "sslpassword", "api_key") for value in query.get(name, [])]
