"""`cronally doctor`: looks at all that a server stands on, and says of each part what to do.

Invariant: nothing that it does may hang: each look is made in a thread of its own, which is left behind when its time
is over. One look that fails keeps no other from being made. It changes nothing of accounts.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final
from urllib.parse import urlsplit

from cronally import errors
from cronally.contract.doctor import Diagnosis, Verdict
from cronally.instants import MINUTE, SECOND, format_duration
from cronally.role import Role
from cronally.server import admin
from cronally.server.descriptors import raise_limit
from cronally.server.environment import read_settings
from cronally.server.settings import Settings
from cronally.store import parse_url
from cronally.targets.proxy import parse_proxy

PATIENCE: Final = 8.0
"""Seconds that one look may take."""
_CONNECT: Final = 4.0
OFF_BY: Final = 1.0
WRONG_BY: Final = 30.0
"""Seconds by which a clock may be off before it is said, and before it is wrong."""
LATE: Final = MINUTE
STUCK: Final = 10 * MINUTE
"""How long a firing may be due before it is said, and before nobody sends."""
SILENT: Final = MINUTE
"""How long ago the last tick may be."""
LITTLE: Final = 1024**3
LEAST: Final = 100 * 1024**2
"""Bytes of the disk that are free."""
LONG: Final = 300.0
"""Seconds that a transaction may last."""
NTP_SERVER: Final = "pool.ntp.org"
_NTP_EPOCH: Final = 2_208_988_800
_AWS: Final = "https://sts.amazonaws.com"

Found = Sequence[Diagnosis]


def diagnose(ntp: str = NTP_SERVER) -> Iterator[Diagnosis]:
    """Look at everything; each part as soon as it was looked at.

    :param ntp: a server of NTP, `host` or `host:port`; empty: none is asked
    """
    try:
        settings = read_settings(roles=[Role.SCHEDULER])
    except errors.SettingsError as problem:
        yield _failed(
            "settings", problem.message, "Set the variables as they should be; the README lists them."
        )
        return
    yield _ok("settings", "All can be used.")
    looks: list[tuple[str, Callable[[], Found]]] = [
        ("descriptors", lambda: [_descriptors(settings)]),
        ("database", lambda: _database(settings)),
        ("aws", lambda: [_aws(settings)]),
    ]
    if ntp:
        looks.append(("ntp", lambda: [_ntp(ntp)]))
    waiting = [(name, _begin(look)) for name, look in looks]
    for name, answer in waiting:
        try:
            found = answer.get(timeout=PATIENCE)
        except Empty:
            yield _failed(
                name, f"It has not answered within {PATIENCE:.0f} s.", "See whether it can be reached."
            )
            continue
        if isinstance(found, BaseException):
            yield Diagnosis(
                check=name, verdict=Verdict.UNKNOWN, detail=f"It cannot be looked at: {type(found).__name__}."
            )
        else:
            yield from found


def _begin(look: Callable[[], Found]) -> SimpleQueue[Found | BaseException]:
    answer: SimpleQueue[Found | BaseException] = SimpleQueue()

    def work() -> None:
        try:
            answer.put(look())
        except BaseException as problem:
            answer.put(problem)

    threading.Thread(target=work, daemon=True).start()
    return answer


def _descriptors(settings: Settings) -> Diagnosis:
    try:
        raise_limit(
            settings.connections, settings.in_flight + settings.long_in_flight, settings.database_pool_size
        )
    except errors.SettingsError as problem:
        return _failed(
            "descriptors", problem.message, "Raise the limit, or lower the settings that it names."
        )
    return _ok("descriptors", "The process may open as many files as the settings may need.")


def _database(settings: Settings) -> Found:
    try:
        found = admin.run("examine")["response"]
    except errors.SealingError as problem:
        return [_failed("sealing keys", problem.message, "Without these keys no secret can be opened.")]
    except errors.SettingsError as problem:
        return [_failed("sealing keys", problem.message, "Give the keys that the servers have.")]
    except errors.CronallyError as problem:
        return [_failed("database", problem.message, "Nothing fires until it answers.")]
    known = [_ok("sealing keys", "They are those of this database.")]
    kind = _sqlite if found["kind"] == "sqlite" else _postgres
    return [*known, *kind(settings, found), _clock(found), *_engine(found)]


def _sqlite(settings: Settings, found: dict[str, Any]) -> Iterator[Diagnosis]:
    said = f"SQLite {found['version']}, {found['bytes'] >> 20:,} MiB, of them {found['free_bytes'] >> 20:,} free."
    if found["journal_mode"] != "wal" or found["synchronous"] < 2:
        yield _failed("database", f"{said} It does not write ahead durably.", "Report this: it is a defect.")
    else:
        yield _ok("database", said)
    folder = os.path.dirname(
        os.path.abspath(parse_url(settings.database_url.get_secret_value()).database or "")
    )
    free = shutil.disk_usage(folder).free
    said = f"{free >> 20:,} MiB are free in {folder}."
    if free < LITTLE:
        make = _failed if free < LEAST else _warning
        yield make("disk", said, "Make room: when it is full nothing fires, since nothing can be recorded.")
    else:
        yield _ok("disk", said)


def _postgres(_settings: Settings, found: dict[str, Any]) -> Iterator[Diagnosis]:
    said = f"PostgreSQL {found['version']}, {found['bytes'] >> 20:,} MiB."
    unsafe = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if found[name] == "off"]
    if found["is_standby"]:
        yield _failed("database", f"{said} It is a standby.", "Name the primary in CRONALLY_DATABASE_URL.")
    elif unsafe:
        yield _failed(
            "database",
            f"{said} {', '.join(unsafe)} is off: after a crash firings may be lost, or sent again.",
            "Set it to on in postgresql.conf.",
        )
    else:
        yield _ok("database", said)
    used, most = found["connections"], found["max_connections"]
    if used * 10 >= most * 9:
        yield _warning(
            "connections",
            f"{used} of {most} connections are used.",
            "Raise max_connections, or lower CRONALLY_DATABASE_POOL_SIZE.",
        )
    longest = found["longest_transaction"]
    if longest > LONG:
        yield _warning(
            "transactions",
            f"A transaction has lasted for {longest:.0f} s: nothing that was deleted since can be reclaimed.",
            "Find it in pg_stat_activity, by xact_start, and end it.",
        )
    else:
        yield _ok("transactions", f"None lasts long; the longest {longest:.0f} s.")
    if found["bloated"] is not None:
        table, dead, live = found["bloated"]
        yield _warning(
            "bloat",
            f"The table {table} has {dead:,} dead rows and {live:,} live ones.",
            f"Let autovacuum run more often on it, or: VACUUM {table}.",
        )
    lag = found["replay_lag"]
    if found["standbys"]:
        make = _warning if lag > WRONG_BY else _ok
        advice = "What is not replayed is lost if the primary is." if lag > WRONG_BY else None
        yield make("replication", f"{found['standbys']} standby(s), {lag:.0f} s behind at most.", advice)


def _clock(found: dict[str, Any]) -> Diagnosis:
    return _off("clock", "the database's clock", (found["now"] - found["machine"]) / SECOND)


def _off(check: str, than: str, seconds: float) -> Diagnosis:
    """What is to be said of a clock that is so far behind another one."""
    direction = "behind" if seconds > 0 else "ahead of"
    said = f"This machine's clock is {abs(seconds):.1f} s {direction} {than}."
    if abs(seconds) <= OFF_BY:
        return _ok(check, said)
    make = _failed if abs(seconds) > WRONG_BY else _warning
    return make(
        check, said, "Run NTP on every machine, and on that of the database: see the guide of the cluster."
    )


def _engine(found: dict[str, Any]) -> Iterator[Diagnosis]:
    now, ticked_at, due_at = found["now"], found["ticked_at"], found["oldest_due_at"]
    if ticked_at is None or now - ticked_at > SILENT:
        said = "never ticked" if ticked_at is None else f"last ticked {_ago(now - ticked_at)} ago"
        yield _failed(
            "ticks", f"A scheduler has {said}.", "Start a server with the role scheduler; see its log."
        )
    else:
        yield _ok("ticks", f"A scheduler ticked {_ago(now - ticked_at)} ago.")
    late = 0 if due_at is None else now - due_at
    if late > LATE:
        make = _failed if late > STUCK else _warning
        said = f"The oldest firing has been due for {_ago(late)}."
        yield make(
            "oldest due firing", said, "Does a dispatcher run, and can it send? See /readyz and its log."
        )
    else:
        yield _ok("oldest due firing", "Nothing waits that should be on its way.")


def _ago(microseconds: int) -> str:
    return format_duration(max(0, microseconds) // SECOND * SECOND)


def _aws(settings: Settings) -> Diagnosis:
    if settings.egress_proxy is not None:
        proxy = parse_proxy(settings.egress_proxy.get_secret_value())
        host, port, what = proxy.host, proxy.port, "The proxy for what is sent"
    else:
        parts = urlsplit(settings.aws_endpoint_url_sns or settings.aws_endpoint_url or _AWS)
        host, what = parts.hostname or "", "AWS"
        port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((host, port), timeout=_CONNECT).close()
    except OSError as problem:
        said = f"{what} cannot be reached at {host} port {port}: {problem.strerror or problem}."
        return _warning("aws", said, "Let this machine reach it, if cron jobs send to AWS.")
    return _ok("aws", f"{what} answers at {host} port {port}.")


def _ntp(server: str) -> Diagnosis:
    host, _, port = server.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(_CONNECT)
        try:
            asking.connect((host, int(port or 123)))
            before = time.time()
            asking.send(b"\x23" + bytes(39) + struct.pack("!Q", 1))
            answer = asking.recv(1024)
            after = time.time()
        except (OSError, ValueError) as problem:
            return Diagnosis(
                check="ntp",
                verdict=Verdict.UNKNOWN,
                detail=f"The time of {server} cannot be asked for: {problem}.",
                advice="Name a server that this machine reaches with --ntp, or none with --ntp ''.",
            )
    if len(answer) < 48 or answer[0] & 7 != 4:
        return Diagnosis(
            check="ntp", verdict=Verdict.UNKNOWN, detail=f"{server} does not answer with the time."
        )
    received, sent = (
        seconds + fraction / 2**32 - _NTP_EPOCH
        for seconds, fraction in (struct.unpack("!II", answer[at : at + 8]) for at in (32, 40))
    )
    return _off("ntp", server, ((received - before) + (sent - after)) / 2)


def _ok(check: str, detail: str, advice: str | None = None) -> Diagnosis:
    return Diagnosis(check=check, verdict=Verdict.OK, detail=detail, advice=advice)


def _warning(check: str, detail: str, advice: str | None) -> Diagnosis:
    return Diagnosis(check=check, verdict=Verdict.WARNING, detail=detail, advice=advice)


def _failed(check: str, detail: str, advice: str | None) -> Diagnosis:
    return Diagnosis(check=check, verdict=Verdict.FAILED, detail=detail, advice=advice)
