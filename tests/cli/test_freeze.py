"""`cronally freeze`, `freezes` and `unfreeze` against the real API."""

from __future__ import annotations

import json

import pytest

from cronally.client import Account
from tests.api.serving import Api
from tests.cli.conftest import Run
from tests.support.ended import add_ended
from tests.support.relay import Relay

pytestmark = pytest.mark.usefixtures("account")


def test_freeze__is_made_listed_and_lifted(run: Run, relay: Relay) -> None:
    assert run("freezes").stdout == "There are no freezes.\n"
    shown = run("freeze", "--tag", "web", "--until", "2h", "--note", "deploy", "--rule", "latest").stdout
    assert relay.last.form() == {"tag": "web", "until": "2h", "note": "deploy", "rule": "latest"}
    for said in ("tag web", "latest", "deploy", "until 20"):
        assert said in shown
    (made,) = json.loads(run("freezes", "--json").stdout)["response"]
    assert made["freeze_id"] in shown
    listed = run("freezes", "--wide").stdout
    assert all(said in listed for said in (made["freeze_id"], "tag web", "latest", "deploy"))
    assert "lifted 20" in run("unfreeze", made["freeze_id"]).stdout
    assert json.loads(run("unfreeze", made["freeze_id"], "--json").stdout)["response"]["lifted_at"]
    assert "lifted" in run("freezes").stdout


@pytest.mark.parametrize(
    ("option", "shown"), [(("--host", "a.example"), "host a.example"), (("--all",), "all")]
)
def test_freeze__of_a_host_and_of_all(run: Run, option: tuple[str, ...], shown: str) -> None:
    answer = json.loads(run("freeze", *option, "--until", "1h", "--json").stdout)["response"]
    assert (answer["rule"], answer["in_force"]) == ("skip", True)
    assert shown in run("freezes", "--wide").stdout


def test_freeze__of_no_cron_job_is_said(run: Run, account: Account, api: Api) -> None:
    add_ended(api, account.account_id, ("failed",), tags='["web"]')
    assert run("freeze", "--tag", "web", "--until", "1h").stderr == ""
    assert "no cron job is like that now" in run("freeze", "--tag", "wbe", "--until", "1h").stderr


def test_freeze__is_shown_of_cron_jobs(run: Run, account: Account, api: Api) -> None:
    add_ended(api, account.account_id, ("failed",))
    assert "Frozen" not in run("show", "report").stdout
    made = json.loads(run("freeze", "--all", "--until", "1h", "--json").stdout)["response"]
    shown = run("show", "report").stdout
    assert "Frozen until" in shown
    assert made["freeze_id"] in shown
    assert made["freeze_id"] in run("list", "--columns", "name,frozen_until,frozen_by").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--until", "1h"), "give one of --tag, --host and --all"),
        (("--tag", "web", "--all", "--until", "1h"), "give one of --tag, --host and --all"),
        (("--tag", "web"), "Missing option '--until'"),
        (("--tag", "web", "--until", "soon"), "a duration like"),
        (("--tag", "web", "--until", "1h", "--rule", "none"), "--rule"),
    ],
)
def test_freeze__wrong_usage_is_not_sent(
    run: Run, relay: Relay, arguments: tuple[str, ...], said: str
) -> None:
    relay.requests.clear()
    assert said in run("freeze", *arguments, status=2).stderr
    assert not relay.requests


def test_unfreeze__one_that_there_is_not(run: Run) -> None:
    said = run("unfreeze", "x", status=1).stderr
    assert said == "error: There is no such freeze. Hint: `cronally freezes` lists them\n"
    assert "more than 7d ahead" in run("freeze", "--all", "--until", "8d", status=1).stderr
