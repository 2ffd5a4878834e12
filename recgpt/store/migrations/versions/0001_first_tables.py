"""The first tables: what a night makes, and what made it.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op

from recgpt.store import tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_versions",
        sa.Column("version", sa.String(length=71), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("parent", sa.String(length=71), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("trained_until", tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("created_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_model_versions")),
    )
    op.create_table(
        "prompt_versions",
        sa.Column("version", sa.String(length=71), nullable=False),
        sa.Column("task", sa.String(length=255), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("parent", sa.String(length=71), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("created_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_prompt_versions")),
    )
    op.create_table(
        "requests",
        sa.Column("hash", sa.String(length=71), nullable=False),
        sa.Column("task", sa.String(length=255), nullable=False),
        sa.Column("prompt_version", sa.String(length=71), nullable=False),
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("revision", sa.String(length=255), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_requests")),
    )
    op.create_index(op.f("ix_requests_prompt_version"), "requests", ["prompt_version"], unique=False)
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("stage", sa.String(length=255), nullable=False),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("state", sa.String(length=255), nullable=False),
        sa.Column("started_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("ended_at", tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("config_hash", sa.String(length=255), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["runs.id"], name=op.f("fk_runs_parent_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_table(
        "answers",
        sa.Column("request_hash", sa.String(length=71), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("finish_reason", sa.String(length=255), nullable=False),
        sa.Column("logprobs", sa.Text(), nullable=True),
        sa.Column("tokens_in", sa.Integer(), nullable=True),
        sa.Column("tokens_out", sa.Integer(), nullable=True),
        sa.Column("tokens_cached", sa.Integer(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("created_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["request_hash"], ["requests.hash"], name=op.f("fk_answers_request_hash_requests")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_answers_run_id_runs")),
        sa.PrimaryKeyConstraint("request_hash", name=op.f("pk_answers")),
    )
    op.create_table(
        "explanations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("interest", sa.String(length=255), nullable=False),
        sa.Column("item_id", sa.String(length=255), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("style", sa.Text(), nullable=False),
        sa.Column("style_request_hash", sa.String(length=71), nullable=True),
        sa.Column("served", sa.Integer(), nullable=False),
        sa.Column("input_hash", sa.String(length=71), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("request_hash", sa.String(length=71), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("created_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("since_night", sa.Date(), nullable=False),
        sa.Column("retired_night", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["request_hash"], ["requests.hash"], name=op.f("fk_explanations_request_hash_requests")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_explanations_run_id_runs")),
        sa.ForeignKeyConstraint(
            ["style_request_hash"], ["requests.hash"], name=op.f("fk_explanations_style_request_hash_requests")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_explanations")),
    )
    op.create_index("ix_explanations_pair", "explanations", ["interest", "item_id"], unique=False)
    op.create_table(
        "interests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("horizon", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("first_seen", tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("last_confirmed", tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("operation", sa.String(length=16), nullable=False),
        sa.Column("supersedes_id", sa.Integer(), nullable=True),
        sa.Column("request_hash", sa.String(length=71), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("created_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("since_night", sa.Date(), nullable=False),
        sa.Column("retired_night", sa.Date(), nullable=True),
        sa.Column("retired_because", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["request_hash"], ["requests.hash"], name=op.f("fk_interests_request_hash_requests")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_interests_run_id_runs")),
        sa.ForeignKeyConstraint(["supersedes_id"], ["interests.id"], name=op.f("fk_interests_supersedes_id_interests")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interests")),
    )
    op.create_index(op.f("ix_interests_name"), "interests", ["name"], unique=False)
    op.create_index(op.f("ix_interests_user_id"), "interests", ["user_id"], unique=False)
    op.create_table(
        "labels",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("target_id", sa.Integer(), nullable=False),
        sa.Column("criterion", sa.String(length=64), nullable=False),
        sa.Column("verdict", sa.Boolean(), nullable=False),
        sa.Column("p_yes", sa.Double(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("rationale", sa.Text(), nullable=False),
        sa.Column("judge", sa.String(length=255), nullable=False),
        sa.Column("prompt_version", sa.String(length=71), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=True),
        sa.Column("request_hash", sa.String(length=71), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("created_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["request_hash"], ["requests.hash"], name=op.f("fk_labels_request_hash_requests")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_labels_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labels")),
    )
    op.create_index(op.f("ix_labels_target_id"), "labels", ["target_id"], unique=False)
    op.create_index(op.f("ix_labels_task"), "labels", ["task"], unique=False)
    op.create_table(
        "memories",
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("read_until", tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("read_hash", sa.String(length=71), nullable=False),
        sa.Column("full_night", sa.Date(), nullable=False),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("rules_hash", sa.String(length=71), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_memories")),
    )
    op.create_index(op.f("ix_memories_night"), "memories", ["night"], unique=False)
    op.create_table(
        "rejections",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("gate", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.String(length=71), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("created_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["request_hash"], ["requests.hash"], name=op.f("fk_rejections_request_hash_requests")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_rejections_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejections")),
    )
    op.create_index(op.f("ix_rejections_key"), "rejections", ["key"], unique=False)
    op.create_index(op.f("ix_rejections_stage"), "rejections", ["stage"], unique=False)
    op.create_table(
        "units",
        sa.Column("stage", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("input_hash", sa.String(length=71), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_units_run_id_runs")),
        sa.PrimaryKeyConstraint("stage", "key", name=op.f("pk_units")),
    )
    op.create_table(
        "tags",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("interest_id", sa.Integer(), nullable=False),
        sa.Column("tag", sa.String(length=255), nullable=False),
        sa.Column("persona", sa.String(length=255), nullable=False),
        sa.Column("rationale", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("request_hash", sa.String(length=71), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("created_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("since_night", sa.Date(), nullable=False),
        sa.Column("retired_night", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["interest_id"], ["interests.id"], name=op.f("fk_tags_interest_id_interests")),
        sa.ForeignKeyConstraint(["request_hash"], ["requests.hash"], name=op.f("fk_tags_request_hash_requests")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_tags_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tags")),
    )
    op.create_index(op.f("ix_tags_interest_id"), "tags", ["interest_id"], unique=False)
    op.create_index(op.f("ix_tags_user_id"), "tags", ["user_id"], unique=False)
    op.create_table(
        "recommendations",
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("item_id", sa.String(length=255), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("user_score", sa.Double(), nullable=False),
        sa.Column("tag_score", sa.Double(), nullable=False),
        sa.Column("tag_id", sa.Integer(), nullable=False),
        sa.Column("interest_id", sa.Integer(), nullable=False),
        sa.Column("model_version", sa.String(length=71), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["interest_id"], ["interests.id"], name=op.f("fk_recommendations_interest_id_interests")
        ),
        sa.ForeignKeyConstraint(
            ["model_version"], ["model_versions.version"], name=op.f("fk_recommendations_model_version_model_versions")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_recommendations_run_id_runs")),
        sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], name=op.f("fk_recommendations_tag_id_tags")),
        sa.PrimaryKeyConstraint("night", "user_id", "item_id", name=op.f("pk_recommendations")),
    )


def downgrade() -> None:
    op.drop_table("recommendations")
    op.drop_index(op.f("ix_tags_user_id"), table_name="tags")
    op.drop_index(op.f("ix_tags_interest_id"), table_name="tags")
    op.drop_table("tags")
    op.drop_table("units")
    op.drop_index(op.f("ix_memories_night"), table_name="memories")
    op.drop_table("memories")
    op.drop_index(op.f("ix_rejections_stage"), table_name="rejections")
    op.drop_index(op.f("ix_rejections_key"), table_name="rejections")
    op.drop_table("rejections")
    op.drop_index(op.f("ix_labels_task"), table_name="labels")
    op.drop_index(op.f("ix_labels_target_id"), table_name="labels")
    op.drop_table("labels")
    op.drop_index(op.f("ix_interests_user_id"), table_name="interests")
    op.drop_index(op.f("ix_interests_name"), table_name="interests")
    op.drop_table("interests")
    op.drop_index("ix_explanations_pair", table_name="explanations")
    op.drop_table("explanations")
    op.drop_table("answers")
    op.drop_table("runs")
    op.drop_index(op.f("ix_requests_prompt_version"), table_name="requests")
    op.drop_table("requests")
    op.drop_table("prompt_versions")
    op.drop_table("model_versions")
