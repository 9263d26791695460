"""Who is let in, and that who is not learns nothing."""

from __future__ import annotations

import base64
import binascii
import re
import socket
from collections.abc import Callable

import pytest

from cronally.api import authenticate
from tests.api.serving import Api, Client, ask, now_date, sign_up, signature

PATH = "/account/"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def test_signature__base64_and_hex_are_accepted(client: Client) -> None:
    headers = client.headers("GET", PATH)
    digest = base64.b64decode(headers["X-Cron-Signature"])
    for text in (headers["X-Cron-Signature"], digest.hex(), digest.hex().upper()):
        assert client.ask("GET", PATH, headers={**headers, "X-Cron-Signature": text}).status == 200


def test_signature__the_query_is_not_signed(client: Client) -> None:
    assert client.ask("GET", "/cronjobs/?limit=5").status == 200


def test_signature__header_names_have_no_case(client: Client) -> None:
    headers = {name.lower(): value for name, value in client.headers("GET", PATH).items()}
    assert client.ask("GET", PATH, headers=headers, signed=False).status == 200


@pytest.mark.parametrize("minutes", [-5, -1, 0, 1, 5])
def test_signature__a_date_within_the_skew_is_accepted(client: Client, minutes: int) -> None:
    headers = client.headers("GET", PATH, now_date(minutes))
    answer = client.ask("GET", PATH, headers=headers)
    # The minute may turn between the two clocks' readings; at the edges that is a matter of luck.
    assert answer.status == 200 or abs(minutes) == 5


def without(name: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda headers: {key: value for key, value in headers.items() if key != name}


def but(**changed: str) -> Callable[[dict[str, str]], dict[str, str]]:
    names = {"key": "X-Cron-Key", "date": "X-Cron-Date", "signature": "X-Cron-Signature"}
    return lambda headers: headers | {names[name]: value for name, value in changed.items()}


REFUSED = {
    "no headers": lambda _headers: {},
    "no key": without("X-Cron-Key"),
    "no date": without("X-Cron-Date"),
    "no signature": without("X-Cron-Signature"),
    "empty key": but(key=""),
    "empty signature": but(signature=""),
    "unknown key": but(key=UNKNOWN),
    "no uuid": but(key="admin' OR 1=1 --"),
    "long key": but(key="a" * 8000),
    "wrong signature": but(signature=base64.b64encode(bytes(32)).decode()),
    "long signature": but(signature="A" * 8000),
    "text": but(signature="\x80\xff"),
    "date of letters": but(date="2026112408ab"),
    "long date": but(date="1" * 8000),
    "date with zone": but(date="202611240800Z"),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
def test_signature__every_refusal_looks_the_same(
    client: Client, stranger: Client, change: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    expected = stranger.ask("GET", PATH)
    refused = client.ask("GET", PATH, headers=change(client.headers("GET", PATH)), signed=False)
    assert refused.status == expected.status == 401
    assert _timeless(refused.body) == _timeless(expected.body)
    assert refused.headers["WWW-Authenticate"]


def _timeless(body: bytes) -> bytes:
    assert re.search(rb'"server_time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"', body)
    return re.sub(rb'"server_time":"[^"]*"', b"", body)


@pytest.mark.parametrize("minutes", [-525_600, -7, 7, 525_600])
def test_signature__a_date_outside_the_skew_is_refused(client: Client, minutes: int) -> None:
    headers = client.headers("GET", PATH, now_date(minutes))
    assert client.ask("GET", PATH, headers=headers, signed=False).status == 401


@pytest.mark.parametrize("name", ["X-Cron-Key", "X-Cron-Date", "X-Cron-Signature"])
def test_signature__a_repeated_header_is_refused(api: Api, client: Client, name: str) -> None:
    headers = client.headers("GET", PATH)
    lines = [f"{key}: {value}" for key, value in [*headers.items(), (name, headers[name])]]
    with api.connect() as connection:
        connection.sendall(
            (
                "\r\n".join([f"GET {PATH} HTTP/1.1", "Host: x", "Connection: close", *lines]) + "\r\n\r\n"
            ).encode()
        )
        assert _read(connection).startswith(b"HTTP/1.1 401 ")


def _read(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def test_signature__is_for_one_path_method_and_secret(api: Api, client: Client) -> None:
    other = sign_up(api, f"other-{client.account_id}@example.com")
    date = now_date()
    for secret, path, method in (
        (other.api_secret, PATH, "GET"),
        (client.api_secret, "/account", "GET"),
        (client.api_secret, PATH, "HEAD"),
        (client.api_secret, PATH, "get"),
        (client.api_secret, "/cronjobs/", "GET"),
    ):
        headers = {
            "X-Cron-Key": client.api_key,
            "X-Cron-Date": date,
            "X-Cron-Signature": signature(secret, path, method, date),
        }
        assert ask(api, "GET", PATH, None, headers).status == 401


def test_signature__a_key_in_capitals_is_another_key(client: Client) -> None:
    headers = client.headers("GET", PATH) | {"X-Cron-Key": client.api_key.upper()}
    assert client.ask("GET", PATH, headers=headers, signed=False).status == 401


def test_signature__no_endpoint_but_sign_up_and_health_is_open(api: Api, stranger: Client) -> None:
    document = stranger.ask("GET", "/openapi.json").json
    seen = set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            status = stranger.ask(method.upper(), re.sub("{[a-z_]+}", UNKNOWN, path)).status
            seen.add((method, path))
            assert (status == 401) == ("security" in operation), (method, path)
    assert {("post", "/cronjob/"), ("get", "/account/firings/"), ("delete", "/cronjob/{cronjob_id}/")} <= seen


def test_signature__is_checked_before_the_body_is_looked_at(stranger: Client) -> None:
    answer = stranger.ask("POST", "/cronjob/", body=b"\xff" * 1000, headers={"Content-Type": "image/png"})
    assert answer.status == 401


async def forget(api: Api) -> None:
    """Let the server forget the keys that it knows."""
    authenticator = api.app.state.services.authenticate
    for cache in (authenticator._known, authenticator._unknown):
        cache._found.clear()


def test_signature__refused_or_not_the_key_is_looked_up_once_in_seconds(
    api: Api, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    find = api.operations.find_caller

    async def counted(api_key: str) -> object:
        looked_up.append(api_key)
        return await find(api_key)

    monkeypatch.setattr(api.operations, "find_caller", counted)
    monkeypatch.setattr(authenticate, "CACHED_FOR", 60.0)
    api.run(forget(api))
    unknown = "11111111-1111-4111-8111-111111111111"
    for _ in range(3):
        client.ask("GET", PATH)
        client.ask("GET", PATH, headers=client.headers("GET", PATH) | {"X-Cron-Key": unknown}, signed=False)
        client.ask("GET", PATH, headers={}, signed=False)
    assert looked_up.count(client.api_key) == 1
    assert looked_up.count(unknown) == 1
    # What cannot be a key costs the same look-up as one that is unknown.
    assert len(looked_up) <= 3


def test_signature__hex_of_another_digest_is_refused(client: Client) -> None:
    headers = client.headers("GET", PATH) | {"X-Cron-Signature": binascii.hexlify(bytes(32)).decode()}
    assert client.ask("GET", PATH, headers=headers, signed=False).status == 401
