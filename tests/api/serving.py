"""The API on real sockets, inside this process, and a client that shares no code with the server.

Invariant: a server runs in a thread with an event loop of its own and is gone when its block ends.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import socket
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

import uvicorn
import uvloop
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from cronally.api import create_app, protocol_of
from cronally.operations import Operations
from cronally.store import Store, open_store
from cronally.targets.build import build_targets
from tests.support import factories

T = TypeVar("T")


@dataclass
class Api:
    """A running server."""

    port: int
    app: FastAPI
    store: Store
    operations: Operations
    registry: CollectorRegistry
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


@contextlib.contextmanager
def serving(
    database_url: str, *, operations: Mapping[str, Any] | None = None, **settings: Any
) -> Iterator[Api]:
    """Serve the API on a free port for the length of the block.

    :param operations: arguments of `Operations`
    :param settings: arguments of `create_app`; by default it answers to the name `x`, which bare requests send
    """
    ready: Future[Api] = Future()
    stop = threading.Event()
    thread = threading.Thread(
        target=_run, args=(database_url, dict(operations or {}), settings, ready, stop), name="api"
    )
    thread.start()
    try:
        yield ready.result(30)
    finally:
        stop.set()
        if ready.done() and not ready.exception():
            ready.result().loop.call_soon_threadsafe(lambda: None)
        thread.join(30)


def _run(
    url: str, limits: dict[str, Any], settings: dict[str, Any], ready: Future[Api], stop: threading.Event
) -> None:
    async def serve() -> None:
        store = await open_store(url)
        targets = build_targets()
        operations = Operations(store, factories.vault(), targets, **limits)
        registry = CollectorRegistry()
        app = create_app(operations, registry=registry, **{"hosts": ["x"], **settings})
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            http=protocol_of(app),
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_keep_alive=2,
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listening])
        ready.set_result(
            Api(listening.getsockname()[1], app, store, operations, registry, asyncio.get_running_loop())
        )
        await asyncio.get_running_loop().run_in_executor(None, stop.wait)
        await server.shutdown(sockets=[listening])
        for target in targets.values():
            await target.close()
        await store.close()

    try:
        uvloop.run(serve())
    except BaseException as problem:
        if ready.done():
            raise
        ready.set_exception(problem)


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def response(self) -> Any:
        """What a success holds."""
        assert self.status == 200, self.body
        assert self.json["status"] == "success"
        return self.json["response"]

    @property
    def error(self) -> Any:
        """What an error holds, checked for the envelope."""
        assert self.json["status"] == "error"
        assert self.json["error"].keys() >= {"code", "message", "fields"}
        return self.json["error"]

    @property
    def fields(self) -> dict[str, str]:
        fields: dict[str, str] = self.error["fields"]
        return fields


def now_date(minutes: int = 0) -> str:
    return time.strftime("%Y%m%d%H%M", time.gmtime(time.time() + 60 * minutes))


def signature(secret: str, path: str, method: str, date: str) -> str:
    """The reference's recipe, word for word."""
    string_to_sign = path + method + date
    digest = hmac.new(base64.b64decode(secret), string_to_sign.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


@dataclass
class Client:
    """A tenant at the wire."""

    api: Api
    api_key: str = ""
    api_secret: str = field(default="", repr=False)
    account_id: str = ""

    def headers(self, method: str, path: str, date: str | None = None) -> dict[str, str]:
        """The three headers."""
        date = date or now_date()
        bare = path.partition("?")[0]
        return {
            "X-Cron-Key": self.api_key,
            "X-Cron-Date": date,
            "X-Cron-Signature": signature(self.api_secret, bare, method, date),
        }

    def ask(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str] | None = None,
        *,
        json_body: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        signed: bool = True,
    ) -> Answer:
        """One request on a connection of its own.

        :param parameters: sent as a form
        """
        sent = dict(headers or {})
        if parameters is not None:
            body = urlencode(parameters).encode()
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif json_body is not None:
            body = json.dumps(json_body).encode()
            sent.setdefault("Content-Type", "application/json")
        if signed and self.api_key:
            sent = {**self.headers(method, path), **sent}
        return ask(self.api, method, path, body, sent)


def ask(api: Api, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
    """One request, as given."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def sign_up(api: Api, email: str) -> Client:
    """A tenant with an account, made over the wire."""
    account = Client(api).ask("POST", "/account/", {"email": email}).response
    return Client(api, account["api_key"], account["api_secret"], account["account_id"])
