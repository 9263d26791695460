"""The ledger, and what is kept beside a firing: a message of its own, its attempts, their answers.

Invariant: `firing.due_at` is the one column that says when a firing must be looked at again. Pending: when it
may be attempted. Sending: when its lease ends (design.md's `leased_until`), so a crashed worker's firing is due like
any other. Finished: NULL.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from cronally.store.tables.columns import INSTANT, KEY, metadata, partial_index
from cronally.store.types import Id

firing: Final = Table(
    "firing",
    metadata,
    # No foreign key: the ledger outlives its cron jobs, and this is the table that is written most.
    Column("cronjob_id", Id, nullable=False),
    Column("scheduled_at", INSTANT, nullable=False),
    Column("kind", KEY, nullable=False),
    Column("account_id", Id, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    # A range row stands for `count` fire times from `scheduled_at` to `until_at`, both included.
    Column("until_at", INSTANT),
    Column("count", BigInteger, nullable=False, server_default=text("1")),
    Column("due_at", INSTANT),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    # Of these, the ones on the short schedule: refused, perhaps for minutes only.
    Column("refusals", Integer, nullable=False, server_default=text("0")),
    # Rises at every claim and is never reset: the fence.
    Column("lease_no", Integer, nullable=False, server_default=text("0")),
    # Leases in a row that ended without a record.
    Column("lost_leases", Integer, nullable=False, server_default=text("0")),
    Column("created_at", INSTANT, nullable=False),
    # When the last attempt began, how long it took, and which version of the cron job it sent.
    Column("sent_at", INSTANT),
    Column("duration", BigInteger),
    Column("version", Integer),
    Column("finished_at", INSTANT),
    Column("message_id", Text),
    # When it starts, where that is not its fire time: its place in the window that the cron job had.
    Column("place_at", INSTANT),
    # Of one that was skipped because of an earlier firing: that one's fire time. What lies between had ended unsent.
    Column("behind_at", INSTANT),
    # Of what is skipped or held: by what, the name of a calendar or the id of a freeze, say.
    Column("cause", Text),
    # From when on its age counts, where that is neither when it may start nor when the ledger got it.
    Column("owed_at", INSTANT),
    # How many attempts it had when it was last replayed: its retries are counted from there.
    Column("attempts_before", Integer, nullable=False, server_default=text("0")),
    # 1 where it sends a message of its own, or did: that is erased when it ends.
    Column("own_message", Integer, nullable=False, server_default=text("0")),
    # The version of the cron job that it is sent as, where that is not the current one.
    Column("sent_as", Integer),
    # Of what has failed: when and by which API key it was discarded, and why.
    Column("discarded_at", INSTANT),
    Column("discarded_by", KEY),
    Column("discarded_note", Text),
    PrimaryKeyConstraint("cronjob_id", "scheduled_at", "kind"),
    CheckConstraint("(due_at IS NOT NULL) = (state IN ('pending', 'sending'))", name="due_is_open"),
)
DISCARDED: Final = ("discarded_at", "discarded_by", "discarded_note")
"""What a row that goes once more is without."""
partial_index("ix_firing_due", "due_at IS NOT NULL", firing.c.account_id, firing.c.due_at)
Index("ix_firing_listed", firing.c.account_id, firing.c.scheduled_at)
WENT_WRONG: Final = "state IN ('failed', 'missed')"
# What went wrong is found at once among millions that did not. A firing that is delivered is never in it.
partial_index("ix_firing_undelivered", WENT_WRONG, firing.c.account_id, firing.c.scheduled_at)
# What was asked for and is not finished is counted by it; the firings of fire times are not in it.
_OPEN_MANUAL: Final = "kind = 'manual' AND due_at IS NOT NULL"
partial_index("ix_firing_manual", _OPEN_MANUAL, firing.c.account_id, firing.c.cronjob_id)
# What a freeze holds: `cause` is the freeze.
_HELD: Final = "reason = 'frozen' AND due_at IS NOT NULL"
partial_index("ix_firing_held", _HELD, firing.c.cause, firing.c.cronjob_id, firing.c.scheduled_at)
# What an unhealthy connection holds: `cause` is the connection.
_UNHEALTHY: Final = "reason = 'connection_unhealthy' AND due_at IS NOT NULL"
partial_index(
    "ix_firing_unhealthy",
    _UNHEALTHY,
    firing.c.cause,
    firing.c.scheduled_at,
    firing.c.cronjob_id,
)

# What was not delivered is counted by it; what was is not in it, so a firing that is delivered writes nothing there.
# And SQLite looks at the condition at each change of a row: three comparisons take a tenth of the time of an IN.
UNDELIVERED: Final = "state = 'failed' OR state = 'missed' OR state = 'skipped'"
partial_index(
    "ix_firing_undelivered_of",
    UNDELIVERED,
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
    Column("scheduled_at", INSTANT, nullable=False),
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
    Column("scheduled_at", INSTANT, nullable=False),
    Column("kind", KEY, nullable=False),
    Column("lease_no", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("started_at", INSTANT, nullable=False),
    Column("duration", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # What the target said.
    Column("detail", Text, nullable=False),
    PrimaryKeyConstraint("cronjob_id", "scheduled_at", "kind", "lease_no"),
)

answer: Final = Table(
    "answer",
    metadata,
    # What a target answered to one attempt of a firing: `answers`.
    Column("answer_id", Id, primary_key=True),
    Column("cronjob_id", Id, nullable=False),
    Column("scheduled_at", INSTANT, nullable=False),
    Column("kind", KEY, nullable=False),
    Column("account_id", Id, nullable=False),
    # When the attempt began.
    Column("started_at", INSTANT, nullable=False),
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
