"""The tables, the same for SQLite and PostgreSQL: each stands in the module of what it is about, and is named here.

Instants are BIGINT microseconds since 1970 UTC, ids are UUIDs (`types.Id`), secrets are sealed bytes. `migrations/`
makes them in a real database; a test compares what it makes with `metadata`.

Invariant: `metadata` has every table, whoever imports it and from where: Python runs this file before any module of the
package.
"""

from __future__ import annotations

from cronally.store.tables.accounts import (
    account,
    api_key,
    host_proof,
    idempotency_key,
    nonce,
    operation,
    signup,
)
from cronally.store.tables.acknowledgements import acknowledgement, acknowledgement_body
from cronally.store.tables.alerts import alert, alert_delivery, channel, mail_count
from cronally.store.tables.audit import audit, audit_chain
from cronally.store.tables.columns import metadata
from cronally.store.tables.conditions import condition, happening, outage, rule, told, watch
from cronally.store.tables.connections import connection, connection_previous
from cronally.store.tables.cronjobs import calendar, cronjob, cronjob_version, freeze, standing
from cronally.store.tables.dead_letters import dead_letter
from cronally.store.tables.email_changes import email_change
from cronally.store.tables.firings import (
    DISCARDED,
    UNDELIVERED,
    WENT_WRONG,
    answer,
    answer_count,
    attempt,
    firing,
    firing_message,
)
from cronally.store.tables.mailed_links import mailed_link
from cronally.store.tables.servers import chore, heartbeat, horizon, notice, sealing_check, token_key, tzdata

__all__ = [
    "DISCARDED",
    "UNDELIVERED",
    "WENT_WRONG",
    "account",
    "acknowledgement",
    "acknowledgement_body",
    "alert",
    "alert_delivery",
    "answer",
    "answer_count",
    "api_key",
    "attempt",
    "audit",
    "audit_chain",
    "calendar",
    "channel",
    "chore",
    "condition",
    "connection",
    "connection_previous",
    "cronjob",
    "cronjob_version",
    "dead_letter",
    "email_change",
    "firing",
    "firing_message",
    "freeze",
    "happening",
    "heartbeat",
    "horizon",
    "host_proof",
    "idempotency_key",
    "mail_count",
    "mailed_link",
    "metadata",
    "nonce",
    "notice",
    "operation",
    "outage",
    "rule",
    "sealing_check",
    "signup",
    "standing",
    "token_key",
    "told",
    "tzdata",
    "watch",
]
