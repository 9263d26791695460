"""Links of mails: a state machine against a model, and who gets one that two take at once."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from sqlalchemy import Connection, create_engine, func, select

from cronally.instants import DAY, MINUTE
from cronally.store import Store, mailed_links, open_store, tables
from cronally.store.mailed_links import MailedLink
from tests.support.factories import NOON

PURPOSES = ("signup", "recover")
KEYS = ("a@example.com", "b@example.com")


def link(digest: str, *, purpose: str = "signup", key: str = KEYS[0], now: int = NOON) -> MailedLink:
    lasts = DAY if purpose == "signup" else 30 * MINUTE
    return MailedLink(digest, purpose, key.upper(), key, None, now, now + lasts)


class Links(RuleBasedStateMachine):
    """Links are issued, used, used again, issued anew, over, and swept away, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self._engine = create_engine("sqlite://")
        self.connection: Connection = self._engine.connect()
        tables.mailed_link.create(self.connection)
        self.now = NOON
        self.issued: list[MailedLink] = []
        self.gone: set[str] = set()

    def teardown(self) -> None:
        self.connection.close()
        self._engine.dispose()

    @rule(purpose=st.sampled_from(PURPOSES), key=st.sampled_from(KEYS))
    def issue(self, purpose: str, key: str) -> None:
        made = link(str(len(self.issued)), purpose=purpose, key=key, now=self.now)
        mailed_links.insert_link(self.connection, made)
        self.issued.append(made)

    @rule(number=st.integers(0, 9), whole=st.booleans())
    def use(self, number: int, whole: bool) -> None:
        digest = str(number)
        known = self.issued[number] if number < len(self.issued) else None
        lives = known is not None and digest not in self.gone and self.now < known.until_at
        found = mailed_links.take_link(self.connection, digest, self.now)
        assert found == (known if lives else None)
        if not lives or found is None:
            return
        self.gone.add(digest)
        if whole:
            mailed_links.delete_same(self.connection, found)
            same = (found.purpose, found.email_key)
            self.gone |= {one.digest for one in self.issued if (one.purpose, one.email_key) == same}

    @rule(minutes=st.sampled_from([1, 29, 31, 24 * 60]))
    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule()
    def sweep(self) -> None:
        over = {one.digest for one in self.issued if one.until_at <= self.now} - self.gone
        assert mailed_links.delete_ended(self.connection, self.now, 100) == len(over)
        self.gone |= over
        left = self.connection.execute(select(func.count()).select_from(tables.mailed_link)).scalar_one()
        assert left == len(self.issued) - len(self.gone)


TestLinks = Links.TestCase
TestLinks.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


async def test_take_link__of_two_nodes_at_one_instant_one_has_it(store: Store, migrated_url: str) -> None:
    nodes = [store] if migrated_url.startswith("sqlite") else [store, await open_store(migrated_url)]
    try:
        for number in range(5):
            made = link(str(number))
            await store.transact(partial(mailed_links.insert_link, link=made))
            take = partial(mailed_links.take_link, digest=made.digest, now=NOON)
            found = await asyncio.gather(*(node.transact(take) for node in nodes * 2))
            assert sorted(found, key=repr) == sorted([made, *[None] * (len(found) - 1)], key=repr)
    finally:
        for node in nodes[1:]:
            await node.close()


@pytest.mark.sample
async def test_take_link__of_a_clock_that_was_ahead_holds_nothing(store: Store) -> None:
    ahead = link("ahead", now=NOON + 3650 * DAY)
    await store.transact(partial(mailed_links.insert_link, link=ahead))
    assert await store.transact(partial(mailed_links.take_link, digest="ahead", now=NOON)) is None
