"""Freezes: everything that a tag, a host or the account names stands still until an instant, or until it is lifted.

Invariant: an account has at most `MAX_IN_FORCE` freezes in force, counted under its lock, and at most `MAX_KEPT`
altogether. A freeze changes no cron job: what falls due is written to the ledger as ever, and the claim holds it or
skips it. Lifting one is a transaction; what it held is let go in parts, and by the janitor if nobody ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection

from cronally import errors
from cronally.contract import freezes as contract
from cronally.contract.freezes import MAX_FREEZE, MAX_IN_FORCE, MAX_LISTED, NewFreeze, Rule, Selector
from cronally.contract.reading import Reading
from cronally.contract.writing import make_answer
from cronally.instants import format_duration
from cronally.operations.caller import Caller
from cronally.operations.lists import Page
from cronally.operations.parts import change, in_parts
from cronally.operations.repeats import Repeats, check_key, other_request
from cronally.operations.restricting import check_frozen
from cronally.store import Signal, Store, accounts, forecasts, freezes, selection
from cronally.store.freezes import Freeze
from cronally.store.selection import Chosen
from cronally.targets.host import check_host
from cronally.targets.target import Target

MAX_KEPT: Final = 1000
NO_FREEZE: Final = "There is no such freeze; GET /freezes/ lists those of the account."
_NEW: Final = "a new freeze"
_SELECTORS: Final = "tag, host, all"


class Freezing:
    """The freezes of one store."""

    def __init__(self, store: Store, targets: Mapping[str, Target], repeats: Repeats) -> None:
        self._store = store
        self._targets = targets
        self._repeats = repeats

    async def freeze(
        self, caller: Caller, reading: Reading[NewFreeze], *, idempotency_key: str | None = None
    ) -> contract.Freeze:
        """Let what is selected stand still from now on, or answer with the freeze that the same key made.

        Raises InvalidRequest (also for an idempotency key that came with other parameters), and Forbidden when the
        account has as many in force as it may.
        """
        check_key(reading, idempotency_key)
        now = await self._store.clock()
        selector, value = _read_selector(reading)
        until = _read_until(reading, now)
        reading.raise_complaints()
        check_frozen(caller, value if selector == Selector.TAG else None)
        wanted = Freeze(
            freeze_id=str(uuid4()),
            account_id=caller.account_id,
            selector=selector,
            value=value,
            rule=reading.values.get("rule", Rule.SKIP),
            note=reading.values.get("note"),
            created_at=now,
            until=until,
            created_by=caller.api_key,
        )
        made = await change(
            self._store,
            partial(self._freeze, wanted=wanted, sent=reading.parameters, idempotency_key=idempotency_key),
        )
        return await self._answer(made, now)

    def _freeze(
        self,
        connection: Connection,
        *,
        wanted: Freeze,
        sent: Mapping[str, Any],
        idempotency_key: str | None,
    ) -> Freeze:
        account_id, now = wanted.account_id, wanted.created_at
        accounts.lock_account(connection, account_id)
        known_by = {"freeze": True, **sent}
        if idempotency_key is not None:
            used = self._repeats.find(connection, account_id, idempotency_key, known_by, now, _NEW)
            if used is not None:
                made = freezes.get_freeze(connection, account_id, used.cronjob_id)
                if made is None:
                    raise other_request(_NEW)
                return made
        if freezes.count_in_force(connection, account_id, now) >= MAX_IN_FORCE:
            raise errors.Forbidden(
                f"The account has {MAX_IN_FORCE} freezes in force, as many as it may have; lift one first."
            )
        freezes.forget_freezes(connection, account_id, now, MAX_KEPT - 1)
        freezes.insert_freeze(connection, wanted)
        if idempotency_key is not None:
            self._repeats.record(connection, account_id, idempotency_key, known_by, now, wanted.freeze_id)
        return wanted

    async def get_freeze(self, caller: Caller, freeze_id: str) -> contract.Freeze:
        """A freeze. Raises NotFound."""
        now = await self._store.clock()
        found = await self._store.transact(
            lambda connection: freezes.get_freeze(connection, caller.account_id, freeze_id)
        )
        return await self._answer(_kept(found), now)

    async def list_freezes(self, caller: Caller) -> Page[contract.Freeze]:
        """The account's freezes, those in force first, then the newest."""
        now = await self._store.clock()
        found = await self._store.transact(
            lambda connection: freezes.list_freezes(connection, caller.account_id, now, MAX_LISTED)
        )
        by_host = await self._count_by_host(caller.account_id, found, now)
        return Page([await self._answer(one, now, by_host) for one in found], None)

    async def lift(self, caller: Caller, freeze_id: str) -> contract.Freeze:
        """End a freeze now; what it holds is due at once. One that has ended stays as it is. Raises NotFound."""
        now = await self._store.clock()

        def lift(connection: Connection) -> Freeze:
            found = _kept(freezes.get_freeze(connection, caller.account_id, freeze_id))
            check_frozen(caller, found.value if found.selector == Selector.TAG else None)
            return _kept(freezes.lift_freeze(connection, caller.account_id, freeze_id, now, caller.api_key))

        lifted = await change(self._store, lift)
        if lifted.lifted_at is not None:
            await in_parts(self._store, partial(_release, freeze_id=freeze_id))
            await self._store.announce(Signal.FIRINGS)
        return await self._answer(lifted, now)

    async def _answer(
        self, freeze: Freeze, now: int, by_host: Mapping[str, int] | None = None
    ) -> contract.Freeze:
        """A freeze as it is shown.

        :param by_host: how many cron jobs go to which host, if that was counted
        """
        in_force = freeze.in_force(now)
        count = None
        if in_force and freeze.selector == Selector.HOST:
            if by_host is None:
                by_host = await self._count_by_host(freeze.account_id, [freeze], now)
            count = by_host.get(freeze.value or "", 0)
        elif in_force:
            tags = () if freeze.value is None else (freeze.value,)
            count = await self._store.transact(
                lambda connection: selection.count_chosen(connection, freeze.account_id, Chosen(tags=tags))
            )
        return make_answer(
            contract.Freeze,
            freeze,
            in_force=in_force,
            cronjobs=count,
            tag=freeze.value if freeze.selector == Selector.TAG else None,
            host=freeze.value if freeze.selector == Selector.HOST else None,
        )

    async def _count_by_host(self, account_id: str, several: list[Freeze], now: int) -> dict[str, int]:
        """How many cron jobs of an account go to which host, if one of these freezes is in force for a host."""
        counts: dict[str, int] = {}
        if not any(one.selector == Selector.HOST and one.in_force(now) for one in several):
            return counts
        host_by = {name: target.host_by for name, target in self._targets.items()}
        after: forecasts.Position | None = None
        while True:
            addresses, after = await self._store.transact(
                partial(forecasts.list_addresses, account_id=account_id, after=after, host_by=host_by)
            )
            for target, address in addresses:
                try:
                    host = self._targets[target].host(address or "")
                except (KeyError, ValueError):
                    continue
                counts[host] = counts.get(host, 0) + 1
            if after is None:
                return counts


def _release(connection: Connection, now: int, freeze_id: str) -> bool | None:
    """Let go of a part of what a freeze holds; None where there may be more."""
    return None if freezes.release(connection, freeze_id, now) == freezes.RELEASED_ROWS else True


def _kept(freeze: Freeze | None) -> Freeze:
    if freeze is None:
        raise errors.NotFound(NO_FREEZE)
    return freeze


def _read_selector(reading: Reading[NewFreeze]) -> tuple[Selector, str | None]:
    """What a freeze is for; complains where that is nothing, or more than one thing."""
    sent = [name for name in ("tag", "host", "all") if name in reading.parameters]
    if len(sent) > 1:
        reading.complain(sent[-1], ValueError(f"was sent with {sent[0]}; send one of {_SELECTORS}"))
    refused = reading.complaints.keys() & {"tag", "host", "all"}
    if (not sent and not refused) or (sent == ["all"] and reading.values.get("all") is False):
        reading.complain(
            "all", ValueError(f"is needed as true where nothing else is selected; send one of {_SELECTORS}")
        )
    if "host" in reading.values:
        return Selector.HOST, reading.check("host", lambda: check_host(reading.values["host"]))
    if "tag" in reading.values:
        return Selector.TAG, reading.values["tag"]
    return Selector.ACCOUNT, None


def _read_until(reading: Reading[NewFreeze], now: int) -> int:
    """When a freeze ends; complains of an end that cannot be one."""
    if "until" not in reading.values:
        return now
    until: int | None = reading.check("until", lambda: _until(reading.values["until"], now))
    return now if until is None else until


def _until(at: int | timedelta, now: int) -> int:
    until = now + at // timedelta(microseconds=1) if isinstance(at, timedelta) else at
    if until <= now:
        raise ValueError("is not in the future; give a later instant")
    if until > now + MAX_FREEZE:
        raise ValueError(f"is more than {format_duration(MAX_FREEZE)} ahead; give an earlier instant")
    return until
