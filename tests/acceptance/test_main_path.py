"""From sign-up to the message in a queue, with nothing but real parts: server, API, CLI, PostgreSQL, SNS and SQS.

SNS and SQS are moto's, with authentication on. Fire times are brought nearer in the database while the server runs;
the one test that waits for a real minute is in `test_minute`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from cronally.vault import new_sealing_key
from tests.acceptance.judge import firing_id, iso
from tests.acceptance.ledger import MINUTE, SECOND, bring_nearer, execute, now
from tests.support.aws import Keys, LocalAws, Received, Topic
from tests.support.cronally_server import CronallyServer, cronally_server
from tests.support.postgres import PostgresServer


@dataclass(frozen=True)
class Service:
    """A running server with one signed-up account."""

    server: CronallyServer
    database_url: str

    def cli(self, *arguments: str, secret: str | None = None) -> Any:
        """Run a command that succeeds; return what stands under `response`."""
        env = {} if secret is None else {"CRONALLY_SNS_SECRET_ACCESS_KEY": secret}
        done = self.server.cli(*arguments, "--json", env=env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["response"]

    def add(self, topic: Topic, keys: Keys, **changes: str) -> Mapping[str, Any]:
        """Add a cron job that would fire on 29 February."""
        options = {
            "name": "report",
            "cron": "0 0 29 2 *",
            "sns-topic": topic.arn,
            "sns-message": "time to report",
            "sns-access-key-id": keys.access_key_id,
            **changes,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        added: Mapping[str, Any] = self.cli("add", *words, secret=keys.secret_access_key)
        return added

    def fire(self, cronjob: Mapping[str, Any], at: int | None = None) -> int:
        """Bring the next fire time nearer; return it."""
        at = now() + SECOND // 5 if at is None else at
        bring_nearer(self.database_url, cronjob["cronjob_id"], at)
        return at

    def firing(self, cronjob: Mapping[str, Any], state: str, *, seconds: float = 60.0) -> Mapping[str, Any]:
        """The cron job's only firing, once it is in a state."""
        deadline = time.monotonic() + seconds
        while True:
            firings: list[Mapping[str, Any]] = self.cli("firings", cronjob["cronjob_id"])
            if len(firings) == 1 and firings[0]["state"] == state:
                return firings[0]
            assert time.monotonic() < deadline, firings
            time.sleep(0.1)


@pytest.fixture(scope="module")
def service(
    postgres: PostgresServer, aws: LocalAws, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    url = postgres.create_database("main_path")
    settings = {
        "CRONALLY_DATABASE_URL": url,
        "CRONALLY_SEALING_KEYS": new_sealing_key(),
        "AWS_ENDPOINT_URL_SNS": aws.url,
    }
    with cronally_server(tmp_path_factory.mktemp("main-path"), settings) as server:
        made = Service(server, url)
        made.cli("signup", "operator@example.com")
        yield made
    postgres.drop_database("main_path")


def assert_told_alike(received: Received, firing: Mapping[str, Any], cronjob: Mapping[str, Any]) -> None:
    """Queue, ledger and cron job say the same."""
    assert received.message == cronjob["sns_message"]
    assert received.message_id == firing["message_id"]
    assert received.topic_arn == cronjob["sns_topic"]
    assert received.attributes == {
        "cronally-firing-id": firing["firing_id"],
        "cronally-cronjob-id": cronjob["cronjob_id"],
        "cronally-cronjob-name": cronjob["name"],
        "cronally-scheduled-at": firing["scheduled_at"],
        "cronally-attempt": str(firing["attempt"]),
    }


def test_cronjob__its_message_is_in_the_queue_as_the_ledger_says(service: Service, aws: LocalAws) -> None:
    topic = aws.make_topic()
    cronjob = service.add(
        topic, aws.make_publisher(topic.arn), name="Bericht für Łódź ☂", **{"sns-message": 'ÄÖÜ & <"=%>\n☂'}
    )
    at = service.fire(cronjob)
    [received] = topic.receive()
    firing = service.firing(cronjob, "delivered")
    assert_told_alike(received, firing, cronjob)
    assert firing["scheduled_at"] == iso(at)
    assert firing["firing_id"] == firing_id(cronjob["cronjob_id"], at)
    assert firing["attempt"] == 1
    assert firing["lateness_ms"] >= 0
    assert topic.drain() == []


def test_cronjob__of_a_fifo_topic(service: Service, aws: LocalAws) -> None:
    topic = aws.make_topic(fifo=True)
    cronjob = service.add(topic, aws.make_publisher(topic.arn))
    service.fire(cronjob)
    [received] = topic.receive()
    assert_told_alike(received, service.firing(cronjob, "delivered"), cronjob)


def test_cronjob__with_a_wrong_secret_is_delivered_once_it_has_the_right_one(
    service: Service, aws: LocalAws
) -> None:
    topic = aws.make_topic()
    right = aws.make_publisher(topic.arn)
    cronjob = service.add(topic, Keys(right.access_key_id, "wrong" * 8))
    service.fire(cronjob)
    deadline = time.monotonic() + 60
    while not (firing := service.firing(cronjob, "pending"))["attempts"]:
        assert time.monotonic() < deadline
    assert firing["reason"] == "target_unauthorized"
    assert [attempt["outcome"] for attempt in firing["attempts"]] == ["unauthorized"]
    detail = firing["attempts"][0]["detail"]
    assert detail.startswith("SignatureDoesNotMatch"), "the detail is AWS's own code"
    assert topic.drain() == []

    service.cli(
        "update",
        cronjob["cronjob_id"],
        "--sns-access-key-id",
        right.access_key_id,
        secret=right.secret_access_key,
    )
    # The second try is eight seconds away; here it comes at once.
    execute(
        service.database_url,
        "UPDATE firing SET due_at = :at WHERE cronjob_id = :id AND state = 'pending'",
        at=now(),
        id=cronjob["cronjob_id"],
    )
    [received] = topic.receive(seconds=60)
    firing = service.firing(cronjob, "delivered")
    assert firing["attempt"] == 2
    assert_told_alike(received, firing, cronjob)
    assert [attempt["outcome"] for attempt in firing["attempts"]] == ["unauthorized", "delivered"]


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("trouble", "outcome", "code"),
    [
        ("topic", "refused", "NotFound"),
        ("key", "unauthorized", "InvalidClientTokenId"),
        ("policy", "unauthorized", "AccessDenied"),
    ],
)
def test_cronjob__that_aws_refuses_says_so_in_aws_words(
    service: Service, aws: LocalAws, trouble: str, outcome: str, code: str
) -> None:
    topic, other = aws.make_topic(), aws.make_topic()
    keys = {
        "topic": aws.make_publisher("*"),
        "key": Keys("AKIAIOSFODNN7EXAMPLE", "x" * 40),
        "policy": aws.make_publisher(other.arn),
    }[trouble]
    if trouble == "topic":
        aws.client("sns").delete_topic(TopicArn=topic.arn)
    cronjob = service.add(topic, keys)
    service.fire(cronjob)
    deadline = time.monotonic() + 60
    while not (firing := service.firing(cronjob, "pending"))["attempts"]:
        assert time.monotonic() < deadline
    [attempt] = firing["attempts"]
    assert attempt["outcome"] == outcome
    assert attempt["reason"] == f"target_{outcome}"
    assert attempt["detail"].startswith(code)
    # IAM and topics are eventually consistent: there is a second try, seconds later.
    assert firing["due_at"] is not None


def test_cronjob__that_was_deleted_does_not_fire(service: Service, aws: LocalAws) -> None:
    for seconds in (2, 10, 50):
        topic = aws.make_topic()
        keys = aws.make_publisher(topic.arn)
        deleted, control = service.add(topic, keys, name="deleted"), service.add(topic, keys, name="control")
        at = now() + seconds * SECOND
        service.fire(deleted, at)
        service.fire(control, at)
        answer = service.cli("delete", deleted["cronjob_id"], "--yes")
        if answer["updated_at"] < iso(at):
            break
        # On a busy machine the command took so long that the fire time came first.
    received = topic.receive()
    time.sleep(0.5)
    received += topic.drain()
    assert [one.attributes["cronally-cronjob-name"] for one in received] == ["control"]
    assert service.cli("list")[-1]["cronjob_id"] == control["cronjob_id"]


def test_cronjob__whose_owner_was_away_catches_up(service: Service, aws: LocalAws) -> None:
    """The policy as it is set on the command line, from there to the queue."""
    topic = aws.make_topic()
    keys = aws.make_publisher(topic.arn)
    cronjob = service.add(topic, keys, cron="* * * * *", **{"catch-up": "all"})
    service.fire(cronjob, (now() // MINUTE - 4) * MINUTE)
    received = topic.receive(5)
    assert len(received) >= 5
    instants = sorted(one.attributes["cronally-scheduled-at"] for one in received)
    assert len(set(instants)) == len(instants)
    service.cli("delete", cronjob["cronjob_id"], "--yes")
