"""Signatures of version 2 at the wire: who is let in, once, with the body that was signed; and that nobody learns why
not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from cronally.store import tables
from cronally.store.nonces import delete_nonces
from tests.api.serving import Answer, Api, Client, ask, serving, sign_up
from tests.api.test_signature import PATH, UNKNOWN, _timeless
from tests.support.postgres import PostgresServer
from tests.support.statements import sent_by

FORM = "application/x-www-form-urlencoded"
EMPTY = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"


def digest_of(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def signed(
    client: Client,
    method: str = "GET",
    path: str = PATH,
    body: bytes = b"",
    fields: Mapping[str, str] = {},
    *,
    lines: Mapping[str, str] = {},
    leave_out: str = "",
    values: Mapping[str, str | None] = {},
    label: str = "sig",
) -> dict[str, str]:
    """The headers of a request, signed by the text of RFC 9421, 2.5, character by character.

    :param lines: in place of what is signed
    :param leave_out: what is not signed
    :param values: in place of what the signature says
    """
    bare, _, query = path.partition("?")
    base = {
        "@method": method,
        "@path": bare,
        "@query": f"?{query}",
        "content-digest": digest_of(body),
        **{name.lower(): value for name, value in fields.items()},
        **lines,
    }
    base.pop(leave_out, None)
    said = {
        "created": str(int(time.time())),
        "nonce": f'"{secrets.token_hex(16)}"',
        "keyid": f'"{client.api_key}"',
        "alg": '"hmac-sha256"',
        "tag": '"cronally-api"',
        **values,
    }
    covered = " ".join(f'"{name}"' for name in base)
    parameters = f"({covered})" + "".join(
        f";{one}={value}" for one, value in said.items() if value is not None
    )
    text = (
        "".join(f'"{name}": {value}\n' for name, value in base.items()) + f'"@signature-params": {parameters}'
    )
    made = hmac.digest(base64.b64decode(client.api_secret), text.encode(), "sha256")
    return {
        **fields,
        "Content-Digest": digest_of(body),
        "Signature-Input": f"{label}={parameters}",
        "Signature": f"{label}=:{base64.b64encode(made).decode()}:",
    }


def send(
    client: Client,
    method: str = "GET",
    path: str = PATH,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request, signed unless its headers are given."""
    if headers is None:
        fields = {"Content-Type": FORM} if body else {}
        headers = signed(client, method, path, body, fields)
    return ask(client.api, method, path, body or None, headers)


def count(api: Api) -> int:
    def work(connection: Connection) -> int:
        return int(connection.execute(select(func.count()).select_from(tables.nonce)).scalar_one())

    return api.run(api.store.transact(work))


def test_request__is_taken_once(client: Client) -> None:
    headers = signed(client)
    assert send(client, headers=headers).response["account_id"] == client.account_id
    again = send(client, headers=headers)
    assert again.status == 401
    assert "received before" in again.error["message"]
    assert client.api_key not in again.body.decode()
    # A nonce is used up, not a request.
    nonce = re.findall('nonce=("[^"]*")', headers["Signature-Input"])[0]
    other = signed(client, path="/cronjobs/?limit=5", values={"nonce": nonce})
    assert send(client, path="/cronjobs/?limit=5", headers=other).status == 401


def test_request__with_query_and_body(client: Client) -> None:
    assert send(client, path="/cronjobs/?limit=5&tag=a%2Fb").status == 200
    made = send(client, "PUT", "/calendar/holidays/", b"dates=2026-12-25")
    assert made.response["dates"] == ["2026-12-25"]
    body = b'{"dates": ["2026-12-26"]}'
    headers = signed(client, "PUT", "/calendar/holidays", body, {"Content-Type": "application/json"})
    assert send(client, "PUT", "/calendar/holidays", body, headers).response["dates"] == ["2026-12-26"]
    fields = {"Content-Type": FORM, "Idempotency-Key": "k-1"}
    body = b"name=a&cron=0+8+*+*+*&delivery_type=http&delivery_http_method=get&delivery_http_url=https://1.1.1.1/"
    made, again = (
        send(client, "POST", "/cronjob/", body, signed(client, "POST", "/cronjob/", body, fields))
        for _ in range(2)
    )
    assert made.response["cronjob_id"] == again.response["cronjob_id"]
    assert send(client, "POST", f"/cronjob/{made.response['cronjob_id']}/resume/").status in (200, 409)
    assert send(client, "HEAD").status == 200


def test_request__behind_a_proxy(api: Api, client: Client) -> None:
    """That sends its own name for the server, and adds and reorders headers."""
    headers = signed(client, path="/cronjobs/?limit=5")
    shuffled = dict(reversed(headers.items()))
    added = {
        "Host": f"localhost:{api.port}",
        "X-Forwarded-For": "198.51.100.7",
        "X-Forwarded-Proto": "https",
        "Via": "1.1 proxy",
    }
    assert send(client, path="/cronjobs/?limit=5", headers={**added, **shuffled}).status == 200


def test_request__that_a_proxy_signed_too(client: Client) -> None:
    others = {"Signature-Input": 'proxy=("@method");tag="proxy"', "Signature": "proxy=:AA==:"}
    headers = signed(client)
    both = {name: f"{others[name]}, {headers[name]}" for name in others}
    assert send(client, headers={**headers, **both}).status == 200
    assert send(client, headers={**others, **client.headers("GET", PATH)}).status == 200, "version 1"


def read(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


# What is refused, all in the same way


def but(**changed: str | None) -> Callable[[Client], dict[str, str]]:
    names = {
        name.lower().replace("-", "_"): name for name in ("Content-Digest", "Signature-Input", "Signature")
    }

    def make(client: Client) -> dict[str, str]:
        headers = {**signed(client), **{names[name]: value for name, value in changed.items()}}
        return {name: value for name, value in headers.items() if value is not None}

    return make


def says(**values: str | None) -> Callable[[Client], dict[str, str]]:
    return lambda client: signed(client, values=values)


def both(client: Client) -> dict[str, str]:
    return {**client.headers("GET", PATH), **signed(client)}


def of_two(client: Client) -> dict[str, str]:
    one, two = signed(client), signed(client, label="other")
    return {**one, **{name: f"{one[name]}, {two[name]}" for name in ("Signature-Input", "Signature")}}


REFUSED: dict[str, Callable[[Client], dict[str, str]]] = {
    "both versions": both,
    "both, a part of version 1": lambda client: {**signed(client), "X-Cron-Key": client.api_key},
    "a part of version 1, empty": lambda client: {**signed(client), "X-Cron-Date": ""},
    "two signatures": of_two,
    "no signature": but(signature=None),
    "no input": but(signature_input=None),
    "no digest": but(content_digest=None),
    "empty signature": but(signature=""),
    "signature of another label": but(signature="other=:AA==:"),
    "signature of zeros": but(signature=f"sig=:{base64.b64encode(bytes(32)).decode()}:"),
    "signature that is too short": but(signature="sig=:AA==:"),
    "signature that is a text": but(signature='sig="AA"'),
    "malformed": but(signature_input='sig=("@method";tag="cronally-api"'),
    "malformed, deep": but(signature_input="sig=" + "(" * 1000 + ';tag="cronally-api"'),
    "huge": but(signature_input='sig=("@method");tag="cronally-api"' + ";a" * 4000),
    "huge signature": but(signature="sig=:" + "A" * 8000 + ":"),
    "huge digest": but(content_digest="sha-256=:" + "A" * 8000 + ":"),
    "digest of another kind": but(content_digest="sha-512=:AA==:"),
    "digest of another body": but(content_digest=digest_of(b"x")),
    "unknown key": says(keyid=f'"{UNKNOWN}"'),
    "a key in capitals": lambda client: signed(client, values={"keyid": f'"{client.api_key.upper()}"'}),
    "no uuid": says(keyid='"admin\' OR 1=1 --"'),
    "no key": says(keyid=None),
    "another algorithm": says(alg='"ed25519"'),
    "no algorithm": says(alg='"none"'),
    "a webhook's tag": says(tag='"cronally"'),
    "no tag": says(tag=None),
    "no nonce": says(nonce=None),
    "short nonce": says(nonce='"0123456789abcde"'),
    "long nonce": says(nonce=f'"{"n" * 65}"'),
    "a nonce that is no text": says(nonce="1234567890123456"),
    "no time": says(created=None),
    "old": says(created="1000000000"),
    "future": says(created="4000000000"),
    "time beyond all": says(created="999999999999999"),
    "time that is a text": says(created='"1"'),
    "expired": says(expires="1000000000"),
    "method not covered": lambda client: signed(client, leave_out="@method"),
    "path not covered": lambda client: signed(client, leave_out="@path"),
    "query not covered": lambda client: signed(client, leave_out="@query"),
    "digest not covered": lambda client: signed(client, leave_out="content-digest"),
    "another method": lambda client: signed(client, "POST"),
    "another path": lambda client: signed(client, path="/account"),
    "another query": lambda client: signed(client, path=f"{PATH}?a=1"),
    "another host": lambda client: signed(client, lines={"@authority": "example.com"}),
    "a header that is not there": lambda client: signed(client, lines={"x-none": "1"}),
    "a header that was added": lambda client: {**signed(client), "Idempotency-Key": "k"},
    "a type that was added": lambda client: {**signed(client), "Content-Type": FORM},
    "a header that was taken away": lambda client: signed(client, lines={"idempotency-key": "k"}),
    "another secret": lambda client: signed(replace(client, api_secret=base64.b64encode(bytes(32)).decode())),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal__says_and_costs_the_same(
    api: Api, client: Client, stranger: Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests: list[int] = []
    digest = hmac.digest

    def counted(*arguments: Any) -> bytes:
        digests.append(1)
        return digest(*arguments)

    expected = stranger.ask("GET", PATH)
    headers, before = REFUSED[name](client), count(api)
    monkeypatch.setattr("cronally.request_signatures.hmac.digest", counted)
    refused = send(client, headers=headers)
    assert len(digests) == 1
    assert refused.status == expected.status == 401
    assert _timeless(refused.body) == _timeless(expected.body)
    assert refused.headers["WWW-Authenticate"]
    assert 'tag="cronally-api"' in refused.headers["Accept-Signature"]
    assert count(api) == before, "who has not signed right fills no table"


@pytest.mark.parametrize("name", ["Signature-Input", "Signature", "Content-Digest", "Content-Type"])
def test_refusal__of_a_header_that_is_there_twice(api: Api, client: Client, name: str) -> None:
    headers = signed(client, fields={"Content-Type": FORM})
    lines = [f"{key}: {value}" for key, value in [*headers.items(), (name, headers[name])]]
    with api.connect() as connection:
        head = [f"GET {PATH} HTTP/1.1", "Host: x", "Connection: close", *lines]
        connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n")
        assert read(connection).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(("seconds", "taken"), [(-299, True), (290, True), (-302, False), (310, False)])
def test_created__is_within_the_skew(client: Client, seconds: int, taken: bool) -> None:
    headers = signed(client, values={"created": str(int(time.time()) + seconds)})
    answer = send(client, headers=headers)
    # The last second before an edge is a matter of luck.
    assert (answer.status == 200) == taken or seconds == -299


# An account without version 1


def test_account__may_refuse_version_1(api: Api, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cronally.api.authenticate.CACHED_FOR", 0.0)
    assert client.ask("GET", PATH).response["refuse_signature_v1"] is False
    assert client.ask("PATCH", PATH, {"refuse_signature_v1": "true"}).response["refuse_signature_v1"] is True
    _forget(api)
    refused = client.ask("GET", PATH)
    assert refused.status == 401
    assert "refuses signatures of version 1" in refused.error["message"]
    # Only who has signed right is told.
    wrong = client.ask("GET", PATH, headers={"X-Cron-Signature": "x"})
    assert "refuses" not in wrong.error["message"]
    assert send(client).response["refuse_signature_v1"] is True
    assert send(client, "PATCH", body=b"dead_letter=none").response["refuse_signature_v1"] is True
    assert send(client, "PATCH", body=b"refuse_signature_v1=false").response["refuse_signature_v1"] is False
    _forget(api)
    assert client.ask("GET", PATH).status == 200


def _forget(api: Api) -> None:
    """Let the authenticator forget what keys it knows."""

    async def forget() -> None:
        api.app.state.services.authenticate._known._found.clear()

    api.run(forget())


# Cost


def test_cost__is_one_statement_more_than_version_1(api: Api, client: Client) -> None:
    client.ask("GET", PATH)  # the key is looked up
    with sent_by(api.store) as first:
        assert client.ask("GET", PATH).status == 200
    with sent_by(api.store) as second:
        assert send(client).status == 200
    assert [one.split()[0] for one in second] == ["INSERT", *(one.split()[0] for one in first)]


def test_limit__who_asks_too_much_writes_nothing(migrated_sqlite: Path, tmp_path: Path) -> None:
    path = shutil.copy(migrated_sqlite, tmp_path / "cronally.db")
    with serving(f"sqlite:///{path}", requests_per_minute=3) as api:
        client = sign_up(api, "busy@example.com")
        assert [send(client).status for _ in range(5)] == [200, 200, 200, 429, 429]
        assert count(api) == 3


def test_address__of_who_sends_again_what_others_sent_stays_a_strangers(api: Api, client: Client) -> None:
    known: list[str] = []
    connections = api.app.state.connections
    know = connections.know

    def noted(address: str) -> None:
        known.append(address)
        know(address)

    connections.know = noted
    try:
        headers = signed(client)
        assert [send(client, headers=headers).status for _ in range(3)] == [200, 401, 401]
    finally:
        connections.know = know
    assert known == ["127.0.0.1"]


def test_nodes__of_two_on_one_database_one_takes_a_request(
    postgres: PostgresServer, migrated_postgres: str
) -> None:
    url = postgres.create_database("signed_once", migrated_postgres)
    with serving(url) as one, serving(url) as other:
        client = sign_up(one, "somebody@example.com")
        headers = signed(client)
        answers = [ask(api, "GET", PATH, None, headers) for api in (one, other, one, other)]
        assert [answer.status for answer in answers] == [200, 401, 401, 401]
        assert "received before" in answers[1].error["message"]
    postgres.drop_database("signed_once")


# What is written down


def test_nonce_and_secret__are_in_no_log_and_no_answer(
    api: Api, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    nonce = "canary-" + secrets.token_hex(16)
    headers = signed(client, values={"nonce": f'"{nonce}"'})
    answers = [send(client, headers=headers), send(client, headers=headers)]
    answers.append(send(client, "PUT", "/calendar/c/", b"dates=x", headers))
    refused = ("unknown key", "old", "both versions")
    answers.extend(send(client, headers=REFUSED[name](client)) for name in refused)
    signature = headers["Signature"].split(":")[1]
    logged = "\n".join(str(record.__dict__) for record in caplog.records)
    for needle in (nonce, signature, client.api_secret):
        assert needle not in logged
        assert not any(needle.encode() in answer.body for answer in answers[1:])

    def rows(connection: Connection) -> list[Any]:
        return list(connection.execute(select(tables.nonce)))

    for row in api.run(api.store.transact(rows)):
        assert len(row.nonce) == 16
        assert nonce.encode() not in row.nonce
    api.run(api.store.transact(lambda connection: delete_nonces(connection, 2**60, 10_000)))
