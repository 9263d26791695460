"""`cronally listen` as a process: what it prints, how it fails on purpose, what it bounds, and how it ends."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cronally.cli import receiver
from cronally.cli.received import MAX_LINES, REMEMBERED, Ids
from cronally.cli.receiver import Answer, Receiver, Request
from cronally.instants import format_iso
from cronally.targets.connected import Held, connect
from cronally.targets.egress import Egress
from cronally.targets.http.signatures import public_key
from cronally.targets.http.signing_keys import key_of
from cronally.targets.http.target import HttpTarget
from cronally.targets.target import Delivered, Destination, Outcome, Unauthorized
from tests.cli.conftest import Run
from tests.support.server_process import ServerProcess, server_process
from tests.targets.conftest import make_message

LISTEN = [sys.executable, "-W", "error", "-m", "cronally.cli", "listen"]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FIRING = {
    "Cronally-Firing-Id": "0b7e1d52-8a9e-5d6c-9a3f-2f1d6f3f1c2b",
    "Cronally-Cronjob-Id": "5a1d7a1e-5d7c-4f2a-9a2e-0d6f3f1c2b4a",
    "Cronally-Cronjob-Name": "na%C3%AFve%20job",
    "Cronally-Attempt": "2",
    "Content-Type": "application/json",
}


class Listening:
    """A listener that runs."""

    def __init__(self, process: ServerProcess, port: int) -> None:
        self.process = process
        self.port = port

    def send(self, body: bytes = b"", method: str = "POST", path: str = "/hook", **headers: str) -> Any:
        """The answer to one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {**FIRING, **headers})
            answer = connection.getresponse()
            answer.read()
            return answer
        finally:
            connection.close()

    def raw(self, *pieces: bytes) -> bytes:
        """All that comes back for bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            found = bytearray()
            while piece := connection.recv(65536):
                found += piece
            return bytes(found)

    def printed(self) -> str:
        return self.process.output()

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.printed().splitlines() if line.startswith("{")]


@contextmanager
def listening(folder: Path, *arguments: str) -> Iterator[Listening]:
    log = folder / "listen.log"
    environ = {"PATH": os.defpath, "HOME": str(folder), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    with server_process([*LISTEN, *arguments], log=log, env=environ, cwd=folder) as process:
        process.wait_until(lambda: "cronally run hello" in process.output())
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+);", process.output())
        assert found is not None
        yield Listening(process, int(found[1]))


def test_listen__prints_what_arrives_and_notes_repeats(tmp_path: Path) -> None:
    now = time.time_ns() // 1000
    with listening(tmp_path, "--count", "2", "--headers") as running:
        at = {"Cronally-Scheduled-At": format_iso(now - 5_400_000_000)}
        assert running.send(b'{"answer":{"to":42}}', **at).status == 200
        assert running.send(b"", "PUT", "/other?x=1", **at).status == 200
        assert running.process.wait(60) == 0
        said = running.printed()
    assert "CRONALLY_HTTP_ALLOWED_NETWORKS=127.0.0.1/32 cronally serve\n" in said
    assert f"--delivery-http-url http://127.0.0.1:{running.port}/hello\n" in said
    first, second = re.findall(r"^\d\d:\d\d:\d\d\.\d{3}Z .*(?:\n  .*)*", said, re.MULTILINE)
    assert re.match(r"\S+  POST /hook  -> 200\n", first)
    assert re.match(r"\S+  PUT /other\?x=1  -> 200\n", second)
    assert f"  firing     {FIRING['Cronally-Firing-Id']}\n" in first
    assert f"  cron job   naïve job  {FIRING['Cronally-Cronjob-Id']}\n" in first
    assert f"  fire time  {format_iso(now - 5_400_000_000)}, 1 h 30 min late\n" in first
    assert "  attempt    2\n" in first
    assert "  content-type: application/json\n" in first
    assert (
        '  body       application/json, 20 bytes\n    {\n      "answer": {\n        "to": 42\n      }\n    }'
        in first
    )
    assert re.search(r"  \(again: came once before, first \d\d:\d\d:\d\d\.\d{3}Z\)\n", second)
    assert "body" not in second


def test_listen__json_is_a_line_a_request(tmp_path: Path) -> None:
    with listening(tmp_path, "--json", "--count", "2") as running:
        running.send(b"\xff<plain>", **{"Cronally-Scheduled-At": "2026-11-24T08:00:00Z"})
        running.send(b"", **{"Cronally-Scheduled-At": "soon", "Cronally-Attempt": "-1"})
        assert running.process.wait(60) == 0
        first, second = running.objects()
    assert (first["method"], first["path"], first["answered"]) == ("POST", "/hook", 200)
    assert (first["firing_id"], first["attempt"]) == (FIRING["Cronally-Firing-Id"], 2)
    assert (first["scheduled_at"], first["cronjob_name"]) == ("2026-11-24T08:00:00Z", "naïve job")
    assert first["lateness_ms"] > 0
    assert (first["body"], first["body_bytes"]) == ("\ufffd<plain>", 8)
    assert first["headers"]["content-type"] == "application/json"
    assert (first["times_before"], second["times_before"]) == (0, 1)
    assert (second["scheduled_at"], second["lateness_ms"], second["attempt"]) == (None, None, None)
    assert first["signature"] is None


def test_listen__fails_on_purpose_and_then_takes_it(tmp_path: Path) -> None:
    with listening(tmp_path, "--fail", "503", "--times", "2", "--retry-after", "30s", "--json") as running:
        answers = [running.send() for _ in range(3)]
        assert [answer.status for answer in answers] == [503, 503, 200]
        assert [answer.getheader("Retry-After") for answer in answers] == ["30", "30", None]
        assert [one["answered"] for one in running.objects()] == [503, 503, 200]


def test_listen__closes_on_purpose(tmp_path: Path) -> None:
    with listening(tmp_path, "--close", "--times", "1") as running:
        with pytest.raises(http.client.RemoteDisconnected):
            running.send()
        assert running.send().status == 200
        assert "-> closed without an answer\n" in running.printed()


def test_listen__hangs_on_purpose(tmp_path: Path) -> None:
    with listening(tmp_path, "--hang", "--once") as running:
        with socket.create_connection(("127.0.0.1", running.port)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            running.process.wait_until(lambda: "-> no answer" in running.printed())
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.recv(1)
        assert running.process.wait(60) == 0, "its client went away"


def test_listen__delays_its_answer(tmp_path: Path) -> None:
    with listening(tmp_path, "--delay", "1s", "--once") as running:
        assert running.send().status == 200
        assert "-> 200, after 1 s\n" in running.printed()


def _signed(body: bytes, secret: str, timestamp: int) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = hmac.new(key, f"msg_1.{timestamp}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(made).decode()}"
    return {"webhook-id": "msg_1", "webhook-timestamp": str(timestamp), "webhook-signature": signature}


def test_listen__verifies_signatures(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text(f"whsec_{base64.b64encode(bytes(24)).decode()}\n\n{SECRET}\n")
    with listening(
        tmp_path, "--secret-file", str(secrets), "--fail", "503", "--count", "3", "--json"
    ) as running:
        now = int(time.time())
        assert running.send(b"x", **_signed(b"x", SECRET, now)).status == 503
        assert running.send(b"y", **_signed(b"x", SECRET, now)).status == 401, "not what a sender may learn"
        assert running.send(b"x").status == 401
        assert running.process.wait(60) == 1
        assert running.printed().endswith("error: 2 of 3 had no valid signature\n")
        signatures = [one["signature"] for one in running.objects()]
        assert SECRET not in running.printed()
    assert signatures == [
        "valid (v1)",
        "NOT VALID: no signature fits: another secret, or the body was changed",
        "NOT VALID: there is no header webhook-id",
    ]


async def _send(port: int, secret: str, form: str, path: str = "/in?a=1") -> Outcome:
    """As a server sends a firing with a connection."""
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]))
    public = {
        "base_url": f"http://127.0.0.1:{port}",
        "signature_format": form,
        "signing_keys": [key_of(secret)],
    }
    job = {"delivery_http_method": "post", "delivery_http_url": f"http://127.0.0.1:{port}{path}"}
    used = Held("http", public, {"signing_secret": secret})
    try:
        return await target.send(connect(Destination("http", job), used), make_message())
    finally:
        await target.close()


def test_listen__verifies_message_signatures(tmp_path: Path) -> None:
    seed = base64.b64encode(bytes(range(32))).decode()
    private = f"whsk_{seed}"
    secrets = tmp_path / "secrets"
    secrets.write_text(f"{SECRET}\n{public_key(private)}\n")
    other = f"whsec_{base64.b64encode(bytes(24)).decode()}"
    with listening(tmp_path, "--secret-file", str(secrets), "--count", "6", "--json") as running:
        for secret, form in (
            (SECRET, "message-signatures"),
            (private, "message-signatures"),
            (SECRET, "both"),
            (private, "both"),
        ):
            assert isinstance(asyncio.run(_send(running.port, secret, form)), Delivered)
        assert isinstance(asyncio.run(_send(running.port, other, "message-signatures")), Unauthorized)
        assert running.send(b"x", **{"Signature-Input": "x=(", "Signature": "x"}).status == 401
        assert running.process.wait(60) == 1
        signatures = [one["signature"] for one in running.objects()]
    assert signatures == [
        "valid (hmac-sha256)",
        "valid (ed25519)",
        "valid (v1, hmac-sha256)",
        "valid (v1a, ed25519)",
        "NOT VALID: no signature fits: another secret, or the request was changed",
        "NOT VALID: signature-input is no dictionary of structured fields: it has what is no value where one belongs",
    ]


def test_listen__of_two_kinds_of_signatures_both_must_be_good(tmp_path: Path) -> None:
    with listening(tmp_path, "--secret", SECRET, "--count", "1", "--json") as running:
        good = _signed(b"x", SECRET, int(time.time()))
        assert (
            running.send(b"x", **good, **{"Signature-Input": "x=()", "Signature": "x=:AA==:"}).status == 401
        )
        assert running.process.wait(60) == 1
        assert running.objects()[0]["signature"] == 'NOT VALID: no signature has the tag "cronally"'


def test_listen__steers_no_terminal_and_is_bounded(tmp_path: Path) -> None:
    with listening(tmp_path, "--count", "3") as running:
        running.send(b"\x1b]0;owned\x07\x9b31m", **{"Cronally-Cronjob-Name": "%1b%5b2J"})
        running.send(b"\n" * 100_000)
        running.send(b"[" * 60_000)
        assert running.process.wait(60) == 0
        said = running.printed()
    assert not set(said) & {"\x1b", "\x07", "\x9b"}
    assert f"    ... {65_536 - MAX_LINES:,} more lines\n" in said
    assert max(len(line) for line in said.splitlines()) < 600


BAD = [
    (b"nonsense\r\n\r\n", b"400", "no request of HTTP/1.1"),
    (b"GET / HTTP/2.0\r\n\r\n", b"400", "no request of HTTP/1.1"),
    (b"GET / HTTP/1.1\r\nno header\r\n\r\n", b"400", "no header"),
    (b"GET / HTTP/1.1\r\na: b\r\n folded\r\n\r\n", b"400", "no header"),
    (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n", b"431", "more than 100 headers"),
    (b"GET / HTTP/1.1\r\na: " + b"b" * 40_000 + b"\r\n\r\n", b"431", "more than 32,768 bytes"),
    (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400", "no number"),
    (b"POST / HTTP/1.1\r\nContent-Length: 2097153\r\n\r\n", b"413", "more than 2,097,152 bytes"),
    (
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"400",
        "length is not clear",
    ),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", b"400", "chunks cannot be read"),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n200001\r\n", b"413", "more than 2,097,152 bytes"),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", b"400", "chunks cannot be read"),
]


def test_listen__refuses_what_breaks_a_bound_and_goes_on(tmp_path: Path) -> None:
    with listening(tmp_path, "--once", "--json") as running:
        for sent, status, said in BAD:
            assert running.raw(sent).startswith(b"HTTP/1.1 " + status + b" "), sent
            assert running.printed().splitlines()[-1].startswith("warning: refused ")
            assert said in running.printed().splitlines()[-1]
        # Cut off in the middle: nobody to answer.
        assert running.raw(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab") == b""
        assert not running.objects()
        chunked = (
            b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        assert running.raw(chunked).startswith(b"HTTP/1.1 200 OK\r\n")
        assert running.process.wait(60) == 0
        (only,) = running.objects()
    assert (only["path"], only["body"], only["firing_id"]) == ("/c", "abcde", None)


def test_listen__serves_a_connection_more_than_once(tmp_path: Path) -> None:
    with listening(tmp_path, "--count", "3", "--json") as running:
        one = b"GET /1 HTTP/1.1\r\n\r\n"
        asking = (
            b"POST /2 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
        )
        answers = running.raw(one, asking, b"GET /never HTTP/1.1\r\n\r\n")
        assert answers.count(b"HTTP/1.1 200 OK") == 2
        assert answers.count(b"HTTP/1.1 100 Continue") == 1
        running.raw(b"GET /3 HTTP/1.0\r\n\r\n")
        assert running.process.wait(60) == 0
        assert [one["path"] for one in running.objects()] == ["/1", "/2", "/3"]


def test_listen__ends_at_ctrl_c_without_a_word(tmp_path: Path) -> None:
    with listening(tmp_path) as running:
        running.send()
        before = running.printed()
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 130
        assert running.printed() == before


def test_listen__ends_when_nobody_reads_it(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*LISTEN, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        try:
            port = int(process.stderr.readline().split("127.0.0.1:")[1].split(";")[0])
            process.stdout.close()
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert process.wait(60) == 1
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()


def test_listen__fails_if_too_little_comes_in_time(run: Run) -> None:
    assert "0 of 1 requests came in 1s" in run("listen", "--once", "--timeout", "1s", status=1).stderr


def test_listen__on_a_port_that_is_taken(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = run("listen", "--port", str(port), status=1).stderr
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use. Hint: without --port" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fail", "503", "--hang"), "--fail and --hang: give one of them"),
        (("--times", "3"), "--times: it is for --fail, --hang and --close"),
        (("--hang", "--retry-after", "3s"), "--retry-after: it is for --fail"),
        (("--once", "--count", "2"), "--once: it is --count 1; give one of them"),
        (("--timeout", "3s"), "--timeout: it is for --once and --count"),
        (("--delay", "16m"), "give 15m at most"),
        (("--delay", "soon"), "a duration is written like"),
        (("--secret", "canary"), "a signing secret begins with whsec_"),
        (("--secret-file", "/dev/null"), "/dev/null is empty"),
        (("--secret", SECRET) * 11, "there are 11; give 10 at most"),
        (("--fail", "200"), "--fail"),
    ],
)
def test_listen__wrong_usage(run: Run, arguments: tuple[str, ...], said: str) -> None:
    stderr = run("listen", *arguments, status=2).stderr
    assert said in stderr
    assert "canary" not in stderr


def test_ids__remember_the_last_ones() -> None:
    ids = Ids()
    assert ids.add(None, 1) is None
    assert ids.add("first", 1) is None
    for number in range(REMEMBERED):
        ids.add(str(number), 2)
    assert ids.add("first", 3) is None
    assert ids.add(str(REMEMBERED - 1), 4) is not None


async def test_receiver__has_room_for_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "MAX_CONNECTIONS", 2)
    refused: list[str] = []
    made = Receiver(lambda _request: Answer(200), lambda: None, refused.append)
    server, port = await made.start("127.0.0.1", 0)
    writers = []
    try:
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            writers.append(writer)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        assert refused == ["more than 2 connections at once"]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await made.close()


async def test_receiver__waits_for_a_request_so_long() -> None:
    arrived: list[Request] = []

    def arrive(request: Request) -> Answer:
        arrived.append(request)
        return Answer(204)

    made = Receiver(arrive, lambda: None, lambda _problem: None, read_seconds=0.01)
    server, port = await made.start("127.0.0.1", 0)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab")
        assert await reader.read() == b""
        writer.close()
        assert not arrived
    finally:
        server.close()
        await made.close()
