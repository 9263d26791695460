"""Connections that ask for access tokens: what they need, how they change, and what becomes of their firings, from the
token endpoint's socket to the ledger, on both databases."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

from cronally import errors
from cronally.contract.connection_requests import NewConnection
from cronally.contract.reading import Reading
from cronally.instants import HOUR, MINUTE, SECOND
from cronally.operations import Caller
from cronally.operations.connection_rules import NOTHING, check_contents
from cronally.store import Store, tables
from cronally.targets import connection
from cronally.targets.build import build_targets
from cronally.targets.egress import Egress
from cronally.targets.http.grants import Grant
from cronally.targets.target import Target
from tests.operations.parameters import HTTP, WEB
from tests.operations.runs import check_ended, deliver, deliver_all
from tests.operations.tenant import Json, Tenants
from tests.operations.test_connections import opened
from tests.support import scripted
from tests.support.factories import CANARY, NOON, Clock, read, read_firings
from tests.support.scripted import ScriptedServer, Step, answer, json_answer, raw, then_cut

BARE = {name: value for name, value in WEB.items() if name != "token"}
OAUTH2 = {
    **BARE,
    "token_url": "https://1.1.1.1/oauth2/token",
    "client_id": "cronally",
    "client_secret": f"{CANARY}-client",
}
TOKEN = f"{CANARY}-token"


def given(number: int = 0) -> Step:
    return json_answer(200, {"access_token": f"{TOKEN}{number}", "token_type": "Bearer", "expires_in": 3600})


@pytest.fixture
async def receiver() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(answer(200)) as scripted:
        yield scripted


@pytest.fixture
async def endpoint() -> AsyncIterator[ScriptedServer]:
    """Of tokens."""
    async with ScriptedServer(given()) as scripted:
        yield scripted


@pytest.fixture
async def targets(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, Target]]:
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.1)
    targets = build_targets(egress=Egress(["127.0.0.0/8"]), keep_internal=True, total_timeout=1.0)
    yield targets
    for target in targets.values():
        await target.close()


@pytest.fixture
def me(caller: Caller) -> str:
    return caller.account_id


@pytest.fixture
def sent(receiver: ScriptedServer, endpoint: ScriptedServer) -> Json:
    """A connection of the two."""
    return {**OAUTH2, "base_url": f"{receiver.url}/v1", "token_url": f"{endpoint.url}/token"}


async def make_job(operations: Tenants, me: str, sent: Json, **more: Any) -> Json:
    await operations.create_connection(me, sent)
    job = {**HTTP, "delivery_http_url": "/run", "connection": "hooks", **more}
    return await operations.create_cronjob(me, job)


async def grant_of(store: Store, *, previous: bool = False) -> Grant:
    return Grant.of((await opened(store, "hooks", previous))["grant"])


async def test_create__shows_all_but_the_secret(operations: Tenants, me: str, store: Store) -> None:
    more = {"scope": "a b", "audience": "https://api.example.com/", "client_authentication": "body"}
    made = await operations.create_connection(me, {**OAUTH2, **more})
    assert CANARY not in json.dumps(made)
    shown = {"authentication": "oauth2", "token_url": OAUTH2["token_url"], "client_id": "cronally", **more}
    assert {name: made[name] for name in shown} == shown
    url = OAUTH2["token_url"]
    assert await grant_of(store) == Grant(
        url, "cronally", OAUTH2["client_secret"], "a b", *[*more.values()][1:]
    )
    assert await operations.get_connection(me, "hooks") == made
    # Each goes back to what it is by itself.
    back = {"scope": "default", "audience": "default", "client_authentication": "basic"}
    changed = await operations.update_connection(me, "hooks", back)
    assert not changed.keys() & {"scope", "audience"}
    assert await grant_of(store) == Grant(url, "cronally", OAUTH2["client_secret"])
    # What another way to say who calls replaces is gone.
    bare = await operations.update_connection(me, "hooks", {"token": "t0ken"})
    assert bare["authentication"] == "bearer"
    assert not bare.keys() & {"token_url", "client_id", "client_authentication"}
    assert await opened(store, "hooks") == {"authorization": "Bearer t0ken"}


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"client_secret": None}, "client_secret", "is needed with authentication=oauth2"),
    ({"client_id": None}, "client_id", "is needed with authentication=oauth2"),
    ({"token_url": None}, "token_url", "is needed with authentication=oauth2"),
    ({"token": "x"}, "token_url", "goes with authentication=oauth2, and this is bearer; leave it out"),
    ({"authentication": "none"}, "client_id", "goes with authentication=oauth2, and this is none"),
    ({"authentication": "oauth2", "password": "x"}, "password", "goes with authentication=basic"),
    ({"authentication": "oauth"}, "authentication", "is none of none, basic, bearer, oauth2"),
    ({"token_url": "ftp://1.1.1.1/"}, "token_url", "is no URL"),
    ({"token_url": "http://169.254.169.254/token"}, "token_url", "not public"),
    ({"token_url": "http://localhost/token"}, "token_url", "not public"),
    ({"token_url": "https://1.1.1.1:22/token"}, "token_url", "port of another protocol"),
    ({"token_url": f"https://me:{CANARY}@1.1.1.1/token"}, "token_url", "has a user"),
    ({"token_url": f"https://1.1.1.1/token?key={CANARY}"}, "token_url", "looks like a secret"),
    ({"token_url": "https://1.1.1.1/token#x"}, "token_url", "fragment"),
    ({"token_url": "https://1.1.1.1/" + "a" * 1024}, "token_url", "1,024 at most"),
    ({"client_id": "a\nb"}, "client_id", "is no id of a client"),
    ({"client_id": "a" * 257}, "client_id", "1 to 256"),
    ({"client_secret": "é"}, "client_secret", "is no secret of a client"),
    ({"client_secret": "a" * 1025}, "client_secret", "1 to 1,024"),
    ({"scope": "a  b"}, "scope", "one space"),
    ({"scope": 'a"b'}, "scope", "no quotes"),
    ({"scope": "a" * 1025}, "scope", "1,024 characters"),
    ({"audience": "a\r\nb"}, "audience", "is no audience"),
    ({"client_authentication": "none"}, "client_authentication", "is none of basic, body"),
    ({"headers": {"Authorization": "x"}}, "headers", "twice"),
]


@pytest.mark.parametrize(("changes", "parameter", "complaint"), WRONG)
async def test_contents__complain_where_they_are_wrong_and_repeat_nothing(
    changes: dict[str, Any], parameter: str, complaint: str
) -> None:
    public = build_targets()
    sent = {name: value for name, value in {**OAUTH2, **changes}.items() if value is not None}
    reading = Reading(NewConnection, sent)
    check_contents(reading, "http", NOTHING, public, NOON)
    assert complaint in reading.complaints[parameter]
    with pytest.raises(errors.InvalidRequest) as caught:
        reading.raise_complaints()
    assert CANARY not in str(caught.value)
    for target in public.values():
        await target.close()


@pytest.mark.parametrize(
    "url",
    [
        "https://1.1.1.1/oauth/token/issue",
        "https://1.1.1.1/oauth2/v2.0/token?p=b2c_1_policy",
        "http://1.1.1.1:8080/token",
    ],
)
async def test_token_url__as_endpoints_have_them(operations: Tenants, me: str, url: str) -> None:
    assert (await operations.create_connection(me, {**OAUTH2, "token_url": url}))["token_url"] == url


@pytest.mark.parametrize(
    ("before", "change", "needed"),
    [
        (OAUTH2, {"token_url": "https://1.0.0.1/token"}, {"client_secret"}),
        (OAUTH2, {"client_id": "other"}, {"client_secret"}),
        (OAUTH2, {"base_url": "https://1.0.0.1/"}, {"client_secret"}),
        (WEB, {"authentication": "oauth2"}, {"token_url", "client_id", "client_secret"}),
        (WEB, {"token_url": "https://1.0.0.1/token"}, {"client_id", "client_secret"}),
        (BARE, {"scope": "a"}, {"token_url", "client_id", "client_secret"}),
    ],
)
async def test_change__of_where_the_secret_goes_needs_the_secret(
    operations: Tenants, me: str, store: Store, before: Any, change: Any, needed: set[str]
) -> None:
    made = await operations.create_connection(me, before)
    sealed = await opened(store, "hooks")
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.update_connection(me, "hooks", change)
    assert set(caught.value.fields) == needed
    assert await opened(store, "hooks") == sealed
    assert await operations.get_connection(me, "hooks") == made


async def test_change__what_is_sent_as_it_is_needs_nothing(
    operations: Tenants, me: str, store: Store
) -> None:
    await operations.create_connection(me, OAUTH2)
    same = {name: OAUTH2[name] for name in ("token_url", "client_id", "base_url")}
    await operations.update_connection(me, "hooks", {**same, "authentication": "oauth2", "scope": "a"})
    assert await grant_of(store) == Grant(OAUTH2["token_url"], "cronally", OAUTH2["client_secret"], "a")


async def test_overlap__the_former_secret_goes_where_it_was_given_for(
    operations: Tenants, me: str, store: Store
) -> None:
    await operations.create_connection(me, OAUTH2)
    moved = {"token_url": "https://1.0.0.1/token", "client_secret": "other", "scope": "a"}
    changed = await operations.update_connection(me, "hooks", {**moved, "overlap": "24h"})
    assert "previous_until" in changed
    former = await grant_of(store, previous=True)
    assert former == Grant(OAUTH2["token_url"], "cronally", OAUTH2["client_secret"])
    # What replaces no secret leaves it alone, and is no reason for another one.
    renamed = await operations.update_connection(me, "hooks", {"scope": "b"})
    assert renamed["previous_until"] == changed["previous_until"]
    with pytest.raises(errors.InvalidRequest, match="none is sent"):
        await operations.update_connection(me, "hooks", {"scope": "c", "overlap": "1h"})
    assert await grant_of(store, previous=True) == former
    assert (await grant_of(store)).scope == "b"


async def test_firing__goes_out_with_a_token_that_is_nowhere_else(
    operations: Tenants,
    me: str,
    sent: Json,
    store: Store,
    targets: dict[str, Target],
    receiver: ScriptedServer,
    endpoint: ScriptedServer,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    job = await make_job(operations, me, {**sent, "scope": "a"})
    echo = f'{{"authorization": "Bearer {TOKEN}0"}}'
    for step in (answer(200, echo), answer(503, echo, X_Echo=f"{TOKEN}0"), answer(401, echo)):
        receiver.script.append(step)
        await operations.run_cronjob(me, job["cronjob_id"])
        await deliver(store, targets)
        clock.forward(SECOND)
    assert {one.headers["authorization"] for one in receiver.requests} == {f"Bearer {TOKEN}0"}
    (asked,) = endpoint.requests
    assert asked.form() == {"grant_type": "client_credentials", "scope": "a"}
    page = await operations.list_firings_of_cronjob(me, job["cronjob_id"], {"attempts": "true"})
    assert sorted(one["state"] for one in page.items) == ["delivered", "pending", "pending"]
    kept = [one["attempts"][-1].get("answer") for one in page.items]
    assert sum(one is not None and "***" in one["body"] for one in kept) == 2
    rows = [await read(store, select(table)) for table in tables.metadata.sorted_tables]
    assert CANARY not in json.dumps(page.items) + repr(rows) + caplog.text
    # The refused one is tried again, with another token, and its connection is as healthy as before.
    assert (await operations.get_connection(me, "hooks"))["health"] == "ok"
    endpoint.script.append(given(1))
    clock.forward(HOUR)
    await deliver(store, targets)
    assert {one.state for one in await read_firings(store)} == {"delivered"}
    assert receiver.requests[-1].headers["authorization"] == f"Bearer {TOKEN}1"
    shown = await operations.render_cronjob(me, job["cronjob_id"], {})
    assert shown["headers"]["Authorization"] == "***"


async def test_refused__credentials_hold_the_firings_until_others_are_there(
    operations: Tenants,
    me: str,
    sent: Json,
    store: Store,
    targets: dict[str, Target],
    receiver: ScriptedServer,
    endpoint: ScriptedServer,
    clock: Clock,
) -> None:
    endpoint.otherwise = json_answer(401, {"error": "invalid_client"})
    job = await make_job(operations, me, sent, retry_max_attempts="0")
    for _ in range(3):
        await operations.run_cronjob(me, job["cronjob_id"])
        clock.forward(SECOND)
    await deliver(store, targets)
    assert len(endpoint.requests) == 1
    shown = await operations.get_connection(me, "hooks")
    assert (shown["health"], shown["unhealthy_detail"]) == (
        "unhealthy",
        "no access token: the token endpoint answered HTTP 401: invalid_client",
    )
    assert len((await operations.list_firings(me, {"state": "held"})).items) == 3
    endpoint.otherwise = given()
    clock.forward(SECOND)
    await operations.update_connection(me, "hooks", {"client_secret": "other"})
    for _ in range(5):
        await deliver(store, targets)
        clock.forward(SECOND)
    print(
        [(r.state, r.reason, r.due_at - clock.now if r.due_at else None) for r in await read_firings(store)]
    )
    assert {one.state for one in await read_firings(store)} == {"delivered"}
    assert len(receiver.requests) == 3
    assert len(endpoint.requests) == 2


async def test_refused__for_what_is_asked_is_tried_again_once_that_is_changed(
    operations: Tenants,
    me: str,
    sent: Json,
    store: Store,
    targets: dict[str, Target],
    endpoint: ScriptedServer,
    clock: Clock,
) -> None:
    endpoint.script.append(json_answer(400, {"error": "invalid_scope"}))
    job = await make_job(operations, me, {**sent, "scope": "wrong"})
    await operations.run_cronjob(me, job["cronjob_id"])
    await deliver(store, targets)
    assert (await operations.get_connection(me, "hooks"))["health"] == "unhealthy"
    clock.forward(SECOND)
    await operations.update_connection(me, "hooks", {"scope": "right"})
    await deliver(store, targets)
    assert [one.state for one in await read_firings(store)] == ["delivered"]
    assert [one.form()["scope"] for one in endpoint.requests] == ["wrong", "right"]


async def test_overlap__former_credentials_are_tried_in_turn(
    operations: Tenants,
    me: str,
    sent: Json,
    store: Store,
    targets: dict[str, Target],
    receiver: ScriptedServer,
    endpoint: ScriptedServer,
    clock: Clock,
) -> None:
    job = await make_job(operations, me, sent)
    async with ScriptedServer(json_answer(401, {"error": "invalid_client"})) as other:
        changed = {"token_url": f"{other.url}/token", "client_secret": "new", "overlap": "24h"}
        await operations.update_connection(me, "hooks", changed)
        await operations.run_cronjob(me, job["cronjob_id"])
        await deliver(store, targets)
        clock.forward(MINUTE)
        await deliver(store, targets)
        assert len(other.requests) == 1
    assert [one.state for one in await read_firings(store)] == ["delivered"]
    assert len(endpoint.requests) == len(receiver.requests) == 1
    assert (await operations.get_connection(me, "hooks"))["health"] == "ok"


async def test_firings__fifty_at_once_ask_for_one_token(
    operations: Tenants,
    me: str,
    sent: Json,
    store: Store,
    targets: dict[str, Target],
    receiver: ScriptedServer,
    endpoint: ScriptedServer,
    clock: Clock,
) -> None:
    job = await make_job(operations, me, sent)
    for _ in range(50):
        await operations.run_cronjob(me, job["cronjob_id"])
        clock.forward(SECOND)
    await deliver(store, targets)
    assert len(endpoint.requests) == 1
    assert len(receiver.requests) == 50
    assert {one.state for one in await read_firings(store)} == {"delivered"}


FAULTS: list[Step] = [
    given(),
    given(1),
    json_answer(200, {"access_token": f"{TOKEN}2", "expires_in": 1}),
    json_answer(401, {"error": "invalid_client"}),
    json_answer(400, {"error": "invalid_scope"}),
    answer(302, Location="http://127.0.0.1:1/"),
    answer(429, "slowly", Retry_After="5"),
    answer(503, "x" * 100_000),
    answer(200, "<html>"),
    json_answer(200, {"access_token": "a\r\nb"}),
    scripted.cut,
    scripted.reset,
    scripted.hang,
    scripted.trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{"),
    raw(b"\x16\x03\x01" * 50),
    then_cut(answer(200, '{"access_token"')),
]


@pytest.mark.sample(2)
@pytest.mark.parametrize("seed", range(4))
async def test_endpoint__whatever_it_does_every_firing_ends_with_a_reason(
    operations: Tenants,
    me: str,
    sent: Json,
    store: Store,
    targets: dict[str, Target],
    receiver: ScriptedServer,
    endpoint: ScriptedServer,
    clock: Clock,
    seed: int,
) -> None:
    chance, asked = random.Random(seed), 6
    job = await make_job(operations, me, sent, retry_max_attempts="2", max_age="1d")
    endpoint.script.extend(chance.choices(FAULTS, k=10))
    receiver.script.extend(chance.choices([answer(200), answer(401), answer(503)], k=10))
    for _ in range(asked):
        await operations.run_cronjob(me, job["cronjob_id"])
        clock.forward(SECOND)
    await deliver_all(store, targets, clock, 12)
    await check_ended(store, asked)
    attempts = await read(store, select(tables.attempt))
    assert len(endpoint.requests) <= len(attempts) + asked
    assert CANARY not in repr(attempts)


@pytest.mark.sample
@pytest.mark.parametrize(
    ("of_endpoint", "of_receiver", "accepted", "outcome", "status", "detail"),
    [
        (given(), answer(204), True, "delivered", 204, None),
        (given(), answer(404), True, "refused", 404, "HTTP 404"),
        (
            given(),
            answer(401),
            False,
            "unauthorized",
            401,
            "HTTP 401: with an access token that was got just now",
        ),
        (
            json_answer(
                401, {"error": "invalid_client", "error_description": f"not {OAUTH2['client_secret']}"}
            ),
            answer(204),
            False,
            "unauthorized",
            401,
            "no access token: the token endpoint answered HTTP 401: invalid_client: not ***",
        ),
        (
            answer(200, "<html>"),
            answer(204),
            False,
            "retry",
            200,
            "no access token: the token endpoint answered HTTP 200, and no JSON object; is it a token endpoint?",
        ),
        (
            answer(302),
            answer(204),
            False,
            "unauthorized",
            302,
            "no access token: HTTP 302: redirects are not followed; give the token_url that it leads to",
        ),
        (
            scripted.cut,
            answer(204),
            False,
            "retry",
            None,
            "no access token: no answer: the connection was cut",
        ),
    ],
)
async def test_verify__gets_a_token_and_says_what_failed(
    operations: Tenants,
    me: str,
    sent: Json,
    receiver: ScriptedServer,
    endpoint: ScriptedServer,
    of_endpoint: Step,
    of_receiver: Step,
    accepted: bool,
    outcome: str,
    status: int | None,
    detail: str | None,
) -> None:
    await operations.create_connection(me, sent)
    endpoint.otherwise, receiver.otherwise = of_endpoint, of_receiver
    found = await operations.verify_connection(me, "hooks")
    expected = {"accepted": accepted, "outcome": outcome, "http_status": status, "detail": detail}
    assert {name: found[name] for name in expected} == expected
    assert CANARY not in json.dumps(found)


@pytest.mark.sample
async def test_verify__asks_anew_and_firings_use_what_it_got(
    operations: Tenants,
    me: str,
    sent: Json,
    store: Store,
    targets: dict[str, Target],
    receiver: ScriptedServer,
    endpoint: ScriptedServer,
) -> None:
    endpoint.script.extend([given(1), given(2)])
    job = await make_job(operations, me, sent)
    for _ in range(2):
        assert (await operations.verify_connection(me, "hooks"))["accepted"]
    await operations.run_cronjob(me, job["cronjob_id"])
    await deliver(store, targets)
    assert [one.headers["authorization"][-1] for one in receiver.requests] == ["1", "2", "2"]
    assert len(endpoint.requests) == 2


@pytest.mark.sample
async def test_verify__counts_for_the_host_of_the_token_endpoint_too(
    operations: Tenants, me: str, sent: Json, endpoint: ScriptedServer
) -> None:
    """So nobody is flooded with questions for tokens by many accounts."""
    verifier = operations.operations.trying._verifier
    sent["token_url"] = f"http://127.0.0.2:{endpoint.port}/token"
    job = await make_job(operations, me, sent)
    await operations.verify_connection(me, "hooks")
    assert {host: taken.by(me) for host, taken in verifier._to_host.items()} == {
        "127.0.0.1": 1,
        "127.0.0.2": 1,
    }
    await operations.verify_cronjob(me, job["cronjob_id"])
    assert verifier._to_host["127.0.0.2"].by(me) == 2
