"""The guide for receivers: each of its programs runs, takes what is signed once, and refuses the rest."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cronally.targets.egress import Egress
from cronally.targets.http import signatures
from cronally.targets.http.target import HttpTarget
from cronally.targets.target import Delivered, Destination, Outcome, Unauthorized
from tests.docs.markdown import ROOT, read
from tests.support.installed import need
from tests.support.scripted import Request, ScriptedServer, answer
from tests.targets.conftest import make_message

GUIDE = read(ROOT / "docs" / "guides" / "receivers.md")
SECRET, OTHER = (f"whsec_{letter * 43}=" for letter in "AB")
OTHER_ID = "00000000-0000-4000-8000-000000000000"
PROGRAMS = {
    "Python": ("python", "receiver.py", [sys.executable]),
    "Node": ("js", "receiver.mjs", ["node"]),
    "Go": ("go", "receiver.go", ["go", "run"]),
}


def program(language: str, heading: str) -> str:
    (found,) = [block for block in GUIDE.blocks if block.language == language and block.heading == heading]
    return found.text


def environment(folder: Path, **variables: str) -> dict[str, str]:
    names = ("PATH", "HOME", "GOCACHE", "GOPATH")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {**kept, "GOFLAGS": "-mod=mod", "GOTELEMETRY": "off", "TMPDIR": str(folder), **variables}


@asynccontextmanager
async def running(command: Sequence[str], folder: Path) -> AsyncIterator[tuple[int, asyncio.StreamReader]]:
    """The receiver, once it says that it listens: its port, and what it prints; gone afterwards, with what it began."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment(folder, WEBHOOK_SECRET=SECRET),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        said = (await process.stdout.readline()).decode()
        assert said.startswith("listening on port "), said
        yield int(said.split()[-1]), process.stdout
    finally:
        os.killpg(process.pid, 9)
        await process.wait()


async def send(
    target: HttpTarget, port: int, secret: str, attempt: int = 1, id_: str = make_message().firing_id
) -> Outcome:
    public = {"delivery_http_method": "post", "delivery_http_url": f"http://127.0.0.1:{port}/in"}
    secrets = {signatures.OWN: secret}
    message = replace(make_message(), attempt=attempt, firing_id=id_)
    return await target.send(Destination("http", public, secrets), message)


async def sent(secret: str) -> Request:
    """A request as it arrives."""
    async with ScriptedServer(answer(200)) as server:
        target = HttpTarget(egress=Egress(["127.0.0.0/8"]))
        await send(target, server.port, secret)
        await target.close()
    return server.requests[0]


# Not for their time, though Go compiles its standard library where nobody has: they need another language.
@pytest.mark.parametrize(
    "heading", ["Python", *(pytest.param(name, marks=pytest.mark.slow) for name in ("Node", "Go"))]
)
async def test_program__takes_what_is_signed_once(heading: str, tmp_path: Path) -> None:
    language, name, command = PROGRAMS[heading]
    need(command[0])
    (tmp_path / name).write_text(program(language, heading))
    now = 0.0
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), clock=lambda: now)
    async with running([*command, name, "0"], tmp_path) as (port, printed):
        now = time.time()
        assert isinstance(await send(target, port, OTHER), Unauthorized)
        assert isinstance(await send(target, port, "none"), Unauthorized)
        assert isinstance(await send(target, port, SECRET), Delivered)
        # Again, as after an answer that was lost; and with both secrets.
        assert isinstance(await send(target, port, SECRET, 2), Delivered)
        assert isinstance(await send(target, port, f"{OTHER},{SECRET}", 3), Delivered)
        now -= 400
        assert isinstance(await send(target, port, SECRET), Unauthorized)
        now += 800
        assert isinstance(await send(target, port, SECRET), Unauthorized)
        now -= 400
        # Another firing, whose work is printed last.
        await send(target, port, SECRET, id_=OTHER_ID)
        lines = [(await printed.readline()).decode() for _ in range(2)]
    await target.close()
    assert [line.partition(" ")[0] for line in lines] == ["work", "work"]
    assert make_message().firing_id in lines[0]
    assert OTHER_ID in lines[1]


@pytest.mark.slow  # not for its time: it needs openssl, which `make test` must do without
def test_shell__says_whether_a_request_is_signed(tmp_path: Path) -> None:
    need("openssl")
    request = asyncio.run(sent(f"{OTHER},{SECRET}"))
    (tmp_path / "verify.sh").write_text(program("sh", "Shell"))
    (tmp_path / "body").write_bytes(request.body)
    headers = {name: request.headers[f"webhook-{name.lower()}"] for name in ("ID", "TIMESTAMP", "SIGNATURE")}
    for secret, status in ((SECRET, 0), (f"whsec_{'C' * 43}=", 1)):
        variables = environment(tmp_path, WEBHOOK_SECRET=secret, **headers)
        command = ["sh", "verify.sh", "body"]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, check=False)
        assert done.returncode == status, done.stderr


@pytest.mark.slow  # not for its time: it needs openssl, which `make test` must do without
def test_secrets__that_the_guide_makes_are_good(tmp_path: Path) -> None:
    need("openssl")
    blocks = [block.text for block in GUIDE.blocks if block.language == "sh" and block.heading == "Verify"]
    lines: list[str] = []
    for block in blocks:
        done = subprocess.run(["sh", "-euc", block], cwd=tmp_path, capture_output=True, text=True, check=True)
        lines += done.stdout.split()
    symmetric, private, public = lines
    assert signatures.check(symmetric) is None
    assert signatures.check(f"{private},{symmetric}") is None
    assert signatures.public_key(private) == public
