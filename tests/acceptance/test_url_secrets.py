"""Secrets in a target's URL leave only towards that target: a canary in every part of it, then a search as in
`test_secrets`.

The receivers repeat all that they were sent, in every place that an answer has; others cannot be reached, for every
reason that there is.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import secrets
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final

from tests.acceptance.hosted_client import HostedClient
from tests.acceptance.nodes import EVERYTHING, Cluster
from tests.acceptance.test_secrets import DEBUG, database_bytes, find, raw_get, run_cli
from tests.support.sampling import first

REACHED: Final = ("good", "error", "redirect", "unauthorized", "cut", "garbage")
"""What receivers do. Each has an address of its own: what limits count by host, none takes from another."""
NOT_REACHED: Final = ("refused", "unknown", "plain")


class Receiver(http.server.BaseHTTPRequestHandler):
    """Does what the first segment of the path says, and repeats what it was sent."""

    got: Final[dict[str, tuple[str, str]]] = {}
    """Path and Authorization of the last request by what was asked for."""

    def do_POST(self) -> None:
        kind = self.path.split("/")[1]
        authorization = self.headers.get("Authorization", "")
        self.got[kind] = self.path, authorization
        self.close_connection = True
        echo = f"{self.path} {authorization} {base64.b64decode(authorization[6:]).decode()}"
        if kind == "cut":
            return
        if kind == "garbage":
            self.wfile.write(f"{echo}\r\n\r\n".encode())
            return
        status = {"good": 200, "error": 500, "redirect": 302, "unauthorized": 401}[kind]
        self.send_response(status, echo)
        self.send_header("Location", f"http://127.0.0.1{self.path}")
        self.send_header("Retry-After", echo[:40])
        self.send_header("X-Echo", echo)
        self.send_header("Content-Length", str(len(echo)))
        self.end_headers()
        self.wfile.write(echo.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """What is written to stderr would be found in the log of the test, not of the server."""


@contextlib.contextmanager
def receivers() -> Iterator[dict[str, str]]:
    """The host and port of each receiver."""
    Receiver.got.clear()
    with contextlib.ExitStack() as stack:
        places = {"unknown": "canary.invalid", "refused": "127.0.0.40:9"}
        for number, kind in enumerate((*REACHED, "plain"), start=50):
            server = http.server.ThreadingHTTPServer((f"127.0.0.{number}", 0), Receiver)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            places[kind] = f"127.0.0.{number}:{server.server_port}"
        closed = stack.enter_context(socket.socket())  # bound, and never listened on
        closed.bind(("127.0.0.40", 0))
        places["refused"] = f"127.0.0.40:{closed.getsockname()[1]}"
        yield places


@first("sqlite")
def test_secrets_of_a_url__are_nowhere_after_every_kind_of_failure(cluster: Cluster) -> None:
    names = ("user", "password", "segment", "token", "marked", "nested", "replaced")
    canary = {name: f"canary{secrets.token_hex(12)}" for name in names}
    query = (
        f"token={canary['token']}&chat={canary['marked']}"
        f"&next=https%3A%2F%2Fx%3A{canary['nested']}%40b.example%2F&open=yes"
    )
    settings = {**DEBUG, "CRONALLY_SIGNUP": "open", "CRONALLY_MIN_INTERVAL": "1s"}
    settings |= {"CRONALLY_HTTP_ALLOWED_NETWORKS": "127.0.0.0/8"}
    cronjobs = {}
    with receivers() as places, cluster.node(roles=EVERYTHING, settings=settings) as node:
        client = HostedClient(node.wait_until_started().url)
        client.create_account("canary@example.com")
        client.answers.clear()
        for kind, place in places.items():
            scheme = "https" if kind == "plain" else "http"
            url = f"{scheme}://{canary['user']}:{canary['password']}@{place}/{kind}/token/{canary['segment']}?{query}"
            made = client.add_cronjob(
                name=kind,
                cron="* * * * * *",
                delivery_type="http",
                delivery_http_method="post",
                delivery_http_url=url,
                delivery_http_secret_parts="chat",
            )["response"]
            assert made["delivery_http_url"].endswith("token=***&chat=***&next=***&open=yes")
            cronjobs[made["cronjob_id"]] = kind

        answered: set[str] = set()

        def all_answered() -> bool:
            """Whether the ledger has an attempt of each, which came to an end."""
            for one, kind in cronjobs.items():
                path = f"/cronjob/{one}/firings/"
                status, page = client.send(
                    "GET", f"{path}?attempts=true&limit=20", headers=client.signature("GET", path)
                )
                assert status == 200
                if any(firing["attempts"] for firing in page["response"]):
                    answered.add(kind)
            return answered == set(places)

        verified = set()
        for one, kind in cronjobs.items():
            path = f"/cronjob/{one}/verify/"
            status, found = client.send("POST", path, headers=client.signature("POST", path))
            assert status == 200
            assert found["response"]["delivered"] is (kind == "good"), found
            verified.add(found["response"]["detail"])
        assert {"HTTP 500", "HTTP 401", None} <= verified
        node.process.wait_until(all_answered)
        wrong_requests(client, next(iter(cronjobs)), canary)
        printed = run_cli(
            client,
            cluster.folder,
            ["list"],
            ["list", "--json"],
            ["show", next(iter(cronjobs))],
            ["account", "--json"],
            ["firings", next(iter(cronjobs))],
            ["why", next(iter(cronjobs)), "now"],
            ["update", next(iter(cronjobs)), "--delivery-http-secret-parts", "open"],
            [
                *ADD,
                "--delivery-http-url",
                f"https://x:{canary['password']}@127.0.0.1:25/?token={canary['token']}",
            ],
            [*ADD, "--delivery-http-url", f"https://example.com/?token={canary['token']}#top"],
            ["delete", "--yes", next(iter(cronjobs))],
        )
        replaced = {"delivery_http_url": f"https://{canary['replaced']}@canary.invalid/"}
        client.signed("PATCH", f"/cronjob/{list(cronjobs)[1]}/", replaced)
        client.signed(
            "PATCH", f"/cronjob/{list(cronjobs)[1]}/", {"delivery_http_url": "https://canary.invalid/"}
        )
        metrics = raw_get(client, "/metrics")
        node.stop()

    for kind in REACHED:
        path, authorization = Receiver.got[kind]
        assert path == f"/{kind}/token/{canary['segment']}?{query}", (
            "it did leave, byte for byte as it was given"
        )
        given = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        assert given == f"{canary['user']}:{canary['password']}"
    places_searched = {
        **{f"the log {path.name}": path.read_bytes() for path in cluster.folder.glob("*.log")},
        "an answer": b"\n".join(client.answers),
        "what the CLI printed": printed,
        "/metrics": metrics,
        "the database": database_bytes(cluster.url),
    }
    assert len(places_searched) >= 5
    assert b"***" in places_searched["the database"]
    assert b"not sent" in places_searched["an answer"], "attempts say what happened"
    assert b"HTTP 500" in places_searched["an answer"]
    canary["both"] = f"{canary['user']}:{canary['password']}"
    for name, secret in canary.items():
        for where, content in places_searched.items():
            find(secret.encode(), name, content, where)


ADD: Final = ["add", "--name", "x", "--cron", "0 8 * * *", "--delivery-http-method", "get"]


def wrong_requests(client: HostedClient, cronjob_id: str, canary: dict[str, str]) -> None:
    """Requests that are refused, with secrets in them."""
    good = {"name": "x", "cron": "0 8 * * *", "delivery_type": "http", "delivery_http_method": "get"}
    token, password = canary["token"], canary["password"]
    for url in (
        f"https://example.com/?token={token}#{password}",
        f"https://example.com:25/?token={token}",
        f"https://user:{password}@127.1/",
        f"https://user:{password}@{token}@example.com/",
        f"https://user:{password}",
        f"{token}",
        f"https://***@example.com/?token={token}",
        f"https://example.com/?token={token * 200}",
    ):
        for method, path, parameters in (
            ("POST", "/cronjob/", {**good, "delivery_http_url": url}),
            ("PATCH", f"/cronjob/{cronjob_id}/", {"delivery_http_url": url}),
        ):
            assert client.send(method, path, parameters, client.signature(method, path))[0] == 400
    marks = {**good, "delivery_http_url": "https://example.com/", "delivery_http_secret_parts": token}
    swapped = {"delivery_http_method": token, "name": "x"}
    for parameters in (marks, {**good, **swapped}):
        status, _ = client.send("POST", "/cronjob/", parameters, client.signature("POST", "/cronjob/"))
        assert status == 400
    shown = client.signed("GET", f"/cronjob/{cronjob_id}/")["response"]["delivery_http_url"]
    moved = {
        "delivery_http_url": shown.replace("@127.0.0", "@127.0.1").replace("canary.invalid", "b.invalid")
    }
    path = f"/cronjob/{cronjob_id}/"
    status, answer = client.send("PATCH", path, moved, client.signature("PATCH", path))
    assert (status, list(answer["error"]["fields"])) == (400, ["delivery_http_url"])
