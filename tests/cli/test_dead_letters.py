"""`cronally dead-letters` against the real API: listed, sent once more, discarded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cronally import Client
from cronally.client import Account
from cronally.firing import State
from cronally.instants import format_iso
from tests.api.serving import Api
from tests.cli.conftest import Run
from tests.cli.test_many import working
from tests.operations.parameters import HTTP
from tests.support.ended import add_ended
from tests.support.relay import Relay

__all__ = ["working"]

ENDED = ("failed", "missed", "failed", "delivered", "failed")
NOTE = ("--note", "made up for by hand")


def test_dead_letters__are_listed_and_discarded_one_by_one(
    run: Run, account: Account, api: Api, client: Client
) -> None:
    _, times = add_ended(api, account.account_id, ENDED)
    said = run("dead-letters").stdout
    assert said.count("failed") == 3
    assert "missed" not in said
    at = format_iso(times[0])
    done = run("dead-letters", "discard", "report", at, *NOTE).stdout
    assert done.startswith("Firing ")
    assert done.endswith(f" of 'report' for {at} is discarded.\n")
    listed = json.loads(run("dead-letters", "--json", "--cronjob", "report", "--oldest").stdout)["response"]
    assert [each["scheduled_at"] for each in listed] == [format_iso(times[2]), format_iso(times[4])]
    assert [each.scheduled_at for each in client.iter_dead_letters(page_size=1)] == [
        each.scheduled_at for each in client.dead_letters()
    ]
    found = client.account_firings(state=[State.FAILED], order="oldest").items[0]
    assert (found.discarded_note, found.discarded_by) == (NOTE[1], account.api_key)
    answer = json.loads(
        run("dead-letters", "discard", "report", format_iso(times[2]), *NOTE, "--json").stdout
    )
    assert answer["response"]["discarded_note"] == NOTE[1]
    assert "Dead letters  1" in run("account").stdout


def test_account__names_the_one_that_tells(run: Run, account: Account, client: Client, relay: Relay) -> None:
    sent: Any = {**HTTP, "name": "tell the owner"}
    tells = client.create_cronjob(**sent)
    assert "Told by       none" in run("account").stdout
    shown = run("account", "change", "--dead-letter", "tell the owner").stdout
    assert relay.last.form() == {"dead_letter": "tell the owner"}
    assert f"Told by       {tells.cronjob_id}" in shown
    assert account.api_secret not in shown
    changed = run("account", "change", "--dead-letter", "none", "--json")
    assert json.loads(changed.stdout)["response"]["dead_letter"] is None
    assert account.api_secret not in changed.output
    assert (
        "names a cron job that there is not"
        in run("account", "change", "--dead-letter", "x", status=1).stderr
    )
    assert "nothing to change" in run("account", "change", status=2).stderr
    assert "cronally account change" in run("account", "--json", "change", status=2).stderr


def test_dead_letters__are_discarded_together(run: Run, account: Account, api: Api, client: Client) -> None:
    add_ended(api, account.account_id, ENDED)
    chosen = ("dead-letters", "discard", "--since", "3h", *NOTE)
    assert run(*chosen, "--dry-run").stdout == "3 dead letters. Nothing was changed.\n"
    assert "there is no terminal to ask at" in run(*chosen, status=1).stderr
    assert run(*chosen, "--yes").stdout == "Discarded 3 dead letters.\n"
    assert client.dead_letters().items == ()
    assert run("dead-letters", "discard", "--all", *NOTE, "--yes", "--json").stdout == (
        '{"status": "success", "response": {"total": 0, "more": false}}\n'
    )


def test_dead_letters__go_once_more(
    run: Run, account: Account, api: Api, client: Client, working: None
) -> None:
    add_ended(api, account.account_id, ENDED)
    first = client.dead_letters(order="oldest").items[0]
    assert client.discard_firing(first, "never mind").discarded_note == "never mind"
    shown = run("dead-letters", "replay", "--dry-run").stdout
    assert shown.splitlines()[-1] == "2 firings. Nothing was changed."
    done = run("dead-letters", "replay", "--cronjob", "report", "--max-per-minute", "600", "--yes")
    assert done.stdout == "Replay completed: 2 of 2 done.\n"
    assert len([*client.iter_account_firings(state=[State.PENDING])]) == 2
    assert client.discard_firings("nothing left", all=True).total == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("discard", *NOTE, "--yes"), "select dead letters: name a CRONJOB"),
        (("discard", "--all", "--since", "2h", *NOTE), "--all goes with no filter"),
        (("discard", "x", "2026-11-24T08:00:00Z", "--dry-run", *NOTE), "INSTANT names one firing"),
        (("discard", "x", "yesterday", *NOTE), "INSTANT"),
        (("discard", "x", "2026-11-24T08:00:00Z"), "--note"),
        (("--limit", "2", "--all"), "--all shows all of them"),
        (("--oldest", "replay"), "give options behind the command, as in: cronally dead-letters replay"),
    ],
)
def test_dead_letters__wrong_usage(run: Run, account: Account, arguments: tuple[str, ...], said: str) -> None:
    assert said in run("dead-letters", *arguments, status=2).stderr
