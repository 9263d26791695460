"""Client certificates over real TLS: who is let in, what is said where nobody is, and that none gets to another's."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

from cronally.targets import contexts, dialer
from cronally.targets.answer import Answer
from cronally.targets.connected import Held, connect
from cronally.targets.connection import Connection
from cronally.targets.contexts import Contexts, make_context
from cronally.targets.egress import Egress
from cronally.targets.http.target import HttpTarget
from cronally.targets.own_tls import OwnTls, own_tls
from cronally.targets.pool import Pool
from cronally.targets.target import Delivered, Destination, Retry, Unauthorized
from cronally.targets.url import parse_url
from tests.support.certificates import (
    AskingServer,
    Authority,
    Issued,
    Key,
    new_key,
    pem_of,
    rsa_key,
    self_signed,
    server_context,
)
from tests.targets.conftest import make_message
from tests.targets.test_proxy import ProxyServer

OURS, OTHERS = Authority("ours"), Authority("others")
SITE = Authority("site")
SHOWN = SITE.issue("server")
"""What servers show."""
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BOTH = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
Outcome = Answer | Retry | Unauthorized | Any


def tls_of(issued: Issued | None, account_id: str = "me", *, trusted: str = SITE.certificate) -> OwnTls:
    """What TLS of an account's connection has of its own."""
    held = {"ca_certificates": trusted} if trusted else {}
    if issued is not None:
        held |= {"client_certificate": issued.certificate, "client_key": issued.key}
    made = own_tls(account_id, "c", held)
    assert made is not None
    return made


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    made = Pool(connections=8, connect_timeout=30, total_timeout=30)
    yield made
    await made.close()


async def ask(pool: Pool, server: AskingServer, tls: OwnTls | None) -> Outcome:
    account = "me" if tls is None else tls.account_id
    return await pool.request("GET", parse_url(server.url), {}, whole=True, account_id=account, own_tls=tls)


@BOTH
@pytest.mark.parametrize("kind", ["ec", "rsa", "intermediate"])
async def test_certificate__lets_in(pool: Pool, version: ssl.TLSVersion, kind: str) -> None:
    key: Key = rsa_key() if kind == "rsa" else new_key()
    issuer = Authority("between", OURS) if kind == "intermediate" else OURS
    with AskingServer(server_context(SHOWN, OURS.certificate, version)) as server:
        for _ in range(2):
            assert isinstance(await ask(pool, server, tls_of(issuer.issue("us", key=key))), Answer)
        assert server.names == ["us", "us"]


@BOTH
async def test_certificate__of_wrong_authority_is_refused(pool: Pool, version: ssl.TLSVersion) -> None:
    with AskingServer(server_context(SHOWN, OURS.certificate, version)) as server:
        came = await ask(pool, server, tls_of(OTHERS.issue()))
        assert came == Unauthorized("the host refuses the client certificate (TLS alert: unknown CA)")
        assert not came.known
        assert server.requests == []


@BOTH
async def test_certificate__that_is_expired_is_refused(pool: Pool, version: ssl.TLSVersion) -> None:
    ended = datetime.now(UTC) - timedelta(days=1)
    expired = OURS.issue(begins=ended - timedelta(days=1), ends=ended)
    with AskingServer(server_context(SHOWN, OURS.certificate, version)) as server:
        assert await ask(pool, server, tls_of(expired)) == Unauthorized(
            "the host refuses the client certificate (TLS alert: certificate expired)"
        )
        assert server.requests == []


@BOTH
@pytest.mark.parametrize("how", ["trust alone", "nothing"])
async def test_certificate__that_is_missing_is_asked_for(
    pool: Pool, version: ssl.TLSVersion, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = tls_of(None)
    context = make_context(tls)
    monkeypatch.setattr(dialer, "client_context", lambda: context)
    with AskingServer(server_context(SHOWN, OURS.certificate, version)) as server:
        came = await ask(pool, server, tls if how == "trust alone" else None)
        assert server.requests == []
    if version is V13:
        assert came == Unauthorized(
            "the host asks for a client certificate (TLS alert: certificate required)"
        )
    else:  # which says as well that no cipher is agreed on
        assert came == Retry(
            "not sent: TLS failed: the host ended it (TLS alert: handshake failure); it may ask for a client"
            " certificate"
        )


async def test_certificate__that_is_refused_before_the_request_is_written(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In TLS 1.3 the alert may come at any time after the client's handshake is over."""
    lost = asyncio.Event()
    connect, connection_lost = dialer.Dialer.connect, Connection.connection_lost

    def losing(self: Connection, error: Exception | None) -> None:
        connection_lost(self, error)
        lost.set()

    async def late(*arguments: Any) -> Connection:
        made = await connect(*arguments)
        await lost.wait()
        return made

    monkeypatch.setattr(Connection, "connection_lost", losing)
    monkeypatch.setattr(dialer.Dialer, "connect", late)
    with AskingServer(server_context(SHOWN, OURS.certificate, V13)) as server:
        assert await ask(pool, server, tls_of(OTHERS.issue())) == Unauthorized(
            "the host refuses the client certificate (TLS alert: unknown CA)"
        )
        assert server.requests == []


async def test_certificate__is_shown_to_who_asks_alone(pool: Pool) -> None:
    with AskingServer(server_context(SHOWN)) as server:
        assert isinstance(await ask(pool, server, tls_of(OURS.issue())), Answer)
        assert server.names == [None]


@pytest.mark.parametrize(
    "case", ["trusted", "another authority", "the machine's", "expired", "another host", "self-signed"]
)
async def test_authorities__are_the_only_ones_that_are_trusted(pool: Pool, case: str) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    shown = SHOWN
    if case == "expired":
        shown = SITE.issue(begins=yesterday - timedelta(days=1), ends=yesterday)
    elif case == "another host":
        shown = SITE.issue(host="server.example")
    elif case == "self-signed":
        shown = self_signed()
    said = {
        "another authority": "issuer",
        "the machine's": "issuer",
        "expired": "has expired",
        "another host": "mismatch, certificate is not valid for '127.0.0.1'",
        "self-signed": "self.signed",
    }
    trusted = {"another authority": OTHERS.certificate, "the machine's": ""}.get(case, SITE.certificate)
    with AskingServer(server_context(shown, OURS.certificate)) as server:
        came = await ask(pool, server, tls_of(OURS.issue(), trusted=trusted))
        if case == "trusted":
            assert isinstance(came, Answer)
        else:
            assert isinstance(came, Retry)
            assert came.detail.startswith("not sent: the host's TLS certificate is not valid (")
            assert re.search(said[case], came.detail)
            assert server.requests == [], "whoever it is learns nothing"


async def test_authorities__may_stand_between_a_root_and_the_host(pool: Pool) -> None:
    between = Authority("between", SITE)
    with AskingServer(server_context(between.issue())) as server:
        assert isinstance(await ask(pool, server, tls_of(None, trusted=between.certificate)), Answer)


@BOTH
async def test_pool__no_connection_and_no_session_is_shared(pool: Pool, version: ssl.TLSVersion) -> None:
    """Two accounts with a certificate each, one with two, one with none, and two accounts with the same one."""
    mine, theirs, second = OURS.issue("mine"), OURS.issue("theirs"), OURS.issue("second")
    askers = {
        "mine": tls_of(mine),
        "theirs": tls_of(theirs, "they"),
        "second": tls_of(second),
        "nobody": tls_of(None),
        "same": tls_of(mine, "they"),
    }
    assert len({tls.digest for tls in askers.values()}) == len(askers)
    context = server_context(SHOWN, OURS.certificate, version, requires=False)
    with AskingServer(context) as server:
        for _ in range(3):
            for tls in askers.values():
                assert isinstance(await ask(pool, server, tls), Answer)
        # At once: each asks with its own, whichever is answered first.
        await asyncio.gather(*(ask(pool, server, tls) for tls in askers.values()))
        expected = ["mine", "theirs", "second", None, "mine"]
        assert server.names[:15] == expected * 3
        assert sorted(map(str, server.names[15:])) == sorted(map(str, expected))
        assert server.connections == len(askers), "each has its own, and keeps it"
        by_connection: dict[int, set[str | None]] = {}
        for request in server.requests:
            by_connection.setdefault(request.connection, set()).add(request.common_name)
            assert not request.resumed
        assert all(len(names) == 1 for names in by_connection.values())
    await pool.close()


async def test_pool__a_session_is_not_resumed_after_a_connection_has_ended(pool: Pool) -> None:
    with AskingServer(server_context(SHOWN, OURS.certificate, V13)) as server:
        tls = tls_of(OURS.issue())
        for _ in range(3):
            assert isinstance(await ask(pool, server, tls), Answer)
            pool._drop_of(tls.digest)
            assert not pool._idle
            assert not pool._idle_since
        assert server.connections == 3
        assert not any(request.resumed for request in server.requests)


async def test_former__has_its_turn_where_the_new_one_is_refused() -> None:
    new, former = OTHERS.issue("new"), OURS.issue("former")
    with AskingServer(server_context(SHOWN, OURS.certificate, V13)) as server:
        held = Held(
            "http",
            {"base_url": server.url, "connection_id": "c"},
            {**secret_of(new), "signing_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
            secret_of(former),
        )
        job = Destination("http", {"delivery_http_url": server.url, "delivery_http_method": "post"}, {}, "me")
        target = HttpTarget(egress=Egress(["127.0.0.0/8"]), connect_timeout=30, total_timeout=30)
        outcomes = [
            await target.send(connect(job, held, refusals), make_message(attempt=refusals + 1))
            for refusals in range(3)
        ]
        await target.close()
        assert [type(outcome) for outcome in outcomes] == [Unauthorized, Delivered, Unauthorized]
        assert server.names == ["former"]
    sent = connect(job, held)
    assert sent.secret.keys() == {"signing_secret"}
    assert "PRIVATE" not in repr(sent)
    assert connect(job, Held("http", {"base_url": server.url}, {"authorization": "x"})).own_tls is None


def secret_of(issued: Issued) -> dict[str, str]:
    return {
        "client_certificate": issued.certificate,
        "client_key": issued.key,
        "ca_certificates": SITE.certificate,
    }


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_proxy__a_certificate_goes_through_it(kind: str) -> None:
    with AskingServer(server_context(SHOWN, OURS.certificate)) as server:
        async with ProxyServer(kind) as proxy:
            pool = Pool(connections=2, connect_timeout=30, total_timeout=30, proxy=proxy.proxy())
            assert isinstance(await ask(pool, server, tls_of(OURS.issue("us"))), Answer)
            assert isinstance(await ask(pool, server, tls_of(OTHERS.issue())), Unauthorized)
            assert proxy.asked == [("127.0.0.1", server.port)] * 2
            await pool.close()
        assert server.names == ["us"]


@pytest.mark.parametrize("how", ["in memory", "through a pipe", "not allowed"])
def test_key__is_never_in_a_file_system(how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    paths: list[str] = []
    load = ssl.SSLContext.load_cert_chain

    def refusing(name: str) -> int:
        raise PermissionError(1, "Operation not permitted")

    def loading(self: ssl.SSLContext, *named: Any, **more: Any) -> None:
        paths.extend(os.path.realpath(path) for path in named)
        load(self, *named, **more)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", loading)
    if how == "through a pipe":
        monkeypatch.delattr(os, "memfd_create")
    elif how == "not allowed":
        monkeypatch.setattr(os, "memfd_create", refusing)
    before = set(os.listdir("/proc/self/fd"))
    make_context(tls_of(OURS.issue(key=rsa_key(4096))))
    assert set(os.listdir("/proc/self/fd")) == before, "nothing is left open"
    assert len(paths) == 2
    assert not any(os.path.exists(path) for path in paths)
    assert not list(tmp_path.iterdir())


def test_key__that_is_encrypted_asks_nobody_for_its_password() -> None:
    issued = OURS.issue()
    encrypted = pem_of(new_key(), encryption=BestAvailableEncryption(b"secret"))
    with pytest.raises(ssl.SSLError, match=r"(?i)bad.password|bad.decrypt|pem"):
        make_context(tls_of(replace(issued, key=encrypted)))


def test_repr__holds_no_key() -> None:
    issued = OURS.issue()
    assert issued.key[30:60] not in repr(tls_of(issued))


class Building:
    """Counts the contexts that are built."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.built: list[bytes] = []
        self.rests: list[float] = []
        self.dropped: list[bytes] = []
        self.free = threading.Event()
        self.free.set()
        """While it is not set, building stands still."""
        make = contexts.make_context

        def making(own: OwnTls) -> ssl.SSLContext:
            self.free.wait(30)
            self.built.append(own.digest)
            self.now += 2.0
            return make(own)

        monkeypatch.setattr(contexts, "make_context", making)
        self.now = 0.0
        self.kept = Contexts(self.dropped.append, self.rest, lambda: self.now)

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now += seconds


@pytest.fixture
async def building(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Building]:
    made = Building(monkeypatch)
    yield made
    made.kept.close()


async def test_contexts__one_is_built_once_for_all_who_wait(building: Building) -> None:
    tls = tls_of(OURS.issue())
    given_up = asyncio.ensure_future(building.kept.get(tls))
    await asyncio.sleep(0)
    given_up.cancel()
    found = await asyncio.gather(*(building.kept.get(tls) for _ in range(50)))
    assert len({id(one) for one in found}) == 1
    assert await building.kept.get(tls) is found[0]
    assert building.built == [tls.digest]
    assert given_up.cancelled()


async def test_contexts__what_nobody_waits_for_any_more_is_not_built(building: Building) -> None:
    """Else the line grows for as long as more is asked for than is built, and what is built comes too late."""
    first, last = tls_of(None, "first"), tls_of(None, "last")
    building.free.clear()
    slow = asyncio.ensure_future(building.kept.get(first))
    given_up = [asyncio.ensure_future(building.kept.get(tls_of(None, f"{number}"))) for number in range(9)]
    await asyncio.sleep(0)
    for one in given_up:
        one.cancel()
    waits = asyncio.ensure_future(building.kept.get(last))
    await asyncio.sleep(0)
    building.free.set()
    await asyncio.gather(slow, waits)
    assert building.built == [first.digest, last.digest]
    assert len(building.kept._kept) == 2


async def test_contexts__whoever_has_many_built_takes_half_a_core(building: Building) -> None:
    for number in range(3):
        await building.kept.get(tls_of(None, f"account {number}"))
    assert building.rests == [2.0, 2.0], "as long as one took; and none after the last, who waits for nobody"
    building.now += 1.5
    await building.kept.get(tls_of(None, "another"))
    assert building.rests == [2.0, 2.0, 0.5]


async def test_contexts__the_account_with_most_makes_room(
    building: Building, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contexts, "MOST", 4)
    trusted = SITE.certificate
    many = [own_tls("many", str(number), {"ca_certificates": trusted}) for number in range(6)]
    few = own_tls("few", "0", {"ca_certificates": trusted})
    assert few is not None
    await building.kept.get(few)
    for tls in many:
        assert tls is not None
        await building.kept.get(tls)
    assert building.dropped == [tls.digest for tls in many[:3] if tls]
    before = len(building.built)
    await building.kept.get(few)
    assert len(building.built) == before, "it is there still"


async def test_contexts__what_cannot_be_built_is_tried_anew(building: Building) -> None:
    wrong = tls_of(Issued("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ""))
    for _ in range(2):
        with pytest.raises(ssl.SSLError):
            await building.kept.get(wrong)
    assert len(building.built) == 2
    pool = Pool(connections=2, connect_timeout=30, total_timeout=30)
    came = await pool.request("GET", parse_url("https://127.0.0.1:1/"), {}, whole=True, own_tls=wrong)
    assert came == Retry("not sent: TLS failed")
    await pool.close()


async def test_pool__what_drops_out_of_the_contexts_keeps_no_connection(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A context holds up to 800 KiB: idle connections of hundreds would hold as many."""
    monkeypatch.setattr(contexts, "MOST", 1)
    with AskingServer(server_context(SHOWN, OURS.certificate)) as server:
        for name in ("one", "two", "three"):
            assert isinstance(await ask(pool, server, tls_of(OURS.issue(name))), Answer)
        assert len(pool._idle_since) == 1
        assert server.names == ["one", "two", "three"]


async def test_pool__what_drops_out_while_it_is_busy_is_not_kept_either(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = pool._dialer._contexts

    def drop(_ip: str, _status: int) -> int:
        monkeypatch.setattr(contexts, "MOST", 0)
        kept._make_room()
        return 0

    tls = tls_of(OURS.issue())
    with AskingServer(server_context(SHOWN, OURS.certificate)) as server:
        assert isinstance(await ask(pool, server, tls), Answer)
        assert len(pool._idle_since) == 1
        url = parse_url(server.url)
        found = await pool.request("GET", url, {}, whole=False, wanted=drop, account_id="me", own_tls=tls)
        assert isinstance(found, Answer)
        assert tls.digest not in kept
        assert not pool._idle_since
