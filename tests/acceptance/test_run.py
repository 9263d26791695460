"""Running a cron job now, from the command line to a queue, over real servers on both databases."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cronally.vault import new_sealing_key
from tests.support.aws import Keys, LocalAws, Topic
from tests.support.cronally_server import CLI, CronallyServer, cronally_server
from tests.support.factories import CANARY


@pytest.fixture
def settings(database_url: str, aws: LocalAws) -> dict[str, str]:
    return {
        "CRONALLY_DATABASE_URL": database_url,
        "CRONALLY_SEALING_KEYS": new_sealing_key(),
        "AWS_ENDPOINT_URL_SNS": aws.url,
    }


@pytest.fixture
def server(settings: dict[str, str], tmp_path: Path) -> Iterator[CronallyServer]:
    """A server with an account."""
    with cronally_server(tmp_path, settings) as running:
        done = running.cli("signup", "username@example.com")
        assert done.returncode == 0, done.stderr
        yield running


@pytest.fixture
def topic(aws: LocalAws) -> Topic:
    return aws.make_topic()


@pytest.fixture
def keys(aws: LocalAws, topic: Topic) -> Keys:
    return aws.make_publisher(topic.arn)


def add(server: CronallyServer, topic: Topic, keys: Keys, name: str, *more: str) -> None:
    """A cron job that does not fire by itself in this test, and is tried once."""
    options = ("--name", name, "--cron", "0 0 29 2 *", "--sns-topic", topic.arn, "--sns-message", "usual")
    env = {"CRONALLY_SNS_SECRET_ACCESS_KEY": keys.secret_access_key}
    once = ("--retry-max-attempts", "0", "--sns-access-key-id", keys.access_key_id)
    done = server.cli("add", *options, *once, *more, env=env)
    assert done.returncode == 0, done.stderr


def asked(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["response"]


@pytest.mark.sample(1)
def test_run__waits_for_what_becomes_of_it(server: CronallyServer, topic: Topic, keys: Keys) -> None:
    add(server, topic, keys, "report")
    done = server.cli("run", "report", "--wait", "--sns-message", "only Berlin")
    assert done.returncode == 0, done.stderr
    (received,) = topic.receive()
    assert received.message == "only Berlin"
    assert done.stdout.startswith("Delivered at ")
    assert received.message_id in done.stdout
    assert received.attributes["cronally-firing-id"] in done.stderr
    # The same key is the same firing; the next one has the usual message again.
    first = asked(server.cli("run", "report", "--idempotency-key", "k", "--wait", "--json"))
    again = asked(server.cli("run", "report", "--idempotency-key", "k", "--json"))
    assert first["firing_id"] == again["firing_id"]
    assert (again["kind"], again["state"]) == ("manual", "delivered")
    assert [one.message for one in topic.receive()] == ["usual"]
    listed = server.cli("firings", "report")
    assert listed.stdout.count("manual") == 2
    why = server.cli("why", "report", first["scheduled_at"])
    assert "a manual firing was asked for" in why.stdout

    # What is not delivered is told in AWS's own words.
    add(server, topic, Keys(keys.access_key_id, "x" * 40), "wrong")
    done = server.cli("run", "wrong", "--wait")
    assert done.returncode == 1
    assert "note: attempt 1 did not deliver: SignatureDoesNotMatch" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: it was not delivered: failed, the target refuses")
    # One that would overlap with another, which is tried again, is not sent.
    wrong = Keys(keys.access_key_id, "x" * 40)
    add(server, topic, wrong, "single", "--overlap", "skip", "--retry-max-attempts", "5")
    asked(server.cli("run", "single", "--json"))
    done = server.cli("run", "single", "--wait")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: it was not delivered: skipped, an earlier firing of the cron job was not finished"
    )
    # And what is not yet, too.
    done = server.cli("run", "report", "--at", "1h", "--wait", "--timeout", "1s")
    assert done.returncode == 1
    assert "error: it has not ended after 1s: pending" in done.stderr
    assert topic.drain() == []


@pytest.mark.sample(1)
def test_run__an_interrupt_ends_the_wait_and_not_the_firing(
    server: CronallyServer, topic: Topic, keys: Keys, tmp_path: Path
) -> None:
    add(server, topic, keys, "report")
    # As `CronallyServer.cli` does, but it is to be interrupted.
    env = {
        "PATH": os.defpath,
        "HOME": os.fspath(tmp_path),
        "CRONALLY_URL": server.url,
        "PYTHONUNBUFFERED": "1",
    }
    command = [*CLI, "run", "report", "--at", "3s", "--wait"]
    with subprocess.Popen(
        command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as waiting:
        assert waiting.stderr is not None
        assert waiting.stderr.readline().startswith("note: Firing ")
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=30)
    assert (waiting.returncode, out, err) == (130, "", "")
    assert [one.message for one in topic.receive()] == ["usual"]


@pytest.mark.sample(1)
def test_run__survives_a_kill_of_the_server_with_its_id_and_its_message(
    settings: dict[str, str], topic: Topic, keys: Keys, tmp_path: Path
) -> None:
    message = f"only this once: {CANARY}"
    with cronally_server(tmp_path, settings) as server:
        assert server.cli("signup", "username@example.com").returncode == 0
        add(server, topic, keys, "report")
        far = asked(server.cli("run", "report", "--at", "23h", "--sns-message", message, "--json"))
        firing = asked(server.cli("run", "report", "--at", "4s", "--sns-message", message, "--json"))
        server.process.kill()
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert CANARY.encode() not in file.read_bytes(), f"in the clear in {file.name}"
    assert topic.drain() == []
    (tmp_path / "server.log").unlink()  # it says where the first one listened
    with cronally_server(tmp_path, settings) as server:
        (received,) = topic.receive()
        assert received.message == message
        assert received.attributes["cronally-firing-id"] == firing["firing_id"]
        assert received.attributes["cronally-scheduled-at"] == firing["scheduled_at"]
        assert server.cli("delete", "report", "--yes").returncode == 0
        rows = asked(server.cli("firings", far["cronjob_id"], "--json"))
    states = {row["firing_id"]: (row["state"], row["reason"]) for row in rows}
    assert states[far["firing_id"]] == ("skipped", "deleted")
