"""The body of a request of signature version 2: the one that was signed, however it arrives, and no other."""

from __future__ import annotations

import re

import pytest

from tests.api.serving import Api, Client, ask
from tests.api.test_signature import UNKNOWN
from tests.api.test_signature_v2 import EMPTY, FORM, digest_of, read, send, signed


def test_body__that_was_changed_on_the_way(client: Client) -> None:
    body = b"dates=2026-12-25"
    headers = signed(client, "PUT", "/calendar/c/", body, {"Content-Type": FORM})
    refused = send(client, "PUT", "/calendar/c/", b"dates=2026-12-24", headers)
    assert refused.status == 401
    assert "not the one that was signed" in refused.error["message"]
    assert client.ask("GET", "/calendar/c/").status == 404
    other = {**headers, "Content-Digest": digest_of(b"dates=2026-12-24")}
    refused = send(client, "PUT", "/calendar/c/", b"dates=2026-12-24", other)
    assert "not signed by a known API key" in refused.error["message"]


def test_body__no_route_takes_another_one_than_was_signed(api: Api, client: Client) -> None:
    document = client.ask("GET", "/openapi.json").json
    asked = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if "security" not in operation:
                continue
            asked += 1
            target = re.sub("{[a-z_]+}", UNKNOWN, path.replace("{scheduled_at}", "2026-11-24T08:00:00Z"))
            headers = signed(client, method.upper(), target, b"signed")
            answer = ask(api, method.upper(), target, None, headers)
            # What has another form of path is not found before anybody is asked for a signature.
            assert answer.status == 401 or (answer.status == 404 and "%" in target), (
                method,
                path,
                answer.body,
            )
    assert asked > 40


@pytest.mark.parametrize("pieces", [1, 3])
def test_body__that_comes_in_pieces(api: Api, client: Client, pieces: int) -> None:
    body = b"dates=" + b",".join(b"2026-12-%02d" % day for day in range(1, 31))
    for sent, status in ((body, b"200"), (body + b" ", b"401")):
        headers = signed(client, "PUT", "/calendar/c/", body, {"Content-Type": FORM})
        head = [f"{name}: {value}" for name, value in headers.items()]
        head = [
            "PUT /calendar/c/ HTTP/1.1",
            "Host: x",
            "Connection: close",
            "Transfer-Encoding: chunked",
            *head,
        ]
        size = len(sent) // pieces + 1
        chunks = [sent[at : at + size] for at in range(0, len(sent), size)]
        with api.connect() as connection:
            connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n")
            for chunk in chunks:
                connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            connection.sendall(b"0\r\n\r\n")
            assert read(connection).startswith(b"HTTP/1.1 " + status)


def test_body__is_not_read_before_the_signature_is_found_right(api: Api, client: Client) -> None:
    headers = signed(client, "PUT", "/calendar/c/", b"x" * 1000, {"Content-Type": FORM})
    for changed, more in (({"Content-Digest": EMPTY}, b""), ({}, b"x" * 1000)):
        lines = [f"{name}: {value}" for name, value in {**headers, **changed}.items()]
        with api.connect() as connection:
            head = [
                "PUT /calendar/c/ HTTP/1.1",
                "Host: x",
                "Connection: close",
                "Content-Length: 1000",
                *lines,
            ]
            connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + more)
            assert read(connection).startswith(b"HTTP/1.1 4")
