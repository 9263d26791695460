"""A small HTTP server on loopback that answers as the API does, for the tests of the client and of the CLI.

It shares no code with the client: it checks signatures by itself, keeps what it was sent, and can be told to
fail its next answers. What the real server does is proved by the acceptance tests.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

SIGNUP_TOKEN = "let-me-in"


@dataclass
class Received:
    """One request, as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, strict_parsing=True)) if "?" in self.target else {}

    @property
    def form(self) -> dict[str, str]:
        if not self.body:
            return {}
        pairs = [pair.split("=") for pair in self.body.decode("ascii").split("&")]
        return {name: unquote(value.replace("+", " "), errors="strict") for name, value in pairs}


@dataclass
class Answer:
    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    """Close the connection instead of answering."""


def success(response: Any, **beside: Any) -> Answer:
    return Answer(200, {"status": "success", "response": response, **beside})


def failure(
    status: int, code: str, message: str, fields: dict[str, str] | None = None, **headers: str
) -> Answer:
    error = {"code": code, "message": message, "fields": fields or {}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"status": "error", "error": error}, named)


UNAVAILABLE = failure(503, "unavailable", "The database does not answer right now; try again in a moment.")
CUT = Answer(0, None, cut=True)

Fault = Answer | Callable[[Callable[[], Answer]], Answer]


class StandIn:
    """The server's state. `faults` answer the next requests instead of it."""

    def __init__(self) -> None:
        self.accounts: dict[str, dict[str, Any]] = {}
        self.cronjobs: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, str] = {}
        self.firings: list[dict[str, Any]] = []
        self.created_by_key: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[Received] = []
        self.faults: deque[Fault] = deque()
        self.signup_token: str | None = None
        self.page_size = 100
        self.url = ""

    @property
    def last(self) -> Received:
        return self.requests[-1]

    def add_account(self, email: str = "somebody@example.com") -> dict[str, Any]:
        secret = base64.b64encode(hashlib.sha256(email.encode()).digest()).decode()
        account: dict[str, Any] = {
            "account_id": str(uuid4()),
            "email": email,
            "api_key": str(uuid4()),
            "api_secret": secret,
            "cronjob_count": 0,
        }
        self.accounts[account["api_key"]] = account
        return account

    def add_firings(self, cronjob: dict[str, Any], count: int) -> None:
        first = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
        for number in range(count):
            at = first + timedelta(minutes=number)
            text = at.isoformat().replace("+00:00", "Z")
            self.firings.insert(
                0,
                {
                    "firing_id": f"{number:08}-0000-5000-8000-000000000000",
                    "cronjob_id": cronjob["cronjob_id"],
                    "account_id": cronjob["account_id"],
                    "scheduled_at": text,
                    "kind": "scheduled",
                    "state": "delivered",
                    "reason": None,
                    "attempt": 1,
                    "created_at": text,
                    "due_at": None,
                    "sent_at": text,
                    "finished_at": text.replace("Z", ".004321Z"),
                    "message_id": f"message-{number}",
                    "lateness_ms": 4.321,
                    "until_at": None,
                    "count": 1,
                    "attempts": [
                        {
                            "attempt": 1,
                            "started_at": text,
                            "duration_ms": 3.5,
                            "outcome": "delivered",
                            "reason": None,
                        }
                    ],
                },
            )

    def answer(self, request: Received) -> Answer:
        self.requests.append(request)
        if self.faults:
            fault = self.faults.popleft()
            return fault if isinstance(fault, Answer) else fault(lambda: self._answer(request))
        return self._answer(request)

    def _answer(self, request: Received) -> Answer:
        if (request.method, request.path) == ("POST", "/account/"):
            return self._signup(request)
        if (request.method, request.path) == ("GET", "/schedule/preview/"):
            return success(self._preview(request.query))
        account = self._account_of(request)
        if account is None:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            answer = failure(401, "unauthorized", "The request is not signed by a known API key.")
            answer.body["error"]["server_time"] = now
            return answer
        match (request.method, [part for part in request.path.split("/") if part]):
            case ("GET", ["account"]):
                mine = [job for job in self.cronjobs.values() if job["account_id"] == account["account_id"]]
                return success({**account, "cronjob_count": len(mine)})
            case ("POST", ["cronjob"]):
                return self._create(account, request)
            case ("GET", ["cronjobs"]):
                mine = [job for job in self.cronjobs.values() if job["account_id"] == account["account_id"]]
                return self._page(mine, request)
            case ("GET", ["account", "firings"]):
                wanted = request.query.get("cronjob_id")
                mine = [row for row in self.firings if row["account_id"] == account["account_id"]]
                return self._page([row for row in mine if wanted in (None, row["cronjob_id"])], request)
            case (method, ["cronjob", cronjob_id, *rest]):
                job = self.cronjobs.get(cronjob_id)
                if job is None or job["account_id"] != account["account_id"]:
                    return failure(404, "not_found", "There is no such cron job.")
                if rest == ["firings"] and method == "GET":
                    return self._page(
                        [row for row in self.firings if row["cronjob_id"] == cronjob_id], request
                    )
                if rest == ["preview"] and method == "GET":
                    query = {"expression": job["cron"], **request.query}
                    return success({"cronjob_id": cronjob_id, "state": job["state"], **self._preview(query)})
                if rest == ["explain"] and method == "GET":
                    return success(self._explanation(job, request.query["at"]))
                if method == "PATCH":
                    job.update(request.form, version=job["version"] + 1)
                if method == "DELETE":
                    del self.cronjobs[cronjob_id]
                    return success({**job, "deleted": True, "state": "deleted"})
                return success(job)
        return failure(404, "not_found", "There is nothing at this address.")

    def _preview(self, query: dict[str, str]) -> dict[str, Any]:
        """Of a clock that goes back once: what the answer looks like, not what is right."""
        return {
            "expression": query["expression"],
            "timezone": query.get("timezone", "UTC"),
            "dst_gap": query.get("dst_gap"),
            "dst_overlap": query.get("dst_overlap"),
            "tzdata": "2026f",
            "schedule": "At 01:30, every day, America/New_York",
            "after": query.get("after", "2026-10-31T12:00:00Z"),
            "fire_times": [
                {"scheduled_at": "2026-11-01T05:30:00Z", "local": "2026-11-01T01:30:00-04:00"},
                {
                    "scheduled_at": "2027-03-14T07:00:00Z",
                    "local": "2027-03-14T03:00:00-04:00",
                    "mark": "moved",
                    "reason": "dst_gap=run_at_jump",
                    "instead_of": "2027-03-14T02:30:00",
                    "count": 2,
                },
            ][: int(query.get("count", "10"))],
            "suppressed": [
                {
                    "scheduled_at": "2026-11-01T06:30:00Z",
                    "until_at": "2026-11-01T06:30:00Z",
                    "local": "2026-11-01T01:30:00-05:00",
                    "until_local": "2026-11-01T01:30:00-05:00",
                    "count": 1,
                    "mark": "suppressed",
                    "reason": "dst_overlap=first",
                }
            ],
        }

    def _explanation(self, job: dict[str, Any], at: str) -> dict[str, Any]:
        covering = next((row for row in self.firings if row["scheduled_at"] == at), None)
        return {
            "cronjob_id": job["cronjob_id"],
            "at": at,
            "local": "2026-11-24T09:00:00+01:00",
            "finding": covering["state"] if covering else "no_fire_time",
            "sentence": "Fired: delivered." if covering else "Not a fire time: \x1b[2J.",
            "reason": None,
            "mark": None,
            "instead_at": None,
            "previous_at": "2026-11-24T07:59:00Z",
            "next_at": None,
            "firing": covering,
            "state": job["state"],
            "version": job["version"],
            "timezone": "Europe/Berlin",
            "tzdata": "2026f",
        }

    def _signup(self, request: Received) -> Answer:
        if (
            self.signup_token is not None
            and request.headers.get("x-cronally-signup-token") != self.signup_token
        ):
            return failure(401, "unauthorized", "Sign-up needs the operator's token.")
        email = request.form.get("email", "")
        if "@" not in email:
            return failure(
                400,
                "invalid_request",
                "The request has parameters that cannot be used.",
                {"email": "is no address"},
            )
        return success(self.add_account(email))

    def _account_of(self, request: Received) -> dict[str, Any] | None:
        account = self.accounts.get(request.headers.get("x-cron-key", ""))
        date = request.headers.get("x-cron-date", "")
        if account is None or len(date) != 12:
            return None
        sent_at = datetime.strptime(date + "+0000", "%Y%m%d%H%M%z")
        text = (request.path + request.method + date).encode()
        expected = hmac.new(base64.b64decode(account["api_secret"]), text, hashlib.sha256).digest()
        fresh = abs(datetime.now(UTC) - sent_at) < timedelta(minutes=5)
        same = request.headers.get("x-cron-signature") == base64.b64encode(expected).decode()
        return account if fresh and same else None

    def _create(self, account: dict[str, Any], request: Received) -> Answer:
        form = request.form
        if form.get("cron", "").startswith("61 "):
            return failure(
                400,
                "invalid_expression",
                "The expression cannot be used.",
                {"cron": '"61" is out of range for minute (0-59)'},
            )
        key = (account["account_id"], request.headers["idempotency-key"])
        if key in self.created_by_key:
            return success(self.created_by_key[key])
        cronjob_id = str(uuid4())
        secret = form.pop("sns_secret_access_key", None)
        if secret is not None:
            self.secrets[cronjob_id] = secret
        job = {
            "account_id": account["account_id"],
            "cronjob_id": cronjob_id,
            "deleted": False,
            "created_at": "2026-11-24T08:00:00Z",
            "updated_at": "2026-11-24T08:00:00Z",
            "version": 1,
            "state": "active",
            "next_fire_at": "2026-11-24T08:05:00Z",
            "catch_up": "latest",
            "misfire_grace": "24h",
            "delivery_type": "sns",
            **form,
        }
        self.cronjobs[cronjob_id] = self.created_by_key[key] = job
        return success(job)

    def _page(self, items: list[dict[str, Any]], request: Received) -> Answer:
        start = int(request.query.get("cursor", "0"))
        end = start + int(request.query.get("limit", self.page_size))
        beside = {"next_cursor": str(end)} if end < len(items) else {}
        shown = [dict(item) for item in items[start:end]]
        return success(shown, **beside)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    stand_in: ClassVar[StandIn]

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        received = Received(
            self.command,
            self.path,
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(length),
        )
        answer = self.stand_in.answer(received)
        if answer.cut:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        raw = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
        self.wfile.flush()  # head and body leave together: apart, each answer waits for a delayed ACK

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, handler: type[_Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.open: set[socket.socket] = set()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.open.discard(request)

    def hang_up(self) -> None:
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was faster


@contextmanager
def running_stand_in() -> Iterator[StandIn]:
    stand_in = StandIn()
    server = _Server(type("Handler", (_Handler,), {"stand_in": stand_in}))
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()


def unused_url() -> str:
    """An address on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"
