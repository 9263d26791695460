"""A cron job in the API's database whose firings have ended, for the tests of replay and backfill."""

from __future__ import annotations

import time
from typing import Any

from cronally.instants import HOUR, MINUTE, SECOND
from tests.api.serving import Api
from tests.support.factories import cronjob_values, firing_values, insert_rows


def hour_ago() -> int:
    """The full hour that is an hour ago at least."""
    return (int(time.time()) * SECOND // HOUR - 1) * HOUR


def add_ended(api: Api, account_id: str, states: tuple[str, ...], **given: Any) -> tuple[str, list[int]]:
    """Insert an hourly cron job with firings in these states, a minute apart; its id and their fire times."""
    begins = hour_ago()
    job = cronjob_values(
        account_id,
        secret=None,
        target="http",
        destination="{}",
        cron="* * * * *",
        next_fire_at=None,
        **{"state": "completed", "created_at": begins - HOUR, "name": "report", **given},
    )
    api.run(insert_rows(api.store, "cronjob", [job]))
    rows = [
        firing_values(
            job,
            scheduled_at=begins + number * MINUTE,
            state=state,
            created_at=begins,
            finished_at=begins + HOUR // 2 if state != "pending" else None,
            attempt=int(state in ("failed", "delivered")),
            lease_no=int(state in ("failed", "delivered")),
        )
        for number, state in enumerate(states)
    ]
    api.run(insert_rows(api.store, "firing", rows))
    return job["cronjob_id"], [row["scheduled_at"] for row in rows]
