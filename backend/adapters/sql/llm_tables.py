"""The tables behind `SqlLlmRecords`, and their rows as records."""

import json
import math
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Integer,
    String,
    Table,
    Text,
    TypeDecorator,
)

from backend.adapters.sql.reports import read_report
from backend.adapters.sql.tables import metadata
from backend.domain.codec import to_json
from backend.domain.llm.records import Calibration, ConfidenceKind, LlmAnswer, LlmSource, Problem, ReplyFormat
from backend.domain.reports.llm import SourceReport
from backend.ports.llm import BulkRecord, EndpointState, SourceRecord

NANO = 1_000_000_000
"""Money is counted in whole nano-dollars: sums of floats drift, and a hard budget may not. A token of the cheapest
models costs tens of them, and 64 bits hold nine billion dollars."""


class AsJson(TypeDecorator[Any]):
    """Plain data or text as ASCII JSON: the same on each database, with characters (NUL) and numbers (NaN) that
    Postgres's own types refuse."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:  # noqa: ARG002
        """To JSON."""
        return json.dumps(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        """From JSON."""
        return json.loads(value)


answers = Table(
    "llm_answers",
    metadata,
    Column("content", Text, primary_key=True),
    Column("prompt", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("key", String(80), nullable=False),  # the project that paid
    Column("labels", AsJson, nullable=False),
    Column("problem", String(20), nullable=False),
    Column("confidence", Float),
    Column("confidence_kind", String(20), nullable=False),
    Column("input_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("price_usd", Float, nullable=False),
    Column("latency_s", Float, nullable=False),
    Column("answered_at", Float, nullable=False),
)
ANSWER_COLUMNS = [column for column in answers.c if column.name != "key"]
"""In the order of the fields of `LlmAnswer`."""
money = Table(
    "llm_money",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("spent", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("unknown", BigInteger, nullable=False),
)
claims = Table(
    "llm_claims",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("key", String(80), nullable=False, index=True),
    Column("prompt", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("swept", Boolean, nullable=False),  # its money was moved from held to unknown
)
claimed = Table(
    "llm_claimed",
    metadata,
    Column("content", Text, primary_key=True),
    Column("prompt", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("claim_id", String(32), nullable=False, index=True),
    Column("expires_at", Float, nullable=False, index=True),
)
sources = Table(
    "llm_sources",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("model", Text, primary_key=True),
    Column("prompt", Text, primary_key=True),
    Column("question", Text, primary_key=True),
    Column("examples", Integer, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("text", AsJson, nullable=False),
    Column("current", Boolean, nullable=False),
    Column("trusted", Boolean, nullable=False),
    Column("calibration", AsJson, nullable=False),
    Column("split", Float),
    Column("report", AsJson, nullable=False),
    Column("sample", AsJson, nullable=False),
)
bulks = Table(
    "llm_bulks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key", String(80), nullable=False, index=True),
    Column("claims", AsJson, nullable=False),
    Column("requests", AsJson, nullable=False),
    Column("created_at", Float, nullable=False),
)
endpoints = Table(
    "llm_endpoints",
    metadata,
    # Those that are down.
    Column("endpoint", Text, primary_key=True),
    Column("reason", AsJson, nullable=False),
    Column("probe_at", Float, nullable=False),
)
endpoint_models = Table(
    "llm_endpoint_models",
    metadata,
    Column("endpoint", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("form", String(20), nullable=False),
    Column("logprobs", Boolean, nullable=False),
    Column("dropped", AsJson, nullable=False),
)


def nano(usd: float, *, up: bool = True) -> int:
    """USD as nano-dollars. What is paid is rounded up, what may be paid (`up` False) down.

    Thousandths of a nano-dollar are float noise (0.1 + 0.2), not money. Raises ValueError for what is no amount.
    """
    if not 0 <= usd < math.inf:
        raise ValueError(f"{usd} is no amount of USD")
    exact = round(usd * NANO, 3)
    return math.ceil(exact) if up else math.floor(exact)


def answer_row(key: str, answer: LlmAnswer) -> dict[str, Any]:
    """Row of an answer that a project paid for."""
    return asdict(answer) | {
        "key": key,
        "problem": answer.problem.value,
        "confidence_kind": answer.confidence_kind.value,
    }


def answer_record(row: Any) -> LlmAnswer:
    """Answer from a row of `ANSWER_COLUMNS`."""
    content, prompt, model, labels, problem, confidence, kind, *numbers = row
    return LlmAnswer(
        content, prompt, model, tuple(labels), Problem(problem), confidence, ConfidenceKind(kind), *numbers
    )


def source_row(key: str, record: SourceRecord) -> dict[str, Any]:
    """Row of a source."""
    return asdict(record.source) | {
        "key": key,
        "text": record.text,
        "current": record.current,
        "trusted": record.trusted,
        "calibration": asdict(record.calibration),
        "split": record.split,
        "report": {} if record.report is None else to_json(record.report),
        "sample": sorted(record.sample),
    }


def source_record(row: Any) -> SourceRecord:
    """Source from a row's mapping."""
    learned = row["calibration"]
    knots = tuple((x, y) for x, y in learned["knots"])
    return SourceRecord(
        LlmSource(row["question"], row["model"], row["prompt"], row["examples"], row["samples"]),
        row["text"],
        row["current"],
        row["trusted"],
        Calibration(learned["method"], learned["temperature"], knots),
        row["split"],
        read_report(SourceReport, row["report"]),
        frozenset(row["sample"]),
    )


def bulk_row(record: BulkRecord) -> dict[str, Any]:
    """Row of a batch."""
    return {
        "id": record.id,
        "key": record.key,
        "claims": dict(record.claims),
        "requests": {name: dict(request) for name, request in record.requests.items()},
        "created_at": record.created_at,
    }


def state_record(row: Any) -> EndpointState:
    """What is known of a model, from a row's mapping."""
    return EndpointState(ReplyFormat(row["form"]), row["logprobs"], tuple(row["dropped"]))
