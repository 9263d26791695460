"""Test messages from the command line to a queue, over real servers: what AWS says is what the user reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cronally.vault import new_sealing_key
from tests.support.aws import Keys, LocalAws
from tests.support.cronally_server import CronallyServer, cronally_server
from tests.support.sampling import first


@pytest.fixture
def server(database_url: str, aws: LocalAws, tmp_path: Path) -> Iterator[CronallyServer]:
    """A server over an empty database of each kind, with an account."""
    settings = {
        "CRONALLY_DATABASE_URL": database_url,
        "CRONALLY_SEALING_KEYS": new_sealing_key(),
        "AWS_ENDPOINT_URL_SNS": aws.url,
    }
    with cronally_server(tmp_path, settings) as running:
        done = running.cli("signup", "username@example.com")
        assert done.returncode == 0, done.stderr
        yield running


def _add(server: CronallyServer, topic: str, keys: Keys, *more: str) -> Any:
    options = (
        "--name",
        "report",
        "--cron",
        "0 0 29 2 *",
        "--sns-topic",
        topic,
        "--sns-message",
        "time to report",
    )
    env = {"CRONALLY_SNS_SECRET_ACCESS_KEY": keys.secret_access_key}
    return server.cli("add", *options, "--sns-access-key-id", keys.access_key_id, *more, env=env)


@first("sqlite")
def test_verify__from_the_command_to_the_queue(server: CronallyServer, aws: LocalAws) -> None:
    topic = aws.make_topic()
    keys = aws.make_publisher(topic.arn)
    # Wrong keys are found out at once, in AWS's own words, and nothing is stored.
    wrong = _add(server, topic.arn, Keys(keys.access_key_id, "x" * 40), "--verify")
    assert (
        "error: The target did not take the test message, and nothing was stored: "
        in wrong.stderr.replace("\n", " ")
    )
    assert wrong.returncode == 1
    assert "SignatureDoesNotMatch: " in wrong.stderr
    assert "x" * 40 not in wrong.stderr
    assert json.loads(server.cli("list", "--json").stdout)["response"] == []
    assert topic.drain() == []

    made = _add(server, topic.arn, keys, "--verify", "--json")
    assert made.returncode == 0, made.stderr
    cronjob = json.loads(made.stdout)["response"]
    (received,) = topic.receive()
    assert received.message == "time to report"
    assert received.message_id == cronjob["verification"]["message_id"]
    assert received.attributes["cronally-attempt"] == "0"
    assert received.attributes["cronally-firing-id"] == cronjob["verification"]["test_id"]
    assert received.attributes["cronally-cronjob-id"] == cronjob["cronjob_id"]

    done = server.cli("verify", "report")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The target took the test message in ")
    (received,) = topic.receive()
    assert received.message_id in done.stdout

    # Another user's keys, without permission: the change is refused, and the cron job keeps its own.
    stranger = aws.make_publisher(topic.arn + "-2")
    env = {"CRONALLY_SNS_SECRET_ACCESS_KEY": stranger.secret_access_key}
    refused = server.cli(
        "update", "report", "--sns-access-key-id", stranger.access_key_id, "--verify", env=env
    )
    assert refused.returncode == 1
    assert "AccessDenied: " in refused.stderr
    assert json.loads(server.cli("show", "report", "--json").stdout)["response"]["version"] == 1

    aws.client("sns", region=topic.region).delete_topic(TopicArn=topic.arn)
    gone = server.cli("verify", "report", "--json")
    assert gone.returncode == 1
    found = json.loads(gone.stdout)["response"]
    assert (found["delivered"], found["outcome"]) == (False, "refused")
    assert found["detail"].startswith("NotFound: ")
    assert found["detail"] in gone.stderr
    ledger = json.loads(server.cli("firings", "report", "--json").stdout)
    assert ledger["response"] == [], "a test is no firing"
