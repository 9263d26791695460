"""An existing client of the hosted original, pointed at this server, works unchanged."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from uuid import UUID

import pytest

from tests.acceptance.hosted_client import HostedClient
from tests.acceptance.ledger import MINUTE, bring_nearer, now
from tests.acceptance.nodes import EVERYTHING, Cluster
from tests.acceptance.receiver import Receiver

CRONJOB = {
    "name": "nightly report",
    "cron": "0 8 * * *",
    "sns_topic": "arn:aws:sns:us-east-1:123456789012:reports",
    "sns_message": "any string value",
    "sns_region": "us-east-1",
    "sns_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "sns_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}
DOCUMENTED = {"account_id", "cronjob_id", "cron", "name", "deleted"}


@pytest.fixture
def client(cluster: Cluster) -> Iterator[HostedClient]:
    with cluster.node(roles=EVERYTHING) as node:
        yield HostedClient(node.wait_until_started().url)
        node.stop()


@pytest.mark.turns("database_url")
def test_hosted_client__goes_through_everything_that_it_knows(
    client: HostedClient, cluster: Cluster, receiver: Receiver
) -> None:
    created = client.create_account("username@example.com")
    account = created["response"]
    assert created["status"] == "success"
    assert {"account_id", "email", "api_key", "api_secret", "cronjob_count"} <= account.keys()
    assert account["email"] == "username@example.com"
    assert account["cronjob_count"] == 0
    assert len(base64.b64decode(account["api_secret"], validate=True)) == 32
    assert str(UUID(account["api_key"])) == account["api_key"]

    assert client.cronjobs()["response"] == []
    cronjob = client.add_cronjob(**CRONJOB)["response"]
    assert cronjob.keys() >= DOCUMENTED
    assert (cronjob["name"], cronjob["cron"]) == (CRONJOB["name"], CRONJOB["cron"])
    assert cronjob["deleted"] is False
    assert cronjob["account_id"] == account["account_id"]
    again = client.add_cronjob(**{**CRONJOB, "name": "another"})["response"]

    listed = client.cronjobs()["response"]
    assert [one["cronjob_id"] for one in listed] == [cronjob["cronjob_id"], again["cronjob_id"]]
    assert all(one.keys() >= DOCUMENTED for one in listed)
    answer = client.account()["response"]
    assert answer["cronjob_count"] == 2
    assert answer["api_secret"] == account["api_secret"]

    if cluster.url.startswith("postgresql"):  # here a test can bring a fire time nearer while the server runs
        bring_nearer(cluster.url, cronjob["cronjob_id"], now() // MINUTE * MINUTE)
        receiver.wait_until(len)
        [publish] = receiver.requests
        assert (publish.topic, publish.message) == (CRONJOB["sns_topic"], CRONJOB["sns_message"])

    deleted = client.delete_cronjob(cronjob["cronjob_id"])
    assert deleted["response"] == {
        **deleted["response"],
        "deleted": True,
        "cronjob_id": cronjob["cronjob_id"],
    }
    assert [one["name"] for one in client.cronjobs()["response"]] == ["another"]
    assert client.account()["response"]["cronjob_count"] == 1


@pytest.mark.slow
def test_hosted_client__is_told_what_is_wrong_as_it_expects(client: HostedClient) -> None:
    client.create_account("username@example.com")
    status, answer = client.send("POST", "/account/", {"email": "USERNAME@example.com"})
    assert (status, answer["status"]) == (400, "error")

    forged = {
        **client.signature("GET", "/cronjobs/"),
        "X-Cron-Signature": base64.b64encode(b"x" * 32).decode(),
    }
    status, answer = client.send("GET", "/cronjobs/", headers=forged)
    assert (status, answer["status"]) == (401, "error")

    other = client.signature("DELETE", "/cronjobs/")
    assert client.send("GET", "/cronjobs/", headers=other)[0] == 401

    path = "/cronjob/00000000-0000-4000-8000-000000000000/"
    status, answer = client.send("DELETE", path, headers=client.signature("DELETE", path))
    assert (status, answer["status"]) == (404, "error")
