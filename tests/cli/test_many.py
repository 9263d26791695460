"""Commands for all cron jobs that filters select, operations, and `apply`, against the real API."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from cronally import Client
from cronally.contract.bulk import AT_ONCE
from cronally.operations.background import ITEMS, Background
from tests.api.serving import Api
from tests.cli.conftest import Run
from tests.cli.test_process import CRONALLY
from tests.client.test_client import HTTP, SNS
from tests.support.relay import Relay

pytestmark = pytest.mark.usefixtures("account")

MANY = AT_ONCE + 1
NEVER = "0 0 29 2 *"
HOOK = ("--delivery-http-url", "https://1.1.1.1/in", "--delivery-http-method", "post")


def make(client: Client, count: int) -> None:
    for number in range(count):
        client.create_cronjob(name=f"job {number}", cron=NEVER, **HTTP)


def step(api: Api) -> None:
    """Do one part of what there is in the background."""
    api.run(Background(api.store, api.operations.actions).step())


def states(client: Client) -> set[str]:
    return {str(each.state) for each in client.iter_cronjobs()}


@pytest.fixture
def working(api: Api) -> Iterator[None]:
    """The background goes on all the time."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            step(api)
            over.wait(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join(30)


def test_many__each_command(run: Run, client: Client, relay: Relay) -> None:
    make(client, 2)
    done = run("pause", "--name", "job 1", "--note", "deploying", "--yes")
    assert relay.last.form() == {"note": "deploying"}
    assert done.stdout == "Pause completed: 1 of 1 done.\n"
    assert [each.state for each in client.cronjobs()] == ["active", "paused"]
    run("resume", "--state", "paused", "-y")
    assert states(client) == {"active"}
    run("run", "--all", "--at", "1h", "-y", "--idempotency-key", "k")
    assert relay.last.headers["idempotency-key"] == "k"
    assert len(client.account_firings()) == 2
    run("change", "--all", "--retry-max-attempts", "3", "--timezone", "Asia/Tokyo", "-y")
    assert {(each.retry_max_attempts, each.timezone) for each in client.cronjobs()} == {(3, "Asia/Tokyo")}
    answer = json.loads(run("delete", "--name", "job 0", "-y", "--json").stdout)["response"]
    assert (answer["action"], answer["done"]) == ("delete", 1)
    assert [each.name for each in client.cronjobs()] == ["job 1"]
    listed = run("operations", "--wide").stdout
    actions = re.findall(r"(?m)^[0-9a-f-]{36} +(\w+)", listed)
    assert actions == ["delete", "change", "run", "resume", "pause"]
    shown = run("operation", answer["operation_id"]).stdout
    assert re.search(r"Sent +name=job 0 +\n", shown)


def test_many__of_none_is_json_where_json_is_asked_for(
    run: Run, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a terminal too, where nobody is asked about nothing."""
    make(client, 1)
    terminal = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("cronally.cli.asking.sys", terminal)
    asked = ("delete", "--name", "nothing")
    assert run(*asked).stdout == "No cron job is like that.\n"
    assert json.loads(run(*asked, "--json").stdout)["response"]["total"] == 0
    assert len(client.cronjobs()) == 1


def test_dry_run__changes_nothing(run: Run, client: Client) -> None:
    make(client, 2)
    shown = run("delete", "--all", "--dry-run").stdout
    assert "job 0" in shown
    assert shown.splitlines()[-1] == "2 cron jobs. Nothing was changed."
    assert json.loads(run("delete", "--all", "--dry-run", "--json").stdout)["response"]["total"] == 2
    assert run("delete", "--name", "nothing", "--dry-run").stdout == "No cron job is like that.\n"
    assert len(client.cronjobs()) == 2


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("pause",), 2, "Missing argument 'CRONJOB': name one, or select several with a filter or --all"),
        (("delete", "--yes"), 2, "Missing argument 'CRONJOB'"),
        (("pause", "x", "--all"), 2, "--all: give it, or CRONJOB, not both"),
        (("run", "x", "--state", "active"), 2, "--state: give it, or CRONJOB, not both"),
        (("resume", "x", "--dry-run"), 2, "--dry-run: it is for filters"),
        (("run", "--all", "--wait"), 2, "--wait: it is for one CRONJOB"),
        (("run", "--all", "--sns-message", "x"), 2, "--sns-message: it is for one CRONJOB"),
        (("change", "--all"), 2, "nothing to change: give at least one policy, or --timezone"),
        (("change", "--timezone", "UTC"), 2, "select cron jobs: give a filter, such as --state, or --all"),
        (("pause", "--all"), 1, "nothing was done: there is no terminal to ask at"),
        (("pause", "--all", "--until", "2020-01-01T00:00:00Z", "-y"), 1, "until: is not in the future"),
        (("operation", "x/y"), 1, "an id has only letters"),
        (("operation", "x"), 1, "There is no such operation"),
    ],
)
def test_many__says_what_is_wrong(
    run: Run, client: Client, arguments: tuple[str, ...], status: int, said: str
) -> None:
    make(client, 1)
    assert said in " ".join(run(*arguments, status=status).stderr.split())
    assert states(client) == {"active"}


def test_many__what_failed_is_told_and_the_status_says_so(run: Run, client: Client) -> None:
    made = client.create_cronjob(name="long ago", cron=NEVER, **HTTP)
    for _ in range(60):
        client.run_cronjob(made.cronjob_id, at="1h")
    result = run("run", "--all", "-y", status=1)
    assert "note: long ago: The cron job was asked to fire 60 times" in result.stderr
    assert "error: run completed: 0 of 1 done, 1 failed" in result.stderr


@pytest.mark.usefixtures("working")
def test_many__without_a_terminal_tells_a_line_for_each_change(run: Run, client: Client) -> None:
    make(client, MANY)
    result = run("pause", "--all", "--yes")
    assert result.stdout == f"Pause completed: {MANY} of {MANY} done.\n"
    lines = result.stderr.splitlines()
    assert lines[-1] == f"note: pause completed: {MANY} of {MANY} done"
    assert all(line.startswith("note: pause ") for line in lines)
    assert states(client) == {"paused"}


def test_operation__is_cancelled_and_waited_for(run: Run, client: Client, api: Api) -> None:
    make(client, MANY)
    running = client.pause_cronjobs({"all": True})
    step(api)
    shown = run("operation", running.operation_id).stdout
    assert re.search(rf"State +running +\nDone +{ITEMS} of {MANY} +\n", shown)
    cancelled = json.loads(run("operation", running.operation_id, "--cancel", "--json").stdout)["response"]
    assert cancelled["state"] == "cancelled"
    waited = run("operation", running.operation_id, "--wait", status=1)
    assert f"error: pause cancelled: {ITEMS} of {MANY} done" in waited.stderr


def read(terminal: int, until: str, seconds: float = 60) -> str:
    """What comes from a terminal, until it holds a text or ends."""
    shown = ""
    while until not in shown:
        ready, _, _ = select.select([terminal], [], [], seconds)
        assert ready, shown
        try:
            part = os.read(terminal, 4096).decode(errors="replace")
        except OSError:  # its other end is closed
            break
        shown += part
    return shown


def on_terminal(*arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    """The command at a terminal of its own, and the terminal."""
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        [*CRONALLY, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        start_new_session=True,
    )
    os.close(theirs)
    return command, ours


def test_terminal__asks_with_the_number_and_shows_a_bar(client: Client, api: Api) -> None:
    make(client, MANY)
    command, terminal = on_terminal("pause", "--all")
    try:
        question = read(terminal, "[y/N]")
        assert f"Pause {MANY} cron jobs ('job 0', 'job 1', 'job 2', 'job 3', 'job 4', ...)?" in question
        os.write(terminal, b"y\n")
        read(terminal, f"0/{MANY}")
        step(api)
        read(terminal, f"{ITEMS}/{MANY}")
        for _ in range(MANY // ITEMS):
            step(api)
        assert f"Pause completed: {MANY} of {MANY} done." in read(terminal, "done.")
        assert command.wait(60) == 0
    finally:
        command.kill()
        command.wait()
        os.close(terminal)
    assert states(client) == {"paused"}


def test_terminal__no_does_nothing(client: Client) -> None:
    make(client, 1)
    command, terminal = on_terminal("delete", "--all")
    try:
        assert "Delete 1 cron job ('job 0')?" in read(terminal, "[y/N]")
        os.write(terminal, b"n\n")
        assert "cancelled; nothing was done" in read(terminal, "nothing was done")
        assert command.wait(60) == 1
    finally:
        command.kill()
        command.wait()
        os.close(terminal)
    assert states(client) == {"active"}


def test_terminal__an_interrupt_stops_the_watching_alone(client: Client, api: Api) -> None:
    make(client, MANY)
    command, terminal = on_terminal("pause", "--all", "--yes")
    try:
        read(terminal, f"0/{MANY}")
        command.send_signal(signal.SIGINT)
        shown = read(terminal, "cancels it")
        (running,) = client.list_operations()
        assert f"cronally operation {running.operation_id} --cancel" in " ".join(shown.split())
        assert command.wait(60) == 130
    finally:
        command.kill()
        command.wait()
        os.close(terminal)
    assert running.state == "running"
    step(api)
    assert client.get_operation(running.operation_id).done == ITEMS


def test_apply__creates_changes_and_leaves_alone(
    run: Run, client: Client, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ("apply", "a/b", "--cron", "0 8 * * *", *HOOK)
    assert run(*wanted).stdout.splitlines()[0] == "Cron job 'a/b' created."
    assert run(*wanted).stdout.splitlines()[0] == "Cron job 'a/b' unchanged."
    answer = json.loads(run(*wanted, "--timezone", "Asia/Tokyo", "--json").stdout)["response"]
    assert (answer["outcome"], answer["timezone"]) == ("changed", "Asia/Tokyo")
    assert json.loads(run(*wanted, "--json").stdout)["response"]["timezone"] == "UTC"
    sns = [f"--{name.replace('_', '-')}={value}" for name, value in SNS.items() if "secret" not in name]
    missing = run("apply", "sns", "--cron", NEVER, *sns, status=1)
    assert "sns_secret_access_key: is missing or empty" in missing.stderr
    monkeypatch.setenv("CRONALLY_SNS_SECRET_ACCESS_KEY", "secret")
    assert "created" in run("apply", "sns", "--cron", NEVER, *sns).stdout
    assert relay.last.form()["sns_secret_access_key"] == "secret"
    monkeypatch.delenv("CRONALLY_SNS_SECRET_ACCESS_KEY")
    assert "unchanged" in run("apply", "sns", "--cron", NEVER, *sns).stdout
    assert "Missing options" in run("apply", "x", "--cron", NEVER, status=2).stderr
    client.create_cronjob(name="a/b", cron=NEVER, **HTTP)
    assert "Several cron jobs have this name" in run(*wanted, status=1).stderr


def test_operation__a_problem_is_told_whole_whatever_the_cron_job_is_called(
    client: Client, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    name = f"\u202eright to left [red]{'x' * 200}"
    client.create_cronjob(name=name, cron=NEVER, ends_at="2030-01-01T00:00:00Z", **HTTP)
    made = client.change_cronjobs({"all": True}, starts_at="2031-01-01T00:00:00Z")
    (problem,) = made.problems
    shown = run("operation", made.operation_id).stdout
    assert "\u202e" not in shown
    joined = "".join(shown.split())
    for text in (name.replace("\u202e", "\ufffd"), problem.problem):
        assert "".join(text.split()) in joined
