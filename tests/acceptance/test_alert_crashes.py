"""kill -9 at every step of an alert's way, on both databases: nothing lost, one id, and twice only in doubt.

The node dies at one point; the ledger is read as it was left; a second node runs without the crash point until the
alert is recorded.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from cronally.alert import Alert, Event, alert_id
from cronally.failpoints import ALERT_POINTS
from cronally.store import alerts, tables
from cronally.vault import SealContext, Vault, parse_sealing_keys
from tests.acceptance.ledger import now, transact
from tests.acceptance.nodes import Cluster
from tests.support.factories import account_values, uuid_of

SIGNING = f"whsec_{base64.b64encode(b'0123456789abcdef01234567').decode()}"
SETTINGS = {"CRONALLY_HTTP_ALLOWED_NETWORKS": "127.0.0.0/8"}
CHANNEL = uuid_of("ch")


class Webhook:
    """A receiver that keeps the ids of what it gets."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.came = threading.Condition()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                with webhook.came:
                    webhook.ids.append(self.headers["Cronally-Alert-Id"])
                    webhook.came.notify_all()
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                return None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def wait(self, count: int) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.ids) >= count, 60)


@contextmanager
def webhook() -> Iterator[Webhook]:
    made = Webhook()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join()


def seed(cluster: Cluster, port: int) -> str:
    """An account with a channel, and an alert for it."""
    vault = Vault(parse_sealing_keys(cluster.keys))
    account = account_values()
    account_id, at = account["account_id"], now()
    secret = json.dumps({"webhook_url": f"http://127.0.0.1:{port}/hook", "signing_secret": SIGNING}).encode()
    channel = {
        "channel_id": CHANNEL,
        "account_id": account_id,
        "name": "hook",
        "kind": "http",
        "parameters": '{"webhook_url":"http://127.0.0.1/***"}',
        "secret": vault.seal(secret, SealContext(account_id, "channel", "secret", CHANNEL)),
        "version": 1,
        "created_at": at,
        "updated_at": at,
        "updated_by": "key",
        "confirmed_at": at,
    }
    made = Alert(
        alert_id=alert_id(account_id, "failure", "account", account_id, Event.BEGAN, at),
        account_id=account_id,
        condition="failure",
        event=Event.BEGAN,
        subject_kind="account",
        subject_id=account_id,
        title="Reports failed",
        created_at=at,
    )

    def work(connection: Connection) -> None:
        connection.execute(insert(tables.account), [account])
        connection.execute(insert(tables.channel), [channel])
        alerts.insert_alert(connection, made, [CHANNEL])

    transact(cluster.url, work)
    return made.alert_id


def state(cluster: Cluster) -> str:
    found: str = transact(
        cluster.url, lambda connection: connection.execute(select(tables.alert_delivery.c.state)).scalar_one()
    )
    return found


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("point", "before", "left", "after"),
    [
        ("alert.after_claim", 0, "sending", 1),
        ("alert.after_send", 1, "sending", 2),
        ("alert.after_record", 1, "delivered", 1),
    ],
)
def test_crash__nothing_is_lost_and_the_id_stays(
    cluster: Cluster, point: str, before: int, left: str, after: int
) -> None:
    assert point in ALERT_POINTS
    with webhook() as receiver:
        told = seed(cluster, receiver.server.server_port)
        with cluster.node(roles=["dispatcher"], crash_at=point, settings=SETTINGS) as node:
            node.wait_until_killed()
        assert len(receiver.ids) == before
        assert state(cluster) == left
        with cluster.node(roles=["dispatcher"], settings=SETTINGS) as node:
            node.wait_until_started()
            receiver.wait(after)
            node.stop()
        assert state(cluster) == "delivered"
        assert receiver.ids == [told] * after
