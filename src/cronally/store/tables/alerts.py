"""Alerts: the channels of an account, what was told, and what became of it with each channel.

Invariant: what is secret stands in `secret` alone, sealed; of a token that confirms an address there is a digest.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from cronally.store.tables.accounts import account
from cronally.store.tables.columns import INSTANT, KEY, metadata, partial_index
from cronally.store.tables.connections import connection
from cronally.store.types import Id

channel: Final = Table(
    "channel",
    metadata,
    # Where alerts of an account go.
    Column("channel_id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey(account.c.account_id), nullable=False),
    Column("name", KEY, nullable=False),
    Column("kind", Text, nullable=False),
    # JSON: what may be shown of it. The secrets are sealed beside it.
    Column("parameters", Text, nullable=False),
    Column("secret", LargeBinary),
    # The connection whose credentials it uses, if it has none of its own.
    Column("connection_id", Id, ForeignKey(connection.c.connection_id)),
    Column("version", Integer, nullable=False),
    Column("created_at", INSTANT, nullable=False),
    Column("updated_at", INSTANT, nullable=False),
    # The API key that changed it.
    Column("updated_by", KEY, nullable=False),
    # From when on it gets alerts; NULL while nobody has confirmed its address.
    Column("confirmed_at", INSTANT),
    # The digest of the token that confirms it, and until when that does.
    Column("token_digest", KEY),
    Column("token_until", INSTANT),
    # When an alert last reached it.
    Column("delivered_at", INSTANT),
    # Since when alerts do not reach it, NULL while they do; and what went wrong last.
    Column("unhealthy_since", INSTANT),
    Column("unhealthy_detail", Text),
    CheckConstraint("(token_digest IS NULL) = (token_until IS NULL)", name="a_token_ends"),
)
Index("ix_channel_name", channel.c.account_id, channel.c.name, unique=True)
partial_index("ix_channel_token_digest", "token_digest IS NOT NULL", channel.c.token_digest)
partial_index("ix_channel_connection", "connection_id IS NOT NULL", channel.c.connection_id)

alert: Final = Table(
    "alert",
    metadata,
    Column("alert_id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey(account.c.account_id), nullable=False),
    Column("condition", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("subject_kind", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("title", Text, nullable=False),
    # JSON: a list of texts, and a list of ids with names.
    Column("lines", Text, nullable=False),
    Column("affected", Text, nullable=False),
    Column("affected_total", Integer, nullable=False),
    Column("created_at", INSTANT, nullable=False),
    # The same of those that count for how many are sent in a minute; NULL of tests, of what was cut or says so.
    Column("counted_at", INSTANT),
)
Index("ix_alert_listed", alert.c.account_id, alert.c.created_at, alert.c.alert_id)
partial_index("ix_alert_counted", "counted_at IS NOT NULL", alert.c.account_id, alert.c.counted_at)

alert_delivery: Final = Table(
    "alert_delivery",
    metadata,
    # One row an alert and channel. It stays when the channel is deleted.
    Column("alert_id", Id, ForeignKey(alert.c.alert_id, ondelete="CASCADE"), nullable=False),
    Column("channel_id", Id, nullable=False),
    Column("account_id", Id, nullable=False),
    # Those of the channel: the row says where it went when that is gone.
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    # What was said, or what went wrong.
    Column("detail", Text),
    # When it may be claimed; of what is sent, when its lease ends.
    Column("due_at", INSTANT),
    Column("attempts", Integer, nullable=False),
    # Leases in a row that ended without a record.
    Column("lost_leases", Integer, nullable=False),
    # Rises at every claim and is never reset: the fence.
    Column("lease_no", Integer, nullable=False),
    Column("created_at", INSTANT, nullable=False),
    Column("finished_at", INSTANT),
    PrimaryKeyConstraint("alert_id", "channel_id"),
    CheckConstraint("(due_at IS NOT NULL) = (state IN ('pending', 'sending'))", name="due_is_open"),
    CheckConstraint("(due_at IS NULL) = (finished_at IS NOT NULL)", name="finished_is_not_due"),
)
_DUE: Final = "due_at IS NOT NULL"
partial_index("ix_alert_delivery_due", _DUE, alert_delivery.c.account_id, alert_delivery.c.due_at)
Index("ix_alert_delivery_channel", alert_delivery.c.channel_id)

mail_count: Final = Table(
    "mail_count",
    metadata,
    # How many mails that nobody has asked for went to an address, or were asked for by an account, in a day.
    Column("counted", KEY, nullable=False),
    Column("day", INSTANT, nullable=False),
    Column("count", Integer, nullable=False),
    PrimaryKeyConstraint("counted", "day"),
)
