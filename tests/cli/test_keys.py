"""`cronally key` against the real API."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cronally.cli import keys
from cronally.cli.credentials import profiles
from cronally.client import Account, Key, Page
from tests.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("account")


def pairs(printed: str) -> dict[str, str]:
    """What `key show` and its like print, by its name."""
    lines = [line.split("  ", 1) for line in printed.splitlines() if "  " in line]
    return {name.strip(): text.strip() for name, text in lines}


def test_key__is_added_listed_changed_rotated_and_revoked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    made = pairs(run("key", "add", "--name", "deploy", "--scopes", "read,write").stdout)
    secret = made["API secret"].removesuffix(" (shown this once)")
    assert len(secret) == 44
    assert (made["Scopes"], made["Tags"], made["Networks"]) == (
        "read, write",
        "all cron jobs",
        "from anywhere",
    )
    assert (made["Expires"], made["Last used"], made["State"]) == ("never", "never", "live")
    assert secret not in run("key", "show", "deploy", "--json").output
    listed = run("key", "list").stdout
    assert all(said in listed for said in ("sign-up", "deploy", made["API key"], "read,write"))
    changed = pairs(run("key", "change", "deploy", "--tags", "team=web", "--expires-at", "90d").stdout)
    assert changed["Tags"] == "team=web"
    assert changed["Expires"] != "never"
    assert "nothing to change" in run("key", "change", "deploy", status=2).stderr
    rotated = pairs(run("key", "rotate", "deploy", "--overlap", "1h").stdout)
    assert rotated["Replaces"] == made["API key"]
    assert pairs(run("key", "show", made["API key"]).stdout)["Replaced by"] == rotated["API key"]
    assert "no terminal to ask at" in run("key", "revoke", "deploy", status=1).stderr
    assert run("key", "revoke", "deploy", "--yes").stdout == "API key deploy revoked.\n"
    gone = run("key", "show", "deploy", status=1).stderr
    assert "There is no such API key. Hint: `cronally key list` lists them" in gone
    last = run("key", "revoke", "sign-up", "--yes", status=1).stderr
    assert "Make another one first, or rotate this one." in last


def test_key__is_stored_and_used(
    run: Run, config_home: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = run("key", "add", "--name", "dashboard", "--scopes", "read", "--store", "dash")
    path = config_home / "cronally" / "credentials"
    stored = profiles(path)["dash"]
    assert stored.api_secret is not None
    assert stored.api_secret not in added.output
    assert "profile dash" in added.stderr
    monkeypatch.delenv("CRONALLY_API_KEY")
    monkeypatch.delenv("CRONALLY_API_SECRET")
    assert json.loads(run("list", "--profile", "dash", "--json").stdout)["response"] == []
    refused = run("pause", "--all", "--yes", "--profile", "dash", status=1).stderr
    assert "This needs the scope write, which the API key has not (it has: read)" in refused
    shown = run("account", "--show-secret", "--profile", "dash").stdout
    assert "not shown by the server" in shown
    assert account.api_secret not in shown


def test_key__a_profile_is_not_lost(run: Run, config_home: Path, account: Account) -> None:
    run("key", "add", "--name", "one", "--scopes", "read", "--store", "mine")
    again = run("key", "add", "--name", "two", "--scopes", "read", "--store", "mine", status=1).stderr
    assert "the profile mine exists already" in again
    assert [key["name"] for key in json.loads(run("key", "list", "--json").stdout)["response"]] == [
        "sign-up",
        "one",
    ]
    # To replace it is what it is for.
    path = config_home / "cronally" / "credentials"
    before = profiles(path)["mine"]
    rotated = run("key", "rotate", "one", "--store", "mine", "--json")
    assert "api_secret" not in json.loads(rotated.stdout)["response"]
    assert profiles(path)["mine"].api_key not in (before.api_key, account.api_key)


def test_key__whose_secret_cannot_be_stored_is_printed(run: Run, config_home: Path) -> None:
    config_home.mkdir(parents=True)
    (config_home / "cronally").symlink_to(config_home / "nowhere")
    failed = run("key", "rotate", "sign-up", "--store", "mine", status=1)
    assert len(json.loads(failed.stdout)["response"]["api_secret"]) == 44
    assert "keep what is printed above" in failed.stderr
    for command in (("rotate", "sign-up"), ("add", "--name", "x", "--scopes", "read")):
        assert "the name of a profile is" in run("key", *command, "--store", "a]b", status=1).stderr


def test_account__hides_its_secret(run: Run, account: Account) -> None:
    assert account.api_secret in run("account", "--show-secret").stdout
    assert "not shown by the server" in run("account", "change", "--hide-secret").stdout
    assert account.api_secret not in run("account", "--show-secret", "--json").output


@pytest.mark.parametrize("width", [60, 80, 100, 160, 220])
def test_list__breaks_no_instant(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    at = datetime(2026, 11, 30, 21, 29, 9, tzinfo=UTC)
    made = Key(
        api_key="00000000-0000-4000-8000-00000000000a",
        name="a-name-that-is-quite-long-for-a-table",
        scopes=("read", "write", "run"),
        tags=("team=web",),
        networks=("203.0.113.0/24",),
        state="live",
        by_signup=False,
        created_at=at,
        expires_at=at,
        last_used_at=at,
    )
    keys._print_all(Page((made,)), wide=False)
    head, _, first, *_ = capsys.readouterr().out.splitlines()
    assert len(head) <= width
    assert first.count("2026-11-30 21:29:09") == head.count("(UTC)")
