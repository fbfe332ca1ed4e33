"""The mirror, versions, suspects, and all that is known of LLMs."""

import sqlalchemy as sa

from backend.adapters.sql.migrations.missing import create_table

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make these tables."""
    create_table(
        "projects",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("project_id", sa.Integer, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("label_config", sa.Text, nullable=False),
        sa.Column("cursor", sa.String(40)),
        sa.Column("full_sync_at", sa.Float, nullable=False),
        sa.Column("next_tab", sa.Integer),
        sa.Column("check_tab", sa.Integer),
        sa.Column("checked_at", sa.Float, nullable=False),
    )
    create_table(
        "tasks",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("updated_at", sa.String(40), nullable=False),
        sa.Column("suggested", sa.Integer, nullable=False),
    )
    create_table(
        "annotations",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("task_id", sa.Integer, nullable=False, index=True),
        sa.Column("annotator_id", sa.Integer),
        sa.Column("answers", sa.JSON, nullable=False),
        sa.Column("skipped", sa.Boolean, nullable=False),
        sa.Column("updated_at", sa.String(40), nullable=False),
    )
    create_table(
        "versions",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("seen_until", sa.String(40), nullable=False),
        sa.Column("n_labels", sa.Integer, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("rules", sa.String(40), nullable=False),
    )
    create_table(
        "suspects",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("task_id", sa.Integer, primary_key=True),
        sa.Column("question", sa.String(200), primary_key=True),
        sa.Column("given", sa.JSON, nullable=False),
        sa.Column("expected", sa.JSON, nullable=False),
        sa.Column("quality", sa.Float, nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("seen", sa.JSON, nullable=False),
        sa.Column("tagged", sa.Boolean, nullable=False),
    )
    _llms()


def _llms() -> None:
    create_table(
        "llm_answers",
        sa.Column("content", sa.Text, primary_key=True),
        sa.Column("prompt", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("key", sa.String(80), nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("problem", sa.String(20), nullable=False),
        sa.Column("confidence", sa.Float),
        sa.Column("confidence_kind", sa.String(20), nullable=False),
        sa.Column("input_tokens", sa.Integer, nullable=False),
        sa.Column("output_tokens", sa.Integer, nullable=False),
        sa.Column("price_usd", sa.Float, nullable=False),
        sa.Column("latency_s", sa.Float, nullable=False),
        sa.Column("answered_at", sa.Float, nullable=False),
    )
    create_table(
        "llm_money",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.Column("held", sa.BigInteger, nullable=False),
        sa.Column("unknown", sa.BigInteger, nullable=False),
    )
    create_table(
        "llm_claims",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(80), nullable=False, index=True),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("reserved", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("swept", sa.Boolean, nullable=False),
    )
    create_table(
        "llm_claimed",
        sa.Column("content", sa.Text, primary_key=True),
        sa.Column("prompt", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("claim_id", sa.String(32), nullable=False, index=True),
        sa.Column("expires_at", sa.Float, nullable=False, index=True),
    )
    create_table(
        "llm_sources",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("prompt", sa.Text, primary_key=True),
        sa.Column("question", sa.Text, primary_key=True),
        sa.Column("examples", sa.Integer, nullable=False),
        sa.Column("samples", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("current", sa.Boolean, nullable=False),
        sa.Column("trusted", sa.Boolean, nullable=False),
        sa.Column("calibration", sa.Text, nullable=False),
        sa.Column("split", sa.Float),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("sample", sa.Text, nullable=False),
    )
    create_table(
        "llm_bulks",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("key", sa.String(80), nullable=False, index=True),
        sa.Column("claims", sa.Text, nullable=False),
        sa.Column("requests", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    create_table(
        "llm_endpoints",
        sa.Column("endpoint", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("probe_at", sa.Float, nullable=False),
    )
    create_table(
        "llm_endpoint_models",
        sa.Column("endpoint", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("form", sa.String(20), nullable=False),
        sa.Column("logprobs", sa.Boolean, nullable=False),
        sa.Column("dropped", sa.Text, nullable=False),
    )
