"""Labels that say who gave them and on what words, and what judges and tuned versions are known by.

A label's judge was the model's name: an answer of other weights, or in the other form, looked like the same judge's, so
the revision and the form are put into it out of the request. Of the labels that one judge gave twice, only the last
holds.

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op

from recgpt.store import tables

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = ["task", "target_id", "criterion", "judge", "prompt_version"]
HOLDING = sa.text("NOT superseded")
ADDED = ("kind", "revision", "evidence", "votes", "superseded", "queued")

requests = sa.table("requests", *map(sa.column, ("hash", "model", "revision", "body")))
labels = sa.table("labels", sa.column("id"), sa.column("request_hash"), *map(sa.column, (*KEY, *ADDED)))


def upgrade() -> None:
    with op.batch_alter_table("labels") as batch:
        batch.add_column(sa.Column("kind", sa.String(length=16), nullable=False, server_default="model"))
        batch.add_column(sa.Column("revision", sa.String(length=255), nullable=False, server_default=""))
        batch.add_column(sa.Column("evidence", sa.Text(), nullable=False, server_default=""))
        batch.add_column(sa.Column("votes", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("superseded", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch.add_column(sa.Column("queued", sa.String(length=16), nullable=False, server_default=""))
        batch.alter_column("judge", existing_type=sa.String(length=255), type_=sa.String(length=520))
    asked = sa.select(requests).where(requests.c.hash == labels.c.request_hash)
    known = sa.exists(asked)
    op.execute(
        labels.update()
        .where(known)
        .values(revision=asked.with_only_columns(requests.c.revision).correlate(labels).scalar_subquery())
    )
    said = sa.exists(asked.where(requests.c.body.like('%"required":["answer"]%')))
    op.execute(
        labels.update()
        .where(known)
        .values(judge=labels.c.judge + "@" + labels.c.revision + sa.case((said, "#said"), else_=""))
    )
    later = labels.alias("later")
    same = sa.and_(later.c.id > labels.c.id, *(later.c[name] == labels.c[name] for name in KEY))
    op.execute(labels.update().where(sa.exists(sa.select(later.c.id).where(same))).values(superseded=sa.true()))
    with op.batch_alter_table("labels") as batch:
        for name in ("kind", "revision", "evidence", "superseded", "queued"):
            batch.alter_column(name, server_default=None)
    op.create_index("uq_labels_holding", "labels", KEY, unique=True, sqlite_where=HOLDING, postgresql_where=HOLDING)

    # Added as they stand: SQLite would have to make this table anew, which the rows that refer to it forbid.
    op.add_column("model_versions", sa.Column("name", sa.String(length=255), nullable=False, server_default=""))
    op.add_column("model_versions", sa.Column("base", sa.String(length=520), nullable=False, server_default=""))

    op.create_table(
        "skips",
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("target_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("criterion", sa.String(length=64), nullable=False),
        sa.Column("judge", sa.String(length=520), nullable=False),
        sa.Column("created_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("task", "target_id", "criterion", "judge", name=op.f("pk_skips")),
    )
    op.create_table(
        "preferences",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("criterion", sa.String(length=64), nullable=False),
        sa.Column("input_hash", sa.String(length=71), nullable=False),
        sa.Column("left", sa.Text(), nullable=False),
        sa.Column("right", sa.Text(), nullable=False),
        sa.Column("left_target", sa.Integer(), nullable=True),
        sa.Column("right_target", sa.Integer(), nullable=True),
        sa.Column("left_version", sa.String(length=255), nullable=False),
        sa.Column("right_version", sa.String(length=255), nullable=False),
        sa.Column("judge", sa.String(length=520), nullable=False),
        sa.Column("first", sa.String(length=8), nullable=False),
        sa.Column("second", sa.String(length=8), nullable=False),
        sa.Column("winner", sa.String(length=8), nullable=True),
        sa.Column("prompt_version", sa.String(length=71), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=True),
        sa.Column("first_request_hash", sa.String(length=71), nullable=True),
        sa.Column("second_request_hash", sa.String(length=71), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("created_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["first_request_hash"], ["requests.hash"], name=op.f("fk_preferences_first_request_hash_requests")
        ),
        sa.ForeignKeyConstraint(
            ["second_request_hash"], ["requests.hash"], name=op.f("fk_preferences_second_request_hash_requests")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_preferences_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_preferences")),
    )
    op.create_index(op.f("ix_preferences_input_hash"), "preferences", ["input_hash"], unique=False)
    op.create_index(op.f("ix_preferences_task"), "preferences", ["task"], unique=False)
    op.create_table(
        "judge_thresholds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("judge", sa.String(length=520), nullable=False),
        sa.Column("prompt_version", sa.String(length=71), nullable=False),
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("criterion", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("auc", sa.Double(), nullable=False),
        sa.Column("sensitivity", sa.Double(), nullable=False),
        sa.Column("specificity", sa.Double(), nullable=False),
        sa.Column("cases", sa.Integer(), nullable=False),
        sa.Column("fitted_on", sa.String(length=71), nullable=False),
        sa.Column("created_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judge_thresholds")),
    )
    op.create_index(op.f("ix_judge_thresholds_judge"), "judge_thresholds", ["judge"], unique=False)
    op.create_table(
        "passports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("judge", sa.String(length=520), nullable=False),
        sa.Column("prompt_versions", sa.JSON(), nullable=False),
        sa.Column("labels_hash", sa.String(length=71), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("kappa", sa.Double(), nullable=True),
        sa.Column("specificity", sa.Double(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("created_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passports")),
    )
    op.create_index(op.f("ix_passports_judge"), "passports", ["judge"], unique=False)
    op.create_index(op.f("ix_passports_task"), "passports", ["task"], unique=False)
    op.create_table(
        "promotions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("version", sa.String(length=71), nullable=True),
        sa.Column("previous", sa.String(length=71), nullable=True),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("created_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
    )
    op.create_index("ix_promotions_task_kind", "promotions", ["task", "kind"], unique=False)
    op.create_table(
        "tuning_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("task", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("data_hash", sa.String(length=71), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("version", sa.String(length=71), nullable=True),
        sa.Column("started_at", tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("ended_at", tables.UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tuning_runs")),
    )


def downgrade() -> None:
    for table in ("tuning_runs", "promotions", "passports", "judge_thresholds", "preferences", "skips"):
        op.drop_table(table)
    op.drop_column("model_versions", "base")
    op.drop_column("model_versions", "name")
    op.drop_index("uq_labels_holding", table_name="labels")
    asked = sa.select(requests.c.model).where(requests.c.hash == labels.c.request_hash)
    op.execute(labels.update().where(sa.exists(asked)).values(judge=asked.correlate(labels).scalar_subquery()))
    with op.batch_alter_table("labels") as batch:
        batch.alter_column("judge", existing_type=sa.String(length=520), type_=sa.String(length=255))
        for name in ADDED:
            batch.drop_column(name)
