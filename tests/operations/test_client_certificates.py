"""Client certificates of connections: what is taken, what is shown, who is let in with them; on both databases."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from sqlalchemy import select

from cronally import errors
from cronally.contract.connection_requests import NewConnection
from cronally.contract.reading import Reading
from cronally.engine.dispatcher import Dispatcher
from cronally.instants import SECOND
from cronally.operations import Caller
from cronally.operations.connection_rules import NOTHING, check_contents
from cronally.store import Store, tables
from cronally.targets.build import build_targets
from cronally.targets.egress import Egress
from cronally.targets.target import Target
from tests.operations.tenant import Tenants
from tests.operations.test_connections import opened
from tests.support.certificates import AskingServer, Authority, Issued, new_key, rsa_key, server_context
from tests.support.factories import NOON, Clock, read, read_attempts, read_firings, vault, work_off

OURS, OTHERS, SITE = Authority("ours"), Authority("others"), Authority("site")
FIRST, SECOND_ONE, STRANGE = OURS.issue("first"), OURS.issue("second"), OTHERS.issue("strange")
SHOWN_NAMES = ("client_certificate_subject", "client_certificate_not_after", "client_certificate_fingerprint")
WEB = {"name": "hooks", "kind": "http", "base_url": "https://127.0.0.1:8443/in"}


def sent(issued: Issued) -> dict[str, str]:
    return {"client_certificate": issued.certificate, "client_key": issued.key}


@pytest.fixture
async def targets() -> AsyncIterator[dict[str, Target]]:
    made = build_targets(egress=Egress(["127.0.0.0/8"]), connect_timeout=30, total_timeout=30)
    yield made
    for target in made.values():
        await target.close()


@pytest.fixture
def server() -> Iterator[AskingServer]:
    with AskingServer(server_context(SITE.issue(), OURS.certificate)) as made:
        yield made


@pytest.fixture
def me(caller: Caller) -> str:
    return caller.account_id


async def refused(operations: Tenants, me: str, change: dict[str, Any]) -> dict[str, str]:
    """The complaints about a change."""
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.update_connection(me, "hooks", change)
    assert "PRIVATE KEY" not in json.dumps(caught.value.fields)
    return dict(caught.value.fields)


async def test_create__shows_what_the_certificate_says_and_never_the_key(
    operations: Tenants, me: str, store: Store
) -> None:
    made = await operations.create_connection(
        me, {**WEB, **sent(FIRST), "ca_certificates": SITE.certificate + OTHERS.certificate}
    )
    certificate = x509.load_pem_x509_certificate(FIRST.certificate.encode())
    assert [made[name] for name in SHOWN_NAMES] == [
        "CN=first",
        f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        certificate.fingerprint(hashes.SHA256()).hex(),
    ]
    assert made["ca_subjects"] == ("CN=site", "CN=others")
    assert "-----BEGIN" not in json.dumps(made)
    assert await opened(store, "hooks") == {
        **sent(FIRST),
        "ca_certificates": SITE.certificate + OTHERS.certificate,
    }
    assert await operations.get_connection(me, "hooks") == made
    bare = await operations.create_connection(me, {**WEB, "name": "bare"})
    assert not bare.keys() & {*SHOWN_NAMES, "ca_subjects"}
    assert (await operations.list_connections(me)).items == [bare, made]


ENDED = datetime.fromtimestamp(NOON / SECOND, UTC)
WRONG: list[tuple[dict[str, str], str, str]] = [
    ({"client_certificate": FIRST.certificate}, "client_key", "is needed with client_certificate"),
    ({"client_key": FIRST.key}, "client_certificate", "is needed with client_key"),
    ({**sent(FIRST), "client_key": SECOND_ONE.key}, "client_key", "does not belong"),
    ({**sent(FIRST), "client_key": "default"}, "client_certificate", "goes with"),
    ({**sent(FIRST), "client_key": "cert.pem"}, "client_key", "is no PEM"),
    ({**sent(FIRST), "client_certificate": "x"}, "client_certificate", "not the name of a file"),
    (
        {**sent(FIRST), "client_certificate": "-----BEGIN " + "x" * 16_384},
        "client_certificate",
        "16,384 at most",
    ),
    ({**sent(FIRST), "client_key": "-----BEGIN " + "x" * 8192}, "client_key", "8,192 at most"),
    (
        {**sent(FIRST), "client_certificate": FIRST.certificate + FIRST.key},
        "client_certificate",
        "a private key",
    ),
    (
        sent(OURS.issue(begins=ENDED - timedelta(days=9), ends=ENDED)),
        "client_certificate",
        "expired at 2026-11-24T12:00:00Z",
    ),
    ({**sent(FIRST), "base_url": "http://127.0.0.1:8443/in"}, "client_certificate", "begins with https://"),
    (
        {"ca_certificates": SITE.certificate, "base_url": "http://127.0.0.1:8443"},
        "ca_certificates",
        "https://",
    ),
    ({"ca_certificates": FIRST.key}, "ca_certificates", "owner's alone; give certificates"),
    ({"ca_certificates": "-----BEGIN CERTIFICATE-----"}, "ca_certificates", "no certificate"),
    ({"ca_certificates": SITE.certificate * 11}, "ca_certificates", "more than 10"),
]


@pytest.mark.parametrize(("wrong", "parameter", "complaint"), WRONG)
async def test_contents__complain_where_they_are_wrong(
    targets: dict[str, Target], wrong: dict[str, str], parameter: str, complaint: str
) -> None:
    reading = Reading(NewConnection, {**WEB, **wrong})
    check_contents(reading, "http", NOTHING, targets, NOON)
    assert reading.complaints.keys() == {parameter}
    assert complaint in reading.complaints[parameter]
    assert "PRIVATE KEY" not in reading.complaints[parameter]


async def test_kind__of_aws_has_none(targets: dict[str, Target]) -> None:
    keys = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "x" * 40}
    reading = Reading(NewConnection, {"name": "a", "kind": "aws", **keys, **sent(FIRST)})
    check_contents(reading, "aws", NOTHING, targets, NOON)
    assert reading.complaints.keys() == {"client_certificate", "client_key"}


async def test_change__renews_with_the_same_key_and_takes_both_away(
    operations: Tenants, me: str, store: Store
) -> None:
    key = new_key()
    await operations.create_connection(me, {**WEB, **sent(OURS.issue("old", key=key))})
    renewed = OURS.issue("renewed", key=key)
    changed = await operations.update_connection(me, "hooks", {"client_certificate": renewed.certificate})
    assert changed["client_certificate_subject"] == "CN=renewed"
    assert await opened(store, "hooks") == sent(renewed)
    # A certificate of another key is the one that is wrong, where no key is sent.
    other = {"client_certificate": SECOND_ONE.certificate}
    assert await refused(operations, me, other) == {
        "client_certificate": "goes with the client_key that is kept, which does not belong to the "
        "client_certificate; give the key that the certificate was made for"
    }
    assert (await refused(operations, me, {"client_key": SECOND_ONE.key})).keys() == {"client_key"}
    named = await operations.update_connection(me, "hooks", {"name": "new"})
    assert {name: named[name] for name in SHOWN_NAMES} == {name: changed[name] for name in SHOWN_NAMES}
    bare = await operations.update_connection(me, "new", {"client_certificate": "default"})
    assert not bare.keys() & set(SHOWN_NAMES)
    assert await opened(store, "new") == {}


async def test_change__of_where_it_goes_needs_it_anew(operations: Tenants, me: str, store: Store) -> None:
    web = {**WEB, **sent(FIRST), "token": "t0ken", "headers": {"X": "a"}}
    await operations.create_connection(me, web)
    elsewhere = {"base_url": "https://127.0.0.2/"}
    fields = await refused(operations, me, elsewhere)
    assert fields.keys() == {"client_certificate", "client_key", "token", "headers"}
    # Whoever may say who the server is gets what is sent to it; the key goes nowhere.
    trusting = {"ca_certificates": SITE.certificate}
    fields = await refused(operations, me, trusting)
    assert fields.keys() == {"token", "headers"}
    assert all(
        "needed with a new base_url, or other ca_certificates; give" in each for each in fields.values()
    )
    again = {"token": "t0ken", "headers": {"X": "a"}}
    await operations.update_connection(me, "hooks", {**trusting, **again})
    # The same authorities, however they are written.
    await operations.update_connection(me, "hooks", {"ca_certificates": f"\n# site\n{SITE.certificate}"})
    assert (await refused(operations, me, {"ca_certificates": "default"})).keys() == {"token", "headers"}
    plain = {"base_url": "http://127.0.0.2/", **again, "client_certificate": "default"}
    assert await refused(operations, me, plain) == {
        "base_url": "has to begin with https://, for the sake of ca_certificates; "
        "give such a one, or ca_certificates=default"
    }
    await operations.update_connection(me, "hooks", {**plain, "ca_certificates": "default"})
    assert "ca_certificates" not in await opened(store, "hooks")


@pytest.mark.parametrize(
    ("holds", "needed"),
    [
        ({"token": "t0ken"}, "token"),
        ({"username": "me", "password": "w0rd"}, "password"),
        ({"token_url": "https://127.0.0.1/t", "client_id": "me", "client_secret": "s3cret"}, "client_secret"),
        ({"headers": {"X": "a"}}, "headers"),
    ],
)
async def test_change__of_whom_it_trusts_says_so_where_it_needs_a_secret_anew(
    operations: Tenants, me: str, holds: dict[str, Any], needed: str
) -> None:
    await operations.create_connection(me, {**WEB, **holds})
    fields = await refused(operations, me, {"ca_certificates": SITE.certificate})
    assert fields.keys() == {needed}
    assert "needed with a new base_url, or other ca_certificates; give" in fields[needed]


@pytest.mark.parametrize(
    ("change", "accepted", "outcome", "detail"),
    [
        ({}, True, "delivered", None),
        (
            sent(STRANGE),
            False,
            "unauthorized",
            "the host refuses the client certificate (TLS alert: unknown CA)",
        ),
        (
            {"client_certificate": "default"},
            False,
            "unauthorized",
            "the host asks for a client certificate (TLS alert: certificate required)",
        ),
        (
            {"ca_certificates": OTHERS.certificate},
            False,
            "retry",
            "not sent: the host's TLS certificate is not valid (unable to get local issuer certificate)",
        ),
    ],
    ids=["accepted", "wrong authority", "missing", "not trusted"],
)
@pytest.mark.sample
async def test_verify__says_what_failed(
    operations: Tenants,
    me: str,
    server: AskingServer,
    change: dict[str, str],
    accepted: bool,
    outcome: str,
    detail: str | None,
) -> None:
    web = {**WEB, "base_url": server.url, "ca_certificates": SITE.certificate}
    await operations.create_connection(me, {**web, **sent(FIRST)})
    if change:
        await operations.update_connection(me, "hooks", change)
    found = await operations.verify_connection(me, "hooks")
    assert (found["accepted"], found["outcome"], found["detail"]) == (accepted, outcome, detail)
    assert server.names == (["first"] if accepted else [])


async def run_one(
    operations: Tenants, store: Store, targets: dict[str, Target], me: str, clock: Clock, job: str
) -> None:
    await operations.run_cronjob(me, job)
    clock.forward(SECOND)
    await work_off(Dispatcher(store, vault(), targets, chance=lambda: 0.5))


async def test_firings__are_held_while_it_is_refused_and_go_out_with_another(
    operations: Tenants,
    me: str,
    store: Store,
    targets: dict[str, Target],
    server: AskingServer,
    clock: Clock,
) -> None:
    web = {**WEB, "base_url": server.url, "ca_certificates": SITE.certificate}
    await operations.create_connection(me, {**web, **sent(STRANGE)})
    job = await make_job(operations, me)
    await run_one(operations, store, targets, me, clock, job)
    shown = await operations.get_connection(me, "hooks")
    assert (shown["health"], shown["unhealthy_detail"]) == (
        "unhealthy",
        "the host refuses the client certificate (TLS alert: unknown CA)",
    )
    assert [one["state"] for one in (await operations.list_firings(me, {})).items] == ["held"]
    await operations.update_connection(me, "hooks", sent(FIRST))
    clock.forward(SECOND)
    await work_off(Dispatcher(store, vault(), targets, chance=lambda: 0.5))
    assert (await operations.get_connection(me, "hooks"))["health"] == "ok"
    assert [row.state for row in await read_firings(store)] == ["delivered"]
    assert server.names == ["first"]


async def test_overlap__the_former_certificate_has_its_turn(
    operations: Tenants,
    me: str,
    store: Store,
    targets: dict[str, Target],
    server: AskingServer,
    clock: Clock,
) -> None:
    web = {**WEB, "base_url": server.url, "ca_certificates": SITE.certificate}
    await operations.create_connection(me, {**web, **sent(FIRST)})
    job = await make_job(operations, me)
    changed = await operations.update_connection(me, "hooks", {**sent(STRANGE), "overlap": "24h"})
    assert (changed["client_certificate_subject"], "previous_until" in changed) == ("CN=strange", True)
    assert await opened(store, "hooks", previous=True) == {**sent(FIRST), "ca_certificates": SITE.certificate}
    await run_one(operations, store, targets, me, clock, job)
    (row,) = await read_firings(store)
    assert row.state == "pending"
    clock.now = max(clock.now, row.due_at)
    await work_off(Dispatcher(store, vault(), targets, chance=lambda: 0.5))
    assert [attempt.outcome for attempt in await read_attempts(store, job)] == ["unauthorized"]
    assert [row.state for row in await read_firings(store)] == ["delivered"]
    assert server.names == ["first"]
    assert (await operations.get_connection(me, "hooks"))["health"] == "ok"


async def test_accounts__never_share_a_connection(
    operations: Tenants,
    me: str,
    store: Store,
    targets: dict[str, Target],
    server: AskingServer,
    clock: Clock,
) -> None:
    other = (await operations.create_account({"email": "other@example.com"}))["account_id"]
    jobs = []
    for account, issued in ((me, FIRST), (other, SECOND_ONE)):
        web = {**WEB, "base_url": server.url, "ca_certificates": SITE.certificate}
        await operations.create_connection(account, {**web, **sent(issued)})
        jobs.append((account, await make_job(operations, account)))
    for _ in range(3):
        for account, job in jobs:
            await run_one(operations, store, targets, account, clock, job)
    assert server.names == ["first", "second"] * 3
    assert {(request.connection, request.common_name) for request in server.requests} == {
        (1, "first"),
        (2, "second"),
    }


async def make_job(operations: Tenants, me: str) -> str:
    job = await operations.create_cronjob(
        me,
        {
            "name": "sync",
            "cron": "0 8 * * *",
            "connection": "hooks",
            "delivery_type": "http",
            "delivery_http_url": "/run",
            "delivery_http_method": "post",
            "delivery_http_keep_answer": "always",
        },
    )
    return str(job["cronjob_id"])


@pytest.mark.sample(2)
async def test_key__is_in_no_row_no_file_no_log_and_no_answer(
    operations: Tenants,
    me: str,
    store: Store,
    targets: dict[str, Target],
    server: AskingServer,
    clock: Clock,
    migrated_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    key = rsa_key()
    issued = OURS.issue("us", key=key)
    web = {**WEB, "base_url": server.url, "ca_certificates": SITE.certificate}
    answers: list[Any] = [await operations.create_connection(me, {**web, **sent(issued)})]
    answers.append(await refused(operations, me, {**sent(issued), "overlap": "never"}))
    answers.append(await operations.update_connection(me, "hooks", {**sent(STRANGE), "overlap": "24h"}))
    answers.append(await operations.update_connection(me, "hooks", {**sent(issued), "overlap": "24h"}))
    answers.append(await operations.verify_connection(me, "hooks"))
    job = await make_job(operations, me)
    answers.append(await operations.verify_cronjob(me, job))
    await run_one(operations, store, targets, me, clock, job)
    page = await operations.list_firings_of_cronjob(me, job, {"attempts": "true"})
    answers += [page.items, await operations.get_cronjob(me, job)]
    assert page.items[0]["state"] == "delivered"
    written = [
        repr(row).encode()
        for table in tables.metadata.sorted_tables
        for row in await read(store, select(table))
    ]
    if migrated_url.startswith("sqlite"):
        database = Path(migrated_url.partition("///")[2])
        assert database in _files(tmp_path)
    written += [json.dumps(answers, default=str).encode(), caplog.text.encode()]
    written += [file.read_bytes() for file in _files(tmp_path)]
    needles = [needle for one in (issued, STRANGE) for needle in _needles(one)]
    assert not [needle for needle in needles if any(needle in text for text in written)]
    assert any(b"CN=us" in text for text in written), "the search finds what is there"


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def _needles(issued: Issued) -> list[bytes]:
    """Parts of a key, in the ways in which it may be written."""
    lines = issued.key.splitlines()[1:-1]
    raw = base64.b64decode("".join(lines))
    return [
        *(line.encode() for line in lines if len(line) == 64),
        raw[40:80],
        repr(raw[40:80])[2:-1].encode(),
    ]
