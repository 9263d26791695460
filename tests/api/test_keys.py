"""API keys over the wire: shown once, for networks, for a time; two nodes of one database; when they were used."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from cronally import Client as CronallyClient
from cronally import errors
from cronally.api import create_app
from cronally.api.authenticate import CACHED_FOR
from cronally.api.uses import KNOWN, NOTED, Uses
from tests.api.serving import Api, Client, serving, sign_up
from tests.support.factories import Monotonic

Json = dict[str, Any]


def make(owner: Client, **sent: str) -> Client:
    made = owner.ask("POST", "/key/", {"name": "made", "scopes": "read,write", **sent}).response
    return Client(owner.api, made["api_key"], made["api_secret"], owner.account_id)


def test_key__its_secret_is_shown_once(client: Client) -> None:
    made = client.ask("POST", "/key/", json_body={"name": "made", "scopes": ["read"]}).response
    key = Client(client.api, made["api_key"], made.pop("api_secret"))
    assert key.ask("GET", "/cronjobs/").response == []
    account = key.ask("GET", "/account/").response
    assert (account["api_key"], account["api_secret"]) == (made["api_key"], "")
    assert client.ask("GET", "/account/").response["api_secret"] == client.api_secret
    for path in (f"/key/{made['api_key']}/", "/key/made/", f"/key/{made['api_key'].upper()}"):
        assert {**client.ask("GET", path).response, "last_used_at": None} == made
    assert client.ask("PATCH", "/account/", {"hide_secret": "true"}).response["api_secret"] == ""
    assert client.ask("GET", "/account/").response["api_secret"] == ""


def test_key__a_client_of_before_reads_the_account_of_every_key(client: Client) -> None:
    """It wants a text where the secret is not shown."""
    key = make(client)
    with CronallyClient(client.api.url, key.api_key, key.api_secret) as library:
        assert library.account().api_secret == ""


@pytest.mark.parametrize("path", ["/key/a.b/", "/key/-/", "/key/" + "a" * 65 + "/"])
def test_key__a_path_that_no_key_can_have(client: Client, path: str) -> None:
    assert client.ask("GET", path).status == 404


# Networks


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    path = tmp_path_factory.mktemp("proxied") / "cronally.db"
    trusted = [ipaddress.ip_network("127.0.0.0/8")]
    with serving(f"sqlite:///{path}", trusted_proxies=trusted) as running:
        yield running


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        ("203.0.113.7", 200),
        ("203.0.114.7", 403),
        ("203.0.113.7, 203.0.114.7", 403),  # the first one is what the client says of itself
        ("203.0.114.7, 203.0.113.7", 200),
        ("2001:db8::1", 200),
        ("2001:db9::1", 403),
        ("::ffff:203.0.113.7", 200),
        (None, 403),
        ("nonsense", 403),
    ],
)
def test_networks__go_by_the_address_that_proxies_vouch_for(
    proxied: Api, forwarded: str | None, status: int
) -> None:
    owner = sign_up(proxied, f"{abs(hash(forwarded))}@example.com")
    key = make(owner, networks="203.0.113.0/24,2001:db8::/32")
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    answer = key.ask("GET", "/cronjobs/", headers=headers)
    assert answer.status == status
    if status == 403:
        assert answer.error["message"].startswith("The API key may not be used from ")
    # Who has not the secret learns nothing of it.
    thief = Client(proxied, key.api_key, owner.api_secret)
    assert thief.ask("GET", "/cronjobs/", headers=headers).status == 401


def test_networks__without_a_proxy_it_is_the_other_end(client: Client) -> None:
    key = make(client, networks="10.0.0.0/8")
    headers = {"X-Forwarded-For": "10.0.0.1"}
    assert "may not be used from 127.0.0.1;" in key.ask("GET", "/cronjobs/", headers=headers).error["message"]
    assert make(client, name="near", networks="127.0.0.1").ask("GET", "/cronjobs/").status == 200


# Two nodes


class Nodes:
    """Two servers over one database, whose keys grow old by hand."""

    def __init__(self, nodes: list[Api], monotonic: Monotonic) -> None:
        self.nodes, self.monotonic = nodes, monotonic

    def statuses(self, key: Client, method: str = "GET", sent: Mapping[str, str] | None = None) -> list[int]:
        path = "/account/"
        return [
            Client(node, key.api_key, key.api_secret).ask(method, path, sent).status for node in self.nodes
        ]

    def grow_old(self) -> None:
        self.monotonic.now += CACHED_FOR


@pytest.fixture
def nodes(migrated_postgres_url: str) -> Iterator[Nodes]:
    url, monotonic = migrated_postgres_url, Monotonic()
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(serving(url, monotonic=monotonic)) for _ in range(2)]
        yield Nodes(started, monotonic)


def test_nodes__what_one_says_of_a_key_holds_on_both(nodes: Nodes) -> None:
    one = nodes.nodes[0]
    owner = sign_up(one, "username@example.com")
    key = make(owner)
    change = {"hide_secret": "true"}
    assert nodes.statuses(key) == nodes.statuses(key, "PATCH", change) == [200, 200]

    # Narrowed: remembered for half a second, and for no longer.
    assert owner.ask("PATCH", "/key/made/", {"scopes": "read"}).status == 200
    assert nodes.statuses(key, "PATCH", change) == [200, 200]
    nodes.grow_old()
    assert nodes.statuses(key, "PATCH", change) == [403, 403]
    assert nodes.statuses(key) == [200, 200]

    # Rotated, at once.
    new = owner.ask("POST", "/key/made/rotate/", {"overlap": "0s"}).response
    key, former = Client(one, new["api_key"], new["api_secret"]), key
    assert nodes.statuses(key) == [200, 200]
    nodes.grow_old()
    assert (nodes.statuses(former), nodes.statuses(key)) == ([401, 401], [200, 200])

    # Rotated, with an overlap: both.
    new = owner.ask("POST", "/key/made/rotate/", {"overlap": "1h"}).response
    key, former = Client(one, new["api_key"], new["api_secret"]), key
    nodes.grow_old()
    assert nodes.statuses(former) == nodes.statuses(key) == [200, 200]

    # Revoked by the other node.
    other = Client(nodes.nodes[1], owner.api_key, owner.api_secret)
    assert other.ask("DELETE", f"/key/{former.api_key}/").status == 200
    nodes.grow_old()
    assert (nodes.statuses(former), nodes.statuses(key)) == ([401, 401], [200, 200])
    assert other.ask("DELETE", "/key/made/").status == 200
    nodes.grow_old()
    assert nodes.statuses(key) == [401, 401]


def test_nodes__what_is_remembered_is_less_than_a_second() -> None:
    assert CACHED_FOR < 1
    assert (create_app.__kwdefaults__ or {})["monotonic"]() >= 0


# When keys were used


def test_used__is_written_for_all_keys_together(client: Client) -> None:
    key = make(client)
    for _ in range(3):
        assert key.ask("GET", "/cronjobs/").status == 200
    assert key.ask("POST", "/cronjobs/run/").status == 403
    uses = client.api.app.state.services.authenticate.uses
    assert key.api_key in uses._waiting
    client.api.run(uses.write())
    listed = {one["name"]: one["last_used_at"] for one in client.ask("GET", "/account/keys/").response}
    assert all(listed.values())
    thief = make(client, name="other")
    Client(client.api, thief.api_key, client.api_secret).ask("GET", "/cronjobs/")
    client.api.run(uses.write())
    assert client.ask("GET", "/key/other/").response["last_used_at"] is None


class Written:
    """What was written."""

    def __init__(self) -> None:
        self.batches: list[Mapping[str, int]] = []
        self.fails = False

    async def __call__(self, uses: Mapping[str, int]) -> None:
        if self.fails:
            raise errors.Unavailable
        self.batches.append(uses)


async def test_uses__a_key_is_written_once_a_minute_however_often_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cronally.api.uses.TOGETHER", 2)
    written = Written()
    uses = Uses(written)
    for now in (0, 1, NOTED - 1):
        for key in "abc":
            uses.note(key, now)
    await uses.write()
    assert written.batches == [{"a": 0, "b": 0}, {"c": 0}]
    uses.note("a", NOTED)
    uses.note("b", -1)  # the clock went back
    await uses.write()
    assert written.batches[2:] == [{"a": NOTED, "b": -1}]
    await uses.write()
    assert len(written.batches) == 3


async def test_uses__what_cannot_be_written_is_noted_again() -> None:
    written = Written()
    uses = Uses(written)
    written.fails = True
    uses.note("a", 5)
    await uses.write()
    written.fails = False
    uses.note("a", 6)
    await uses.write()
    assert written.batches == [{"a": 6}]


async def test_uses__are_written_by_themselves_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cronally.api.uses.DELAY", 0.0)
    monkeypatch.setattr("cronally.api.uses.KNOWN", 3)
    written = Written()
    uses = Uses(written)
    for number in range(5):
        uses.note(f"key{number}", number)
    assert len(uses._noted) == 3
    assert uses._writing is not None
    await asyncio.wait_for(asyncio.shield(uses._writing), 30)
    assert uses._writing is None
    assert sum(map(len, written.batches)) == 5
    assert KNOWN >= 1000
