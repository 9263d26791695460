"""The composition root: the only file that knows every part, and puts them together as the settings say.

Invariant: a part starts only when what it stands on is there (settings, database, sealing keys, targets, loops, and
the API last), and they stop in the opposite order, within the grace period.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import uvloop
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from cronally import __version__, api, errors
from cronally.api import hosts
from cronally.clock import zones
from cronally.engine import failpoints, shares, window
from cronally.engine.admission import Limits
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.janitor import Janitor
from cronally.engine.loop import Loop
from cronally.engine.metrics import Metrics
from cronally.engine.scheduler import Scheduler
from cronally.instants import SECOND
from cronally.operations import Operations
from cronally.role import Role
from cronally.server import keys as sealing
from cronally.server.api_thread import SWITCH_INTERVAL, ApiThread
from cronally.server.descriptors import raise_limit
from cronally.server.logs import start_logging
from cronally.server.memory import LOOK, SHARE, Memory, cgroup_limit, resident
from cronally.server.parts import Part, Supervisor
from cronally.server.settings import Settings, read_settings
from cronally.store import Store, open_store, parse_url, readable, zonedata
from cronally.targets.build import build_targets
from cronally.targets.target import Target
from cronally.vault import Vault

POLL: Final = 1.0
"""Seconds after which a loop looks for work without being woken."""
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
        store = await _open_store(read_settings(roles=[Role.SCHEDULER]))
        await store.close()

    uvloop.run(work())


def rekey() -> int:
    """Seal every secret with the first sealing key; return how many were sealed anew."""

    async def work() -> int:
        async with _database(read_settings(roles=[Role.SCHEDULER])) as (store, vault):
            return await sealing.rekey(store, vault)

    return uvloop.run(work())


async def _serve(settings: Settings) -> int:
    clients = settings.connections if Role.API in settings.roles else 0
    raise_limit(clients, settings.in_flight, settings.database_pool_size)
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    memory = Memory(_memory_limit(settings), registry)
    async with _database(settings) as (store, vault), _targets(settings) as targets:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, _on_signal, stop)
        node = uuid4().hex
        await _record_zone_data(store)
        # Before anything fires: a server whose address is taken does not start at all.
        listening = _listen(settings.host, settings.port) if Role.API in settings.roles else None
        engine = _engine(settings, store, vault, targets, node, metrics)
        parts = [Part(loop.name, loop.run, loop.stop) for loop in engine.loops]
        if listening is not None:
            watch = Loop("memory", memory.step, poll=LOOK)
            parts.append(Part(watch.name, watch.run, watch.stop))
            thread = _api_thread(settings, store, vault, targets, listening, node, memory, registry)
            parts.append(Part(Role.API, thread.run, thread.stop))
            sys.setswitchinterval(SWITCH_INTERVAL)
        supervisor = Supervisor(parts, registry)
        supervisor.start()
        if listening is not None:
            answers_to = {"signup": settings.signup, "hosts": _names(settings)}
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
        # A step that asks a database from which no answer comes would wait for as long as TCP does.
        await supervisor.stop(settings.shutdown_grace / SECOND + LAST_STEP)
        if engine.dispatcher is not None:
            await engine.dispatcher.stop(settings.shutdown_grace / SECOND)
        if listening is not None:
            listening.close()
        _log.info("stopped")
        return 0


async def _record_zone_data(store: Store) -> None:
    """Answer from these zone data as long as the process lives, and let the other nodes know which they are."""
    zones.hold()
    now = await store.clock()
    await store.transact(lambda connection: zonedata.record_version(connection, zones.version(), now))


@dataclass(slots=True)
class _Engine:
    """What repeats in this process."""

    loops: list[Loop]
    scheduler: Scheduler | None
    dispatcher: Dispatcher | None
    janitor: Janitor | None


def _engine(
    settings: Settings,
    store: Store,
    vault: Vault,
    targets: Mapping[str, Target],
    node: str,
    metrics: Metrics,
) -> _Engine:
    engine = _Engine([], None, None, None)
    if Role.SCHEDULER in settings.roles:
        engine.scheduler = Scheduler(store, node=node, on_time=settings.on_time, observe=metrics.observe_tick)
        engine.janitor = Janitor(store, retention=settings.retention)
        metrics.watch_janitor(engine.janitor.done)
        engine.loops += [
            Loop(Role.SCHEDULER, engine.scheduler.step, poll=POLL, wake=engine.scheduler.wake),
            Loop("janitor", engine.janitor.step, poll=60.0),
        ]
    if Role.DISPATCHER in settings.roles:
        limits = Limits(
            settings.in_flight,
            settings.in_flight_per_account,
            settings.lease / SECOND,
            first=shares.FIRST,
            window=window.FIRST,
            reserve=settings.in_flight // 4,
            in_flight_per_host=settings.in_flight_per_host,
            per_second_per_host=settings.requests_per_second_per_host,
        )
        engine.dispatcher = dispatcher = Dispatcher(
            store, vault, targets, limits, observe=metrics.observe_records, opened=metrics.count_opened
        )
        metrics.watch_in_flight(lambda: dispatcher.in_flight)
        metrics.watch_circuits(lambda: dispatcher.admission.circuits.open_count)
        engine.loops.append(
            Loop(Role.DISPATCHER, engine.dispatcher.step, poll=POLL, wake=engine.dispatcher.wake)
        )
    return engine


def _api_thread(
    settings: Settings,
    store: Store,
    vault: Vault,
    targets: Mapping[str, Target],
    listening: socket.socket,
    node: str,
    memory: Memory,
    registry: CollectorRegistry,
) -> ApiThread:
    token = settings.signup_token.get_secret_value() if settings.signup_token else ""

    counters = CollectorRegistry()

    def make_app(store: Store, clock: Callable[[], int]) -> FastAPI:
        # A thread that is started again counts from 0 again.
        nonlocal counters
        registry.unregister(counters)
        counters = CollectorRegistry()
        registry.register(counters)
        operations = Operations(
            store,
            vault,
            targets,
            max_cronjobs=settings.max_cronjobs_per_account,
            max_bytes=settings.max_bytes_per_account,
            signups_per_minute=settings.signups_per_minute,
            min_interval=settings.min_interval,
            retention=settings.retention,
        )
        return api.create_app(
            operations,
            signup=api.Signup(settings.signup or "closed", token),
            signature_skew=settings.signature_skew,
            trusted_proxies=settings.trusted_proxies,
            previews_per_minute=settings.previews_per_minute,
            requests_per_minute=settings.requests_per_minute,
            request_seconds_per_minute=settings.request_seconds_per_minute,
            connections=settings.connections,
            connections_per_address=settings.connections_per_address,
            give_way=store.give_way,
            hosts=_names(settings),
            is_short=lambda: memory.is_short,
            clock=clock,
            registry=counters,
            shown=registry,
        )

    registry.register(counters)
    return ApiThread(
        store,
        listening,
        make_app,
        node=node,
        pool_size=_pool_of_requests(settings),
        grace=settings.shutdown_grace / SECOND,
    )


def _pool_of_requests(settings: Settings) -> int:
    """How many of the process's database connections are for requests: half, or all that the start does not need."""
    size = settings.database_pool_size
    if Role.API not in settings.roles:
        return 0
    return size - 1 if settings.roles == {Role.API} else size // 2


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[tuple[Store, Vault]]:
    """The store and the vault whose keys belong to it."""
    url = parse_url(settings.database_url.get_secret_value())
    keys = settings.sealing_keys.get_secret_value() if settings.sealing_keys else None
    if keys is None and url.get_backend_name() != "sqlite":
        raise errors.SettingsError(
            "CRONALLY_SEALING_KEYS: required on PostgreSQL, the same on every node. Make one with:"
            " python3 -c \"import base64, os; print('k1:' + base64.b64encode(os.urandom(32)).decode())\""
        )
    store = await _open_store(settings)
    try:
        if keys is None:
            keys = await sealing.own_keys(store, Path(f"{url.database}.keys"))
        vault = sealing.open_vault(keys)
        await sealing.check(store, vault)
        yield store, vault
    finally:
        await store.close()


async def _open_store(settings: Settings) -> Store:
    url = settings.database_url.get_secret_value()
    return await open_store(url, pool_size=settings.database_pool_size - _pool_of_requests(settings))


@contextlib.asynccontextmanager
async def _targets(settings: Settings) -> AsyncIterator[Mapping[str, Target]]:
    timeout = settings.request_timeout / SECOND
    try:
        targets = build_targets(
            sns_endpoint=settings.aws_endpoint_url_sns,
            connect_timeout=min(5.0, timeout),
            total_timeout=timeout,
            connections=settings.in_flight,
            allowed_networks=[str(network) for network in settings.http_allowed_networks],
        )
    except ValueError as problem:
        raise errors.SettingsError(str(problem)) from problem
    try:
        yield targets
    finally:
        for target in targets.values():
            await target.close()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `errors.SettingsError` when the address cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as problem:
        raise errors.SettingsError(
            f"Cannot listen on {host} port {port}: {problem.strerror}. Choose another with --host and --port."
        ) from problem


def _memory_limit(settings: Settings) -> int | None:
    """The bytes above which requests are refused. Raises `errors.SettingsError` for fewer than are held already."""
    held, limit = resident(), settings.memory_limit
    if limit is None:
        group = cgroup_limit()
        return None if group is None else int(group * SHARE)
    if limit == 0:
        return None
    if held is None:
        _log.warning(
            "this system does not tell what memory the process holds: CRONALLY_MEMORY_LIMIT has no effect"
        )
    elif limit <= held:
        raise errors.SettingsError(
            f"CRONALLY_MEMORY_LIMIT: the process holds {held >> 20} MiB before it has done anything; give it more, or"
            " 0 for no limit"
        )
    return limit


def _names(settings: Settings) -> list[str]:
    """The names that the server answers to besides `localhost` and addresses."""
    try:
        listening = hosts.read_host(settings.host)
    except ValueError:  # an IPv6 address without brackets, or every address
        return settings.hosts
    return settings.hosts if hosts.is_address(listening) else [*settings.hosts, listening]


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
    wanted = os.environ.get("CRONALLY_CRASH_AT")
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
        raise errors.SettingsError(f"CRONALLY_CRASH_AT: {problem}") from None
