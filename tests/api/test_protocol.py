"""HTTP itself, over bare sockets: keep-alive, pipelines, and what is no request."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from uuid import uuid4

import pytest

from cronally.api.protocol import MAX_PIPELINED, PIECE, SMALL_PIECES
from tests.api.serving import Api, serving
from tests.api.test_limits import expect_end, expect_error, read_answer

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def read_all(connection: socket.socket) -> list[tuple[int, dict[str, object]]]:
    """Status and JSON of all responses until the server closes."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    answers = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b": ")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line
        )
        answers.append((int(head.split(b" ")[1]), json.loads(received[:length])))
        received = received[length:]
    return answers


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\r\nhello\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET / HTTP/3.0\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET / HTTP/1.1\r\nA\x00: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\n A: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
        b"GET /#x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ],
)
def test_protocol__what_is_no_request_is_400_in_json(api: Api, request_: bytes) -> None:
    with api.connect() as connection:
        connection.sendall(request_)
        status, headers, body = read_answer(connection)
        assert (status, headers["connection"]) == (400, "close")
        assert json.loads(body)["error"]["code"] == "invalid_request"
        expect_end(connection)


@pytest.mark.parametrize("line", [b"GET /", b"GET * HTTP/1.1", b"OPTIONS * HTTP/1.1"])
def test_protocol__what_is_a_request_for_nothing_is_404(api: Api, line: bytes) -> None:
    with api.connect() as connection:
        connection.sendall(line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert read_answer(connection)[0] == 404


def test_protocol__who_stops_sending_still_gets_what_was_asked(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(GET + GET + b"nonsense\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert [status for status, _ in read_all(connection)] == [200, 200, 400]
    with api.connect() as connection:
        connection.sendall(GET + GET)
        connection.shutdown(socket.SHUT_WR)
        assert [status for status, _ in read_all(connection)] == [200, 200]
    with api.connect() as connection:
        connection.sendall(b"POST /account/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection) == []


def test_protocol__a_broken_chunk_is_400(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(b"POST /account/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        expect_error(connection, 400, "invalid_request")


def test_protocol__connections_are_kept(api: Api) -> None:
    with api.connect() as connection:
        for _ in range(3):
            connection.sendall(GET)
            assert read_answer(connection)[0] == 200


def test_protocol__http_1_0_is_answered_and_closed(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert [status for status, _ in read_all(connection)] == [200]


def test_protocol__a_pipeline_is_answered_in_order(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(
            GET
            + b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n"
            + GET.replace(b"x\r\n", b"x\r\nConnection: close\r\n")
        )
        assert [status for status, _ in read_all(connection)] == [200, 404, 200]


def test_protocol__a_pipeline_is_answered_before_what_breaks_it(api: Api) -> None:
    for tail, status in ((b"nonsense\r\n\r\n", 400), (b"GET /" + b"a" * 40_000, 431)):
        with api.connect() as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n" + tail)
            assert [answered for answered, _ in read_all(connection)] == [200, status]


def test_protocol__long_requests_one_after_the_other_are_not_added_up(api: Api) -> None:
    body = b"email=" + b"a" * 15_000
    post = b"POST /account/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    long_get = GET.replace(b"x\r\n", b"x\r\nX-Long: " + b"a" * 10_000 + b"\r\n")
    with api.connect() as connection:
        for _ in range(3):
            connection.sendall(post)
            connection.sendall(body)
            assert read_answer(connection)[0] == 400
            connection.sendall(long_get[:9000])
            connection.sendall(long_get[9000:])
            assert read_answer(connection)[0] == 200
        connection.sendall(post + body + long_get)
        assert read_answer(connection)[0] == 400


@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
def test_protocol__no_other_protocol_is_spoken(api: Api, upgrade: str) -> None:
    with api.connect() as connection:
        connection.sendall(
            f"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n".encode()
            + GET
        )
        assert [status for status, _ in read_all(connection)] == [200]


def test_protocol__an_absolute_target_is_its_path(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(b"GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(connection)[0] == 200


def test_protocol__the_rest_of_a_body_that_nobody_wants_is_bounded(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert read_answer(connection)[0] == 405
        connection.sendall(b"a" * 1_000_000 + GET)
        assert read_answer(connection)[0] == 200


def test_protocol__who_stops_in_such_a_body_is_let_go(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\naaa")
        assert read_answer(connection)[0] == 405
        connection.sendall(b"aaa")
        expect_end(connection)


def test_protocol__another_version_is_505(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n")
        status, headers, body = read_answer(connection)
        assert (status, headers["connection"]) == (505, "close")
        assert json.loads(body)["error"]["code"] == "http_version_not_supported"
        expect_end(connection)


def test_protocol__trailers_never_become_headers(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(
            b"POST /account/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\nContent-Type: text/plain\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n"
        )
        status, _, body = read_answer(connection)
        assert (status, json.loads(body)["error"]["fields"].keys()) == (400, {"email"})


def test_protocol__a_body_in_tiny_pieces_is_refused(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(b"POST /account/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"1\r\nx\r\n" * (SMALL_PIECES + 1))
        status, headers, body = read_answer(connection)
        assert (status, headers["connection"]) == (400, "close")
        assert "too many small pieces" in json.loads(body)["error"]["message"]
        expect_end(connection)


def test_protocol__a_body_in_tiny_pieces_after_the_answer_is_cut(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(b"POST /cronjob/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert read_answer(connection)[0] == 401
        connection.sendall(b"1\r\nx\r\n" * (SMALL_PIECES + 1))
        expect_end(connection)


def test_protocol__a_body_in_as_many_pieces_as_may_be_is_read(api: Api) -> None:
    body = b"email=" + b"x" * (SMALL_PIECES - 6)
    with api.connect() as connection:
        connection.sendall(b"POST /account/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        status, _, answer = read_answer(connection)
        assert (status, json.loads(answer)["error"]["fields"].keys()) == (400, {"email"})


@pytest.mark.parametrize(("pieces", "status"), [(2 * SMALL_PIECES - 16, 200), (2 * SMALL_PIECES + 16, 400)])
def test_protocol__a_body_may_come_in_more_pieces_the_larger_it_is(
    api: Api, pieces: int, status: int
) -> None:
    """One piece for each `PIECE` bytes, as a client sends that writes one segment after the other.

    A chunk that comes in two reads is two pieces.
    """
    padding = b" " * (PIECE * SMALL_PIECES - len(b'{"email": "%s@example.com"}' % (b"x" * 32)))
    body = b'{"email": "%s@example.com"}' % uuid4().hex.encode() + padding
    large = [body[at : at + PIECE] for at in range(0, len(body), PIECE)]
    assert len(large) == SMALL_PIECES
    last = large.pop()
    small = [bytes([byte]) for byte in last[: pieces - len(large) - 1]]
    chunks = [*large, *small, last[len(small) :]]
    assert len(chunks) == pieces
    with api.connect() as connection:
        connection.sendall(
            b"POST /account/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks) + b"0\r\n\r\n")
        answered, _, answer = read_answer(connection)
        assert answered == status, answer


def test_protocol__a_long_pipeline_is_refused_behind_its_answers(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(GET * 200)
        answers = read_all(connection)
    statuses = [status for status, _ in answers]
    assert statuses == [200] * (len(statuses) - 1) + [400]
    assert MAX_PIPELINED < len(statuses) < 200


def test_protocol__too_many_connections_of_one_address(database_url: str) -> None:
    with ExitStack() as stack:
        api = stack.enter_context(serving(database_url, connections_per_address=2))
        first, second, third = [stack.enter_context(api.connect()) for _ in range(3)]
        for connection in (first, second):
            connection.sendall(GET)
            assert read_answer(connection)[0] == 200
        status, _, body = read_answer(third)
        assert (status, json.loads(body)["error"]["code"]) == (503, "unavailable")
        expect_end(third)
