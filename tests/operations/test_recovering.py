"""Recovery by mail: who gets a key, who gets a mail alone, and what the account hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select, update

from cronally import errors
from cronally.contract.accounts import Signup
from cronally.contract.keys import MAX_KEYS, NewKey
from cronally.contract.mailed_links import LinkUse, Recovery, token_of
from cronally.contract.reading import Reading
from cronally.contract.writing import to_json
from cronally.instants import MINUTE
from cronally.operations import Caller, Operations, mail_limits, recovering
from cronally.operations.letters import recover_letter
from cronally.store import Store, open_store, tables
from tests.support.factories import Clock, insert_rows, read, vault
from tests.support.mailboxes import links_of, mail_to, text_of
from tests.support.smtp import Mailbox, smtp_server
from tests.support.statements import sent_by

URL = "https://cron.example.com"
EMAIL = "username@example.com"
Json = dict[str, Any]


@dataclass
class Mailed:
    """Operations that send mail, and where it arrives."""

    operations: Operations
    mailbox: Mailbox

    async def sign_up(self, email: str = EMAIL, *, confirmed: bool = True) -> Caller:
        made = await self.operations.create_account(Reading(Signup, {"email": email}))
        caller = await self.operations.find_caller(made.api_key)
        assert caller is not None
        if confirmed:
            await self.operations.recovering.ask_confirmation(caller)
            await self.use()
        return caller

    async def ask(self, email: str = EMAIL, sender: str = "192.0.2.1") -> Json:
        reading = Reading(Recovery, {"email": email})
        return to_json(await self.operations.recovering.ask(reading, sender))

    def link(self) -> str:
        (link,) = links_of(text_of(self.mailbox))
        return link

    async def use(self, link: str | None = None, **sent: str) -> Json:
        token = token_of(link or self.link())
        return to_json(await self.operations.links.use(token, Reading(LinkUse, sent)))

    async def lives(self, api_key: object) -> bool:
        return await self.operations.find_caller(str(api_key)) is not None


@pytest.fixture
async def mailed(store: Store) -> AsyncIterator[Mailed]:
    async with smtp_server() as mailbox:
        yield Mailed(Operations(store, vault(), {}, mail=mail_to(mailbox), public_url=URL), mailbox)


async def test_links__are_told_in_the_audit_log(mailed: Mailed) -> None:
    caller = await mailed.sign_up()
    await mailed.ask()
    used = await mailed.use()
    columns = (tables.audit.c.action, tables.audit.c.who, tables.audit.c.api_key)
    rows = await read(
        mailed.operations._store,
        select(*columns)
        .where(tables.audit.c.account_id == caller.account_id)
        .order_by(tables.audit.c.number),
    )
    assert [tuple(row) for row in rows] == [
        ("account.create", "key", caller.api_key),
        ("account.confirm", "link", None),
        ("account.recover", "link", used["api_key"]),
    ]


async def test_confirm__shows_that_the_address_is_its_owners(mailed: Mailed) -> None:
    caller = await mailed.sign_up(confirmed=False)
    assert not (await mailed.operations.get_account(caller)).email_confirmed
    asked = to_json(await mailed.operations.recovering.ask_confirmation(caller))
    assert (asked["email"], asked["purpose"]) == (EMAIL, "confirm")
    link = mailed.link()
    used = await mailed.use(link)
    assert used.keys() == {"purpose", "email", "message", "account_id"}
    assert (await mailed.operations.get_account(caller)).email_confirmed
    with pytest.raises(errors.NotFound):
        await mailed.use(link)
    with pytest.raises(errors.Conflict, match="confirmed already"):
        await mailed.operations.recovering.ask_confirmation(caller)


async def test_confirm__an_account_may_ask_for_few_mails(mailed: Mailed) -> None:
    caller = await mailed.sign_up(confirmed=False)
    for _ in range(mail_limits.PER_PAIR):
        await mailed.operations.recovering.ask_confirmation(caller)
    with pytest.raises(errors.RateLimited):
        await mailed.operations.recovering.ask_confirmation(caller)


async def test_recover__gives_a_key_and_lists_all(mailed: Mailed) -> None:
    old = await mailed.sign_up()
    asked = await mailed.ask("USERNAME@Example.com")
    assert asked.keys() == {"email", "purpose", "until", "message"}
    assert asked["until"] == "2026-11-24T12:30:00Z"
    assert mailed.mailbox.received[-1].recipients == [EMAIL], "as the account has it"
    used = await mailed.use()
    assert (used["purpose"], used["account_id"]) == ("recover", old.account_id)
    assert await mailed.lives(used["api_key"])
    assert await mailed.lives(old.api_key), "cron jobs elsewhere may sign with it"
    assert {(key["name"], key["api_key"], key["state"]) for key in used["keys"]} == {
        ("sign-up", old.api_key, "live"),
        ("recovery", used["api_key"], "live"),
    }
    assert all(key.get("api_secret") is None for key in used["keys"])
    new = await mailed.operations.find_caller(str(used["api_key"]))
    assert new is not None
    await mailed.operations.keys.revoke(new, old.api_key)
    assert not await mailed.lives(old.api_key)


async def test_recover__can_end_all_other_keys(mailed: Mailed) -> None:
    old = await mailed.sign_up()
    await mailed.ask()
    used = await mailed.use(revoke_others="true")
    assert not await mailed.lives(old.api_key)
    assert sorted(key["state"] for key in used["keys"]) == ["live", "revoked"]
    assert "were ended" in used["message"]


async def test_recover__again_gives_another_key(mailed: Mailed) -> None:
    await mailed.sign_up()
    for _ in range(2):
        await mailed.ask()
        used = await mailed.use()
    assert {key["name"] for key in used["keys"]} == {"sign-up", "recovery", "recovery-2"}


async def test_recover__a_link_for_other_purposes_takes_no_parameters(mailed: Mailed) -> None:
    caller = await mailed.sign_up(confirmed=False)
    await mailed.operations.recovering.ask_confirmation(caller)
    with pytest.raises(errors.InvalidRequest, match="is for the link of a recovery"):
        await mailed.use(revoke_others="true")
    await mailed.use()


async def test_recover__says_the_same_whatever_the_address_has(mailed: Mailed, store: Store) -> None:
    """The table of answers: one, and the same work; the difference is in the mail alone."""
    await mailed.sign_up("there@example.com")
    await mailed.sign_up("unconfirmed@example.com", confirmed=False)
    before = len(mailed.mailbox.received)
    emails = ("there@example.com", "unconfirmed@example.com", "nobody@example.com")
    answers, statements, texts = [], [], []
    for number, email in enumerate(emails):
        with sent_by(store) as sent:
            answer = await mailed.ask(email, f"192.0.2.{number + 10}")
        answers.append({name: str(value).replace(email, "EMAIL") for name, value in answer.items()})
        statements.append(sent)
        texts.append(text_of(mailed.mailbox))
    assert all(answer == answers[0] for answer in answers)
    assert all(sent == statements[0] for sent in statements)
    assert [len(links_of(text)) for text in texts] == [1, 0, 0]
    assert "Ask the operator of the server" in texts[1]
    assert "no account there" in texts[2]
    assert len(mailed.mailbox.received) == before + len(emails)
    assert len(await read(store, select(tables.mailed_link))) == len(emails)


async def test_recover__a_link_of_no_account_leads_nowhere(
    mailed: Mailed, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were its token known: nobody gets it."""
    made: list[str] = []
    monkeypatch.setattr(
        recovering,
        "nothing_to_recover_letter",
        lambda *_, **__: recover_letter(EMAIL, "", made[-1]),
    )
    issue = mailed.operations.recovering._mailing.issue

    def noting(*arguments: Any) -> Any:
        issued = issue(*arguments)
        made.append(issued.link)
        return issued

    monkeypatch.setattr(mailed.operations.recovering._mailing, "issue", noting)
    await mailed.sign_up(confirmed=False)
    await mailed.ask()
    with pytest.raises(errors.NotFound):
        await mailed.use(made[-1])


async def test_recover__the_link_is_over_after_half_an_hour(mailed: Mailed, clock: Clock) -> None:
    await mailed.sign_up()
    await mailed.ask()
    link = mailed.link()
    clock.forward(30 * MINUTE)
    with pytest.raises(errors.NotFound, match="ask for another mail"):
        await mailed.use(link)


async def test_recover__a_used_link_ends_the_others(mailed: Mailed) -> None:
    await mailed.sign_up()
    links = []
    for _ in range(2):
        await mailed.ask()
        links.append(mailed.link())
    await mailed.use(links[0])
    with pytest.raises(errors.NotFound):
        await mailed.use(links[1])


async def test_recover__of_an_account_with_another_address_by_now_gives_none(
    mailed: Mailed, store: Store
) -> None:
    await mailed.sign_up()
    await mailed.ask()
    moved = update(tables.account).values(email="other@example.com", email_key="other@example.com")
    await store.transact(lambda connection: connection.execute(moved) and None)
    with pytest.raises(errors.NotFound):
        await mailed.use()


async def test_recover__on_two_nodes_at_one_instant_gives_one_key(
    mailed: Mailed, store: Store, migrated_url: str
) -> None:
    old = await mailed.sign_up()
    nodes, other = [mailed.operations], None
    if not migrated_url.startswith("sqlite"):
        other = await open_store(migrated_url)
        other.clock = store.clock  # type: ignore[method-assign]
        nodes.append(Operations(other, vault(), {}, mail=mail_to(mailed.mailbox), public_url=URL))
    try:
        await mailed.ask()
        token = token_of(mailed.link())
        use = [node.links.use(token, Reading(LinkUse, {})) for node in nodes * 2]
        used = await asyncio.gather(*use, return_exceptions=True)
        assert [type(one) for one in used if isinstance(one, Exception)] == [errors.NotFound] * (
            len(used) - 1
        )
        keys = select(tables.api_key).where(tables.api_key.c.account_id == old.account_id)
        assert len(await read(store, keys)) == 2
    finally:
        if other is not None:
            await other.close()


async def test_recover__tells_the_account_on_all_its_channels(mailed: Mailed, store: Store) -> None:
    old = await mailed.sign_up()
    same = {
        "account_id": old.account_id,
        "kind": "slack",
        "parameters": "{}",
        "version": 1,
        "updated_by": "x",
    }
    same |= {"created_at": 1, "updated_at": 1, "confirmed_at": 1}
    ids = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(2)]
    rows = [{**same, "channel_id": each, "name": f"channel-{each[-1]}"} for each in ids]
    await insert_rows(store, "channel", rows)
    await mailed.ask()
    used = await mailed.use()
    (alert,) = await read(store, select(tables.alert))
    assert (alert.account_id, alert.condition, alert.event) == (old.account_id, "recovered", "notice")
    assert used["api_key"] in alert.lines
    assert used["api_secret"] not in repr(alert)
    told = await read(store, select(tables.alert_delivery.c.channel_id, tables.alert_delivery.c.state))
    assert sorted(told) == [(each, "pending") for each in ids]


async def test_recover__works_though_the_account_has_as_many_keys_as_it_may(
    mailed: Mailed, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await mailed.sign_up()
    for number in range(MAX_KEYS - 1):
        new = Reading(NewKey, {"name": f"key-{number}", "scopes": "read"})
        await mailed.operations.keys.create(caller, new)
    await mailed.ask()
    await mailed.use()
    monkeypatch.setattr(recovering, "SPARE_KEYS", 1)
    await mailed.ask()
    link = mailed.link()
    with pytest.raises(errors.Conflict, match="revoke_others=true"):
        await mailed.use(link)
    assert len((await mailed.use(link, revoke_others="true"))["keys"]) == MAX_KEYS + 2


async def test_recover__without_mail_names_the_operator(store: Store) -> None:
    operations = Operations(store, vault(), {})
    with pytest.raises(errors.InvalidRequest, match="cronally admin keys"):
        await operations.recovering.ask(Reading(Recovery, {"email": EMAIL}), "192.0.2.1")
