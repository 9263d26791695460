"""A suspended account at the wire: every route that asks who signed refuses it with the reason, and goes on after."""

from __future__ import annotations

import re

import pytest

from cronally.api.requests import SIGNED
from cronally.instants import DAY
from cronally.operations.overseeing import Overseeing
from cronally.store import purging
from tests.api.serving import Api, Client, serving, sign_up
from tests.support.factories import vault

ID = "00000000-0000-4000-8000-000000000000"
NAMED = {"scheduled_at": "2026-11-24T08:00:00Z", "host": "hooks.example.com", "name": "jobs"}


@pytest.fixture(scope="module")
def suspended(api: Api) -> Client:
    client = sign_up(api, "suspended@example.com")
    overseeing = Overseeing(api.store, vault(), api.operations.limits)
    api.run(overseeing.suspend("suspended@example.com", "the invoice of May"))
    return client


def test_suspended__is_refused_by_every_signed_route(suspended: Client, stranger: Client) -> None:
    asked = 0
    for path, methods in stranger.ask("GET", "/openapi.json").json["paths"].items():
        for method, described in methods.items():
            if described.get("security") != SIGNED:
                continue
            assert "403" in described["responses"], (path, method)
            found = re.sub(r"\{(\w+)\}", lambda name: NAMED.get(name[1], ID), path)
            answer = suspended.ask(method.upper(), found)
            assert answer.status == 403, (method, path, answer.body)
            assert answer.error["code"] == "account_suspended"
            assert "the invoice of May" in answer.error["message"]
            asked += 1
    assert asked > 40


def test_suspended__a_wrong_signature_is_told_nothing(suspended: Client, stranger: Client) -> None:
    wrong = Client(suspended.api, suspended.api_key, "c2VjcmV0", suspended.account_id)
    answer, unknown = wrong.ask("GET", "/account/"), stranger.ask("GET", "/account/", signed=False)
    assert (answer.status, answer.error["message"]) == (401, unknown.error["message"])


def test_resumed__is_served_again(api: Api) -> None:
    client = sign_up(api, "resumed@example.com")
    overseeing = Overseeing(api.store, vault(), api.operations.limits)
    api.run(overseeing.suspend(client.account_id, "why"))
    assert client.ask("GET", "/account/").status == 403
    api.run(overseeing.resume(client.account_id))
    api.app.state.services.authenticate._known._found.clear()  # what is remembered for less than a second
    assert client.ask("GET", "/account/").status == 200


def test_limits__of_its_own_are_shown_and_count(api: Api) -> None:
    client = sign_up(api, "limited@example.com")
    servers = client.ask("GET", "/account/").response["limits"]
    overseeing = Overseeing(api.store, vault(), api.operations.limits)
    api.run(overseeing.limit(client.account_id, {"requests_per_minute": 2, "max_cronjobs": 0}))
    api.app.state.services.authenticate._known._found.clear()
    shown = client.ask("GET", "/account/")
    assert shown.response["limits"] == {**servers, "requests_per_minute": 2, "max_cronjobs": 0}
    refused = client.ask("GET", "/account/")
    assert (refused.status, refused.headers["RateLimit-Policy"]) == (429, '"requests";q=2;w=60')


def test_suspended__on_every_node(postgres_url: str) -> None:
    """Two nodes on one database: whoever is asked, within the second for which a key is remembered."""
    with serving(postgres_url) as one, serving(postgres_url) as other:
        client = sign_up(one, "nodes@example.com")
        there = Client(other, client.api_key, client.api_secret, client.account_id)
        overseeing = Overseeing(one.store, vault(), one.operations.limits)
        assert {each.ask("GET", "/account/").status for each in (client, there)} == {200}
        for wanted, change in (
            (403, overseeing.suspend(client.account_id, "why")),
            (200, overseeing.resume(client.account_id)),
        ):
            one.run(change)
            for each in (client, there):
                while each.ask("GET", "/account/").status != wanted:
                    pass


def test_deleted__its_key_is_as_unknown_at_every_route(api: Api, stranger: Client) -> None:
    client = sign_up(api, "deleted@example.com")
    for query in ("", "?email=", "?email=other@example.com", "?colour=red"):
        assert client.ask("DELETE", f"/account/{query}").status == 400
    deleted = client.ask("DELETE", "/account/?email=Deleted%40example.com").response
    assert deleted["account_id"] == client.account_id
    assert deleted.keys() == {"account_id", "email", "deleted_at", "purge_at"}
    api.app.state.services.authenticate._known._found.clear()
    unknown = Client(api, ID, client.api_secret)
    asked = 0
    for path, methods in stranger.ask("GET", "/openapi.json").json["paths"].items():
        for method, described in methods.items():
            if described.get("security") == SIGNED:
                found = re.sub(r"\{(\w+)\}", lambda name: NAMED.get(name[1], ID), path)
                answers = [each.ask(method.upper(), found) for each in (client, unknown)]
                assert {answer.status for answer in answers} == {401}
                assert len({answer.error["message"] for answer in answers}) == 1
                asked += 1
    assert asked > 40
    taken = stranger.ask("POST", "/account/", {"email": "deleted@example.com"}, signed=False)
    assert "has an account already" in taken.fields["email"]


def test_deleted__the_address_is_free_once_it_is_purged(api: Api) -> None:
    client = sign_up(api, "again@example.com")
    api.run(api.operations.closing.delete(client.account_id, at_once=True))

    async def purge() -> None:
        now = await api.store.clock()
        while await api.store.transact(
            lambda connection: purging.purge(connection, now, retention=DAY, aged=False)
        ):
            pass

    api.run(purge())
    assert sign_up(api, "again@example.com").account_id != client.account_id
