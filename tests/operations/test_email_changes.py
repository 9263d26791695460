"""Another address for an account: who has to say yes, who may say no, and what a stolen key can do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from cronally import errors
from cronally.contract.accounts import AccountChange, Signup
from cronally.contract.mailed_links import LinkUse, Recovery, purpose_of, token_of
from cronally.contract.reading import Reading
from cronally.contract.writing import to_json
from cronally.engine.janitor import Janitor
from cronally.instants import DAY, MINUTE
from cronally.operations import Caller, Operations
from cronally.store import Store, email_changes, open_store, tables
from tests.support.factories import Clock, read, vault
from tests.support.mailboxes import links_of, mail_to, text_of
from tests.support.smtp import Mailbox, smtp_server
from tests.support.statements import sent_by

OLD, NEW = "old@example.com", "new@example.com"
Json = dict[str, Any]


@dataclass
class Mailed:
    """Operations that send mail, where it arrives, and an account with the old address."""

    operations: Operations
    mailbox: Mailbox
    caller: Caller

    async def sign_up(self, email: str) -> Caller:
        made = await self.operations.create_account(Reading(Signup, {"email": email}))
        caller = await self.operations.find_caller(made.api_key)
        assert caller is not None
        return caller

    async def confirm(self) -> None:
        await self.operations.recovering.ask_confirmation(self.caller)
        await self.use("confirm")

    async def ask(self, email: str = NEW, caller: Caller | None = None) -> Json:
        change = Reading(AccountChange, {"email": email})
        return to_json(await self.operations.update_account(caller or self.caller, change))

    async def account(self) -> Json:
        return to_json(await self.operations.get_account(self.caller))

    def links(self) -> dict[str, str]:
        """The last link for each purpose."""
        found = {}
        for number in range(len(self.mailbox.received)):
            for link in links_of(text_of(self.mailbox, number)):
                found[str(purpose_of(token_of(link)))] = link
        return found

    async def use(self, purpose: str) -> Json:
        token = token_of(self.links()[purpose])
        return to_json(await self.operations.links.use(token, Reading(LinkUse, {})))

    async def lives_at(self) -> tuple[str, bool]:
        account = await self.account()
        return account["email"], account["email_change"] is not None


@pytest.fixture
async def mailed(store: Store) -> AsyncIterator[Mailed]:
    async with smtp_server() as mailbox:
        operations = Operations(
            store, vault(), {}, mail=mail_to(mailbox), public_url="https://cron.example.com"
        )
        made = Mailed(operations, mailbox, None)  # type: ignore[arg-type]
        made.caller = await made.sign_up(OLD)
        yield made


def recipients(mailed: Mailed) -> list[str]:
    return [one.recipients[0] for one in mailed.mailbox.received]


async def test_change__of_an_address_that_nobody_confirmed_asks_the_new_one_alone(mailed: Mailed) -> None:
    shown = await mailed.ask()
    assert shown["email"] == OLD
    assert shown["email_change"] == {
        "email": NEW,
        "asked_at": "2026-11-24T12:00:00Z",
        "confirmed": False,
        "agreed": False,
        "applies_at": None,
    }
    assert recipients(mailed) == [NEW]
    await mailed.use("change")
    account = await mailed.account()
    assert (account["email"], account["email_confirmed"], account["email_change"]) == (NEW, True, None)


@pytest.mark.parametrize("order", [("change", "agree"), ("agree", "change")])
async def test_change__holds_when_both_have_said_yes(mailed: Mailed, order: tuple[str, str]) -> None:
    await mailed.confirm()
    await mailed.ask()
    assert recipients(mailed)[1:] == [NEW, OLD]
    await mailed.use(order[0])
    assert await mailed.lives_at() == (OLD, True)
    await mailed.use(order[1])
    assert await mailed.lives_at() == (NEW, False)
    for purpose in ("change", "agree", "refuse"):
        with pytest.raises(errors.NotFound):
            await mailed.use(purpose)
    await mailed.sign_up(OLD)


async def test_change__the_old_address_may_refuse(mailed: Mailed, clock: Clock, store: Store) -> None:
    await mailed.confirm()
    await mailed.ask()
    await mailed.use("change")
    clock.forward(7 * DAY - MINUTE)
    refused = await mailed.use("refuse")
    assert "keeps its address" in refused["message"]
    clock.forward(DAY)
    await store.transact(partial(email_changes.apply_due, now=clock.now, limit=10))
    assert await mailed.lives_at() == (OLD, False)
    with pytest.raises(errors.NotFound):
        await mailed.use("agree")
    titles = {row.title for row in await read(store, select(tables.alert))}
    assert titles == {"The account is to have another address", "The account keeps its address"}


async def test_change__holds_after_a_week_of_silence(mailed: Mailed, clock: Clock, store: Store) -> None:
    await mailed.confirm()
    await mailed.ask()
    used = await mailed.use("change")
    assert "or else at 2026-12-01T12:00:00Z" in used["message"]
    assert (await mailed.account())["email_change"]["applies_at"] == "2026-12-01T12:00:00Z"
    for later, email in ((7 * DAY - MINUTE, OLD), (MINUTE, NEW)):
        clock.forward(later)
        await store.transact(partial(email_changes.apply_due, now=clock.now, limit=10))
        assert (await mailed.account())["email"] == email
    with pytest.raises(errors.NotFound):
        await mailed.use("refuse")


async def test_change__that_the_new_address_does_not_confirm_is_over_after_a_day(
    mailed: Mailed, clock: Clock, store: Store
) -> None:
    await mailed.confirm()
    await mailed.ask()
    clock.forward(DAY)
    for purpose in ("change", "agree"):
        with pytest.raises(errors.NotFound):
            await mailed.use(purpose)
    await store.transact(partial(email_changes.apply_due, now=clock.now, limit=10))
    assert await mailed.lives_at() == (OLD, False)


async def test_change__asked_again_ends_the_links_before(mailed: Mailed) -> None:
    await mailed.confirm()
    await mailed.ask()
    first = mailed.links()
    await mailed.ask("third@example.com")
    for purpose in ("change", "agree", "refuse"):
        token = token_of(first[purpose])
        with pytest.raises(errors.NotFound):
            await mailed.operations.links.use(token, Reading(LinkUse, {}))
    await mailed.use("change")
    await mailed.use("agree")
    assert await mailed.lives_at() == ("third@example.com", False)


async def test_change__to_the_same_address_ends_the_one_under_way(mailed: Mailed) -> None:
    await mailed.ask()
    assert (await mailed.ask("OLD@example.com"))["email_change"] is None
    assert recipients(mailed) == [NEW]
    with pytest.raises(errors.NotFound):
        await mailed.use("change")


async def test_change__says_nothing_of_who_has_an_account(mailed: Mailed, store: Store) -> None:
    other = await mailed.sign_up("taken@example.com")
    answers, statements = [], []
    for email in ("taken@example.com", "empty@example.com"):
        await mailed.ask(OLD)
        with sent_by(store) as sent:
            answer = await mailed.ask(email)
        answers.append(repr(answer).replace(email, "EMAIL"))
        statements.append(sent)
    assert answers[0] == answers[1]
    assert statements[0] == statements[1]
    assert not links_of(text_of(mailed.mailbox, 0))
    assert "has an account already" in text_of(mailed.mailbox, 0)
    assert (await mailed.operations.get_account(other)).email == "taken@example.com"


async def test_change__to_an_address_that_got_an_account_meanwhile_is_over(
    mailed: Mailed, clock: Clock, store: Store
) -> None:
    await mailed.ask()
    await mailed.sign_up(NEW)
    with pytest.raises(errors.Conflict, match="keeps the one that it has"):
        await mailed.use("change")
    # By the janitor, too.
    change = email_changes.EmailChange(
        mailed.caller.account_id, NEW, NEW, clock.now, clock.now, None, clock.now
    )
    await store.transact(partial(email_changes.put_change, change=change))
    assert await store.transact(partial(email_changes.apply_due, now=clock.now, limit=10)) == 1
    assert await mailed.lives_at() == (OLD, False)


async def test_change__needs_the_scope_keys(mailed: Mailed) -> None:
    narrow = replace(mailed.caller, scopes=frozenset({"read", "write", "run"}))
    with pytest.raises(errors.Forbidden, match="scope keys"):
        await mailed.ask(caller=narrow)
    assert mailed.mailbox.received == []


async def test_change__without_mail_is_one_sentence(store: Store, mailed: Mailed) -> None:
    silent = Operations(store, vault(), {})
    with pytest.raises(errors.InvalidRequest, match="sends no mail"):
        await silent.update_account(mailed.caller, Reading(AccountChange, {"email": NEW}))
    with pytest.raises(errors.InvalidRequest, match="no email address"):
        await silent.update_account(mailed.caller, Reading(AccountChange, {"email": "new"}))
    assert await mailed.lives_at() == (OLD, False)


async def test_recovery__that_ends_stolen_keys_ends_the_change_that_one_has_asked_for(
    mailed: Mailed, clock: Clock, store: Store
) -> None:
    await mailed.confirm()
    await mailed.ask("thief@example.com")
    await mailed.use("change")
    await mailed.operations.recovering.ask(Reading(Recovery, {"email": OLD}), "192.0.2.1")
    token = token_of(mailed.links()["recover"])
    await mailed.operations.links.use(token, Reading(LinkUse, {"revoke_others": "true"}))
    clock.forward(8 * DAY)
    await store.transact(partial(email_changes.apply_due, now=clock.now, limit=10))
    assert await mailed.lives_at() == (OLD, False)


async def test_janitor__carries_out_what_is_due_and_forgets_links_that_are_over(
    mailed: Mailed, clock: Clock, store: Store
) -> None:
    await mailed.confirm()
    await mailed.ask()
    await mailed.use("change")
    clock.forward(8 * DAY)
    janitor = Janitor(store, retention=30 * DAY)
    while not await janitor.expire(clock.now):
        pass
    assert await mailed.lives_at() == (NEW, False)
    assert await read(store, select(tables.mailed_link)) == []


async def test_change__used_on_two_nodes_at_one_instant_is_one(
    mailed: Mailed, store: Store, migrated_url: str
) -> None:
    """Both links at once, each on both nodes: each is used once, and the account has moved."""
    await mailed.confirm()
    await mailed.ask()
    links = [token_of(mailed.links()[purpose]) for purpose in ("change", "agree")]
    nodes, other = [mailed.operations], None
    if not migrated_url.startswith("sqlite"):
        other = await open_store(migrated_url)
        other.clock = store.clock  # type: ignore[method-assign]
        nodes.append(Operations(other, vault(), {}))
    try:
        use = [node.links.use(token, Reading(LinkUse, {})) for token in links for node in nodes * 2]
        used = await asyncio.gather(*use, return_exceptions=True)
    finally:
        if other is not None:
            await other.close()
    failed = [one for one in used if isinstance(one, Exception)]
    assert {type(one) for one in failed} == {errors.NotFound}
    assert len(used) - len(failed) == len(links)
    assert await mailed.lives_at() == (NEW, False)


async def test_recovery__goes_to_the_address_that_the_account_has(mailed: Mailed) -> None:
    await mailed.confirm()
    await mailed.ask()
    await mailed.use("change")
    await mailed.use("agree")
    with pytest.raises(errors.NotFound):
        await mailed.use("confirm")
    assert (await mailed.account())["email_confirmed"]
