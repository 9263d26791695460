"""The composition root: the only file that knows every part, and puts them together as the settings say.

Invariant: a part starts only when what it stands on is there (settings, database, sealing keys, targets, loops, and
the API last), and they stop in the opposite order, within the grace period.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final
from uuid import uuid4

import uvloop
from prometheus_client import CollectorRegistry, generate_latest

from cronally import __version__, errors, failpoints
from cronally.clock import zones
from cronally.engine.alerting import Alerting
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.loop import Loop
from cronally.instants import SECOND
from cronally.role import Role
from cronally.server import keys as sealing
from cronally.server.api_process import ApiProcess, Order
from cronally.server.api_server import ApiServer, grace, make_app, names
from cronally.server.api_thread import SWITCH_INTERVAL, ApiThread
from cronally.server.descriptors import raise_limit
from cronally.server.engine import make_engine
from cronally.server.environment import read_settings
from cronally.server.logs import start_logging
from cronally.server.memory import LOOK, Memory, choose_limit
from cronally.server.parts import Part, Supervisor
from cronally.server.resources import is_sqlite, open_database, open_targets, record_zone_data
from cronally.server.settings import Settings
from cronally.store import Store, open_store, parse_url, readable
from cronally.store.sqlite import SqliteStore
from cronally.variables import FAILPOINT
from cronally.vault import Vault

_BACKLOG: Final = 2048
"""Connections that wait until they are accepted."""
LAST_STEP: Final = 1.0
"""Seconds beyond the grace period that a loop gets for the step it is in, and the API for its last answers."""

_log = logging.getLogger(__name__)


def serve(host: str | None = None, port: int | None = None, roles: Iterable[str] | None = None) -> int:
    """Run the server until SIGTERM or SIGINT; return the exit code.

    Raises `errors.CronallyError` with what to do when it cannot start.
    """
    settings = read_settings(host=host, port=port, roles=None if roles is None else list(roles))
    _arm_failpoint()
    listener = start_logging(settings.log_level, settings.log_format)
    try:
        return uvloop.run(_serve(settings))
    finally:
        listener.stop()


def migrate() -> None:
    """Bring the database to this version's tables."""

    async def work() -> None:
        store = await open_store(read_settings(roles=[Role.SCHEDULER]).database_url.get_secret_value())
        await store.close()

    uvloop.run(work())


def rekey() -> int:
    """Seal every secret with the first sealing key; return how many were sealed anew."""

    async def work() -> int:
        async with open_database(read_settings(roles=[Role.SCHEDULER])) as (store, vault):
            return await sealing.rekey(store, vault)

    return uvloop.run(work())


async def _serve(settings: Settings) -> int:
    serves = Role.API in settings.roles
    in_flight = settings.in_flight + settings.long_in_flight
    raise_limit(settings.connections if serves else 0, in_flight, settings.database_pool_size)
    apart = serves and settings.roles != {Role.API} and not is_sqlite(settings)
    of_api = settings.database_pool_size // 2 if apart else 0
    registry = CollectorRegistry()
    memory_limit = choose_limit(settings.memory_limit, 2 if apart else 1) if serves else None
    port = settings.port if serves else settings.health_port
    async with (
        # Before anything else is touched: a server whose address is taken leaves no trace.
        _bound(settings.host, port) as listening,
        open_database(settings, settings.database_pool_size - of_api) as (store, vault),
        open_targets(settings) as targets,
    ):
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, _on_signal, stop)
        await record_zone_data(store)
        if listening is not None:
            _listen(listening)
        node = uuid4().hex
        engine = make_engine(settings, store, vault, targets, node, registry)
        parts = [Part(loop.name, loop.run, loop.stop) for loop in engine.loops]
        if listening is not None:
            order = Order(settings, node, listening.fileno(), of_api, memory_limit, zones.version())
            if apart:
                process = ApiProcess(order, lambda: generate_latest(registry))
                parts.append(Part(Role.API, process.run, process.stop))
            else:
                parts += _api_here(order, listening, store, vault, registry)
        supervisor = Supervisor(parts, registry)
        supervisor.start()
        if listening is not None:
            answers_to = {"signup": settings.signup, "hosts": names(settings)}
            _log.info("listening", extra={"url": _url_of(listening), **answers_to})
        _log.info(
            "started",
            extra={
                "version": __version__,
                "node": node,
                "roles": sorted(role.value for role in settings.roles),
                "database": readable(parse_url(settings.database_url.get_secret_value())),
            },
        )
        # What was made so far lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        # Sends make many objects and no cycles. Collecting after every 700 of them, as is the default, took a fifth
        # of the CPU time of a firing in the storm.
        gc.set_threshold(50_000, 20, 20)
        await stop.wait()
        _log.info("stopping", extra={"in_flight": engine.dispatcher.in_flight if engine.dispatcher else 0})
        await stop_within(settings.shutdown_grace / SECOND, supervisor, engine.dispatcher, engine.alerting)
        if listening is not None:
            listening.close()
        _log.info("stopped")
        return 0


async def stop_within(
    grace: float, supervisor: Supervisor, dispatcher: Dispatcher | None, alerting: Alerting | None = None
) -> None:
    """Stop the parts, and then what is being sent. The seconds of grace are for both together."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + grace
    # A step that asks a database from which no answer comes would wait for as long as TCP does.
    await supervisor.stop(grace + LAST_STEP)
    if alerting is not None:
        await alerting.stop(max(0.0, ends_at - loop.time()))
    if dispatcher is not None:
        await dispatcher.stop(max(0.0, ends_at - loop.time()))


def _api_here(
    order: Order,
    listening: socket.socket,
    store: Store,
    vault: Vault,
    registry: CollectorRegistry,
) -> list[Part]:
    """The API in this process: in a thread beside an engine that needs the same file, or alone.

    Of a node without the role `api` it is its health alone.
    """
    settings = order.settings

    async def shown() -> bytes:
        return generate_latest(registry)

    def make_server(store: Store) -> ApiServer:
        app_of = partial(make_app, settings, vault, lambda: memory.is_short, shown)
        return ApiServer(
            store,
            listening,
            app_of,
            partial(open_targets, settings),
            node=order.node,
            grace=grace(settings),
            beats=Role.API in settings.roles,
        )

    memory = Memory(order.memory_limit, registry)
    watch = Loop("memory", memory.step, poll=LOOK)
    api: ApiThread | ApiServer
    if isinstance(store, SqliteStore):
        sys.setswitchinterval(SWITCH_INTERVAL)
        api = ApiThread(store, make_server)
    else:
        api = make_server(store)
    return [Part(watch.name, watch.run, watch.stop), Part(Role.API, api.run, api.stop)]


@asynccontextmanager
async def _bound(host: str, port: int | None) -> AsyncIterator[socket.socket | None]:
    """A socket that has an address and does not listen yet: until the database is there, connections are refused.

    Raises `errors.SettingsError` when the address cannot be had.
    """
    if port is None:
        yield None
        return
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as problem:
        raise _no_address(host, port, problem) from problem
    with socket.socket(family, kind, protocol) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            bound.bind(address)
        except OSError as problem:
            raise _no_address(host, port, problem) from problem
        yield bound


def _listen(bound: socket.socket) -> None:
    """Listen. Raises `errors.SettingsError` when another server that was started with this one was first."""
    try:
        bound.listen(_BACKLOG)
    except OSError as problem:
        host, port = bound.getsockname()[:2]
        raise _no_address(host, port, problem) from problem


def _no_address(host: str, port: int, problem: OSError) -> errors.SettingsError:
    return errors.SettingsError(
        f"Cannot listen on {host} port {port}: {problem.strerror}. Choose another with --host and --port."
    )


def _url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        # The second signal asks to stop at once. Leases end by themselves.
        os._exit(130)
    stop.set()


def _arm_failpoint() -> None:
    """`CRONALLY_CRASH_AT=name[:n]` kills this process at the n-th time that a failpoint is reached: for tests."""
    wanted = os.environ.get(FAILPOINT)
    if not wanted:
        return
    point, _, times = wanted.partition(":")
    left = int(times or 1)

    def crash() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        failpoints.arm(point, crash)
    except ValueError as problem:
        raise errors.SettingsError(f"{FAILPOINT}: {problem}") from None
