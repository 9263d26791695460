"""Channels: what they hold, how an address is confirmed, and that nobody can be flooded with mails."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

from cronally import errors
from cronally.contract.channel_requests import ChannelChange, ChannelPage, NewChannel
from cronally.contract.channels import Channel
from cronally.contract.connection_requests import NewConnection
from cronally.contract.reading import Reading
from cronally.instants import DAY, MINUTE, SECOND
from cronally.operations import Caller, Operations
from cronally.operations import confirming as rules
from cronally.operations.channel_rules import shown_url
from cronally.server import keys
from cronally.store import Store, tables
from cronally.targets.mail.mail import Mail
from cronally.targets.mail.server import SmtpServer
from cronally.targets.target import Target
from cronally.vault import Purpose, SealContext, SealingKey, Vault, open_secret
from tests.operations.parameters import AWS
from tests.support.factories import CANARY, Clock, make_account, read, uuid_of, vault
from tests.support.smtp import Mailbox, smtp_server

SIGNING = f"whsec_{base64.b64encode(b'0123456789abcdef01234567').decode()}"
HOOK = {
    "name": "hook",
    "kind": "http",
    "webhook_url": f"https://1.1.1.1/in/{CANARY}?x={CANARY}",
    "signing_secret": SIGNING,
}
CHAT = {"name": "chat", "kind": "slack", "webhook_url": f"https://1.1.1.1/services/{CANARY}"}
MAIL = {"name": "ops", "kind": "email", "address": "ops@example.com"}
TOPIC = {
    "name": "topic",
    "kind": "sns",
    "sns_topic": "arn:aws:sns:eu-west-1:123456789012:alerts",
    "sns_region": "eu-west-1",
}
KEYS = {"sns_access_key_id": AWS["aws_access_key_id"], "sns_secret_access_key": f"{CANARY}secret"}


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with smtp_server() as running:
        yield running


@pytest.fixture
def mailing(store: Store, targets: dict[str, Target], mailbox: Mailbox, clock: Clock) -> Operations:
    mail = Mail(SmtpServer("127.0.0.1", mailbox.port, "off"), "cron@example.com")
    return Operations(
        store, vault(), targets, mail=mail, public_url="https://cron.example.com", max_channels=15
    )


@pytest.fixture
async def me(store: Store) -> Caller:
    return Caller(await make_account(store), uuid_of("key"), b"")


async def create(operations: Operations, caller: Caller, sent: dict[str, Any], **options: Any) -> Channel:
    return await operations.channels.create(caller, Reading(NewChannel, sent), **options)


async def change(operations: Operations, caller: Caller, meant: str, **sent: Any) -> Channel:
    return await operations.channels.update(caller, meant, Reading(ChannelChange, sent))


async def opened(store: Store, name: str) -> dict[str, str]:
    (row,) = await read(store, select(tables.channel).where(tables.channel.c.name == name))
    place = SealContext(row.account_id, "channel", "secret", row.channel_id)
    held: dict[str, str] = json.loads(open_secret(vault(), row.secret, place, Purpose.ALERT))
    return held


def token_of(mailbox: Mailbox, number: int = -1) -> str:
    text = mailbox.received[number].mail.get_content()
    (link,) = [
        line for line in text.splitlines() if line.startswith("https://cron.example.com/channel/confirm/")
    ]
    return str(link).rstrip("/").rpartition("/")[2]


async def test_channel__keeps_its_secrets_to_itself(store: Store, mailing: Operations, me: Caller) -> None:
    for sent in (HOOK, CHAT, {**TOPIC, **KEYS}):
        made = await create(mailing, me, sent)
        assert CANARY not in repr(made)
        assert made.confirmed
        assert await mailing.channels.get(me, sent["name"]) == made
        assert await mailing.channels.get(me, made.channel_id) == made
    assert (await mailing.channels.get(me, "hook")).webhook_url == "https://1.1.1.1/***"
    assert await opened(store, "hook") == {"webhook_url": HOOK["webhook_url"], "signing_secret": SIGNING}
    assert await opened(store, "topic") == {"sns_secret_access_key": KEYS["sns_secret_access_key"]}
    found = await mailing.channels.list_channels(me, Reading(ChannelPage, {"limit": "2"}))
    assert [one.name for one in found.items] == ["chat", "hook"]
    page = Reading(ChannelPage, {"cursor": found.next_cursor})
    assert [one.name for one in (await mailing.channels.list_channels(me, page)).items] == ["topic"]
    # Another key seals them anew.
    both = Vault([SealingKey("new", bytes(range(32))), SealingKey("k1", bytes([7]) * 32)])
    assert await keys.rekey(store, both) == 3


WRONG: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"name", "kind"}),
    ({"name": "x", "kind": "pager"}, {"kind"}),
    ({"name": "confirm", "kind": "slack", "webhook_url": "https://1.1.1.1/"}, {"name"}),
    ({"name": "x", "kind": "email"}, {"address"}),
    ({"name": "x", "kind": "email", "address": "ops"}, {"address"}),
    ({"name": "x", "kind": "email", "address": "a@example.com, b@example.com"}, {"address"}),
    (
        {"name": "x", "kind": "email", "address": "a@example.com", "webhook_url": "https://1.1.1.1/"},
        {"webhook_url"},
    ),
    ({"name": "x", "kind": "http", "webhook_url": "https://1.1.1.1/"}, {"signing_secret"}),
    ({**HOOK, "signing_secret": "secret"}, {"signing_secret"}),
    ({**HOOK, "webhook_url": "http://127.0.0.1/"}, {"webhook_url"}),
    ({**HOOK, "webhook_url": "ftp://1.1.1.1/"}, {"webhook_url"}),
    ({**HOOK, "format": "slack"}, {"format"}),
    ({**CHAT, "format": "irc"}, {"format"}),
    ({**CHAT, "webhook_url": "x" * 3000}, {"webhook_url"}),
    ({**TOPIC}, {"sns_access_key_id", "sns_secret_access_key"}),
    ({**TOPIC, "sns_access_key_id": KEYS["sns_access_key_id"]}, {"sns_secret_access_key"}),
    ({**TOPIC, "connection": "nobodys"}, {"connection"}),
    ({**TOPIC, **KEYS, "sns_region": "mars-1"}, {"sns_region"}),
    ({**TOPIC, **KEYS, "sns_topic": "arn:aws:sqs:eu-west-1:123456789012:alerts"}, {"sns_topic"}),
    ({**CHAT, "colour": "red"}, {"colour"}),
]


@pytest.mark.parametrize(("sent", "wrong"), WRONG, ids=map(str, range(len(WRONG))))
async def test_channel__what_is_wrong_is_said_and_no_secret(
    store: Store, mailing: Operations, me: Caller, sent: dict[str, Any], wrong: set[str]
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await create(mailing, me, sent)
    assert wrong <= caught.value.fields.keys()
    assert CANARY not in str(caught.value)
    assert await read(store, select(tables.channel.c.name)) == []


async def test_channel__changes_what_was_sent_and_keeps_the_rest(
    store: Store, mailing: Operations, me: Caller
) -> None:
    await create(mailing, me, HOOK)
    after = await change(mailing, me, "hook", webhook_url="https://1.1.1.1/other")
    assert (after.version, after.webhook_url) == (2, "https://1.1.1.1/***")
    assert await opened(store, "hook") == {"webhook_url": "https://1.1.1.1/other", "signing_secret": SIGNING}
    assert (await change(mailing, me, "hook", name="web")).name == "web"
    await create(mailing, me, CHAT)
    with pytest.raises(errors.InvalidRequest, match="another channel"):
        await change(mailing, me, "web", name="chat")
    with pytest.raises(errors.InvalidRequest, match="leave it out"):
        await change(mailing, me, "web", address="ops@example.com")
    assert (await change(mailing, me, "chat", format="discord")).format == "discord"
    with pytest.raises(errors.NotFound):
        await change(mailing, Caller(await make_account(store), "k", b""), "chat", name="stolen")
    assert (await mailing.channels.delete(me, "chat")).name == "chat"
    with pytest.raises(errors.NotFound):
        await mailing.channels.get(me, "chat")


async def test_channel__uses_keys_or_a_connection_that_then_stays(
    store: Store, mailing: Operations, me: Caller
) -> None:
    used = await mailing.connecting.create(me, Reading(NewConnection, {**AWS}))
    made = await create(mailing, me, {**TOPIC, "connection": used.name})
    assert (made.connection_id, made.sns_access_key_id) == (used.connection_id, None)
    with pytest.raises(errors.Conflict, match="Channels use the connection: topic"):
        await mailing.connecting.delete(me, used.name)
    with pytest.raises(errors.InvalidRequest, match="comes from the connection"):
        await change(mailing, me, "topic", **KEYS)
    with pytest.raises(errors.InvalidRequest, match="is missing"):
        await change(mailing, me, "topic", connection="default")
    after = await change(mailing, me, "topic", connection="default", **KEYS)
    assert (after.connection_id, after.sns_access_key_id) == (None, KEYS["sns_access_key_id"])
    await mailing.connecting.delete(me, used.name)
    # Nothing of the keys is left where a connection takes their place.
    again = await mailing.connecting.create(me, Reading(NewConnection, {**AWS}))
    assert (await change(mailing, me, "topic", connection=again.name)).sns_access_key_id is None
    (row,) = await read(store, select(tables.channel.c.secret))
    assert row[0] is None


async def test_channel__a_repeated_request_makes_one(
    mailing: Operations, me: Caller, mailbox: Mailbox
) -> None:
    for _ in range(2):
        made = await create(mailing, me, MAIL, idempotency_key="k")
    assert len(mailbox.received) == 1
    assert (await mailing.channels.get(me, "ops")).channel_id == made.channel_id
    with pytest.raises(errors.InvalidRequest):
        await create(mailing, me, CHAT, idempotency_key="k")


async def test_channel__there_are_as_many_as_the_server_allows(
    store: Store, targets: dict[str, Target], me: Caller
) -> None:
    operations = Operations(store, vault(), targets, max_channels=1)
    await create(operations, me, CHAT)
    with pytest.raises(errors.Forbidden, match="1 channels"):
        await create(operations, me, HOOK)


async def test_email__needs_a_server_that_sends_mail(
    store: Store, targets: dict[str, Target], me: Caller
) -> None:
    operations = Operations(store, vault(), targets)
    with pytest.raises(errors.InvalidRequest, match="CRONALLY_SMTP_URL"):
        await create(operations, me, MAIL)
    assert await read(store, select(tables.channel.c.name)) == []


async def test_email__is_confirmed_once_by_whoever_has_the_link(
    store: Store, mailing: Operations, me: Caller, mailbox: Mailbox
) -> None:
    made = await create(mailing, me, MAIL)
    assert not made.confirmed
    assert made.confirm_until is not None
    (got,) = mailbox.received
    assert got.recipients == ["ops@example.com"]
    token = token_of(mailbox)
    (row,) = await read(store, select(tables.channel))
    assert token not in repr(row)
    with pytest.raises(errors.Conflict, match="confirmed"):
        await mailing.channels.test(me, "ops")
    with pytest.raises(errors.NotFound):
        await mailing.confirming.confirm("x" * 43)
    assert (await mailing.confirming.confirm(token)).channel == "ops"
    told = await read(store, select(tables.audit.c.who).where(tables.audit.c.action == "channel.confirm"))
    assert [row.who for row in told] == ["link"]
    shown = await mailing.channels.get(me, "ops")
    assert (shown.confirmed, shown.confirm_until) == (True, None)
    with pytest.raises(errors.NotFound, match="used already"):
        await mailing.confirming.confirm(token)
    with pytest.raises(errors.Conflict, match="nothing to confirm"):
        await mailing.channels.ask_again(me, "ops")


async def test_email__a_link_ends_with_its_day_and_with_the_next_one(
    mailing: Operations, me: Caller, mailbox: Mailbox, clock: Clock
) -> None:
    await create(mailing, me, MAIL)
    clock.forward(rules.LASTS + SECOND)
    with pytest.raises(errors.NotFound):
        await mailing.confirming.confirm(token_of(mailbox))
    for _ in range(2):
        await mailing.channels.ask_again(me, "ops")
    with pytest.raises(errors.NotFound):
        await mailing.confirming.confirm(token_of(mailbox, 1))
    assert (await mailing.confirming.confirm(token_of(mailbox, 2))).channel == "ops"


async def test_email__another_address_is_confirmed_anew(
    mailing: Operations, me: Caller, mailbox: Mailbox
) -> None:
    await create(mailing, me, MAIL)
    old = token_of(mailbox)
    await mailing.confirming.confirm(old)
    after = await change(mailing, me, "ops", address="dev@example.com")
    assert (after.confirmed, after.address) == (False, "dev@example.com")
    assert mailbox.received[1].recipients == ["dev@example.com"]
    # Before the owner of another address has answered, a link of the former one is of no use.
    with pytest.raises(errors.NotFound):
        await mailing.confirming.confirm(old)
    assert (await change(mailing, me, "ops", name="devs")).confirmed is False
    assert len(mailbox.received) == 2
    await mailing.confirming.confirm(token_of(mailbox))
    assert (await mailing.channels.get(me, "devs")).confirmed


async def test_email__a_mail_that_is_not_taken_is_shown(
    mailing: Operations, me: Caller, mailbox: Mailbox
) -> None:
    mailbox.answers["RCPT"] = "450 4.2.0 greylisted"
    made = await create(mailing, me, MAIL)
    assert made.health == "unhealthy"
    assert made.unhealthy_detail == "the mail with the link was not sent: 450 4.2.0 greylisted"
    del mailbox.answers["RCPT"]
    await mailing.channels.ask_again(me, "ops")
    assert len(mailbox.received) == 1


async def test_email__a_stranger_gets_few_mails_whoever_asks(
    store: Store, mailing: Operations, mailbox: Mailbox, clock: Clock
) -> None:
    """Of many accounts, with addresses that are written differently and are one person's."""
    victim = ["victim@example.com", "VICTIM@example.com", "victim+1@example.com", "Victim+2@EXAMPLE.com"]
    refused = 0
    for number in range(8):
        account = Caller(await make_account(store), "k", b"")
        try:
            await create(mailing, account, {**MAIL, "address": victim[number % 4]})
        except errors.RateLimited:
            refused += 1
    assert (len(mailbox.received), refused) == (rules.PER_ADDRESS, 8 - rules.PER_ADDRESS)
    (row,) = await read(
        store, select(tables.mail_count.c.counted).where(tables.mail_count.c.counted.like("address%"))
    )
    assert "victim" not in row[0]
    clock.forward(DAY)
    await create(mailing, Caller(await make_account(store), "k", b""), {**MAIL, "address": victim[0]})
    assert len(mailbox.received) == rules.PER_ADDRESS + 1


async def test_email__an_account_asks_few_and_the_server_sends_few(
    store: Store,
    mailing: Operations,
    me: Caller,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
) -> None:
    for number in range(rules.PER_ACCOUNT):
        await create(mailing, me, {**MAIL, "name": f"m{number}", "address": f"m{number}@example.com"})
        # The bound of requests that ask somebody out there is another one.
        mailing.confirming._verifier._of_account.clear()
    with pytest.raises(errors.RateLimited, match="account asked for 10 mails"):
        await create(mailing, me, {**MAIL, "name": "more", "address": "more@example.com"})
    monkeypatch.setattr(rules, "OF_ALL", rules.PER_ACCOUNT + 1)
    await create(mailing, Caller(await make_account(store), "k", b""), {**MAIL, "address": "a@example.com"})
    with pytest.raises(errors.RateLimited, match="server sent"):
        await create(
            mailing, Caller(await make_account(store), "k", b""), {**MAIL, "address": "b@example.com"}
        )
    assert len(mailbox.received) == rules.PER_ACCOUNT + 1


async def test_email__says_nothing_that_whoever_asks_has_written(
    mailing: Operations, me: Caller, mailbox: Mailbox
) -> None:
    await create(mailing, me, {**MAIL, "name": "a-name-of-letters"})
    (got,) = mailbox.received
    assert "a-name-of-letters" in got.mail.get_content()
    assert me.account_id not in got.content.decode()


async def test_test__is_an_alert_of_its_own_and_rare(mailing: Operations, me: Caller, clock: Clock) -> None:
    await create(mailing, me, CHAT)
    made = await mailing.channels.test(me, "chat")
    assert (made.condition, made.event, made.subject_kind) == ("test", "test", "channel")
    assert [(one.name, one.state) for one in made.deliveries] == [("chat", "pending")]
    assert await mailing.alerted.get(me, made.alert_id) == made
    for _ in range(4):
        clock.forward(SECOND)
        await mailing.channels.test(me, "chat")
    with pytest.raises(errors.RateLimited, match="5 times"):
        await mailing.channels.test(me, "chat")
    clock.forward(MINUTE)
    await mailing.channels.test(me, "chat")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.com/a/b?c=d", "https://example.com/***"),
        ("https://user:secret@example.com:8443/", "https://example.com:8443/***"),
        ("http://example.com", "http://example.com/"),
        ("https://example.com/?key", "https://example.com/***"),
    ],
)
def test_shown_url__is_its_host(url: str, shown: str) -> None:
    assert shown_url(url) == shown
