"""The guides name what exists, and their commands do what they say."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cronally.engine.dispatcher import LAST_RECORDS
from cronally.instants import SECOND
from cronally.server import environment
from tests.docs.account import Account
from tests.docs.conftest import NOWHERE
from tests.docs.markdown import ROOT, first_names, read, rows
from tests.docs.test_readme import made_by_the_guide
from tests.support.cronally_server import CLI, CronallyServer, cronally_server
from tests.support.installed import need
from tests.support.secret_file import write_secret

GUIDES = ROOT / "docs" / "guides"
BACKUP, CLUSTER = read(GUIDES / "backup.md"), read(GUIDES / "cluster.md")
MONITORING, PROXY = read(GUIDES / "monitoring.md"), read(GUIDES / "proxy.md")

HOOK = {
    "name": "hook",
    "cron": "0 8 * * *",
    "delivery_type": "http",
    "delivery_http_url": "https://example.com/hook",
    "delivery_http_method": "post",
}


def env_file(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if line)


def metrics(server: CronallyServer) -> dict[str, str]:
    """The types of the metrics that the server shows, by the names that samples have."""
    page = Account(server.url).ask("GET", "/metrics", signed=False).body.decode()
    found = dict(re.findall(r"^# TYPE (cronally_\w+) (\w+)$", page, re.MULTILINE))
    return {name: kind for name, kind in found.items() if not name.endswith("_created")}


def test_monitoring__lists_every_metric_with_its_type(server: CronallyServer) -> None:
    Account(server.url).ask("GET", "/healthz", signed=False)
    listed = {
        name: row[1]
        for row in rows(MONITORING.section("Prometheus"))
        for name in re.findall(r"`(cronally_\w+)`", row[0])
    }
    assert listed == metrics(server)


def test_monitoring__names_only_metrics_that_exist(server: CronallyServer) -> None:
    there = metrics(server)
    names = set(re.findall(r"\bcronally_\w+", (GUIDES / "monitoring.md").read_text()))
    for name in names:
        assert re.sub(r"_(bucket|count|sum)$", "", name) in there, name


def test_monitoring__metrics_are_for_this_machine(server: CronallyServer) -> None:
    stranger = Account(server.url)
    assert stranger.ask("GET", "/metrics", signed=False).status == 200
    through_a_proxy = {"X-Forwarded-For": "198.51.100.7"}
    assert stranger.ask("GET", "/metrics", headers=through_a_proxy, signed=False).status == 404


def test_monitoring__the_check_of_readyz(server: CronallyServer) -> None:
    block = MONITORING.block("/readyz | python3").text
    code = block.split("python3 -c '\n", 1)[1].rstrip().removesuffix("'")
    answer = b"null"
    # Until the first tick there is no last one.
    while b'"last_tick_at":null' in answer or answer == b"null":
        answer = Account(server.url).ask("GET", "/readyz", signed=False).body

    def status(body: bytes) -> int:
        return subprocess.run([sys.executable, "-c", code], input=body, timeout=30).returncode

    assert status(answer) == 0
    for ticked, due, expected in (
        ("0", "null", 0),
        ("null", "null", 1),
        ("31000", "null", 1),
        ("5", "0", 0),
        ("5", "61000", 1),
    ):
        body = f'{{"response": {{"last_tick_age_ms": {ticked}, "oldest_due_age_ms": {due}}}}}'
        assert status(body.encode()) == expected, (ticked, due)


def test_cluster__the_environment_file_starts_a_server(tmp_path: Path, postgres_url: str) -> None:
    given = env_file(CLUSTER.block("CRONALLY_DATABASE_URL_FILE").text)
    files: Mapping[str, str] = {
        "CRONALLY_DATABASE_URL_FILE": postgres_url,
        "CRONALLY_SEALING_KEYS_FILE": made_by_the_guide(),
        "CRONALLY_SIGNUP_TOKEN_FILE": "a-token-of-the-operator",
    }
    assert {name for name in given if name.endswith("_FILE")} == set(files)
    for name, text in files.items():
        given[name] = str(write_secret(tmp_path / Path(given[name]).name, text))
    with cronally_server(tmp_path, {**given, "AWS_ENDPOINT_URL_SNS": NOWHERE}) as server:
        stranger = Account(server.url)
        for host, status in ((given["CRONALLY_HOSTS"], 200), ("cron.example.org", 421)):
            assert stranger.ask("GET", "/healthz", headers={"Host": host}, signed=False).status == status
        assert stranger.sign_up("somebody@example.com").status == 401
        done = server.cli("signup", "somebody@example.com", "--token", "a-token-of-the-operator")
        assert done.returncode == 0, done.stderr
        # Re-sealing, while it runs.
        done = server.cli("rekey", env=given)
        assert done.returncode == 0, done.stderr


def test_cluster__the_unit_stops_no_sooner_than_the_server() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(CLUSTER.block("[Unit]").text)
    service = unit["Service"]
    assert service["ExecStart"].endswith("/bin/cronally serve")
    grace = environment.read_settings().shutdown_grace / SECOND
    assert int(service["TimeoutStopSec"]) > grace + LAST_RECORDS
    assert (
        f"CRONALLY_SHUTDOWN_GRACE ({grace:.0f} s), then up to {LAST_RECORDS:.0f} s"
        in CLUSTER.block("[Unit]").text
    )
    assert Path(service["EnvironmentFile"]).name in CLUSTER.prose


def test_proxy__the_settings_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = env_file(PROXY.block("CRONALLY_TRUSTED_PROXIES").text)
    token = write_secret(tmp_path / "token", "a-token-of-the-operator")
    for name, value in given.items():
        monkeypatch.setenv(name, str(token) if name.endswith("_FILE") else value)
    read_ = environment.read_settings()
    assert [str(network) for network in read_.trusted_proxies] == ["127.0.0.1/32"]
    assert (read_.host, read_.signup, read_.hosts) == ("127.0.0.1", "token", ["cron.example.com"])


def test_proxy__without_the_setting_loopback_is_open() -> None:
    assert environment.read_settings().signup == "open"


def statement_of_backup() -> str:
    found = re.search(r'"(VACUUM INTO [^"]*)"', BACKUP.block("VACUUM INTO").text)
    assert found
    return found[1]


@pytest.fixture
def stopped(tmp_path: Path) -> Account:
    """An account with a cron job, in a database whose server has stopped."""
    with cronally_server(tmp_path, {"AWS_ENDPOINT_URL_SNS": NOWHERE}) as server:
        account = Account(server.url)
        assert account.sign_up("somebody@example.com").status == 200
        assert account.ask("POST", "/cronjob/", HOOK).status == 200
    (tmp_path / "server.log").unlink()
    return account


def test_backup__of_sqlite_is_restored(
    stopped: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with sqlite3.connect("cronally.db") as connection:
        connection.isolation_level = None
        connection.execute(statement_of_backup())
    connection.close()
    # What is to be replaced is damaged, and has left a log behind that is not the backup's.
    Path("cronally.db").write_bytes(b"damaged")
    Path("cronally.db-wal").write_bytes(b"damaged")
    Path("keys").mkdir()
    Path("cronally.db.keys").rename("keys/cronally.db.keys")
    restore = BACKUP.block("cp backup.db").text.replace("/path/to/keys", "keys")
    subprocess.run(["/bin/sh", "-euc", restore], check=True, timeout=30)
    with cronally_server(tmp_path, {"AWS_ENDPOINT_URL_SNS": NOWHERE}) as server:
        account = Account(server.url, stopped.api_key, stopped.api_secret)
        assert [each["name"] for each in account.ask("GET", "/cronjobs/").json["response"]] == ["hook"]


def test_backup__is_looked_at_without_firing(stopped: Account, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "cronally.db", tmp_path / "backup.db")
    words = BACKUP.block("--role api").text.split()
    given = dict(word.split("=", 1) for word in words if word.startswith("CRONALLY_"))
    with sqlite3.connect(tmp_path / "backup.db") as connection:
        connection.execute("UPDATE cronjob SET next_fire_at = 0")
    connection.close()
    role = words[words.index("--role") : words.index("--role") + 2]
    with cronally_server(tmp_path, given, arguments=role) as server:
        account = Account(server.url, stopped.api_key, stopped.api_secret)
        assert account.ask("GET", "/cronjobs/").json["response"][0]["next_fire_at"] == "1970-01-01T00:00:00Z"
        ready = account.ask("GET", "/readyz", signed=False).json["response"]
        assert ready["oldest_due_at"] is None
        assert account.ask("GET", "/account/firings/").json["response"] == []


def test_backup__nothing_opens_the_file_while_a_server_runs(tmp_path: Path) -> None:
    with cronally_server(tmp_path, {}) as server:
        url = {"CRONALLY_DATABASE_URL": f"sqlite:///{tmp_path / 'cronally.db'}"}
        for command in ("rekey", "migrate"):
            done = server.cli(command, env=url)
            assert done.returncode == 1
            assert "in use by another Cronally server" in done.stderr
        assert (tmp_path / "cronally.db.lock").exists()
        assert (tmp_path / "cronally.db.keys").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow  # not for its time: it needs flock and sqlite3, which `make test` must do without
def test_backup__its_command_refuses_a_running_server(tmp_path: Path) -> None:
    need("bash", "flock", "sqlite3")
    lines = BACKUP.block("VACUUM INTO").text.splitlines()
    command = "\n".join(line for line in lines if not line.startswith("systemctl"))

    def back_up() -> int:
        return subprocess.run(["bash", "-euc", command], cwd=tmp_path, timeout=30).returncode

    with cronally_server(tmp_path, {}):
        assert back_up() != 0
        assert not (tmp_path / "backup.db").exists()
    assert back_up() == 0
    assert (tmp_path / "backup.db").stat().st_mode & 0o777 == 0o600


def test_readme__rotation_of_the_keys_on_sqlite(stopped: Account, tmp_path: Path) -> None:
    """Stop, put a new line before the old one, `cronally rekey`, start, remove the old line."""
    keys = tmp_path / "cronally.db.keys"
    new, old = made_by_the_guide(), keys.read_text()
    keys.write_text(new + old)
    done = subprocess.run(
        [*CLI, "rekey"], cwd=tmp_path, env={"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    keys.write_text(new)
    with cronally_server(tmp_path, {}) as server:
        account = Account(server.url, stopped.api_key, stopped.api_secret)
        assert account.ask("GET", "/account/").status == 200


def test_guides__every_block_is_of_a_language_and_every_table_has_a_head() -> None:
    for page in (BACKUP, CLUSTER, MONITORING, PROXY):
        assert all(block.language for block in page.blocks), page.path
    assert first_names(MONITORING.section("Prometheus"))


def test_operate_for_others__from_the_guide_alone(tmp_path: Path, sqlite_url: str) -> None:
    """Each command of the guide, in its order, beside a server that has the file."""
    text = (GUIDES / "operate-for-others.md").read_text()
    lines = re.findall(
        r"^cronally admin (?:accounts|suspend|resume|limits|keys|delete|restore|notice) .*$",
        text,
        re.MULTILINE,
    )
    assert len(lines) >= 10
    settings = {"CRONALLY_DATABASE_URL": sqlite_url, "CRONALLY_SEALING_KEYS": made_by_the_guide()}
    with cronally_server(tmp_path, settings) as server:
        assert server.cli("signup", "somebody@example.com").returncode == 0
        for line in lines:
            words = shlex.split(line)[1:]
            done = server.cli(*words, *(["--yes"] if words[1] == "delete" else []), env=settings)
            assert done.returncode == 0, (line, done.stderr)
