"""The tables, the same for SQLite and PostgreSQL.

Instants are BIGINT microseconds since 1970 UTC, ids are UUIDs (`types.Id`), secrets are sealed bytes. `migrations/`
makes them in a real database; a test compares what it makes with this file.

Invariant: `firing.due_at` is the one column that says when a firing must be looked at again. Pending: when it
may be attempted. Sending: when its lease ends (design.md's `leased_until`), so a crashed worker's firing is due like
any other. Finished: NULL. `cronjob.next_fire_at` is NULL for every cron job that is not active; the columns of a pause
and `cronjob.wake_at` are NULL for every cron job that its owner has not paused.
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

from cronally.store.columns import INSTANT as _Instant
from cronally.store.columns import KEY as _Key
from cronally.store.columns import metadata as metadata
from cronally.store.columns import partial_index as _partial_index
from cronally.store.connection_tables import connection as connection
from cronally.store.connection_tables import connection_previous as connection_previous
from cronally.store.dead_letter_tables import dead_letter as dead_letter
from cronally.store.types import Id

account: Final = Table(
    "account",
    metadata,
    Column("account_id", Id, primary_key=True),
    Column("email", Text, nullable=False),
    # The address without case: what is unique.
    Column("email_key", _Key, nullable=False, unique=True),
    Column("created_at", _Instant, nullable=False),
    # When the next of its firings of the past may be made due.
    Column("paced_at", _Instant),
)

api_key: Final = Table(
    "api_key",
    metadata,
    Column("api_key", _Key, primary_key=True),
    Column("account_id", Id, ForeignKey(account.c.account_id), nullable=False, index=True),
    Column("secret", LargeBinary, nullable=False),
    Column("created_at", _Instant, nullable=False),
    Column("revoked_at", _Instant),
)

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
    Column("created_at", _Instant, nullable=False),
    # When it was last changed.
    Column("updated_at", _Instant, nullable=False),
    # When what decides how it fires was last changed: the ledger has everything until then.
    Column("settled_at", _Instant, nullable=False, server_default=text("0")),
    # The API key that changed it; NULL for the server itself.
    Column("updated_by", _Key),
    Column("next_fire_at", _Instant),
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
    Column("purge_at", _Instant),
    # Since when its owner has it paused, until when if it resumes by itself, by which API key, and why.
    Column("paused_at", _Instant),
    Column("paused_until", _Instant),
    Column("paused_by", _Key),
    Column("paused_note", Text),
    # When the scheduler must look at a cron job that has no next fire time.
    Column("wake_at", _Instant),
    # How many of its fire times were handed to its target since it was made: rows that a tick wrote as pending.
    Column("fired", BigInteger, nullable=False, server_default=text("0")),
    # JSON of a sorted list, without spaces: `"` stands around each tag and in none, by which SQL finds it.
    Column("tags", Text, nullable=False, server_default=text("'[]'")),
    # Whose credentials it is sent with, where they are not its own; NULL once it is deleted.
    Column("connection_id", Id, ForeignKey("connection.connection_id")),
    CheckConstraint("(purge_at IS NOT NULL) = (state = 'deleted')", name="deleted_is_purged"),
    # A list is filtered by what is in them: one row that is no JSON would end the query.
    CheckConstraint("json_valid(policies)", name="policies_are_json").ddl_if(dialect="sqlite"),
    CheckConstraint("policies::jsonb IS NOT NULL", name="policies_are_json").ddl_if(dialect="postgresql"),
)
_partial_index("ix_cronjob_due", "next_fire_at IS NOT NULL", cronjob.c.next_fire_at, cronjob.c.turn)
_partial_index("ix_cronjob_wake_at", "wake_at IS NOT NULL", cronjob.c.wake_at)
_partial_index(
    "ix_cronjob_listed",
    "state <> 'deleted'",
    cronjob.c.account_id,
    cronjob.c.created_at,
    cronjob.c.cronjob_id,
    cronjob.c.size,
    cronjob.c.state,
)
_partial_index("ix_cronjob_purged", "purge_at IS NOT NULL", cronjob.c.account_id, cronjob.c.purge_at)
_partial_index("ix_cronjob_connection", "connection_id IS NOT NULL", cronjob.c.connection_id)
# Who makes his cron jobs anew each day has many deleted ones of one name.
_partial_index("ix_cronjob_deleted", "state = 'deleted'", cronjob.c.account_id, cronjob.c.name)

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
    Column("changed_at", _Instant, nullable=False),
    # The API key that changed it; NULL for the server itself.
    Column("changed_by", _Key),
    Column("paused_at", _Instant),
    Column("paused_until", _Instant),
    Column("paused_by", _Key),
    Column("paused_note", Text),
    # Its target, where it is known what it sent; and JSON of the public parameters in the last version that had them,
    # with how many bytes they are: `former`.
    Column("target", Text),
    Column("size", BigInteger),
    Column("destination", Text),
    PrimaryKeyConstraint("cronjob_id", "version"),
)

firing: Final = Table(
    "firing",
    metadata,
    # No foreign key: the ledger outlives its cron jobs, and this is the table that is written most.
    Column("cronjob_id", Id, nullable=False),
    Column("scheduled_at", _Instant, nullable=False),
    Column("kind", _Key, nullable=False),
    Column("account_id", Id, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    # A range row stands for `count` fire times from `scheduled_at` to `until_at`, both included.
    Column("until_at", _Instant),
    Column("count", BigInteger, nullable=False, server_default=text("1")),
    Column("due_at", _Instant),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    # Of these, the ones on the short schedule: refused, perhaps for minutes only.
    Column("refusals", Integer, nullable=False, server_default=text("0")),
    # Rises at every claim and is never reset: the fence.
    Column("lease_no", Integer, nullable=False, server_default=text("0")),
    # Leases in a row that ended without a record.
    Column("lost_leases", Integer, nullable=False, server_default=text("0")),
    Column("created_at", _Instant, nullable=False),
    # When the last attempt began, how long it took, and which version of the cron job it sent.
    Column("sent_at", _Instant),
    Column("duration", BigInteger),
    Column("version", Integer),
    Column("finished_at", _Instant),
    Column("message_id", Text),
    # When it starts, where that is not its fire time: its place in the window that the cron job had.
    Column("place_at", _Instant),
    # Of one that was skipped because of an earlier firing: that one's fire time. What lies between had ended unsent.
    Column("behind_at", _Instant),
    # Of what is skipped or held: by what, the name of a calendar or the id of a freeze, say.
    Column("cause", Text),
    # From when on its age counts, where that is neither when it may start nor when the ledger got it.
    Column("owed_at", _Instant),
    # How many attempts it had when it was last replayed: its retries are counted from there.
    Column("attempts_before", Integer, nullable=False, server_default=text("0")),
    # 1 where it sends a message of its own, or did: that is erased when it ends.
    Column("own_message", Integer, nullable=False, server_default=text("0")),
    # The version of the cron job that it is sent as, where that is not the current one.
    Column("sent_as", Integer),
    # Of what has failed: when and by which API key it was discarded, and why.
    Column("discarded_at", _Instant),
    Column("discarded_by", _Key),
    Column("discarded_note", Text),
    PrimaryKeyConstraint("cronjob_id", "scheduled_at", "kind"),
    CheckConstraint("(due_at IS NOT NULL) = (state IN ('pending', 'sending'))", name="due_is_open"),
)
DISCARDED: Final = ("discarded_at", "discarded_by", "discarded_note")
"""What a row that goes once more is without."""
_partial_index("ix_firing_due", "due_at IS NOT NULL", firing.c.account_id, firing.c.due_at)
Index("ix_firing_listed", firing.c.account_id, firing.c.scheduled_at)
UNDELIVERED: Final = "state IN ('failed', 'missed')"
# What went wrong is found at once among millions that did not. A firing that is delivered is never in it.
_partial_index("ix_firing_undelivered", UNDELIVERED, firing.c.account_id, firing.c.scheduled_at)
# What was asked for and is not finished is counted by it; the firings of fire times are not in it.
_OPEN_MANUAL: Final = "kind = 'manual' AND due_at IS NOT NULL"
_partial_index("ix_firing_manual", _OPEN_MANUAL, firing.c.account_id, firing.c.cronjob_id)
# What a freeze holds: `cause` is the freeze.
_HELD: Final = "reason = 'frozen' AND due_at IS NOT NULL"
_partial_index("ix_firing_held", _HELD, firing.c.cause, firing.c.cronjob_id, firing.c.scheduled_at)
# What an unhealthy connection holds: `cause` is the connection.
_UNHEALTHY: Final = "reason = 'connection_unhealthy' AND due_at IS NOT NULL"
_partial_index(
    "ix_firing_unhealthy",
    _UNHEALTHY,
    firing.c.cause,
    firing.c.scheduled_at,
    firing.c.cronjob_id,
)

# What was not delivered is counted by it; what was is not in it, so a firing that is delivered writes nothing there.
# And SQLite looks at the condition at each change of a row: three comparisons take a tenth of the time of an IN.
_UNDELIVERED: Final = "state = 'failed' OR state = 'missed' OR state = 'skipped'"
_partial_index(
    "ix_firing_undelivered_of",
    _UNDELIVERED,
    firing.c.cronjob_id,
    firing.c.scheduled_at,
    firing.c.state,
    firing.c.count,
)

firing_message: Final = Table(
    "firing_message",
    metadata,
    # What a manual firing sends in place of its cron job's message. The row is deleted when the firing ends.
    Column("firing_id", Id, primary_key=True),
    Column("cronjob_id", Id, nullable=False),
    Column("scheduled_at", _Instant, nullable=False),
    Column("account_id", Id, nullable=False),
    # JSON of parameters of the target, sealed whole: it may hold anything.
    Column("secret", LargeBinary, nullable=False),
    # Bytes that it counts for, of the account's and of those in flight.
    Column("size", Integer, nullable=False),
)
Index("ix_firing_message_key", firing_message.c.cronjob_id, firing_message.c.scheduled_at, unique=True)
Index("ix_firing_message_size", firing_message.c.account_id, firing_message.c.size)

attempt: Final = Table(
    "attempt",
    metadata,
    # Tries that did not deliver; the one that did stands in the firing itself (sent_at, duration, message_id).
    Column("cronjob_id", Id, nullable=False),
    Column("scheduled_at", _Instant, nullable=False),
    Column("kind", _Key, nullable=False),
    Column("lease_no", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("started_at", _Instant, nullable=False),
    Column("duration", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # What the target said.
    Column("detail", Text, nullable=False),
    PrimaryKeyConstraint("cronjob_id", "scheduled_at", "kind", "lease_no"),
)

calendar: Final = Table(
    "calendar",
    metadata,
    Column("account_id", Id, ForeignKey(account.c.account_id), nullable=False),
    Column("name", _Key, nullable=False),
    # JSON: a list of dates and ranges of dates, sorted.
    Column("dates", Text, nullable=False),
    # How many they are, and the bytes of name and dates.
    Column("count", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("created_at", _Instant, nullable=False),
    Column("updated_at", _Instant, nullable=False),
    PrimaryKeyConstraint("account_id", "name"),
)

idempotency_key: Final = Table(
    "idempotency_key",
    metadata,
    Column("account_id", Id, nullable=False),
    Column("idempotency_key", _Key, nullable=False),
    # Keyed digest of the parameters; they hold a secret, so they are never stored.
    Column("digest", _Key, nullable=False),
    # Of what it made: a cron job, a manual firing of it, or an operation, whose id stands here then.
    Column("cronjob_id", Id, nullable=False),
    Column("created_at", _Instant, nullable=False, index=True),
    # The fire time of the manual firing that it made; NULL where it made the cron job.
    Column("scheduled_at", _Instant),
    PrimaryKeyConstraint("account_id", "idempotency_key"),
)

signup: Final = Table(
    "signup",
    metadata,
    # How many accounts an address (an IPv4 address or an IPv6 /64) asked for in a minute.
    Column("address", _Key, nullable=False),
    Column("minute", _Instant, nullable=False),
    Column("count", Integer, nullable=False),
    PrimaryKeyConstraint("address", "minute"),
)

heartbeat: Final = Table(
    "heartbeat",
    metadata,
    # One row a node and role: what `/readyz` shows the age of, and when any node ran.
    Column("node", _Key, nullable=False),
    Column("role", _Key, nullable=False),
    Column("started_at", _Instant, nullable=False),
    Column("beat_at", _Instant, nullable=False),
    PrimaryKeyConstraint("node", "role"),
)

horizon: Final = Table(
    "horizon",
    metadata,
    # One row: how far into time the ledger was written, and since when that has gone on as time does.
    Column("horizon_id", Integer, primary_key=True, autoincrement=False),
    # The latest instant that a scheduler went by.
    Column("latest_at", _Instant, nullable=False),
    # When that last leapt, forward or back: nothing is deleted for its age within a day of it.
    Column("steady_since", _Instant, nullable=False),
    # Rows of fire times after this are marked as early when the clock has come back. The last cron job that was gone
    # through; NULL once all were.
    Column("early_since", _Instant),
    Column("early_after", _Key),
)

tzdata: Final = Table(
    "tzdata",
    metadata,
    # Every version of the zone data that nodes came with. A scheduler with an older one than the newest stands still.
    Column("version", _Key, primary_key=True),
    Column("seen_at", _Instant, nullable=False),
    # When every next fire time that another version had computed was computed anew.
    Column("applied_at", _Instant),
)

chore: Final = Table(
    "chore",
    metadata,
    # What a migration left to the first server that starts, because it takes the sealing keys.
    Column("chore", _Key, primary_key=True),
)

standing: Final = Table(
    "standing",
    metadata,
    # A row for each cron job whose last firing failed or came late; those that are well have none.
    Column("cronjob_id", Id, ForeignKey(cronjob.c.cronjob_id, ondelete="CASCADE"), primary_key=True),
    Column("health", Text, nullable=False),
    # The fire time of the first in the row that ended so, and how many they are.
    Column("since", _Instant, nullable=False),
    Column("in_a_row", BigInteger, nullable=False),
)

sealing_check: Final = Table(
    "sealing_check",
    metadata,
    # A known text, sealed: a server whose keys cannot open it refuses to start.
    Column("sealing_check", _Key, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

operation: Final = Table(
    "operation",
    metadata,
    # Work on many things in the background, which any node goes on with.
    Column("operation_id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey(account.c.account_id), nullable=False),
    Column("action", Text, nullable=False),
    # JSON: what was sent.
    Column("parameters", Text, nullable=False),
    # The API key that asked for it.
    Column("created_by", _Key, nullable=False),
    Column("state", Text, nullable=False),
    # How many things it was to go through when it began; NULL where that is not known.
    Column("total", Integer),
    Column("done", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    # JSON: the first of what went wrong.
    Column("problems", Text, nullable=False),
    # Where it goes on, as the action wrote it; NULL at the beginning.
    Column("cursor", Text),
    Column("created_at", _Instant, nullable=False),
    # When it last went on: of those that wait, the one that has waited longest is next.
    Column("updated_at", _Instant, nullable=False),
    Column("finished_at", _Instant),
    # Until when whoever works on it has it, or it is to wait.
    Column("leased_until", _Instant, nullable=False),
    # Rises at every claim: the fence.
    Column("lease_no", Integer, nullable=False),
    CheckConstraint("(finished_at IS NULL) = (state = 'running')", name="running_is_not_finished"),
)
_RUNNING: Final = "state = 'running'"
_partial_index("ix_operation_running", _RUNNING, operation.c.leased_until)
Index("ix_operation_listed", operation.c.account_id, operation.c.created_at, operation.c.operation_id)

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
    Column("created_at", _Instant, nullable=False),
    Column("until", _Instant, nullable=False),
    # The API keys that made and lifted it.
    Column("created_by", _Key, nullable=False),
    Column("lifted_at", _Instant),
    Column("lifted_by", _Key),
    CheckConstraint("(value IS NULL) = (selector = 'account')", name="account_has_no_value"),
)
_partial_index("ix_freeze_in_force", "lifted_at IS NULL", freeze.c.account_id, freeze.c.until)
_partial_index("ix_freeze_lifted", "lifted_at IS NOT NULL", freeze.c.until)
Index("ix_freeze_listed", freeze.c.account_id, freeze.c.created_at, freeze.c.freeze_id)

answer: Final = Table(
    "answer",
    metadata,
    # What a target answered to one attempt of a firing: `answers`.
    Column("answer_id", Id, primary_key=True),
    Column("cronjob_id", Id, nullable=False),
    Column("scheduled_at", _Instant, nullable=False),
    Column("kind", _Key, nullable=False),
    Column("account_id", Id, nullable=False),
    # When the attempt began.
    Column("started_at", _Instant, nullable=False),
    Column("status", Integer, nullable=False),
    # Microseconds; NULL for the parts that a connection which was there already did not take.
    Column("dns", BigInteger),
    Column("connect", BigInteger),
    Column("tls", BigInteger),
    Column("first_byte", BigInteger, nullable=False),
    Column("whole", BigInteger, nullable=False),
    # JSON of its headers and of what is kept of its body, sealed.
    Column("secret", LargeBinary, nullable=False),
    # Bytes that it counts for, of those of the account's answers.
    Column("size", Integer, nullable=False),
)
Index("ix_answer_key", answer.c.cronjob_id, answer.c.scheduled_at, answer.c.kind)
Index("ix_answer_size", answer.c.account_id, answer.c.started_at, answer.c.size)

answer_count: Final = Table(
    "answer_count",
    metadata,
    # How many bytes the answers of an account hold at most.
    Column("account_id", Id, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
)
