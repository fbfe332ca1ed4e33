"""The tables of the database, but for those about LLMs. A change here needs a file in `migrations/versions/`."""

from sqlalchemy import JSON, Boolean, Column, Float, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()
projects = Table(
    "projects",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("project_id", Integer, nullable=False),
    Column("title", Text, nullable=False, default=""),
    Column("label_config", Text, nullable=False, default=""),
    Column("cursor", String(40)),
    Column("full_sync_at", Float, nullable=False, default=0.0),
    Column("next_tab", Integer),
    Column("check_tab", Integer),
    Column("checked_at", Float, nullable=False, default=0.0),
    Column("data_tab", Integer),
)
tasks = Table(
    "tasks",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("id", Integer, primary_key=True),
    Column("data", JSON, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("updated_at", String(40), nullable=False),
    Column("suggested", Integer, nullable=False, default=0),
)
annotations = Table(
    "annotations",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("id", Integer, primary_key=True),
    Column("task_id", Integer, nullable=False, index=True),
    Column("annotator_id", Integer),
    Column("answers", JSON, nullable=False),
    Column("skipped", Boolean, nullable=False),
    Column("updated_at", String(40), nullable=False),
    Column("origins", JSON),
    # NULL in rows of an earlier release, NO_LEAD_TIME where Label Studio has none.
    Column("lead_time_s", Float),
)
past_suggestions = Table(
    "past_suggestions",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("task_id", Integer, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("answers", JSON, nullable=False),
    Column("per_question", JSON, nullable=False),
)
versions = Table(
    "versions",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("status", String(12), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("seen_until", String(40), nullable=False, default=""),
    Column("n_labels", Integer, nullable=False, default=0),
    Column("note", Text, nullable=False, default=""),
    Column("rules", String(40), nullable=False, default=""),
    # The time of the file that says the same; NULL: never current, or only in an earlier release.
    Column("current_at", Float),
)
project_settings = Table(
    "project_settings",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("params", Text, nullable=False),
    # The time of the file that says the same.
    Column("at", Float, nullable=False),
)
added_labels = Table(
    "added_labels",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("question", String(200), primary_key=True),
    Column("label", Text, primary_key=True),
    # Label Studio's newest change when we saw the label first.
    Column("since", String(40), nullable=False),
)
renamed_labels = Table(
    "renamed_labels",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("question", String(200), primary_key=True),
    # As answers have it, and the label of today that it means.
    Column("label", Text, primary_key=True),
    Column("now", Text, nullable=False),
)
suspects = Table(
    "suspects",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("task_id", Integer, primary_key=True),
    Column("question", String(200), primary_key=True),
    # "": the task's answer as a whole.
    Column("region", Text, primary_key=True, server_default=""),
    Column("given", JSON, nullable=False),
    Column("expected", JSON, nullable=False),
    Column("quality", Float, nullable=False),
    Column("status", String(12), nullable=False),
    Column("seen", JSON, nullable=False),
    Column("tagged", Boolean, nullable=False, default=False),
    Column("reason", Text),
    Column("shown", Boolean),
)
verdicts = Table(
    "verdicts",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("question", String(200), nullable=False),
    Column("status", String(12), nullable=False),
    Column("quality", Float, nullable=False),
    Column("at", Float, nullable=False),
    Column("region", Text, nullable=False, server_default=""),
)
label_studios = Table(
    "label_studios",
    metadata,
    # Hash of an address.
    Column("address", String(8), primary_key=True),
    # What the keys of this Label Studio's projects end in: the hash of the first address that it was known by.
    Column("mark", String(8), nullable=False),
    # The address as it may be shown.
    Column("shown", Text, nullable=False),
    Column("since", Float, nullable=False),
)
tags = Table(
    "tags",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("task_id", Integer, primary_key=True),
    Column("name", String(40), primary_key=True),
    # NULL: we wrote something, and a crash or an earlier release left it open what.
    Column("value", JSON(none_as_null=True)),
)
holds = Table(
    "holds",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("since", Float, nullable=False),
)
check_reports = Table(
    "check_reports",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("report", JSON, nullable=False),
)
vectors = Table(
    "embeddings",
    metadata,
    Column("model", Text, primary_key=True),
    Column("content", String(64), primary_key=True),
    Column("vector", LargeBinary, nullable=False),  # float16, little-endian
)
