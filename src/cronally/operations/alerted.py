"""Alerts as an account reads them: its ledger of what it was told.

Invariant: nothing is changed. What is shown of an alert is what a channel gets of it, and what became of it with each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from cronally import errors
from cronally.alert import Alert, Reason, State
from cronally.contract import alerts as contract
from cronally.contract.alerts import AlertPage
from cronally.contract.reading import Reading
from cronally.contract.values import DEFAULT_LIMIT, is_uuid
from cronally.contract.writing import make_answer
from cronally.instants import to_datetime
from cronally.operations import cursor as cursors
from cronally.operations.caller import Caller
from cronally.operations.lists import Page, read_cursor
from cronally.store import Store, alert_deliveries, alerts, channels
from cronally.store.alert_deliveries import Delivery
from cronally.store.alerts import Wanted

NO_ALERT: Final = "There is no such alert; GET /account/alerts/ lists those of the account."
_LISTED: Final = "alerts"


class Alerted:
    """The alerts of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list_alerts(self, caller: Caller, reading: Reading[AlertPage]) -> Page[contract.Alert]:
        """The account's alerts, the newest first: the part that `limit` and `cursor` name. Raises NotFound for a
        channel that there is not."""
        position = read_cursor(reading, _LISTED, 1)
        reading.raise_complaints()
        values = reading.values
        limit = values.get("limit", DEFAULT_LIMIT)
        after = None if position is None else (position[0], position[1][0])

        def work(connection: Connection) -> tuple[list[contract.Alert], Alert | None]:
            wanted = Wanted(
                condition=values.get("condition"),
                event=values.get("event"),
                state=values.get("state"),
                channel_id=_channel(connection, caller.account_id, values.get("channel")),
                since=values.get("since"),
                until=values.get("until"),
            )
            found = alerts.list_alerts(connection, caller.account_id, wanted, after, limit + 1)
            last = found[limit - 1] if len(found) > limit else None
            return shown_alerts(connection, caller.account_id, found[:limit]), last

        items, last = await self._store.transact(work)
        cursor = None if last is None else cursors.encode(_LISTED, (last.created_at, last.alert_id))
        return Page(items, cursor)

    async def get(self, caller: Caller, alert_id: str) -> contract.Alert:
        """An alert. Raises NotFound."""

        def work(connection: Connection) -> contract.Alert:
            found = alerts.get_alert(connection, caller.account_id, alert_id)
            if found is None:
                raise errors.NotFound(NO_ALERT)
            (answer,) = shown_alerts(connection, caller.account_id, [found])
            return answer

        return await self._store.transact(work)


def shown_alerts(connection: Connection, account_id: str, several: Sequence[Alert]) -> list[contract.Alert]:
    """Alerts of one account, with what became of them."""
    if not several:
        return []
    of = defaultdict(list)
    for one in alert_deliveries.list_deliveries(connection, account_id, [one.alert_id for one in several]):
        of[one.alert_id].append(_delivery(one))
    return [
        make_answer(
            contract.Alert,
            one,
            lines=tuple(one.lines),
            cronjobs=tuple(make_answer(contract.AlertedCronjob, each) for each in one.affected),
            cronjob_count=one.affected_total,
            deliveries=tuple(of[one.alert_id]),
        )
        for one in several
    ]


def _delivery(one: Delivery) -> contract.AlertDelivery:
    due_at = one.due_at if one.state == State.PENDING else None
    return make_answer(
        contract.AlertDelivery,
        one,
        reason_text=None if one.reason is None else _sentence(one.reason),
        next_attempt_at=None if due_at is None else to_datetime(due_at),
    )


def _sentence(reason: str) -> str | None:
    return next((one.sentence for one in Reason if one == reason), None)


def _channel(connection: Connection, account_id: str, meant: str | None) -> str | None:
    """The id of a channel that is meant. Raises NotFound."""
    if meant is None:
        return None
    found = channels.get_channel(connection, account_id, meant)
    if found is not None:
        return found.channel_id
    if is_uuid(meant):
        return meant  # of one that is deleted; of another account it finds nothing
    raise errors.NotFound("There is no such channel; GET /channels/ lists those of the account.")
