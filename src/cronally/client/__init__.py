"""The client library: `Client` and, for asyncio, `AsyncClient`.

    from cronally import Client

    with Client("https://cron.example.com", api_key, api_secret) as client:
        cronjob = client.create_cronjob(name="report", cron="0 8 * * *", sns_topic="arn:aws:sns:...", ...)
        for firing in client.iter_firings(cronjob.cronjob_id):
            print(firing.scheduled_at, firing.state, firing.reason)

Each call of the API is described once (`calls`), what comes back is read once (`answers`), and signing,
retries and errors are decided once (`connection`); the two clients only move the bytes.

Invariant: depends on nothing of the server, and no secret ever stands in a repr, a log line or an error.
"""

from cronally.client.answers import (
    Account,
    Attempt,
    Cronjob,
    Explanation,
    FireTime,
    Firing,
    Page,
    Preview,
    Suppressed,
)
from cronally.client.asynchronous import AsyncClient
from cronally.client.connection import DEFAULT_URL, PlaintextWarning
from cronally.client.synchronous import Client

__all__ = [
    "DEFAULT_URL",
    "Account",
    "AsyncClient",
    "Attempt",
    "Client",
    "Cronjob",
    "Explanation",
    "FireTime",
    "Firing",
    "Page",
    "PlaintextWarning",
    "Preview",
    "Suppressed",
]
