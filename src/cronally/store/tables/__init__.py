"""The tables, the same for SQLite and PostgreSQL: each stands in the module of what it is about, and is named here.

Instants are BIGINT microseconds since 1970 UTC, ids are UUIDs (`types.Id`), secrets are sealed bytes. `migrations/`
makes them in a real database; a test compares what it makes with `metadata`.

Invariant: `metadata` has every table, whoever imports it and from where: Python runs this file before any module of the
package.
"""

from __future__ import annotations

from cronally.store.tables.accounts import account, api_key, host_proof, idempotency_key, operation, signup
from cronally.store.tables.alerts import alert, alert_delivery, channel, mail_count
from cronally.store.tables.columns import metadata
from cronally.store.tables.conditions import condition, happening, outage, rule, told, watch
from cronally.store.tables.connections import connection, connection_previous
from cronally.store.tables.cronjobs import calendar, cronjob, cronjob_version, freeze, standing
from cronally.store.tables.dead_letters import dead_letter
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
from cronally.store.tables.servers import chore, heartbeat, horizon, sealing_check, tzdata

__all__ = [
    "DISCARDED",
    "UNDELIVERED",
    "WENT_WRONG",
    "account",
    "alert",
    "alert_delivery",
    "answer",
    "answer_count",
    "api_key",
    "attempt",
    "calendar",
    "channel",
    "chore",
    "condition",
    "connection",
    "connection_previous",
    "cronjob",
    "cronjob_version",
    "dead_letter",
    "firing",
    "firing_message",
    "freeze",
    "happening",
    "heartbeat",
    "horizon",
    "host_proof",
    "idempotency_key",
    "mail_count",
    "metadata",
    "operation",
    "outage",
    "rule",
    "sealing_check",
    "signup",
    "standing",
    "told",
    "tzdata",
    "watch",
]
