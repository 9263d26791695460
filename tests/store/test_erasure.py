"""What is erased is in no byte of SQLite's files any more, once the log is cleared."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete

from cronally.engine.janitor import LOG_CLEARED, Janitor
from cronally.instants import DAY
from cronally.store import Store, cronjobs, tables
from cronally.store.sqlite import SqliteStore
from tests.support.factories import Clock, cronjob_values, insert_rows, make_account

PIECE = 16
"""Bytes: so few of a sealed secret would show that it is still there."""


@pytest.fixture
def file(sqlite_store: Store) -> Path:
    path: Path = sqlite_store.path  # type: ignore[attr-defined]
    return path


def bytes_of(file: Path, ends: Iterable[str] = ("", "-wal", "-shm")) -> bytes:
    """All that there is in the database's files."""
    return b"".join(Path(f"{file}{end}").read_bytes() for end in ends)


def log_of(file: Path) -> int:
    """Bytes of the log."""
    return Path(f"{file}-wal").stat().st_size


def found(secrets: Iterable[bytes], held: bytes) -> int:
    """Of how many secrets there is a piece."""
    return sum(
        any(secret[at : at + PIECE] in held for at in range(0, len(secret) - PIECE, PIECE // 2))
        for secret in secrets
    )


async def make_cronjobs(store: Store, count: int) -> tuple[str, list[dict[str, Any]]]:
    """Cron jobs with sealed secrets of their own and messages of all lengths, some longer than a page."""
    chance = random.Random(3)
    account = await make_account(store)
    rows = [
        cronjob_values(
            account,
            secret=chance.randbytes(chance.choice((90, 200, 700))),
            destination='{"message":"%s"}' % ("m" * chance.choice((10, 300, 1000, 9000))),
        )
        for _ in range(count)
    ]
    await insert_rows(store, "cronjob", rows)
    return account, rows


def put_secret(connection: Connection, account: str, row: dict[str, Any], secret: bytes | None) -> None:
    cronjob = cronjobs.get_cronjob(connection, account, row["cronjob_id"])
    assert cronjob is not None
    cronjobs.replace_secret(connection, cronjob, secret)


def remove(connection: Connection, row: dict[str, Any]) -> None:
    connection.execute(delete(tables.cronjob).where(tables.cronjob.c.cronjob_id == row["cronjob_id"]))


async def test_erased__secrets_are_nowhere_in_the_files(sqlite_store: Store, file: Path) -> None:
    account, rows = await make_cronjobs(sqlite_store, 160)
    secrets = [row["secret"] for row in rows]
    # Into the file itself: what stays in the log alone is easily forgotten.
    await sqlite_store.clear_log()
    assert found(secrets, bytes_of(file, [""])) == len(rows)
    erased, replaced, removed, kept = rows[::4], rows[1::4], rows[2::4], rows[3::4]
    new = [bytes([number]) * 120 for number in range(len(replaced))]
    for row, secret in zip(replaced, new, strict=True):
        await sqlite_store.transact(partial(put_secret, account=account, row=row, secret=secret))
    for row in erased:
        await sqlite_store.transact(partial(put_secret, account=account, row=row, secret=None))
    for row in removed:
        await sqlite_store.transact(partial(remove, row=row))
    gone = [row["secret"] for row in (*erased, *replaced, *removed)]
    # The search is not blind: before the log is cleared, the file still has what the log replaces.
    assert found(gone, bytes_of(file, [""])) == len(gone)
    await sqlite_store.clear_log()
    held = bytes_of(file)
    assert found(gone, held) == 0
    assert found([row["secret"] for row in kept], held) == len(kept)
    assert found(new, held) == len(new)


async def test_erased__secrets_that_never_left_the_log_go_with_it(sqlite_store: Store, file: Path) -> None:
    account, (row,) = await make_cronjobs(sqlite_store, 1)
    await sqlite_store.transact(partial(put_secret, account=account, row=row, secret=None))
    assert found([row["secret"]], bytes_of(file)) == 1
    await sqlite_store.clear_log()
    assert log_of(file) == 0
    assert found([row["secret"]], bytes_of(file)) == 0


async def test_janitor__clears_the_log(sqlite_store: Store, file: Path, clock: Clock) -> None:
    janitor = Janitor(sqlite_store, retention=30 * DAY)
    await make_account(sqlite_store)
    assert log_of(file) > 0
    await janitor.step()
    assert log_of(file) == 0
    # Not at each step: it may take many a second.
    await make_account(sqlite_store)
    await janitor.step()
    assert log_of(file) > 0
    clock.forward(LOG_CLEARED)
    await janitor.step()
    assert log_of(file) == 0
    # Nor does a clock that is set back keep it for as long.
    await make_account(sqlite_store)
    clock.forward(-DAY)
    await janitor.step()
    assert log_of(file) == 0


async def test_clear_log__waits_for_what_was_asked_before_and_hurts_nobody(
    sqlite_store: SqliteStore, file: Path
) -> None:
    work = [make_account(sqlite_store) for _ in range(20)]
    await asyncio.gather(*work[:10], sqlite_store.clear_log(), *work[10:])
    await sqlite_store.clear_log()
    assert log_of(file) == 0
    requests = await sqlite_store.for_requests()
    await make_account(requests)
    await requests.clear_log()
    assert log_of(file) == 0


async def test_clear_log__while_another_reads_the_file_is_for_next_time(
    sqlite_store: SqliteStore, file: Path
) -> None:
    """As a tool that copies it does, against the advice."""
    await make_account(sqlite_store)
    reader = sqlite3.connect(file, isolation_level=None)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM account").fetchall()
        await make_account(sqlite_store)
        await sqlite_store.clear_log()
        assert log_of(file) > 0
    finally:
        reader.close()
    await sqlite_store.clear_log()
    assert log_of(file) == 0


async def test_clear_log__is_postgresqls_own_matter(postgres_store: Store) -> None:
    await postgres_store.clear_log()
