"""Accounts: their keys, the accounts that were asked for, and what is kept of what an account asked for.

Invariant: what is secret stands in `secret` alone, sealed.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
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

from cronally.store.tables.columns import INSTANT, KEY, metadata, partial_index
from cronally.store.types import Id

account: Final = Table(
    "account",
    metadata,
    Column("account_id", Id, primary_key=True),
    Column("email", Text, nullable=False),
    # The address without case: what is unique.
    Column("email_key", KEY, nullable=False, unique=True),
    Column("created_at", INSTANT, nullable=False),
    # When the next of its firings of the past may be made due.
    Column("paced_at", INSTANT),
    # The cron job that tells of what has failed of those that name none.
    Column("dead_letter", Id),
    # The reason, `suspended` or `account_deleted`, with which its firings are skipped; NULL while they go out.
    Column("stopped", Text),
    # Since when the operator has it suspended, and why.
    Column("suspended_at", INSTANT),
    Column("suspended_note", Text),
    # When its owner or the operator deleted it; and, until it is done, when that becomes final.
    Column("deleted_at", INSTANT),
    Column("purge_at", INSTANT),
    # JSON: the limits of its own, by name; NULL where it has the server's alone.
    Column("limits", Text),
    # When its address was shown to be its owner's; NULL while nobody has.
    Column("email_confirmed_at", INSTANT),
    # From when on the secret that the sign-up made is shown no more.
    Column("secret_hidden_at", INSTANT),
    # Since when it refuses requests that are signed by version 1.
    Column("signature_v1_refused_at", INSTANT),
)
partial_index("ix_account_stopped", "stopped IS NOT NULL", account.c.account_id)
partial_index("ix_account_purge_at", "purge_at IS NOT NULL", account.c.purge_at)
partial_index("ix_account_limits", "limits IS NOT NULL", account.c.account_id)

api_key: Final = Table(
    "api_key",
    metadata,
    Column("api_key", KEY, primary_key=True),
    Column("account_id", Id, ForeignKey(account.c.account_id), nullable=False, index=True),
    # NULL once it is revoked: it is erased.
    Column("secret", LargeBinary),
    Column("created_at", INSTANT, nullable=False),
    Column("revoked_at", INSTANT),
    Column("name", Text, nullable=False),
    # JSON: what it may do, the tags that it is restricted to, and the networks.
    Column("scopes", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("networks", Text, nullable=False),
    Column("by_signup", Boolean, nullable=False),
    # The API key that asked for it; NULL for the sign-up.
    Column("created_by", KEY),
    Column("expires_at", INSTANT),
    Column("last_used_at", INSTANT),
    # The API key that has replaced it.
    Column("replaced_by", KEY),
)

nonce: Final = Table(
    "nonce",
    metadata,
    # Of a request that is signed by version 2: a digest of 16 bytes. No foreign key: each would lock its account.
    Column("account_id", Id, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    # Until when the request could be accepted.
    Column("expires_at", INSTANT, nullable=False, index=True),
    PrimaryKeyConstraint("account_id", "nonce"),
)

signup: Final = Table(
    "signup",
    metadata,
    # How many accounts an address (an IPv4 address or an IPv6 /64) asked for in a minute.
    Column("address", KEY, nullable=False),
    Column("minute", INSTANT, nullable=False),
    Column("count", Integer, nullable=False),
    PrimaryKeyConstraint("address", "minute"),
)

idempotency_key: Final = Table(
    "idempotency_key",
    metadata,
    Column("account_id", Id, nullable=False),
    Column("idempotency_key", KEY, nullable=False),
    # Keyed digest of the parameters; they hold a secret, so they are never stored.
    Column("digest", KEY, nullable=False),
    # Of what it made: a cron job, a manual firing of it, or an operation, whose id stands here then.
    Column("cronjob_id", Id, nullable=False),
    Column("created_at", INSTANT, nullable=False, index=True),
    # The fire time of the manual firing that it made; NULL where it made the cron job.
    Column("scheduled_at", INSTANT),
    PrimaryKeyConstraint("account_id", "idempotency_key"),
)

host_proof: Final = Table(
    "host_proof",
    metadata,
    # A host that an account proves to be its own, with its port unless that is 443.
    Column("account_id", Id, ForeignKey(account.c.account_id), nullable=False),
    Column("host", KEY, nullable=False),
    # Where the host is to show it, and what. Neither is a secret.
    Column("path", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", INSTANT, nullable=False),
    # When it was looked for last, and what was wrong then.
    Column("looked_at", INSTANT),
    Column("detail", Text),
    # While it is proven: until when, and when it is looked for again.
    Column("proven_until", INSTANT),
    Column("look_at", INSTANT),
    PrimaryKeyConstraint("account_id", "host"),
    CheckConstraint("(proven_until IS NULL) = (look_at IS NULL)", name="what_is_proven_is_looked_at"),
)
_PROVEN: Final = "look_at IS NOT NULL"
partial_index("ix_host_proof_look_at", _PROVEN, host_proof.c.look_at)
partial_index("ix_host_proof_proven", _PROVEN, host_proof.c.account_id, host_proof.c.host)

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
    Column("created_by", KEY, nullable=False),
    # JSON: the tags that this key was restricted to; NULL: it was to none.
    Column("within", Text),
    Column("state", Text, nullable=False),
    # How many things it was to go through when it began; NULL where that is not known.
    Column("total", Integer),
    Column("done", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    # JSON: the first of what went wrong.
    Column("problems", Text, nullable=False),
    # Where it goes on, as the action wrote it; NULL at the beginning.
    Column("cursor", Text),
    Column("created_at", INSTANT, nullable=False),
    # When it last went on: of those that wait, the one that has waited longest is next.
    Column("updated_at", INSTANT, nullable=False),
    Column("finished_at", INSTANT),
    # Until when whoever works on it has it, or it is to wait.
    Column("leased_until", INSTANT, nullable=False),
    # Rises at every claim: the fence.
    Column("lease_no", Integer, nullable=False),
    CheckConstraint("(finished_at IS NULL) = (state = 'running')", name="running_is_not_finished"),
)
_RUNNING: Final = "state = 'running'"
partial_index("ix_operation_running", _RUNNING, operation.c.leased_until)
Index("ix_operation_listed", operation.c.account_id, operation.c.created_at, operation.c.operation_id)
