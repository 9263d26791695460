"""The socket by which the operator's commands reach a server on SQLite: bounded, and the operator's alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cronally import errors
from cronally.operations import Operations
from cronally.server import control
from cronally.server.admin import Admin
from cronally.server.control import MAX_AT_ONCE, MAX_REQUEST, Control
from cronally.store import open_store
from tests.support.factories import make_account, vault


@contextlib.asynccontextmanager
async def listening(path: Path, carry_out: control.CarryOut) -> AsyncIterator[Control]:
    made = Control(path, carry_out)
    running = asyncio.create_task(made.run())
    while await asyncio.to_thread(control.ask, path, "ready?", {}) is None:
        pass
    yield made
    made.stop()
    await running
    assert await asyncio.to_thread(control.ask, path, "ready?", {}) is None


@contextlib.asynccontextmanager
async def administered(folder: Path) -> AsyncIterator[tuple[Path, str]]:
    """A store with an account, behind a socket."""
    database = folder / "cronally.db"
    store = await open_store(f"sqlite:///{database}")
    try:
        account = await make_account(store)
        admin = Admin(store, Operations(store, vault(), {}))
        async with listening(control.path_of(database), admin.carry_out):
            yield control.path_of(database), account
    finally:
        await store.close()


async def ask(path: Path, command: str, **parameters: Any) -> dict[str, Any]:
    answer = await asyncio.to_thread(control.ask, path, command, parameters)
    assert answer is not None
    return answer


async def test_socket__carries_out_commands_and_says_what_is_wrong(tmp_path: Path) -> None:
    async with administered(tmp_path) as (path, account):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        suspended = await ask(path, "suspend", account=account, reason="unpaid")
        assert suspended["response"]["state"] == "suspended"
        for command, parameters, code in (
            ("account", {"account": "nobody@example.com"}, "not_found"),
            ("suspend", {"account": account, "reason": "two\nlines"}, "invalid_request"),
            ("suspend", {"account": account}, "invalid_request"),
            ("no-such", {}, "invalid_request"),
            ("accounts", {"cursor": "x"}, "invalid_request"),
            ("accounts", {"state": "asleep"}, "invalid_request"),
        ):
            assert (await ask(path, command, **parameters))["error"]["code"] == code


async def test_socket__whose_path_is_longer_than_an_address_may_be(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    async with administered(folder) as (path, account):
        assert (await ask(path, "account", account=account))["response"]["account_id"] == account


async def test_socket__that_a_killed_server_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    path = control.path_of(tmp_path / "cronally.db")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert control.ask(path, "accounts", {}) is None
    path.unlink()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with administered(tmp_path) as (path, account):
        assert (await ask(path, "account", account=account))["response"]["account_id"] == account
    assert control.ask(path, "accounts", {}) is None


@pytest.mark.parametrize("sent", [b"\n", b"[]\n", b'{"command": 1, "parameters": {}}\n', b"\xff\n", b'"'])
async def test_socket__what_is_no_command_gets_an_answer(tmp_path: Path, sent: bytes) -> None:
    async with administered(tmp_path) as (path, _):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(sent)
        writer.write_eof()
        answer = json.loads(await reader.readline())
        assert answer["error"]["code"] == "invalid_request"
        writer.close()


async def test_socket__an_endless_line_and_silent_peers_are_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "REQUEST_TIMEOUT", 0.2)
    async with administered(tmp_path) as (path, account):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"x" * (4 * MAX_REQUEST))
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        silent = [await asyncio.open_unix_connection(str(path)) for _ in range(MAX_AT_ONCE + 2)]
        for reader, _ in silent:
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        assert (await ask(path, "account", account=account))["response"]["account_id"] == account
        for _, writer in silent:
            writer.close()


async def test_socket__a_command_that_fails_or_hangs_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "ANSWER_TIMEOUT", 0.1)

    async def carry_out(command: str, _parameters: Mapping[str, Any]) -> dict[str, Any]:
        if command == "hangs":
            await asyncio.Event().wait()
        raise RuntimeError("secret")

    path = tmp_path / "x.operator"
    async with listening(path, carry_out):
        assert (await ask(path, "hangs"))["error"]["code"] == "unavailable"
        failed = await ask(path, "fails")
        assert (failed["error"]["code"], "secret" in str(failed)) == ("internal_error", False)


async def test_socket__that_cannot_be_made_keeps_no_server_from_running(tmp_path: Path) -> None:
    async def nothing(_command: str, _parameters: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    made = Control(tmp_path / "no such folder" / "x.operator", nothing)
    running = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    assert not running.done()
    made.stop()
    await running


async def test_ask__a_server_that_says_nothing_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "x.operator"
    server = await asyncio.start_unix_server(lambda _reader, writer: writer.close(), str(path))
    with pytest.raises(errors.Unavailable, match="did not answer"):
        await asyncio.to_thread(control.ask, path, "accounts", {})
    server.close()
