"""Settings of LLMs and embedding models."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from backend.domain.outside import base_url_problem

BUILTIN, NO_EMBEDDINGS = "builtin", "none"
"""What `EMBEDDING_MODEL` says for the encoder that comes with Prelabel, and for none."""


class LlmSettings(BaseSettings):
    """Which models there are, and where. How they are asked, and for how much money, projects may say themselves."""

    openai_base_url: str = Field(
        default="https://api.openai.com/v1",
        validation_alias="OPENAI_BASE_URL",
        description="Address of the OpenAI-compatible endpoint (OpenAI, Azure, Ollama, vLLM, llama.cpp).",
    )
    openai_api_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="OPENAI_API_KEY",
        description="Key of that endpoint; local ones need none.",
    )
    llm_model: str = Field(
        default="", validation_alias="LLM_MODEL", description="Model that votes, by the endpoint's name for it."
    )
    llm_strong_model: str = Field(
        default="",
        validation_alias="LLM_STRONG_MODEL",
        description="A better, dearer model, asked where LLM_MODEL is unsure.",
    )
    llm_concurrency: int = Field(
        default=8, ge=1, le=256, validation_alias="LLM_CONCURRENCY", description="Requests of a worker at a time."
    )
    llm_timeout_s: float = Field(
        default=60.0, gt=0, validation_alias="LLM_TIMEOUT_S", description="Seconds to wait for an LLM's answer."
    )
    llm_prices: Path | None = Field(
        default=None,
        validation_alias="LLM_PRICES",
        description="YAML file with the prices of models, on top of the shipped one.",
    )
    llm_prompts_dir: Path | None = Field(
        default=None,
        validation_alias="LLM_PROMPTS_DIR",
        description="Folder of your own prompt templates; default: the shipped ones.",
    )

    embedding_model: str = Field(
        default=BUILTIN,
        validation_alias="EMBEDDING_MODEL",
        description="Model that embeds tasks: `builtin` (texts of 16 languages), one of an OpenAI-compatible endpoint, "
        "`local:` and the name or folder of an installed sentence-transformers model, or `none`.",
    )
    embedding_base_url: str = Field(
        default="",
        validation_alias="EMBEDDING_BASE_URL",
        description="Address of the endpoint that embeds; default: OPENAI_BASE_URL, with its key.",
    )
    embedding_api_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="EMBEDDING_API_KEY",
        description="Key of EMBEDDING_BASE_URL.",
    )
    embedding_images: bool = Field(
        default=False,
        validation_alias="EMBEDDING_IMAGES",
        description="The embedding model takes images as well as texts.",
    )

    @field_validator("embedding_model")
    @classmethod
    def _default_model(cls, model: str) -> str:
        # Compose passes on what isn't set as an empty text.
        return model or BUILTIN

    @field_validator("openai_base_url", "embedding_base_url")
    @classmethod
    def _check_address(cls, url: str) -> str:
        problem = base_url_problem(url) if url else ""
        if problem:
            raise ValueError(problem)
        return url

    @model_validator(mode="after")
    def _check_models(self) -> Self:
        if self.llm_strong_model and not self.llm_model:
            raise ValueError("LLM_STRONG_MODEL is asked where LLM_MODEL is unsure: set LLM_MODEL too")
        return self

    @property
    def embeds(self) -> bool:
        """Whether tasks are embedded."""
        return self.embedding_model != NO_EMBEDDINGS

    @property
    def llm_models(self) -> tuple[str, ...]:
        """The models to ask, the cheap one first."""
        return tuple(model for model in (self.llm_model, self.llm_strong_model) if model)
