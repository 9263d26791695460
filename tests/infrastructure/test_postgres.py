"""The tests' own PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support.postgres import PostgresServer

ROOT = Path(__file__).parents[2]


async def test_postgres_url__works_with_asyncpg_as_it_is(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        assert await connection.fetchval("SELECT current_setting('server_version_num')::int >= 160000")
        assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relname = 'own'") == 0
        await connection.execute("CREATE TABLE own (id int)")
    finally:
        await connection.close()


async def test_postgres_url__works_with_sqlalchemy(postgres_url: str) -> None:
    engine = create_async_engine(postgres_url.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.connect() as connection:
        assert (
            await connection.execute(text("SELECT count(*) FROM pg_tables WHERE tablename = 'own'"))
        ).scalar() == 0
    await engine.dispose()


def test_create_database__from_a_template(postgres: PostgresServer) -> None:
    postgres.create_database("mould")
    postgres.execute("CREATE TABLE cast_in (id int)", database="mould")
    postgres.create_database("cast", template="mould")
    postgres.execute("SELECT id FROM cast_in", database="cast")
    postgres.drop_database("cast")
    postgres.drop_database("mould")


def test_postgres_server__does_not_run_as_root(postgres: PostgresServer) -> None:
    assert (postgres.folder / "data" / "PG_VERSION").stat().st_uid != 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_postgres_server__ends_with_its_killed_starter(number: signal.Signals) -> None:
    starter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal\n"
            "from tests.support.postgres import postgres_server\n"
            "with postgres_server() as server:\n"
            "    print(server.folder, server.process.pid, flush=True)\n"
            "    signal.pause()",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    folder, server = starter.stdout.readline().split()
    starter.send_signal(number)
    assert starter.wait(10) == -number
    starter.stdout.close()
    # They are no children of ours: nothing tells when they end, so look.
    deadline = time.monotonic() + 60
    while not (_gone(int(server)) and not Path(folder).exists()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
