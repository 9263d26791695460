"""The API's server: the application as the settings say, its connections, and its heartbeat.

Invariant: it runs where it is put (a thread, a process of its own, the event loop of a node without an engine), and
needs to know nothing of that.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from types import FrameType
from typing import Any, Final, cast
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from cronally import api, errors
from cronally.api import hosts
from cronally.api.app import machine_clock
from cronally.api.connections import Connections
from cronally.api.refused import RefusedRequests
from cronally.engine.loop import Loop
from cronally.instants import SECOND
from cronally.role import Role
from cronally.server.acceptor import Acceptor
from cronally.server.resources import make_operations
from cronally.server.settings import Settings
from cronally.store import Store
from cronally.store.heartbeats import record_heartbeat
from cronally.targets.target import Target
from cronally.vault import Vault

BEAT: Final = 10.0
"""Seconds between two heartbeats, each of which asks the database's clock."""


class ApiServer:
    """Serves the API on one listening socket, in the event loop that runs it."""

    def __init__(
        self,
        store: Store,
        listening: socket.socket,
        make_app: Callable[[Store, Mapping[str, Target]], FastAPI],
        open_targets: Callable[[], contextlib.AbstractAsyncContextManager[Mapping[str, Target]]],
        *,
        node: str,
        grace: float,
        beats: bool = True,
    ) -> None:
        """
        :param listening: stays open when `run` ends, so that it can be run again
        :param make_app: called once a run: an application that is made anew counts from 0 again
        :param open_targets: opens, for a run, the targets that its requests are for: they belong to its event loop
        :param node: a name of this process that no other one has, for its heartbeat
        :param grace: seconds that requests get to end when the server stops
        :param beats: whether it writes heartbeats: it serves the API
        """
        self._beats = beats
        self._store = store
        self._listening = listening
        self._make_app = make_app
        self._open_targets = open_targets
        self._node = node
        self._grace = grace
        self._started_at: int | None = None
        self._server: _Server | None = None
        self._stopping = False

    async def run(self) -> None:
        """Serve until `stop`."""
        beats = Loop("api heartbeat", self._beat, poll=BEAT)
        beating = asyncio.create_task(beats.run(), name=beats.name)
        try:
            async with self._open_targets() as targets:
                await self._serve(self._make_app(self._store, targets))
        finally:
            self._server = None
            beats.stop()
            await beating

    async def _serve(self, app: FastAPI) -> None:
        self._server = _Server(
            uvicorn.Config(
                app,
                http=api.protocol_of(app),
                loop="none",
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                # Whose X-Forwarded-For is believed is the API's own, stricter rule.
                proxy_headers=False,
                timeout_graceful_shutdown=max(1, int(self._grace)),
            ),
            app.state.connections,
        )
        # Stopped meanwhile: the server looks at it before it waits.
        self._server.should_exit = self._stopping
        refused: RefusedRequests = app.state.refused
        writes = Loop("api refusals", refused.flush, poll=BEAT)
        writing = asyncio.create_task(writes.run(), name=writes.name)
        try:
            await self._server.serve(sockets=[self._listening.dup()])
        finally:
            writes.stop()
            await writing
            with contextlib.suppress(errors.Unavailable):
                await refused.flush(all_of_it=True)

    def stop(self) -> None:
        """Accept nothing more, let the requests end, and end `run`. Call it from any thread."""
        self._stopping = True
        if self._server is not None:
            self._server.should_exit = True

    async def _beat(self) -> None:
        """Write that this process serves the API: should that fail, `/readyz` tells why."""
        now = await self._store.clock()
        started_at = self._started_at = self._started_at or now
        if not self._beats:
            return
        await self._store.transact(
            lambda connection: record_heartbeat(connection, self._node, Role.API, started_at, now)
        )


class _Server(uvicorn.Server):
    """Uvicorn, but the signals are the composition root's, and connections are accepted by `Acceptor`."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        make_protocol: Callable[[], asyncio.Protocol] = partial(
            cast("Any", self.config.http_protocol_class),
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        self.servers = [
            Acceptor(  # type: ignore[misc]
                listening, make_protocol, self._connections.not_accepted, self._connections.blocked
            )
            for listening in sockets or ()
        ]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True


def make_app(
    settings: Settings,
    vault: Vault,
    is_short: Callable[[], bool],
    shown: Callable[[], Awaitable[bytes]],
    store: Store,
    targets: Mapping[str, Target],
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """The application that the settings ask for: the API, or a node's health where it has another role.

    :param is_short: whether the process is short of memory
    :param shown: what `/metrics` shows besides what the application counts
    :param registry: what the application counts is added to it; to one of its own by default
    """
    token = settings.signup_token.get_secret_value() if settings.signup_token else ""
    return api.create_app(
        make_operations(settings, store, vault, targets),
        signup=api.Signup(settings.signup or "closed", token),
        signature_skew=settings.signature_skew,
        trusted_proxies=settings.trusted_proxies,
        previews_per_minute=settings.previews_per_minute,
        acks_per_minute=settings.acks_per_minute,
        requests_per_minute=settings.requests_per_minute,
        request_seconds_per_minute=settings.request_seconds_per_minute,
        connections=settings.connections,
        connections_per_address=settings.connections_per_address,
        give_way=store.give_way,
        hosts=names(settings),
        is_short=is_short,
        clock=lambda: store.timekeeper.time() or machine_clock(),
        registry=registry,
        shown=shown,
        only_health=Role.API not in settings.roles,
    )


def grace(settings: Settings) -> float:
    """Seconds that requests get to end."""
    return settings.shutdown_grace / SECOND


def names(settings: Settings) -> list[str]:
    """The names that the server answers to besides `localhost` and addresses."""
    own = [] if settings.public_url is None else [hosts.read_host(urlsplit(settings.public_url).netloc)]
    with contextlib.suppress(ValueError):  # an IPv6 address without brackets, or every address
        own.append(hosts.read_host(settings.host))
    return [*settings.hosts, *(one for one in own if not hosts.is_address(one))]
