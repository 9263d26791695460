"""`cronally doctor`: real faults, each found and said with what to do, and nothing that hangs keeps the rest."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronally.contract.doctor import Diagnosis, Verdict
from cronally.server import doctor
from cronally.store import open_store
from tests.support.cronally_server import CLI, cronally_server
from tests.support.wrong_clock import WrongClock, library

KEYS = "k1:" + "A" * 43 + "="
OTHER = "k1:" + "B" * 43 + "="
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRONALLY_SEALING_KEYS", KEYS)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", NOWHERE)


@pytest.fixture
def made(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of the settings, which no server has run on."""

    async def make() -> None:
        await (await open_store(database_url)).close()

    asyncio.run(make())
    monkeypatch.setenv("CRONALLY_DATABASE_URL", database_url)
    return database_url


def found(ntp: str = "") -> dict[str, Diagnosis]:
    return {one.check: one for one in doctor.diagnose(ntp)}


def test_doctor__of_a_database_without_a_server(made: str) -> None:
    seen = found()
    # The PostgreSQL of the tests does not wait for its disk, which is a fault.
    assert seen["database"].verdict == Verdict.OK or "fsync" in seen["database"].detail
    well = {"settings", "descriptors", "sealing keys", "clock", "oldest due firing"}
    assert {name for name, one in seen.items() if one.verdict == Verdict.OK} >= well
    assert "never ticked" in seen["ticks"].detail
    assert seen["ticks"].verdict == Verdict.FAILED
    assert (seen["aws"].verdict, seen["aws"].advice is None) == (Verdict.WARNING, False)
    assert KEYS[3:] not in str(seen)


def test_doctor__with_other_keys(made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found()  # which seals what the keys are checked by
    monkeypatch.setenv("CRONALLY_SEALING_KEYS", OTHER)
    seen = found()
    assert seen["sealing keys"].verdict == Verdict.FAILED
    assert "not those of this database" in seen["sealing keys"].detail


def test_doctor__with_wrong_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONALLY_RETENTION", "soon")
    monkeypatch.setenv("CRONALLY_COLOUR", "red")
    (one,) = doctor.diagnose("")
    assert (one.check, one.verdict) == ("settings", Verdict.FAILED)
    assert "CRONALLY_RETENTION" in one.detail
    assert "CRONALLY_COLOUR" in one.detail


def test_doctor__with_a_database_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONALLY_DATABASE_URL", "postgresql://user:hidden@127.0.0.1:1/cronally")
    seen = found()
    assert seen["database"].verdict == Verdict.FAILED
    assert "Check that it runs" in seen["database"].detail
    assert "hidden" not in str(seen)


def test_doctor__with_a_database_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("CRONALLY_DATABASE_URL", f"postgresql://user@127.0.0.1:{port}/cronally")
        seen = found()
    assert seen["database"].verdict == Verdict.FAILED
    assert "not answered within" in seen["database"].detail
    assert seen["settings"].verdict == Verdict.OK


@pytest.fixture
def ntp() -> Iterator[tuple[str, list[bytes]]]:
    """A server of NTP, and what it is to answer with."""
    answers: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as serving:
        serving.bind(("127.0.0.1", 0))

        def serve() -> None:
            _, peer = serving.recvfrom(100)
            for answer in answers:
                serving.sendto(answer, peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{serving.getsockname()[1]}", answers
        thread.join(10)


def time_answer(ahead: float) -> bytes:
    at = struct.pack("!II", int(time.time() + ahead) + doctor._NTP_EPOCH, 0)
    return b"\x24" + bytes(31) + at + at


@pytest.mark.parametrize(
    ("ahead", "verdict"), [(3600, Verdict.FAILED), (-3600, Verdict.FAILED), (10, Verdict.WARNING)]
)
def test_ntp__a_clock_that_is_wrong(ntp: tuple[str, list[bytes]], ahead: float, verdict: Verdict) -> None:
    server, answers = ntp
    answers.append(time_answer(ahead))
    one = doctor._ntp(server)
    assert one.verdict == verdict
    assert ("behind" if ahead > 0 else "ahead of") in one.detail
    assert one.advice is not None


@pytest.mark.parametrize("answer", [b"", b"x", b"\x24" + bytes(20), bytes(48)])
def test_ntp__what_is_no_answer_is_said(ntp: tuple[str, list[bytes]], answer: bytes) -> None:
    server, answers = ntp
    answers.append(answer)
    assert doctor._ntp(server).verdict == Verdict.UNKNOWN


@pytest.mark.parametrize("server", ["127.0.0.1:1", "127.0.0.1:no", "no.such.host.invalid"])
def test_ntp__that_is_not_there_is_said(server: str) -> None:
    assert doctor._ntp(server).verdict == Verdict.UNKNOWN


def run(tmp_path: Path, url: str, *, before: str = "", env: dict[str, str] | None = None) -> dict[str, str]:
    """What the command says, as a process."""
    environ = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "CRONALLY_DATABASE_URL": url,
        "CRONALLY_SEALING_KEYS": KEYS,
        "AWS_ENDPOINT_URL_SNS": NOWHERE,
        **(env or {}),
    }
    import cronally

    environ["PYTHONPATH"] = str(Path(cronally.__file__).parents[1])
    argv = ["sh", "-c", f'{before} exec "$@"', "sh", *CLI, "doctor", "--ntp", "", "--json"]
    done = subprocess.run(argv, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    return {one["check"]: one["verdict"] for one in json.loads(done.stdout)["response"]}


def test_doctor__with_few_descriptors(tmp_path: Path, sqlite_url: str) -> None:
    assert run(tmp_path, sqlite_url, before="ulimit -n 256;")["descriptors"] == "failed"


@pytest.mark.skipif(library() is None, reason="libfaketime is not installed")
def test_doctor__with_a_clock_that_was_moved(tmp_path: Path, postgres_url: str) -> None:
    async def make() -> None:
        await (await open_store(postgres_url)).close()

    asyncio.run(make())
    clock = WrongClock(tmp_path)
    clock.move(3600)
    assert run(tmp_path, postgres_url, env=dict(clock.environ))["clock"] == "failed"


def test_doctor__beside_a_server_on_sqlite(tmp_path: Path, sqlite_url: str) -> None:
    settings = {"CRONALLY_DATABASE_URL": sqlite_url, "CRONALLY_SEALING_KEYS": KEYS}
    with cronally_server(tmp_path, settings) as server:
        while (
            done := server.cli("doctor", "--ntp", "", env=settings | {"AWS_ENDPOINT_URL_SNS": server.url})
        ).returncode:
            assert "never ticked" in done.stdout, done.stdout + done.stderr
    assert "ok       ticks" in done.stdout
    assert "ok       aws" in done.stdout
    assert "FAILED" not in done.stdout
