"""Mail: one mail a call, with TLS and who sends it, and an outcome for whatever the server does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from cronally.targets.mail.mail import AT_ONCE, Mail
from cronally.targets.mail.server import SmtpServer, parse_smtp_url
from cronally.targets.target import Delivered, Refused, Retry, Unknown
from tests.support.certificates import Authority, server_context
from tests.support.smtp import PASSWORD, USER, Mailbox, Script, scripted_smtp, smtp_server

SENDER = "cron@example.com"
ID = "5b0c7f3e-4d58-4c1f-9b1e-0a5a9d1c2b3a"
AUTHORITY = Authority()


def trusting(authority: Authority = AUTHORITY) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.certificate)


def plain(port: int, timeout: float = 10.0) -> Mail:
    return Mail(SmtpServer("127.0.0.1", port, "off"), SENDER, timeout=timeout, clock=lambda: 1_800_000_000.5)


@contextlib.asynccontextmanager
async def secure(**options: object) -> AsyncIterator[Mailbox]:
    async with smtp_server(server_context(AUTHORITY.issue()), **options) as mailbox:
        yield mailbox


async def test_send__over_tls_and_as_a_user() -> None:
    async with secure() as mailbox:
        mail = Mail(parse_smtp_url(mailbox.url), SENDER, tls=trusting(), clock=lambda: 1_800_000_000.5)
        said = await mail.send("ops@example.com", "Reports failed", "HTTP 503\n.\nlast line", message_id=ID)
    assert said == Delivered(ID)
    (got,) = mailbox.received
    assert (got.sender, got.recipients, got.tls, got.user) == (SENDER, ["ops@example.com"], True, True)
    assert got.mail["Subject"] == "Reports failed"
    assert got.mail["From"] == "Cronally <cron@example.com>"
    assert got.mail["To"] == "ops@example.com"
    assert got.mail["Message-ID"] == f"<{ID}@example.com>"
    assert got.mail["Auto-Submitted"] == "auto-generated"
    assert got.mail["Date"].datetime == datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
    assert got.mail.get_content().splitlines() == ["HTTP 503", ".", "last line"]


async def test_send__without_tls_where_the_operator_says_so() -> None:
    async with smtp_server() as mailbox:
        said = await plain(mailbox.port).send("ops@example.com", "s", "t")
    assert isinstance(said, Delivered)
    assert [got.tls for got in mailbox.received] == [False]


async def test_send__gives_nothing_to_a_server_without_tls_or_with_a_certificate_of_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with smtp_server() as mailbox:
        url = f"smtp://{USER}:secret-word@127.0.0.1:{mailbox.port}"
        said = [await Mail(parse_smtp_url(url), SENDER, tls=trusting()).send("ops@example.com", "s", "t")]
    async with secure() as trap:
        url = f"smtp://{USER}:secret-word@127.0.0.1:{trap.port}"
        mail = Mail(parse_smtp_url(url), SENDER, tls=trusting(Authority("another")))
        said.append(await mail.send("ops@example.com", "s", "t"))
    assert all(isinstance(one, Retry) for one in said)
    assert mailbox.received == trap.received == []
    assert "secret-word" not in caplog.text
    assert len(caplog.records) == 2
    assert "127.0.0.1" not in str(said)


async def test_send__with_a_password_that_is_refused_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with secure() as mailbox:
        url = f"smtp://{USER}:secret-word@127.0.0.1:{mailbox.port}"
        said = await Mail(parse_smtp_url(url), SENDER, tls=trusting()).send("ops@example.com", "s", "t")
    assert isinstance(said, Retry)
    assert "log" in said.detail
    assert "secret-word" not in caplog.text
    assert PASSWORD not in caplog.text


INJECTED = "Failed\r\nBcc: victim@example.com\r\n\r\nhello"


async def test_send__a_subject_is_one_line_of_bounded_length() -> None:
    async with smtp_server() as mailbox:
        mail = plain(mailbox.port)
        for subject in (INJECTED, "x" * 1_000_000, "日本" * 300, "", "\ud800\0\x7f"):
            assert isinstance(await mail.send("ops@example.com", subject, INJECTED), Delivered)
    for got in mailbox.received:
        assert got.recipients == ["ops@example.com"]
        assert got.mail["Bcc"] is None
        assert len(got.mail["Subject"] or "") <= 200
        assert len(got.content) < 10_000
        assert all(len(line) <= 998 for line in got.content.splitlines())
    assert mailbox.received[0].mail["Subject"] == "Failed Bcc: victim@example.com hello"
    assert mailbox.received[2].mail["Subject"].startswith("日本日本")


async def test_send__a_text_is_cut() -> None:
    async with smtp_server() as mailbox:
        assert isinstance(await plain(mailbox.port).send("ops@example.com", "s", "ä" * 1_000_000), Delivered)
    assert len(mailbox.received[0].mail.get_content()) <= 33_000


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ops",
        "ops@",
        "@example.com",
        "ops@example.com, victim@example.com",
        "ops@example.com\r\nRCPT TO:<victim@example.com>",
        "ops@example.com>\0",
        "a" * 65 + "@example.com",
        "ops@" + "a" * 300 + ".com",
        '"ops a"@example.com',
        "ops@xn--zzzzzz99999.com\n",
    ],
)
async def test_send__to_what_is_no_address_asks_no_server(address: str) -> None:
    async with smtp_server() as mailbox:
        said = await plain(mailbox.port).send(address, "s", "t")
    assert isinstance(said, Refused)
    assert mailbox.received == []


async def test_send__a_domain_that_is_not_ascii_is_written_in_ascii() -> None:
    async with smtp_server() as mailbox:
        assert isinstance(await plain(mailbox.port).send("ops@bücher.example", "s", "t"), Delivered)
    assert mailbox.received[0].recipients == ["ops@xn--bcher-kva.example"]


async def test_send__an_address_that_is_not_ascii_needs_a_server_that_takes_it() -> None:
    async with smtp_server(enable_SMTPUTF8=True) as mailbox:
        assert isinstance(await plain(mailbox.port).send("jürgen@example.com", "Grüße", "t"), Delivered)
    assert mailbox.received[0].recipients == ["jürgen@example.com"]
    assert "jürgen@example.com" in mailbox.received[0].content.decode()
    async with smtp_server() as other:
        said = await plain(other.port).send("jürgen@example.com", "s", "t")
    assert isinstance(said, Refused)
    assert "SMTPUTF8" in said.detail
    assert other.received == []


@pytest.mark.parametrize(
    ("command", "answer", "kind"),
    [
        ("RCPT", "450 4.2.0 greylisted, try again later", Retry),
        ("RCPT", "550 5.1.1 no such user", Refused),
        ("DATA", "452 4.3.1 no space", Retry),
        ("DATA", "554 5.7.1 spam", Refused),
    ],
)
async def test_send__what_is_said_of_the_address_the_account_is_told(
    command: str, answer: str, kind: type
) -> None:
    async with smtp_server() as mailbox:
        mailbox.answers[command] = answer
        said = await plain(mailbox.port).send("ops@example.com", "s", "t")
    assert isinstance(said, kind)
    assert not isinstance(said, Delivered)
    assert said.detail == answer
    assert mailbox.received == []


SCRIPTS: list[tuple[Script, type]] = [
    ({b"": None}, Retry),
    ({b"EHLO": None}, Retry),
    ({b"": b"554 not you\r\n"}, Retry),
    ({b"": b"SSH-2.0-OpenSSH_9.6\r\n"}, Retry),
    ({b"": b"220 " + b"x" * 100_000 + b"\r\n"}, Retry),
    ({b"MAIL": b"550 5.7.1 sender refused by private.internal\r\n"}, Retry),
    ({b"MAIL": None}, Retry),
    ({b"RCPT": lambda writer: writer.transport.abort()}, Retry),
    ({b"RCPT": b"999999 \xff\xfe\r\n"}, Retry),
    ({b".": None}, Unknown),
    ({b".": lambda writer: writer.transport.abort()}, Unknown),
]


@pytest.mark.parametrize(("script", "kind"), SCRIPTS, ids=map(str, range(len(SCRIPTS))))
async def test_send__a_server_that_misbehaves_is_an_outcome_in_time(script: Script, kind: type) -> None:
    async with scripted_smtp(script) as port, asyncio.timeout(30):
        said = await plain(port, timeout=0.5).send("ops@example.com", "s", "t")
    assert isinstance(said, kind), said
    assert not isinstance(said, Delivered)
    assert "internal" not in said.detail


async def test_send__nobody_there_is_an_outcome() -> None:
    async with scripted_smtp({}) as port:
        pass
    assert isinstance(await plain(port).send("ops@example.com", "s", "t"), Retry)


async def test_send__waits_for_a_place_no_longer_than_for_the_server() -> None:
    async with scripted_smtp({b"EHLO": None}) as port, asyncio.timeout(30):
        mail = plain(port, timeout=0.5)
        said = await asyncio.gather(*(mail.send("ops@example.com", "s", "t") for _ in range(2 * AT_ONCE)))
    assert {type(one) for one in said} == {Retry}


@pytest.mark.parametrize(
    ("text", "plain", "expected"),
    [
        ("smtp://mail.example.com", False, SmtpServer("mail.example.com", 587, "starttls")),
        ("smtps://mail.example.com/", False, SmtpServer("mail.example.com", 465, "at once")),
        ("smtp://127.0.0.1:25", True, SmtpServer("127.0.0.1", 25, "off")),
        ("smtp://u:p%40@h:1", False, SmtpServer("h", 1, "starttls", "u", "p@")),
    ],
)
def test_parse_smtp_url__what_is_one(text: str, plain: bool, expected: SmtpServer) -> None:
    assert parse_smtp_url(text, plain=plain) == expected


@pytest.mark.parametrize(
    "text",
    [
        "mail.example.com",
        "http://mail.example.com",
        "smtp://",
        "smtp://u@h",
        "smtp://h/path",
        "smtp://h?x=1",
        "smtp://h:99999",
        "smtp://u:se cret@h",
        "smtp://u:se\ncret@h",
    ],
)
def test_parse_smtp_url__what_is_none_is_refused_without_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="smtp://host:port") as caught:
        parse_smtp_url(text)
    assert "cret" not in str(caught.value)


def test_parse_smtp_url__tls_from_the_first_byte_is_not_switched_off() -> None:
    with pytest.raises(ValueError, match="smtp://"):
        parse_smtp_url("smtps://h", plain=True)
