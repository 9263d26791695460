"""How accounts stand: whatever the operator and the owner do in which order, by a slow second opinion."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from cronally import errors
from cronally.contract.accounts import AccountDeletion
from cronally.contract.keys import MAX_KEYS, SPARE_KEYS
from cronally.contract.limits import SERVERS
from cronally.contract.operator import AccountState
from cronally.contract.reading import Reading
from cronally.instants import DAY, HOUR
from cronally.operations import Caller, Operations
from cronally.store import Store, purging
from tests.operations.tenant import Tenants
from tests.support import factories
from tests.support.factories import Clock

GRACE = 2 * DAY
REASONS = ("unpaid", "abuse")


@dataclass
class Expected:
    """What is known of the account, told by hand."""

    suspended: str | None = None
    deleted_at: int | None = None
    purge_at: int | None = None
    purged: bool = False
    limits: dict[str, int] | None = None

    @property
    def state(self) -> str:
        if self.purged:
            return "purged"
        if self.deleted_at is not None:
            return "deleted"
        return "active" if self.suspended is None else "suspended"


class States(RuleBasedStateMachine):
    """One account."""

    store: Store
    clock: Clock
    loop: asyncio.AbstractEventLoop

    @initialize()
    def begin(self) -> None:
        self.operations = Operations(self.store, factories.vault(), {}, account_grace=GRACE)
        self.tenants = Tenants(self.operations)
        self.email = f"{id(self)}-{self.clock.forward(1)}@example.com"
        answer = self.run(self.tenants.create_account({"email": self.email}))
        self.account_id, self.api_key = answer["account_id"], answer["api_key"]
        self.expected = Expected(limits={})

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def change(self, work: Any, *, allowed: bool) -> bool:
        """Whether a change was made, which has to be as it is expected."""
        try:
            self.run(work)
        except errors.Conflict:
            assert not allowed
            return False
        assert allowed
        return True

    @rule(reason=st.sampled_from(REASONS))
    def suspend(self, reason: str) -> None:
        allowed = self.expected.deleted_at is None
        if self.change(self.operations.overseeing.suspend(self.account_id, reason), allowed=allowed):
            self.expected.suspended = reason

    @rule()
    def resume(self) -> None:
        allowed = self.expected.deleted_at is None
        if self.change(self.operations.overseeing.resume(self.account_id), allowed=allowed):
            self.expected.suspended = None

    @rule(at_once=st.booleans())
    def delete(self, at_once: bool) -> None:
        expected = self.expected
        allowed = not expected.purged and (expected.deleted_at is None or at_once)
        if self.change(self.operations.closing.delete(self.account_id, at_once=at_once), allowed=allowed):
            expected.deleted_at = expected.deleted_at or self.clock.now
            expected.purge_at = expected.deleted_at if at_once else self.clock.now + GRACE

    @rule()
    def restore(self) -> None:
        expected = self.expected
        allowed = not expected.purged and expected.purge_at is not None and expected.purge_at > self.clock.now
        if self.change(self.operations.closing.restore(self.account_id), allowed=allowed):
            expected.deleted_at = expected.purge_at = None

    @rule()
    def delete_own(self) -> None:
        caller = self.run(self.operations.find_caller(self.api_key))
        if caller is None or caller.suspended is not None:
            return  # the API refuses it
        reading = Reading(AccountDeletion, {"email": self.email.upper()})
        deleted = self.run(self.operations.closing.delete_own(caller, reading))
        assert deleted.account_id == self.account_id
        self.expected.deleted_at, self.expected.purge_at = self.clock.now, self.clock.now + GRACE

    @rule(name=st.sampled_from([*SERVERS]), value=st.one_of(st.none(), st.integers(1024, 5000)))
    def limit(self, name: str, value: int | None) -> None:
        if name == "request_seconds_per_minute" and value is not None:
            value = value % 60 + 1
        change = self.operations.overseeing.limit(self.account_id, {name: value})
        if self.change(change, allowed=not self.expected.purged):
            assert self.expected.limits is not None
            self.expected.limits.pop(name, None)
            if value is not None:
                self.expected.limits[name] = value

    @rule(hours=st.sampled_from([1, 24, 48]))
    def wait(self, hours: int) -> None:
        self.clock.forward(hours * HOUR)

    @rule()
    def tidy(self) -> None:
        now = self.clock.now
        while self.run(
            self.store.transact(lambda connection: purging.purge(connection, now, retention=DAY, aged=True))
        ):
            pass
        expected = self.expected
        if expected.purge_at is not None and expected.purge_at <= now:
            self.expected = Expected(None, expected.deleted_at, None, purged=True, limits={})

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "account_id"):
            return
        shown = self.run(self.operations.overseeing.get_account(self.account_id))
        expected = self.expected
        assert shown.state == AccountState(expected.state)
        assert shown.reason == expected.suspended
        assert shown.own_limits == sorted(expected.limits or {})
        assert {name: getattr(shown.limits, name) for name in SERVERS} == {
            **SERVERS,
            **(expected.limits or {}),
        }
        caller: Caller | None = self.run(self.operations.find_caller(self.api_key))
        assert (caller is None) == (expected.state in ("deleted", "purged"))
        assert caller is None or caller.suspended == expected.suspended


def test_states__by_a_second_opinion(tmp_path: Path) -> None:
    from cronally.store import open_store

    loop = asyncio.new_event_loop()
    store = loop.run_until_complete(open_store(f"sqlite:///{tmp_path / 'x.db'}"))
    clock = Clock()
    store.clock = clock  # type: ignore[method-assign]
    machine = type("Machine", (States,), {"store": store, "clock": clock, "loop": loop})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=20, stateful_step_count=20, suppress_health_check=[HealthCheck.too_slow]
            ),
        )
    finally:
        loop.run_until_complete(store.close())
        loop.close()


@pytest.mark.parametrize(
    "meant", ["", "nobody@example.com", "00000000-0000-4000-8000-000000000000", "\0", "x" * 5000]
)
async def test_find__what_is_nobodys_is_not_found(operations: Tenants, caller: Caller, meant: str) -> None:
    with pytest.raises(errors.NotFound):
        await operations.operations.overseeing.get_account(meant)
    assert caller


async def test_find__by_id_address_and_key_whatever_the_case(operations: Tenants, caller: Caller) -> None:
    overseeing = operations.operations.overseeing
    for meant in (caller.account_id.upper(), " USERNAME@example.com", caller.api_key):
        assert (await overseeing.get_account(meant)).account_id == caller.account_id


async def test_accounts__in_pages_newest_first(operations: Tenants, clock: Clock) -> None:
    made = []
    for number in range(5):
        clock.forward(HOUR)
        made.append((await operations.create_account({"email": f"{number}@example.com"}))["account_id"])
    listed: list[str] = []
    cursor = None
    while True:
        before = None if cursor is None else (int(cursor.split("/")[0]), cursor.split("/")[1])
        page = await operations.operations.overseeing.list_accounts(None, before, 2)
        listed += [one.account_id for one in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert listed == made[::-1]


async def test_keys__so_many_and_no_more(operations: Tenants, caller: Caller) -> None:
    overseeing = operations.operations.overseeing
    for _ in range(MAX_KEYS + SPARE_KEYS - 1):
        await overseeing.make_key(caller.account_id)
    with pytest.raises(errors.Forbidden):
        await overseeing.make_key(caller.account_id)


async def test_new_key__opens_the_account(operations: Tenants, caller: Caller) -> None:
    made = await operations.operations.overseeing.make_key(caller.account_id)
    found = await operations.find_caller(made.api_key)
    assert found is not None
    assert found.account_id == caller.account_id
    assert made.api_secret is not None
    assert made.api_secret not in repr(made)
