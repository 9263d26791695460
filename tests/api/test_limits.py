"""Sizes, over bare sockets: what is too large is answered before it has arrived, and the answer can be read."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress

import pytest

from cronally.api import connections, limits, protocol
from tests.api.serving import Api, Client
from tests.operations.parameters import SNS

MIB = 1024 * 1024


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One response, by its length."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        assert piece, received
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return int(first.split(" ")[1]), headers, body


def expect_error(connection: socket.socket, status: int, code: str) -> None:
    answered, headers, body = read_answer(connection)
    assert answered == status
    assert headers["connection"] == "close"
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["error"]["code"] == code


def expect_end(connection: socket.socket) -> None:
    """The server has closed, or closes by itself; the timeout only bounds a server that never does."""
    connection.settimeout(30)
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass


def send_on(connection: socket.socket) -> None:
    """Send a GiB."""
    piece = b"a" * MIB
    for _ in range(1024):
        connection.sendall(piece)


def head_of(size: int) -> bytes:
    """Of a request with so large a body."""
    return b"POST /account/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size


def test_limits__a_declared_length_over_1_mib_is_answered_at_once(api: Api) -> None:
    for path in ("/account/", "/nope", "/%/"):
        with api.connect() as connection:
            connection.sendall(
                f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {MIB + 1}\r\n\r\n".encode()
            )
            expect_error(connection, 413, "payload_too_large")


def test_limits__1_mib_exactly_is_read(api: Api) -> None:
    with api.connect() as connection:
        body = b"email=" + b"a" * (MIB - 6)
        connection.sendall(
            f"POST /account/ HTTP/1.1\r\nHost: x\r\nContent-Length: {MIB}\r\n\r\n".encode() + body
        )
        assert read_answer(connection)[0] == 400


def test_limits__no_100_continue_goes_before_a_413(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(
            f"POST /account/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {9 * MIB}\r\n\r\n".encode()
        )
        expect_error(connection, 413, "payload_too_large")


def test_limits__a_body_that_fits_gets_its_100_continue_after_the_signature(api: Api, client: Client) -> None:
    head = "Host: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    with api.connect() as connection:
        connection.sendall(f"POST /cronjob/ HTTP/1.1\r\n{head}".encode())
        assert read_answer(connection)[0] == 401
    signed = "".join(f"{name}: {value}\r\n" for name, value in client.headers("POST", "/cronjob/").items())
    with api.connect() as connection:
        connection.sendall(f"POST /cronjob/ HTTP/1.1\r\n{signed}{head}".encode())
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"name=name")
        assert read_answer(connection)[0] == 400


def test_limits__who_sends_all_the_same_can_read_the_answer(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(
            f"POST /account/ HTTP/1.1\r\nHost: x\r\nContent-Length: {6 * MIB}\r\n\r\n".encode()
        )
        piece = bytes(MIB)
        for _ in range(6):
            connection.sendall(piece)
        expect_error(connection, 413, "payload_too_large")
        expect_end(connection)


def test_limits__who_sends_without_end_is_cut_off(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(f"POST /account/ HTTP/1.1\r\nHost: x\r\nContent-Length: {10**12}\r\n\r\n".encode())
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            send_on(connection)


def test_limits__who_neither_reads_nor_sends_is_let_go(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DISCARD_TIMEOUT", 0.1)
    with api.connect() as connection:
        connection.sendall(
            f"POST /account/ HTTP/1.1\r\nHost: x\r\nContent-Length: {2 * MIB}\r\n\r\n".encode()
        )
        expect_error(connection, 413, "payload_too_large")
        expect_end(connection)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/account/", 413, "payload_too_large"),
        ("/cronjob/", 401, "unauthorized"),
        ("/nope", 404, "not_found"),
    ],
)
def test_limits__a_body_without_a_length_is_counted_when_it_is_read(
    api: Api, path: str, status: int, code: str
) -> None:
    with api.connect() as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        with suppress(OSError):  # what nobody reads is cut off
            for _ in range(17):
                connection.sendall(chunk(b"a" * 65536))
        answered, _, body = read_answer(connection)
        assert (answered, json.loads(body)["error"]["code"]) == (status, code)


def test_limits__a_body_without_a_length_that_fits_is_read(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(b"POST /account/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(chunk(b"email=chun") + chunk(b"ked@example.com") + b"0\r\n\r\n")
        status, headers, body = read_answer(connection)
        assert status == 200, body
        assert "connection" not in headers
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(connection)[0] == 200


def test_limits__bodies_that_arrive_are_bounded_together(
    api: Api, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each within its bound, and all of them more than the process may hold: those that are slow are refused."""
    monkeypatch.setattr(connections, "MAX_BODIES", 100_000)
    monkeypatch.setattr(connections, "SMALL_BODY", 1000)
    monkeypatch.setattr(connections, "PARTS", 1)
    headers = "".join(f"{name}: {value}\r\n" for name, value in client.headers("POST", "/cronjob/").items())
    head = f"POST /cronjob/ HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: 200000\r\n\r\n".encode()
    held = api.app.state.connections
    with api.connect() as first, api.connect() as second:
        first.sendall(head + bytes(40_000))
        while held._held < 39_000:
            time.sleep(0.01)
        second.sendall(head + bytes(40_000))
        expect_error(first, 503, "unavailable")
        assert held._held <= 40_000
        assert client.ask("POST", "/cronjob/", SNS).status == 200, "a small one"
        second.sendall(bytes(140_000))
        expect_error(second, 503, "unavailable")
    assert held._held == 0


def test_limits__a_body_that_is_dropped_takes_no_room(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a 413, neither what came before the answer nor what comes behind it."""
    monkeypatch.setattr(connections, "SMALL_BODY", 0)
    with api.connect() as connection:
        connection.sendall(head_of(8 * MIB) + bytes(1000))
        expect_error(connection, 413, "payload_too_large")
        held = api.app.state.connections
        for _ in range(5):
            connection.sendall(bytes(100_000))
            assert held._held == 0


def test_limits__a_body_that_is_whole_is_answered_once(
    api: Api, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though there is no room for large bodies at all: a small one is not refused, a large one only refused."""
    monkeypatch.setattr(connections, "MAX_BODIES", 0)
    signed = "".join(f"{name}: {value}\r\n" for name, value in client.headers("POST", "/cronjob/").items())
    before = dict(api.app.state.connections._refusals._of_address)
    for size, status in ((connections.SMALL_BODY, b"400"), (connections.SMALL_BODY + 1, b"503")):
        head = f"POST /cronjob/ HTTP/1.1\r\nHost: x\r\n{signed}Content-Length: {size}\r\n\r\n".encode()
        with api.connect() as connection:
            connection.sendall(head + b"[" * size)
            connection.shutdown(socket.SHUT_WR)
            answers = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answers.count(b"HTTP/1.1 ") == 1
        assert answers.startswith(b"HTTP/1.1 " + status)
    assert api.app.state.connections._refusals._of_address == before


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_limits__a_body_that_stops_arriving_is_refused(
    api: Api, framing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODY_TIMEOUT", 0.1)
    with api.connect() as connection:
        connection.sendall(f"POST /account/ HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        status, _, body = read_answer(connection)
        assert (status, b"did not arrive" in body) == (400, True)


def header_of(size: int) -> bytes:
    """A request whose head has exactly this many bytes."""
    start = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: "
    return start + b"a" * (size - len(start) - 4) + b"\r\n\r\n"


def test_limits__16_kib_of_head_are_read(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(header_of(16 * 1024))
        assert read_answer(connection)[0] == 200
        connection.sendall(header_of(16 * 1024 + 1))
        expect_error(connection, 431, "headers_too_large")


@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_limits__more_is_refused_however_it_arrives(api: Api, pieces: int) -> None:
    head = header_of(64 * 1024)
    size = len(head) // pieces + 1
    with api.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for start in range(0, len(head), size):
                connection.sendall(head[start : start + size])
        except OSError:
            pass
        expect_error(connection, 431, "headers_too_large")
        expect_end(connection)


@pytest.mark.parametrize("size", [20_000, 200_000])
def test_limits__a_long_path_or_query_is_too_large_as_well(api: Api, size: int) -> None:
    for target in (f"/{'a' * size}", f"/healthz?{'a' * size}"):
        with api.connect() as connection:
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            expect_error(connection, 431, "headers_too_large")


def test_limits__many_small_headers_are_too_large_as_well(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n")
        expect_error(connection, 431, "headers_too_large")


def test_limits__a_head_without_end_is_cut_off(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Long: ")
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            send_on(connection)


def test_limits__431_comes_before_413_and_413_before_404(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(header_of(20_000).replace(b"Host: x", f"Content-Length: {2 * MIB}".encode()))
        expect_error(connection, 431, "headers_too_large")


def test_limits__a_slow_head_is_cut_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT", 0.1)
    with api.connect() as connection:
        # From the first byte on, nothing else ends it: the timer of idle connections is off.
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        expect_end(connection)


def test_limits__who_says_nothing_is_let_go(api: Api) -> None:
    with api.connect() as connection:
        expect_end(connection)
