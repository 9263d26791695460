"""Sign-up by mail: nobody learns from an answer what an address has, and nobody is flooded."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from sqlalchemy import select

from cronally import errors
from cronally.contract.accounts import Signup
from cronally.contract.mailed_links import LinkUse, purpose_of, token_of
from cronally.contract.reading import Reading
from cronally.contract.writing import to_json
from cronally.instants import DAY, MINUTE, SECOND
from cronally.operations import Operations, mail_limits
from cronally.store import Store, open_store, tables
from tests.support.factories import Clock, read, vault
from tests.support.mailboxes import links_of, mail_to, text_of
from tests.support.smtp import Mailbox, smtp_server
from tests.support.statements import sent_by

URL = "https://cron.example.com"
HERE = "192.0.2.1"


@dataclass
class Mailed:
    """Operations that send mail, and where it arrives."""

    operations: Operations
    mailbox: Mailbox

    async def ask(self, email: str, sender: str = HERE) -> dict[str, object]:
        return to_json(await self.operations.verified_signup.ask(Reading(Signup, {"email": email}), sender))

    async def use(self, link: str) -> dict[str, object]:
        return to_json(await self.operations.links.use(token_of(link), Reading(LinkUse, {})))

    async def link(self, email: str, sender: str = HERE) -> str:
        await self.ask(email, sender)
        (link,) = links_of(text_of(self.mailbox))
        return link


def operations_of(store: Store, mailbox: Mailbox) -> Operations:
    return Operations(store, vault(), {}, mail=mail_to(mailbox), public_url=URL)


@pytest.fixture
async def mailed(store: Store) -> AsyncIterator[Mailed]:
    async with smtp_server() as mailbox:
        yield Mailed(operations_of(store, mailbox), mailbox)


async def test_signup__the_link_makes_the_account_with_its_key_once(mailed: Mailed, store: Store) -> None:
    answer = await mailed.ask("Username@Example.com")
    assert answer.keys() == {"email", "purpose", "until", "message"}
    assert answer["until"] == "2026-11-25T12:00:00Z"
    assert await read(store, select(tables.account)) == []
    received = mailed.mailbox.received[-1]
    assert received.recipients == ["Username@example.com"]
    (link,) = links_of(text_of(mailed.mailbox))
    assert link.startswith(f"{URL}/account/confirm/signup-")
    used = await mailed.use(link)
    assert used["email"] == "Username@Example.com"
    caller = await mailed.operations.find_caller(str(used["api_key"]))
    assert caller is not None
    assert caller.secret == base64.b64decode(str(used["api_secret"]))
    shown = to_json(await mailed.operations.get_account(caller))
    assert (shown["account_id"], shown["email_confirmed"]) == (used["account_id"], True)
    with pytest.raises(errors.NotFound, match="used already"):
        await mailed.use(link)


async def test_signup__an_address_with_an_account_is_told_so_by_mail_alone(
    mailed: Mailed, store: Store
) -> None:
    """The table of answers: the same for each address, and the same work."""
    await mailed.use(await mailed.link("there@example.com"))
    await mailed.operations.create_account(Reading(Signup, {"email": "unconfirmed@example.com"}))
    emails = ("there@example.com", "THERE@example.com", "unconfirmed@example.com", "nobody@example.com")
    answers, statements, texts = [], [], []
    for number, email in enumerate(emails):
        with sent_by(store) as sent:
            answer = await mailed.ask(email, f"192.0.2.{number + 10}")
        answers.append({name: str(value).replace(email, "EMAIL") for name, value in answer.items()})
        statements.append(sent)
        texts.append(text_of(mailed.mailbox))
    assert all(answer == answers[0] for answer in answers)
    assert all(sent == statements[0] for sent in statements)
    assert [len(links_of(text)) for text in texts] == [0, 0, 0, 1]
    assert "cronally account recover" in texts[0]
    assert "Nobody has confirmed yet" in texts[2]
    assert len(mailed.mailbox.received) == len(emails) + 1


async def test_link__is_over_after_its_time(mailed: Mailed, clock: Clock) -> None:
    link = await mailed.link("username@example.com")
    clock.forward(DAY - MINUTE)
    late = await mailed.link("other@example.com")
    clock.forward(MINUTE)
    with pytest.raises(errors.NotFound):
        await mailed.use(link)
    assert (await mailed.use(late))["email"] == "other@example.com"


async def test_link__two_for_one_address_make_one_account(mailed: Mailed) -> None:
    links = [await mailed.link("username@example.com") for _ in range(2)]
    await mailed.use(links[1])
    with pytest.raises(errors.NotFound):
        await mailed.use(links[0])


async def test_link__of_an_address_that_has_an_account_by_now_makes_none(mailed: Mailed) -> None:
    link = await mailed.link("username@example.com")
    await mailed.operations.create_account(Reading(Signup, {"email": "Username@example.com"}))
    for _ in range(2):
        with pytest.raises(errors.Conflict, match="has an account by now"):
            await mailed.use(link)


async def test_link__used_on_two_nodes_at_one_instant_makes_one_account(
    mailed: Mailed, store: Store, migrated_url: str
) -> None:
    nodes = [mailed.operations]
    other = None
    if not migrated_url.startswith("sqlite"):
        other = await open_store(migrated_url)
        other.clock = store.clock  # type: ignore[method-assign]
        nodes.append(operations_of(other, mailed.mailbox))
    try:
        token = token_of(await mailed.link("username@example.com"))
        used = await asyncio.gather(
            *(node.links.use(token, Reading(LinkUse, {})) for node in nodes * 2), return_exceptions=True
        )
        failed = [one for one in used if isinstance(one, Exception)]
        assert len(failed) == len(used) - 1
        assert {type(one) for one in failed} == {errors.NotFound}
    finally:
        if other is not None:
            await other.close()


async def test_link__a_token_is_nowhere_but_in_its_mail(
    mailed: Mailed, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    link = await mailed.link("username@example.com")
    token = token_of(link)
    assert purpose_of(token) == "signup"
    assert len(token) > 40
    (row,) = await read(store, select(tables.mailed_link))
    assert token not in repr(row)
    await mailed.use(link)
    with pytest.raises(errors.NotFound) as caught:
        await mailed.use(link)
    random = token.partition("-")[2]
    # But in the log of the mail server, which is in this process.
    logged = [record.getMessage() for record in caplog.records if record.name != "mail.log"]
    assert not [line for line in [*logged, str(caught.value)] if random in line]
    assert "username" not in repr(await read(store, select(tables.mail_count)))


@pytest.mark.parametrize("token", ["", "x", "signup-", "signup-x", "recover-signup", "signup-" + "A" * 43])
async def test_link__made_up_ones_do_nothing(mailed: Mailed, token: str) -> None:
    with pytest.raises(errors.NotFound, match="ask for another mail"):
        await mailed.operations.links.use(token, Reading(LinkUse, {}))


async def test_limits__nobody_can_flood_a_stranger(mailed: Mailed, clock: Clock) -> None:
    """Whatever is behind a + and whatever the case, from however many clients."""
    sent, refused = 0, set()
    for number in range(12):
        email = f"Victim+{number}@example.com" if number % 2 else "victim@EXAMPLE.com"
        try:
            await mailed.ask(email, f"192.0.2.{number}")
            sent += 1
        except errors.RateLimited as problem:
            refused.add(problem.retry_after)
    assert (sent, refused) == (mail_limits.PER_PERSON, {DAY // 2 // SECOND + 1})
    clock.forward(DAY)
    await mailed.ask("victim@example.com")


async def test_limits__one_client_cannot_use_up_what_an_address_may_get(mailed: Mailed) -> None:
    for _ in range(mail_limits.PER_PAIR):
        await mailed.ask("victim@example.com", "192.0.2.66")
    with pytest.raises(errors.RateLimited, match="You have asked for 3 mails"):
        await mailed.ask("victim@example.com", "192.0.2.66")
    await mailed.ask("victim@example.com", HERE)


async def test_limits__of_a_client_and_of_the_server(mailed: Mailed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_limits, "PER_SENDER", 3)
    monkeypatch.setattr(mail_limits, "OF_ALL", 4)
    for number in range(3):
        await mailed.ask(f"user{number}@example.com")
    with pytest.raises(errors.RateLimited, match="You have asked for"):
        await mailed.ask("user3@example.com")
    await mailed.ask("user3@example.com", "192.0.2.2")
    with pytest.raises(errors.RateLimited, match="This server has sent"):
        await mailed.ask("user4@example.com", "192.0.2.3")


async def test_mail__that_does_not_work_is_said_and_not_counted(mailed: Mailed, store: Store) -> None:
    mailed.mailbox.answers["RCPT"] = "451 later"
    for _ in range(2 * mail_limits.PER_PAIR):
        with pytest.raises(errors.Unavailable, match="The mail was not sent: 451 later") as caught:
            await mailed.ask("username@example.com")
        assert caught.value.retry_after == 60
    mailed.mailbox.answers["RCPT"] = "550 no such user"
    with pytest.raises(errors.InvalidRequest, match="no such user"):
        await mailed.ask("username@example.com")
    mailed.mailbox.answers.clear()
    await mailed.use(await mailed.link("username@example.com"))


async def test_mail__that_is_not_set_up_is_said(store: Store) -> None:
    operations = Operations(store, vault(), {})
    with pytest.raises(errors.InvalidRequest, match="cronally admin keys"):
        await operations.verified_signup.ask(Reading(Signup, {"email": "a@example.com"}), HERE)


async def test_signup__a_bad_address_gets_no_mail(mailed: Mailed) -> None:
    with pytest.raises(errors.InvalidRequest):
        await mailed.ask("user\r\nBcc: others@example.com")
    assert mailed.mailbox.received == []
