"""`replay` and `backfill` against the real API: what is asked, shown and done."""

from __future__ import annotations

import json

import pytest

from cronally import Client
from cronally.client import Account
from cronally.firing import State
from cronally.instants import format_iso
from tests.api.serving import Api
from tests.cli.conftest import Run
from tests.cli.test_many import working
from tests.support.ended import add_ended

__all__ = ["working"]

ENDED = ("failed", "missed", "failed", "delivered")


def test_replay__of_one(run: Run, account: Account, api: Api) -> None:
    _, times = add_ended(api, account.account_id, ENDED)
    at = format_iso(times[0])
    said = run("replay", "report", at).stdout
    assert said.endswith(f" of 'report' for {at} goes once more.\n")
    assert "on its way already" in run("replay", "report", at, status=1).stderr
    answer = json.loads(run("replay", "report", format_iso(times[1]), "--json").stdout)["response"]
    assert answer["state"] == "pending"


def test_replay__of_one_that_was_delivered_asks(run: Run, account: Account, api: Api, client: Client) -> None:
    _, times = add_ended(api, account.account_id, ENDED)
    at = format_iso(times[3])
    refused = run("replay", "report", at, status=1).stderr
    assert refused == "error: nothing was done: it was delivered already. Hint: --yes sends it again\n"
    assert client.account_firings(state=[State.PENDING]).items == ()
    assert run("replay", "report", at, "--yes").stdout.endswith("goes once more.\n")


def test_replay__of_one_that_there_is_not_says_where_to_look(run: Run, account: Account, api: Api) -> None:
    add_ended(api, account.account_id, ENDED)
    said = run("replay", "report", "2026-01-01T00:00:00Z", status=1).stderr
    assert said.startswith("error: The ledger has no such firing. Hint: `cronally firings` lists them;")


def test_replay__of_a_set(run: Run, account: Account, api: Api, client: Client, working: None) -> None:
    add_ended(api, account.account_id, ENDED, tags='["web"]')
    shown = run("replay", "--failed", "--since", "3h", "--dry-run").stdout
    assert shown.splitlines()[-1] == "2 firings. Nothing was changed."
    chosen = ("replay", "report", "--failed", "--missed-too", "--tag", "web")
    assert "No such option" in run(*chosen, status=2).stderr
    done = run("replay", "--failed", "--state", "missed", "--tag", "web", "--max-per-minute", "600", "--yes")
    assert done.stdout == "Replay completed: 3 of 3 done.\n"
    assert len([*client.iter_account_firings(state=[State.PENDING])]) == 3


def test_replay__as_it_was(run: Run, account: Account, api: Api, working: None) -> None:
    _, times = add_ended(api, account.account_id, ENDED)
    refused = run("replay", "report", format_iso(times[0]), "--as", "then", status=1).stderr
    assert "replay it with as=now" in " ".join(refused.split())
    lines = run("replay", "--failed", "--as", "then", "--dry-run").stdout.splitlines()
    assert lines[-2:] == ["2 of them cannot be sent as they were.", "2 firings. Nothing was changed."]
    assert "cannot" not in run("replay", "--failed", "--as", "now", "--dry-run").stdout
    assert run("replay", "report", format_iso(times[0]), "--as", "now").stdout.endswith("goes once more.\n")


def test_backfill(run: Run, account: Account, api: Api, working: None) -> None:
    _, times = add_ended(api, account.account_id, ENDED)
    span = ("--from", format_iso(times[0]), "--to", format_iso(times[3]))
    counted = "4 fire times: 1 missed or skipped, 1 delivered, 2 failed."
    shown = run("backfill", "report", *span, "--dry-run").stdout
    assert shown == f"{format_iso(times[1])}\n{counted} Nothing was changed.\n"
    assert (
        json.loads(run("backfill", "report", *span, "--dry-run", "--json").stdout)["response"]["on_the_way"]
        == 0
    )
    assert run("backfill", "report", *span, "--yes").stdout == "Backfill completed: 1 of 1 done.\n"
    listed = run("firings", "--tag", "web").stdout
    assert "report" not in listed


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("replay",), 2, "select firings: name a CRONJOB and a fire time, or give a filter"),
        (("replay", "--failed"), 1, "nothing was done: there is no terminal to ask at"),
        (("replay", "x", "2026-11-24T08:00:00Z", "--failed"), 2, "INSTANT names one firing"),
        (("replay", "x", "2026-11-24T08:00:00Z", "--tag", "y"), 2, "INSTANT names one firing"),
        (("replay", "x", "soon"), 2, "INSTANT"),
        (("backfill", "x"), 2, "--from"),
        (("backfill", "x", "--from", "2h"), 1, "nothing was done: there is no terminal to ask at"),
        (("backfill", "x", "--from", "soon", "-y"), 2, "--from"),
        (("backfill", "x", "--from", "2h", "-y"), 1, "there is no such cron job"),
        (("firings", "x", "--tag", "y"), 2, "--tag goes with no CRONJOB"),
    ],
)
def test_past__says_what_is_wrong(
    run: Run, account: Account, arguments: tuple[str, ...], status: int, said: str
) -> None:
    assert said in " ".join(run(*arguments, status=status).stderr.split())
