"""Cron jobs: what each is and was, how it stands, and what keeps many of them from firing: calendars and freezes.

Invariant: `cronjob.next_fire_at` is NULL for every cron job that is not active; the columns of a pause and
`cronjob.wake_at` are NULL for every cron job that its owner has not paused.
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
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from cronally.store.tables.accounts import account
from cronally.store.tables.columns import INSTANT, KEY, metadata, partial_index
from cronally.store.tables.connections import connection
from cronally.store.types import Id

cronjob: Final = Table(
    "cronjob",
    metadata,
    Column("cronjob_id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey(account.c.account_id), nullable=False),
    Column("name", Text, nullable=False),
    Column("cron", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    # JSON, sorted and without spaces: how it fires, as far as SQL need not know.
    Column("policies", Text, nullable=False),
    Column("state", Text, nullable=False),
    # Why a cron job that should be active is not (set aside by the scheduler).
    Column("state_reason", Text),
    Column("version", Integer, nullable=False),
    Column("created_at", INSTANT, nullable=False),
    # When it was last changed.
    Column("updated_at", INSTANT, nullable=False),
    # When what decides how it fires was last changed: the ledger has everything until then.
    Column("settled_at", INSTANT, nullable=False, server_default=text("0")),
    # The API key that changed it; NULL for the server itself.
    Column("updated_by", KEY),
    Column("next_fire_at", INSTANT),
    # The version of the zone data by which the next fire time was computed.
    Column("tzdata", Text, nullable=False),
    Column("target", Text, nullable=False),
    # JSON of the target's public parameters; the secret ones are sealed beside it, NULL once deleted.
    Column("destination", Text, nullable=False),
    Column("secret", LargeBinary),
    # Bytes of the texts that a tenant sends: name, expression, policies, destination and tags.
    Column("size", Integer, nullable=False),
    # How many others its account had when it was made: of those that are due at one instant, the least goes first.
    Column("turn", Integer, nullable=False, server_default=text("0")),
    # From when on a deleted cron job need not be kept, if the ledger no longer speaks of it.
    Column("purge_at", INSTANT),
    # Since when its owner has it paused, until when if it resumes by itself, by which API key, and why.
    Column("paused_at", INSTANT),
    Column("paused_until", INSTANT),
    Column("paused_by", KEY),
    Column("paused_note", Text),
    # When the scheduler must look at a cron job that has no next fire time.
    Column("wake_at", INSTANT),
    # How many of its fire times were handed to its target since it was made: rows that a tick wrote as pending.
    Column("fired", BigInteger, nullable=False, server_default=text("0")),
    # JSON of a sorted list, without spaces: `"` stands around each tag and in none, by which SQL finds it.
    Column("tags", Text, nullable=False, server_default=text("'[]'")),
    # Whose credentials it is sent with, where they are not its own; NULL once it is deleted.
    Column("connection_id", Id, ForeignKey(connection.c.connection_id)),
    CheckConstraint("(purge_at IS NOT NULL) = (state = 'deleted')", name="deleted_is_purged"),
    # A list is filtered by what is in them: one row that is no JSON would end the query.
    CheckConstraint("json_valid(policies)", name="policies_are_json").ddl_if(dialect="sqlite"),
    CheckConstraint("policies::jsonb IS NOT NULL", name="policies_are_json").ddl_if(dialect="postgresql"),
)
partial_index("ix_cronjob_due", "next_fire_at IS NOT NULL", cronjob.c.next_fire_at, cronjob.c.turn)
partial_index("ix_cronjob_wake_at", "wake_at IS NOT NULL", cronjob.c.wake_at)
partial_index(
    "ix_cronjob_listed",
    "state <> 'deleted'",
    cronjob.c.account_id,
    cronjob.c.created_at,
    cronjob.c.cronjob_id,
    cronjob.c.size,
    cronjob.c.state,
)
partial_index("ix_cronjob_purged", "purge_at IS NOT NULL", cronjob.c.account_id, cronjob.c.purge_at)
partial_index("ix_cronjob_connection", "connection_id IS NOT NULL", cronjob.c.connection_id)
# Who makes his cron jobs anew each day has many deleted ones of one name.
partial_index("ix_cronjob_deleted", "state = 'deleted'", cronjob.c.account_id, cronjob.c.name)

cronjob_version: Final = Table(
    "cronjob_version",
    metadata,
    # What a cron job was from `changed_at` on. A row is added with each change, and never altered but for what it sent.
    Column("cronjob_id", Id, ForeignKey(cronjob.c.cronjob_id, ondelete="CASCADE"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("cron", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("policies", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_reason", Text),
    Column("changed_at", INSTANT, nullable=False),
    # The API key that changed it; NULL for the server itself.
    Column("changed_by", KEY),
    Column("paused_at", INSTANT),
    Column("paused_until", INSTANT),
    Column("paused_by", KEY),
    Column("paused_note", Text),
    # Its target, where it is known what it sent; and JSON of the public parameters in the last version that had them,
    # with how many bytes they are: `former`.
    Column("target", Text),
    Column("size", BigInteger),
    Column("destination", Text),
    PrimaryKeyConstraint("cronjob_id", "version"),
)

standing: Final = Table(
    "standing",
    metadata,
    # A row for each cron job whose last firing failed or came late; those that are well have none.
    Column("cronjob_id", Id, ForeignKey(cronjob.c.cronjob_id, ondelete="CASCADE"), primary_key=True),
    Column("health", Text, nullable=False),
    # The fire time of the first in the row that ended so, and how many they are.
    Column("since", INSTANT, nullable=False),
    Column("in_a_row", BigInteger, nullable=False),
)

calendar: Final = Table(
    "calendar",
    metadata,
    Column("account_id", Id, ForeignKey(account.c.account_id), nullable=False),
    Column("name", KEY, nullable=False),
    # JSON: a list of dates and ranges of dates, sorted.
    Column("dates", Text, nullable=False),
    # How many they are, and the bytes of name and dates.
    Column("count", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("created_at", INSTANT, nullable=False),
    Column("updated_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("account_id", "name"),
)

freeze: Final = Table(
    "freeze",
    metadata,
    # It is in force from its creation to `until`, unless it is lifted before.
    Column("freeze_id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey(account.c.account_id), nullable=False),
    # Whose firings it holds: those of the whole account, of a tag or of a host; and of which.
    Column("selector", Text, nullable=False),
    Column("value", Text),
    Column("rule", Text, nullable=False),
    Column("note", Text),
    Column("created_at", INSTANT, nullable=False),
    Column("until", INSTANT, nullable=False),
    # The API keys that made and lifted it.
    Column("created_by", KEY, nullable=False),
    Column("lifted_at", INSTANT),
    Column("lifted_by", KEY),
    CheckConstraint("(value IS NULL) = (selector = 'account')", name="account_has_no_value"),
)
partial_index("ix_freeze_in_force", "lifted_at IS NULL", freeze.c.account_id, freeze.c.until)
partial_index("ix_freeze_lifted", "lifted_at IS NOT NULL", freeze.c.until)
Index("ix_freeze_listed", freeze.c.account_id, freeze.c.created_at, freeze.c.freeze_id)
