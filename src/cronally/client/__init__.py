"""The client library: `Client` and, for asyncio, `AsyncClient`.

    from cronally import Client

    with Client("https://cron.example.com", api_key, api_secret) as client:
        cronjob = client.create_cronjob(name="report", cron="0 8 * * *", sns_topic="arn:aws:sns:...", ...)
        for firing in client.iter_firings(cronjob.cronjob_id):
            print(firing.scheduled_at, firing.state, firing.reason)

Each call of the API is described once (`calls`), its parameters and answers are those of `cronally.contract`, and
signing, retries and errors are decided once (`connection`); the two clients only move the bytes.

Invariant: depends on nothing of the server, and no secret ever stands in a repr, a log line or an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronally.client.calls import Page
from cronally.client.connection import DEFAULT_URL, PlaintextWarning
from cronally.client.synchronous import Client
from cronally.contract.accounts import Account, DeletedAccount
from cronally.contract.alert_rules import AlertRule
from cronally.contract.alerts import Alert, AlertDelivery, AlertedCronjob
from cronally.contract.audit import AuditChange, AuditEnds, AuditRow
from cronally.contract.bulk import Selected, Selection
from cronally.contract.calendars import Calendar
from cronally.contract.channels import Channel
from cronally.contract.connections import Connection, ConnectionVerification
from cronally.contract.cronjobs import Cronjob
from cronally.contract.dead_letters import Discarded
from cronally.contract.firings import Attempt, Firing, TargetAnswer
from cronally.contract.forecasts import (
    BusySecond,
    Forecast,
    ForecastHost,
    ForecastStep,
    SpreadCronjob,
    SpreadGain,
)
from cronally.contract.freezes import Freeze
from cronally.contract.hosts import Host
from cronally.contract.keys import Key
from cronally.contract.limits import Limits
from cronally.contract.mailed_links import MailedLink, UsedLink
from cronally.contract.operations import Operation, Problem
from cronally.contract.renderings import Rendering
from cronally.contract.replays import BackfillTrial, ReplayTrial
from cronally.contract.schedules import (
    CronjobPreview,
    Excluded,
    Explanation,
    FireTime,
    Preview,
    Suppressed,
)
from cronally.contract.service import Status
from cronally.contract.standings import Counts, LastFiring
from cronally.contract.used_connections import UsedConnection

if TYPE_CHECKING:
    from cronally.client.asynchronous import AsyncClient

__all__ = [
    "DEFAULT_URL",
    "Account",
    "Alert",
    "AlertDelivery",
    "AlertRule",
    "AlertedCronjob",
    "AsyncClient",
    "Attempt",
    "AuditChange",
    "AuditEnds",
    "AuditRow",
    "BackfillTrial",
    "BusySecond",
    "Calendar",
    "Channel",
    "Client",
    "Connection",
    "ConnectionVerification",
    "Counts",
    "Cronjob",
    "CronjobPreview",
    "DeletedAccount",
    "Discarded",
    "Excluded",
    "Explanation",
    "FireTime",
    "Firing",
    "Forecast",
    "ForecastHost",
    "ForecastStep",
    "Freeze",
    "Host",
    "Key",
    "LastFiring",
    "Limits",
    "MailedLink",
    "Operation",
    "Page",
    "PlaintextWarning",
    "Preview",
    "Problem",
    "Rendering",
    "ReplayTrial",
    "Selected",
    "Selection",
    "SpreadCronjob",
    "SpreadGain",
    "Status",
    "Suppressed",
    "TargetAnswer",
    "UsedConnection",
    "UsedLink",
]


def __getattr__(name: str) -> object:
    # asyncio takes a fifth of the import; the CLI and most programs do without it.
    if name == "AsyncClient":
        from cronally.client.asynchronous import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
