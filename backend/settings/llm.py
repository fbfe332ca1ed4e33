"""Settings of LLMs and embedding models."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from backend.domain.llm.options import LlmPolicyName
from backend.domain.outside import base_url_problem
from backend.ports.llm import MAX_USD


class LlmSettings(BaseSettings):
    """Which models are asked, where, how often, and for how much money."""

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
    llm_policy: LlmPolicyName = Field(
        default=LlmPolicyName.OFF,
        validation_alias="LLM_POLICY",
        description="off, sample, uncertain or all: which tasks the LLM is asked about.",
    )
    llm_budget_usd: float = Field(
        default=1.0,
        ge=0,
        le=MAX_USD,
        allow_inf_nan=False,
        validation_alias="LLM_BUDGET_USD",
        description="The most money that LLMs may cost each project, in USD.",
    )
    llm_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        validation_alias="LLM_SHARE",
        description="Share of the tasks that `uncertain` asks about.",
    )
    llm_sample: int = Field(
        default=100,
        ge=50,
        le=1000,
        validation_alias="LLM_SAMPLE",
        description="Tasks of the random sample on which an LLM is compared with people.",
    )
    llm_gate_kappa: float = Field(
        default=0.4,
        ge=-1,
        le=1,
        validation_alias="LLM_GATE_KAPPA",
        description="Agreement with people (Cohen's kappa) from which an LLM's votes count.",
    )
    llm_examples: int = Field(
        default=4,
        ge=0,
        le=50,
        validation_alias="LLM_EXAMPLES",
        description="Labeled tasks shown to the LLM with each request.",
    )
    llm_samples: int = Field(
        default=1,
        ge=1,
        le=20,
        validation_alias="LLM_SAMPLES",
        description="Answers asked for each task; with several, their agreement is the confidence.",
    )
    llm_tasks_per_request: int = Field(
        default=5, ge=1, le=100, validation_alias="LLM_TASKS_PER_REQUEST", description="Tasks in one request."
    )
    llm_thinking_tokens: int = Field(
        default=0,
        ge=0,
        le=100_000,
        validation_alias="LLM_THINKING_TOKENS",
        description="Room in each reply for what a reasoning model thinks before it answers; it is paid for.",
    )
    llm_sure: float = Field(
        default=0.8,
        ge=0,
        le=1,
        validation_alias="LLM_SURE",
        description="Calibrated confidence from which LLM_STRONG_MODEL isn't asked.",
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
        default="",
        validation_alias="EMBEDDING_MODEL",
        description="Model that embeds tasks: of an OpenAI-compatible endpoint, or `local:` and the name or folder of "
        "an installed sentence-transformers model.",
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

    @field_validator("openai_base_url", "embedding_base_url")
    @classmethod
    def _check_address(cls, url: str) -> str:
        problem = base_url_problem(url) if url else ""
        if problem:
            raise ValueError(problem)
        return url

    @model_validator(mode="after")
    def _check_llm(self) -> Self:
        if self.llm_strong_model and not self.llm_model:
            raise ValueError("LLM_STRONG_MODEL is asked where LLM_MODEL is unsure: set LLM_MODEL too")
        if self.llm_policy is not LlmPolicyName.OFF and not self.llm_model:
            raise ValueError(f"LLM_POLICY is {self.llm_policy}, but LLM_MODEL doesn't say whom to ask")
        return self

    @property
    def llm_models(self) -> tuple[str, ...]:
        """The models to ask, the cheap one first."""
        return tuple(model for model in (self.llm_model, self.llm_strong_model) if model)
