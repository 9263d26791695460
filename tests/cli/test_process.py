"""The command as a process: its start, its ends, the terminal, and what it does without the server's parts."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from cronally import Client
from cronally.cli.app import COMMANDS, app, load
from tests.api.serving import Api
from tests.cli.conftest import Run
from tests.support.api_database import secret_of
from tests.support.relay import Relay
from tests.support.scripted import hang

CRONALLY = [sys.executable, "-W", "error", "-m", "cronally.cli"]
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def test_help__imports_neither_client_nor_contract_nor_server() -> None:
    script = (
        "import sys\n"
        "from cronally.cli import main\n"
        "sys.argv = ['cronally', '--help']\n"
        "try: main()\n"
        "finally: print(sorted({'httpx2', 'rich', 'pydantic', 'cryptography', 'asyncio', 'sqlalchemy',"
        " 'fastapi', 'uvicorn', 'ssl', 'cronally.server', 'cronally.store', 'cronally.operations', 'cronally.engine',"
        " 'cronally.client', 'cronally.contract', 'cronally.clock', 'cronally.cron', 'tzdata'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.endswith("[]\n")
    assert "firings       Show the ledger" in done.stdout


def test_help__has_the_first_line_of_each_command(run: Run) -> None:
    lines = run("--help").stdout.splitlines()
    for name, (_, line) in COMMANDS.items():
        assert load(name).get_short_help_str(limit=200) == line
        assert f"  {name:<{max(map(len, COMMANDS))}}  {line}" in lines


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help__is_what_the_bare_command_shows(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).stdout.startswith("Usage: cronally [OPTIONS] COMMAND [ARGS]...")


def test_commands__are_these() -> None:
    assert list(COMMANDS) == [
        "signup", "account", "add", "list", "show", "update", "apply", "change", "verify", "policy", "run", "pause",
        "resume",
        "delete", "freeze", "freezes", "unfreeze", "replay", "backfill", "dead-letters", "operations", "operation",
        "calendars", "connection", "rule", "channel", "alerts", "host", "key",
        "firings", "why", "render", "forecast", "calendar", "next", "audit", "listen", "serve", "migrate", "rekey",
        "doctor", "admin",
    ]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help__of_every_command(run: Run, command: str) -> None:
    assert f"Usage: cronally {command} " in run(command, "--help").stdout


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help__has_a_short_name(run: Run, command: str) -> None:
    arguments = [command] if command else []
    assert run(*arguments, "-h").stdout == run(*arguments, "--help").stdout


def test_version(run: Run) -> None:
    from cronally import __version__

    assert run("--version").stdout == f"cronally {__version__}\n"


def test_usage__an_unknown_command_gets_a_suggestion(run: Run) -> None:
    result = run("lst", status=2)
    assert "Did you mean 'list', 'listen'?" in result.stderr
    assert result.stderr.endswith("Hint: cronally --help\n")


def test_script__is_installed() -> None:
    script = Path(sys.executable).with_name("cronally")
    done = subprocess.run([script, "--version"], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("cronally ")


def test_completion__of_commands_and_profiles(config_home: Path) -> None:
    def complete(line: str) -> list[str]:
        environ = {
            **os.environ,
            "_CRONALLY_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split(" ")) - 1),
        }
        script = Path(sys.executable).with_name("cronally")
        return subprocess.run(
            [script], env=environ, check=True, capture_output=True, text=True
        ).stdout.split()

    assert complete("cronally fi") == ["firings"]
    assert complete("cronally add --catch-up l") == ["latest"]
    assert complete("cronally list --profile w") == []
    folder = config_home / "cronally"
    folder.mkdir(parents=True)
    (folder / "credentials").write_text("[work]\napi_key = a\n[home]\napi_key = b\n")
    assert complete("cronally list --profile w") == ["work"]
    (folder / "credentials").write_text("damaged")
    assert complete("cronally list --profile w") == []


def test_broken_pipe__ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*CRONALLY, "next", "* * * * *", "--count", "1000"], stdout=writer, stderr=subprocess.PIPE
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("options", [("--count", "1000"), ("--json",)])
def test_full_disk__is_one_line(options: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*CRONALLY, "next", "* * * * *", *options], stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (
        1,
        b"error: the output cannot be written: No space left on device\n",
    )


@pytest.mark.usefixtures("account")
def test_interrupt__ends_quietly(relay: Relay) -> None:
    arrived = threading.Event()

    async def hold(writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await hang(writer)

    relay.script.append(hold)
    with subprocess.Popen([*CRONALLY, "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert arrived.wait(20)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=20)
    assert (process.returncode, output) == (130, (b"", b""))


class Terminal:
    """A process whose stdin and stderr are a terminal."""

    def __init__(self, *arguments: str) -> None:
        self.controller, device = pty.openpty()
        # A session of its own: no question may reach the terminal that the tests were started from.
        self.process = subprocess.Popen(
            [*CRONALLY, *arguments],
            stdin=device,
            stdout=subprocess.PIPE,
            stderr=device,
            start_new_session=True,
        )
        os.close(device)
        self.shown = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self.controller)

    def wait_for(self, text: str) -> None:
        while text not in self.shown:
            assert self._read(), f"not shown: {text!r} in {self.shown!r}"

    def wait_for_end(self) -> None:
        while self._read():
            pass

    def _read(self) -> bool:
        assert select.select([self.controller], [], [], 20)[0], f"nothing more after {self.shown!r}"
        try:
            self.shown += os.read(self.controller, 4096).decode()
        except OSError:  # how Linux says that nobody holds the terminal any more
            return False
        return True

    def type(self, text: str) -> None:
        os.write(self.controller, text.encode())

    def end(self) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=20)
        return self.process.returncode, output.decode()


def test_terminal__delete_asks(client: Client, run: Run) -> None:
    url = ("--delivery-http-url", "https://example.com/", "--delivery-http-method", "get")
    run("add", "--name", "ping", "--cron", "* * * * *", *url)
    cronjob_id = next(client.iter_cronjobs()).cronjob_id
    with Terminal("delete", cronjob_id) as terminal:
        terminal.wait_for(f"Delete the cron job 'ping' (* * * * *; {cronjob_id})? [y/N]: ")
        terminal.type("n\n")
        terminal.wait_for("error: cancelled; nothing was done")
        assert terminal.end() == (1, "")
    assert client.cronjob(cronjob_id).cronjob_id == cronjob_id
    with Terminal("delete", cronjob_id) as terminal:
        terminal.wait_for("[y/N]: ")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == (130, "")
        terminal.wait_for_end()
        assert terminal.shown.endswith("[y/N]: ")
    with Terminal("delete", cronjob_id) as terminal:
        terminal.wait_for("[y/N]: ")
        terminal.type("\x04")
        terminal.wait_for("error: cancelled; nothing was done")
        assert terminal.end() == (1, "")
    with Terminal("delete", cronjob_id) as terminal:
        terminal.wait_for("[y/N]: ")
        terminal.type("y\n")
        assert terminal.end() == (0, f"Cron job 'ping' deleted.\nIts ledger: cronally firings {cronjob_id}\n")
    assert len(client.cronjobs()) == 0


def test_terminal__the_secret_is_asked_for_and_not_shown(api: Api, client: Client) -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:t"
    arguments = ["add", "--name", "x", "--cron", "* * * * *", "--sns-topic", topic, "--sns-message", "m"]
    with Terminal(*arguments, "--sns-access-key-id", "AKIAIOSFODNN7EXAMPLE") as terminal:
        terminal.wait_for("--sns-secret-access-key (not shown): ")
        terminal.type(f"{SECRET}\n")
        status, output = terminal.end()
    assert status == 0
    (job,) = client.cronjobs()
    assert secret_of(api, job.cronjob_id) == {"sns_secret_access_key": SECRET}
    assert SECRET not in terminal.shown + output


@pytest.mark.parametrize("command", ["serve", "migrate", "rekey"])
def test_operating__without_the_servers_parts(command: str) -> None:
    script = (
        f"import sys; sys.modules['sqlalchemy'] = None; sys.argv = ['cronally', {command!r}]\n"
        "from cronally.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the server's parts are not installed")
    assert done.stderr.endswith("Hint: in the folder of Cronally's source: pip install '.[server]'\n")


def test_operating__passes_the_options(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line between CLI and server; that the server serves is proved by the acceptance tests."""
    called: list[Any] = []
    server: Any = ModuleType("cronally.server.serve")

    def serve(**options: object) -> int:
        called.append(options)
        return 3 if options["port"] == 3 else 0

    server.serve = serve
    server.migrate = lambda: called.append("migrate")
    server.rekey = lambda: 7
    monkeypatch.setitem(sys.modules, "cronally.server.serve", server)
    monkeypatch.setattr("cronally.server.serve", server, raising=False)
    run("serve")
    run("serve", "--host", "127.0.0.2", "--port", "0", "--role", "api", "--role", "scheduler")
    assert run("migrate").stdout == "The database has this version's tables.\n"
    assert "Sealed 7 secrets" in run("rekey").stdout
    assert called == [
        {"host": None, "port": None, "roles": None},
        {"host": "127.0.0.2", "port": 0, "roles": ("api", "scheduler")},
        "migrate",
    ]
    status = CliRunner().invoke(app, ["serve", "--port", "3"], prog_name="cronally").exit_code
    assert status == 3, "the server's own exit status"
    assert "--port" in run("serve", "--port", "70000", status=2).stderr
    assert "--role" in run("serve", "--role", "cook", status=2).stderr


def test_operating__every_wrong_setting_gets_its_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from cronally.errors import SettingsError

    def refuse(**options: object) -> None:
        raise SettingsError("CRONALLY_PORT: is no number\nCRONALLY_SIGNUP: is missing")

    server: Any = ModuleType("cronally.server.serve")
    server.serve = refuse
    monkeypatch.setitem(sys.modules, "cronally.server.serve", server)
    monkeypatch.setattr("cronally.server.serve", server, raising=False)
    result = run("serve", status=1)
    assert result.stderr == "error: CRONALLY_PORT: is no number\nerror: CRONALLY_SIGNUP: is missing\n"
