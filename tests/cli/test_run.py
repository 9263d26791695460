"""`cronally run`, as far as it needs no engine: what it sends, and what it refuses. `--wait`: tests/acceptance."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cronally import Client
from cronally.client import Account, Cronjob
from cronally.operations.quotas import MAX_RUNS
from tests.cli.conftest import Run
from tests.client.test_client import HTTP, SNS
from tests.support.relay import Relay

pytestmark = pytest.mark.usefixtures("account")


@pytest.fixture
def cronjob(client: Client, account: Account) -> Cronjob:
    return client.create_cronjob(name="report", cron="0 0 29 2 *", **SNS)


def test_run__sends_what_is_asked_for(
    run: Run, relay: Relay, cronjob: Cronjob, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "message").write_text("only this once\n")
    done = run("run", "report", "--at", "10m", "--sns-message-file", str(tmp_path / "message"))
    assert relay.last.form() == {"at": "10m", "sns_message": "only this once\n"}
    (firing,) = client.firings(cronjob.cronjob_id)
    assert done.stdout.startswith(f"Firing {firing.firing_id} of 'report' for ")
    keyed = ("run", cronjob.cronjob_id[:8], "--idempotency-key", "k", "--json")
    first, again = (json.loads(run(*keyed).stdout)["response"] for _ in range(2))
    assert relay.last.headers["idempotency-key"] == "k"
    assert first["firing_id"] == again["firing_id"]
    shown = run("firings", "report", "--wide")
    assert shown.stdout.count("manual") == 2


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--timeout", "5m"), 2, "--timeout: it is for --wait"),
        (("--timeout", "soon", "--wait"), 2, "a duration is written like"),
        (("--sns-message", "x", "--sns-message-file", "y"), 2, "not both"),
        (("--at", "25h"), 1, "error: at: lies more than 24h ahead"),
        (("--at", "soon", "--wait"), 1, "error: at: is neither a duration"),
        (("--idempotency-key", "a b"), 1, "visible ASCII characters"),
        (("--sns-message", ""), 1, "error: sns_message: is missing or empty"),
    ],
)
def test_run__says_what_is_wrong(
    run: Run, cronjob: Cronjob, client: Client, arguments: tuple[str, ...], status: int, said: str
) -> None:
    assert said in run("run", "report", *arguments, status=status).stderr
    assert not client.firings(cronjob.cronjob_id).items


def test_run__of_another_target_and_of_what_is_not_there(run: Run, client: Client) -> None:
    client.create_cronjob(name="hook", cron="0 0 29 2 *", **HTTP)
    refused = run("run", "hook", "--sns-message", "x", status=1)
    assert "belongs to delivery_type=sns, and this is http; leave it out" in refused.stderr
    assert "no such cron job" in run("run", "nothing", status=1).stderr


def test_run__one_too_many_says_when_to_try_again(run: Run, client: Client, cronjob: Cronjob) -> None:
    for _ in range(MAX_RUNS):
        client.run_cronjob(cronjob.cronjob_id)
    refused = run("run", "report", status=1).stderr
    assert re.search(r"as often as this server allows\. Hint: try again in \d+ s\n", refused)
