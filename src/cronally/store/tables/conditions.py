"""What accounts are told of: the rules, what happened that they go by, and the conditions that stand.

Invariant: who changes conditions of an account, or the rest that is here of it, holds the row of its `watch`; what
happened is added without it, in the transaction in which it happened, and only for an account that has that row.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from cronally.store.tables.accounts import account
from cronally.store.tables.columns import INSTANT, KEY, metadata, partial_index
from cronally.store.types import Id

rule: Final = Table(
    "rule",
    metadata,
    Column("rule_id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey(account.c.account_id), nullable=False),
    # What it is for: the account, a tag or a cron job; and which.
    Column("scope", Text, nullable=False),
    Column("value", Text),
    # JSON: `alert_rules.Settings`.
    Column("settings", Text, nullable=False),
    Column("created_at", INSTANT, nullable=False),
    Column("updated_at", INSTANT, nullable=False),
    # The API key that last changed it.
    Column("updated_by", KEY, nullable=False),
    CheckConstraint("(value IS NULL) = (scope = 'account')", name="account_has_no_value"),
)
Index("ix_rule_listed", rule.c.account_id, rule.c.created_at, rule.c.rule_id)

watch: Final = Table(
    "watch",
    metadata,
    # A row for each account that has had a rule, or a cron job that pauses after failures.
    Column("account_id", Id, ForeignKey(account.c.account_id), primary_key=True),
    # When something of its conditions is to be told, or looked at.
    Column("due_at", INSTANT),
)
partial_index("ix_watch_due", "due_at IS NOT NULL", watch.c.due_at)

happening: Final = Table(
    "happening",
    metadata,
    # Rises with each of a subject, for those of one subject are added one after the other.
    Column(
        "happening_id",
        BigInteger().with_variant(Integer(), "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    Column("account_id", Id, nullable=False),
    # The cron job that it happened to; or a connection, or the account.
    Column("subject", Id, nullable=False),
    Column("what", Text, nullable=False),
    # The fire time, if it happened to one; when it happened; how many fire times, and how late, in microseconds.
    Column("since", INSTANT, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("late_by", BigInteger, nullable=False),
    Column("reason", Text),
)
Index("ix_happening_next", happening.c.account_id, happening.c.happening_id)

condition: Final = Table(
    "condition",
    metadata,
    # What stands, or is counted, of a subject: `condition.Condition`.
    Column("subject", Id, nullable=False),
    Column("name", KEY, nullable=False),
    Column("account_id", Id, ForeignKey(account.c.account_id), nullable=False),
    Column("phase", Text, nullable=False),
    Column("since", INSTANT, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("last", INSTANT, nullable=False),
    Column("reason", Text),
    Column("ended_at", INSTANT),
    Column("due_at", INSTANT),
    # When it is looked at whether it still stands.
    Column("look_at", INSTANT, nullable=False),
    Column("cause", KEY, nullable=False),
    Column("rule_id", Id),
    PrimaryKeyConstraint("subject", "name"),
)
partial_index("ix_condition_due", "due_at IS NOT NULL", condition.c.account_id, condition.c.due_at)
Index("ix_condition_look", condition.c.account_id, condition.c.look_at)

told: Final = Table(
    "told",
    metadata,
    # When an account was last told something with a cause, for as long as what joins it has to wait.
    Column("account_id", Id, ForeignKey(account.c.account_id), nullable=False),
    Column("told_of", KEY, nullable=False),
    Column("told_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("account_id", "told_of"),
)

outage: Final = Table(
    "outage",
    metadata,
    # A time in which no scheduler ran: from its last heartbeat until one came back.
    Column("began_at", INSTANT, primary_key=True, autoincrement=False),
    Column("ended_at", INSTANT, nullable=False),
    # The last account for which it was noted that it happened; NULL once all were.
    Column("noted_after", KEY),
)
partial_index("ix_outage_noted", "noted_after IS NOT NULL", outage.c.began_at)
