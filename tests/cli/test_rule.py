"""`cronally rule` against the real API."""

from __future__ import annotations

import json

import pytest

from cronally.client import Account
from tests.api.serving import Api
from tests.cli.conftest import Run
from tests.support.ended import add_ended
from tests.support.relay import Relay

pytestmark = pytest.mark.usefixtures("account")


def test_rule__is_made_listed_changed_and_removed(run: Run, relay: Relay) -> None:
    assert "There are no rules" in run("rule", "list").stdout
    options = ("--on-failure", "true", "--on-late", "5m", "--quiet-hours", "22:00-07:00")
    shown = run("rule", "add", "--tag", "env=*", *options, "--timezone", "Europe/Berlin").stdout
    assert relay.last.form() == {
        "tag": "env=*",
        "on_failure": "true",
        "on_late": "5m",
        "quiet_hours": "22:00-07:00",
        "timezone": "Europe/Berlin",
    }
    for said in ("tag env=*", "on_failure, on_late=5m", "22:00-07:00 Europe/Berlin", "all"):
        assert said in shown
    (made,) = json.loads(run("rule", "list", "--json").stdout)["response"]
    assert made["rule_id"] in run("rule", "list", "--wide").stdout
    rule = made["rule_id"]
    changed = run(
        "rule", "change", rule, "--on-failure", "false", "--on-late", "default", "--on-missed", "true"
    )
    assert "not on_failure, on_missed" in changed.stdout
    assert "cron job" not in run("rule", "show", rule).stdout
    assert run("rule", "remove", rule, "--yes").stdout == f"Rule {rule} deleted.\n"
    assert "There are no rules" in run("rule", "list").stdout


def test_rule__of_a_cron_job_by_its_name(run: Run, account: Account, api: Api) -> None:
    add_ended(api, account.account_id, ("failed",))
    (job,) = json.loads(run("list", "--json").stdout)["response"]
    shown = run("rule", "add", "--cronjob", "report", "--after-failures", "3", "--no-on-recovery").stdout
    assert f"cron job {job['cronjob_id']}" in shown
    assert "after_failures=3" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "on_failure: is needed where nothing else is told; send one of on_failure, after_failures"),
        (("--on-late", "1s"), "on_late: is out of range; give a duration between 1m and 7d"),
        (("--on-failure", "yes"), "on_failure: is neither true nor false"),
        (
            ("--on-failure", "true", "--quiet-hours", "22-7"),
            "quiet_hours: cannot be read: quiet hours are written like 22:00-07:00",
        ),
        (("--on-failure", "true", "--cronjob", "nobody"), "cronjob: names a cron job that there is not"),
        (("--on-failure", "true", "--cronjob", "x", "--tag", "y"), "tag: was sent with cronjob"),
        (("--on-failure", "true", "--channels", "nobody"), "channels: holds a channel that there is not"),
        (("--on-failure", "false", "--after-failures", "2"), "on_failure: was sent with after_failures"),
        (("--on-failure", "true", "--tag", "a b"), "tag: holds what is no tag"),
    ],
)
def test_rule__what_is_wrong_is_said(run: Run, arguments: tuple[str, ...], said: str) -> None:
    refused = run("rule", "add", *arguments, status=1)
    assert said in " ".join(refused.stderr.split())


def test_rule__change_of_nothing_is_wrong_usage(run: Run) -> None:
    assert "nothing to change" in run("rule", "change", "x", status=2).stderr
    said = run("rule", "show", "x", status=1).stderr
    assert said == "error: There is no such rule. Hint: `cronally rule list` lists them\n"


def test_pause_after__is_a_policy(run: Run, account: Account, api: Api) -> None:
    add_ended(api, account.account_id, ("failed",))
    run("update", "report", "--pause-after", "07d")
    assert json.loads(run("show", "report", "--json").stdout)["response"]["pause_after"] == "7d"
    refused = run("update", "report", "--pause-after", "1", status=1)
    assert "pause_after: is out of range; give 2 to 1,000 failures" in " ".join(refused.stderr.split())
    refused = run("update", "report", "--pause-after", "soon", status=1)
    assert "is neither a number of failures, such as 20, nor a number of days" in " ".join(
        refused.stderr.split()
    )
