"""Keys that are made, rotated, changed, revoked and expire, on two nodes: compared with a model that keeps a table.

What a node lets in is what the table says now, or said within the last half second; and there is always a key that can
make others.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from starlette.requests import Request

from cronally import errors
from cronally.api.authenticate import CACHED_FOR, Authenticator
from cronally.contract.keys import KeyChange, NewKey, Rotation, Scope
from cronally.contract.reading import Reading
from cronally.instants import MINUTE, SECOND, format_duration, format_iso, to_datetime
from cronally.operations import Caller, Operations
from cronally.store import open_store
from cronally.targets.build import build_targets
from tests.api.serving import signature
from tests.operations.tenant import Tenants
from tests.support import factories
from tests.support.examples import examples
from tests.support.factories import Clock

FRESH = int(CACHED_FOR * SECOND)
NAMES = ["a", "b"]
SCOPES = [("read",), ("read", "keys"), ("run", "write"), ("keys",)]
LIVES = [None, SECOND, 10 * SECOND]


@dataclass(frozen=True)
class Row:
    """A key in the table."""

    name: str
    scopes: tuple[str, ...]
    expires_at: int | None = None
    revoked: bool = False
    replaced_by: str | None = None

    def lives(self, now: int) -> bool:
        return not self.revoked and (self.expires_at is None or now < self.expires_at)

    def holds(self, now: int) -> bool:
        return self.lives(now) and self.expires_at is None and "keys" in self.scopes


class Keys(RuleBasedStateMachine):
    """One account."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.table: dict[str, Row] = {}
        self.before: dict[str, list[tuple[int, Row | None]]] = {}
        """Of each key what the table said before it was changed, and when that was."""
        self.secrets: dict[str, str] = {}

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    @initialize()
    def sign_up(self) -> None:
        async def make() -> tuple[Any, Any, list[Authenticator]]:
            store = await open_store(f"sqlite:///{Path(self.folder.name) / 'cronally.db'}")
            store.clock = self.clock  # type: ignore[method-assign]
            operations = Operations(store, factories.vault(), build_targets())
            nodes = [
                Authenticator(
                    operations,
                    lambda: self.clock.now,
                    5 * MINUTE,
                    6000,
                    60,
                    monotonic=lambda: self.clock.now / SECOND,
                )
                for _ in range(2)
            ]
            account = await Tenants(operations).create_account({"email": "username@example.com"})
            self.secrets[account["api_key"]] = account["api_secret"]
            return store, operations, nodes

        self.store, self.operations, self.nodes = self.run(make())
        (api_key,) = self.secrets
        self.root: Caller = self.run(self.operations.find_caller(api_key))
        self.put(api_key, Row("sign-up", tuple(Scope)))

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    # The table

    def put(self, api_key: str, row: Row) -> None:
        self.before.setdefault(api_key, []).append((self.clock.now, self.table.get(api_key)))
        self.table[api_key] = row

    def key(self, number: int) -> str:
        return sorted(self.table)[number % len(self.table)]

    def leaves_none(self, api_key: str, row: Row) -> bool:
        """Whether nobody could make keys any more if the table said this."""
        now = self.clock.now
        others = [each for key, each in self.table.items() if key != api_key]
        return self.table[api_key].holds(now) and not any(each.holds(now) for each in [*others, row])

    def expect(self, coroutine: Any, wrong: type[Exception] | None) -> Any:
        try:
            done = self.run(coroutine)
        except errors.RequestError as problem:
            if type(problem) is not wrong:
                raise
            return None
        assert wrong is None
        return done

    # What happens

    @rule(name=st.sampled_from(NAMES), scopes=st.sampled_from(SCOPES), life=st.sampled_from(LIVES))
    def one_is_made(self, name: str, scopes: tuple[str, ...], life: int | None) -> None:
        now = self.clock.now
        taken = any(
            row.name == name and row.lives(now) and row.replaced_by is None for row in self.table.values()
        )
        sent = {"name": name, "scopes": ",".join(scopes)}
        if life is not None:
            sent["expires_at"] = format_duration(life)
        made = self.expect(
            self.operations.keys.create(self.root, Reading(NewKey, sent)),
            errors.InvalidRequest if taken else None,
        )
        if made is not None:
            self.secrets[made.api_key] = made.api_secret
            expires_at = None if life is None else now + life
            self.put(made.api_key, Row(name, tuple(sorted(scopes, key=[*Scope].index)), expires_at))

    @rule(number=st.integers(0, 20), overlap=st.sampled_from([0, SECOND, 10 * SECOND]))
    def one_is_rotated(self, number: int, overlap: int) -> None:
        api_key, now = self.key(number), self.clock.now
        row = self.table[api_key]
        wrong = None if row.lives(now) and row.replaced_by is None else errors.Conflict
        reading = Reading(Rotation, {"overlap": format_duration(overlap)})
        made = self.expect(self.operations.keys.rotate(self.root, api_key, reading), wrong)
        if made is None:
            return
        for key, each in list(self.table.items()):
            if each.replaced_by == api_key and each.lives(now):
                self.put(key, replace(each, revoked=True))
        self.secrets[made.api_key] = made.api_secret
        self.put(made.api_key, row)
        ends = min(now + overlap, row.expires_at or now + overlap)
        self.put(api_key, replace(row, expires_at=ends, replaced_by=made.api_key))

    @rule(number=st.integers(0, 20))
    def one_is_revoked(self, number: int) -> None:
        api_key = self.key(number)
        row = replace(self.table[api_key], revoked=True)
        wrong = errors.Conflict if self.leaves_none(api_key, row) else None
        if self.expect(self.operations.keys.revoke(self.root, api_key), wrong) is not None:
            self.put(api_key, row)

    @rule(number=st.integers(0, 20), scopes=st.sampled_from(SCOPES), life=st.sampled_from(LIVES))
    def one_is_changed(self, number: int, scopes: tuple[str, ...], life: int | None) -> None:
        api_key, now = self.key(number), self.clock.now
        before = self.table[api_key]
        row = replace(before, scopes=tuple(sorted(scopes, key=[*Scope].index)))
        sent = {"scopes": ",".join(scopes)}
        if life is not None:
            row = replace(row, expires_at=now + life)
            sent["expires_at"] = format_iso(now + life)
        late = before.expires_at is not None and row.expires_at is not None
        put_off = (
            late
            and before.replaced_by is not None
            and cast(int, row.expires_at) > cast(int, before.expires_at)
        )
        is_wrong = not before.lives(now) or put_off or self.leaves_none(api_key, row)
        changed = self.expect(
            self.operations.keys.update(self.root, api_key, Reading(KeyChange, sent)),
            errors.Conflict if is_wrong else None,
        )
        if changed is not None:
            self.put(api_key, row)

    @rule(duration=st.sampled_from([SECOND // 10, FRESH - 1, FRESH, SECOND, 10 * SECOND]))
    def time_passes(self, duration: int) -> None:
        self.clock.forward(duration)

    @rule(node=st.integers(0, 1), number=st.integers(0, 20))
    def somebody_asks(self, node: int, number: int) -> None:
        api_key, now = self.key(number), self.clock.now
        rows = [self.table[api_key], *(row for at, row in self.before[api_key] if at > now - FRESH)]
        allowed = {row.scopes if row is not None and row.lives(now) else None for row in rows}
        assert self.let_in(node, api_key) in allowed

    def let_in(self, node: int, api_key: str) -> tuple[str, ...] | None:
        date = to_datetime(self.clock.now).strftime("%Y%m%d%H%M")
        signed = signature(self.secrets[api_key], "/account/", "GET", date)
        headers = {"x-cron-key": api_key, "x-cron-date": date, "x-cron-signature": signed}
        scope = {
            "type": "http",
            "method": "GET",
            "raw_path": b"/account/",
            "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
        }
        try:
            caller = self.run(self.nodes[node](Request(scope)))
        except errors.Unauthorized:
            return None
        assert base64.b64encode(caller.secret).decode() == self.secrets[api_key]
        return tuple(scope for scope in Scope if scope in caller.scopes)

    @invariant()
    def somebody_can_make_keys(self) -> None:
        if self.table:
            assert any(row.holds(self.clock.now) for row in self.table.values())

    @invariant()
    def the_list_is_the_table(self) -> None:
        if not hasattr(self, "root"):
            return
        listed = self.run(self.operations.keys.list_keys(self.root)).items
        now = self.clock.now
        found = {
            each.api_key: (each.name, each.state == "live", each.scopes, each.replaced_by) for each in listed
        }
        assert found == {
            key: (row.name, row.lives(now), row.scopes, row.replaced_by) for key, row in self.table.items()
        }


TestKeys = Keys.TestCase
TestKeys.settings = examples(10, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow])
