"""What tests put into the database of a running API, and read from it, without the API."""

from __future__ import annotations

import json
from typing import Any

from cronally.instants import MINUTE, parse_iso
from cronally.vault import SealContext
from tests.api.serving import Api
from tests.support.factories import insert_rows, make_firing, read_cronjob, vault

EIGHT = parse_iso("2026-11-24T08:00:00Z")
"""The first fire time."""


def add_deliveries(api: Api, account_id: str, cronjob_id: str, count: int) -> None:
    """Add a firing a minute from 08:00 on, each delivered at the second attempt, as message `message-<n>`."""
    row = {"cronjob_id": cronjob_id, "account_id": account_id}

    async def add() -> None:
        for number in range(count):
            at = EIGHT + number * MINUTE
            delivered: dict[str, Any] = {
                "sent_at": at + 2_000_000,
                "duration": 4_000,
                "finished_at": at + 2_004_321,
                "message_id": f"message-{number}",
            }
            firing = await make_firing(
                api.store,
                row,
                scheduled_at=at,
                created_at=at,
                state="delivered",
                attempt=2,
                lease_no=2,
                version=1,
                **delivered,
            )
            tried = {name: firing[name] for name in ("cronjob_id", "scheduled_at", "kind")}
            tried |= {"lease_no": 1, "attempt": 1, "started_at": at, "duration": 45_000, "version": 1}
            tried |= {"outcome": "retry", "reason": "target_unavailable", "detail": "HTTP 503"}
            await insert_rows(api.store, "attempt", [tried])

    api.run(add())


def add_refusal(api: Api, account_id: str, cronjob_id: str, at: int, detail: str) -> None:
    """Add a firing that its target refused at the first attempt."""
    row = {"cronjob_id": cronjob_id, "account_id": account_id}

    async def add() -> None:
        ended = {
            "state": "failed",
            "reason": "target_refused",
            "finished_at": at,
            "attempt": 1,
            "lease_no": 1,
        }
        firing = await make_firing(api.store, row, scheduled_at=at, created_at=at, **ended)
        tried = {name: firing[name] for name in ("cronjob_id", "scheduled_at", "kind")}
        tried |= {"lease_no": 1, "attempt": 1, "started_at": at, "duration": 45_000, "version": 1}
        tried |= {"outcome": "refused", "reason": "target_refused", "detail": detail}
        await insert_rows(api.store, "attempt", [tried])

    api.run(add())


def secret_of(api: Api, cronjob_id: str) -> dict[str, str]:
    """The secret parameters of a cron job, opened."""
    row = api.run(read_cronjob(api.store, cronjob_id))
    place = SealContext(row.account_id, "cronjob", "secret", cronjob_id)
    opened: dict[str, str] = json.loads(vault().open(row.secret, place))
    return opened
