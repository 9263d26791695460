"""kill -9 around the transaction of what an owner asks for, on both databases: all of it is done, or nothing.

The server that gets the request dies just before the commit or just after it, without an answer. What is left is as
before, or as it was asked for; asked once more of another server, it is done, and once.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Connection, select

from cronally.store import tables
from tests.acceptance.hosted_client import HostedClient
from tests.acceptance.judge import iso
from tests.acceptance.ledger import MINUTE, RARELY, execute, now, transact
from tests.acceptance.nodes import Cluster

HTTP = {"delivery_type": "http", "delivery_http_url": "https://1.1.1.1/in", "delivery_http_method": "post"}
JOB = {"name": "job", "cron": RARELY, **HTTP}
KEY = {"Idempotency-Key": "once"}


@dataclass(frozen=True)
class Control:
    """What an owner asks for."""

    method: str
    path: str
    """Of the cron job, or what is given."""
    parameters: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def of_job(rest: str = "", **parameters: str) -> Callable[[str], Control]:
    return lambda cronjob_id: Control("POST", f"/cronjob/{cronjob_id}/{rest}", parameters, KEY)


AT = now() // MINUTE * MINUTE - MINUTE
"""The fire time of a firing that has failed."""
CONTROLS: dict[str, Callable[[str], Control]] = {
    "create": lambda _: Control("POST", "/cronjob/", {**JOB, "name": "another"}, KEY),
    "change": lambda job: Control("PATCH", f"/cronjob/{job}/", {"cron": "0 12 29 2 *"}),
    "put": lambda _: Control("PUT", "/cronjob/by-name/job/", {"cron": "0 12 29 2 *", **HTTP}),
    "put a new one": lambda _: Control("PUT", "/cronjob/by-name/new/", {"cron": "0 12 29 2 *", **HTTP}),
    "pause": of_job("pause/", note="deploying"),
    "resume": of_job("resume/"),
    "run": of_job("run/"),
    "delete": lambda job: Control("DELETE", f"/cronjob/{job}/"),
    "calendar": lambda _: Control("PUT", "/calendar/holidays/", {"dates": "2026-12-24"}),
    "freeze": lambda _: Control("POST", "/freeze/", {"all": "true", "until": "1h"}, KEY),
    "replay": of_job(f"firings/{iso(AT)}/replay/"),
}
POINTS = ["change.before_commit", "change.after_commit"]


def snapshot(url: str) -> dict[str, list[Any]]:
    """What there is; not how often it was changed: who asks twice for a change has two versions."""
    cronjob, firing, calendar, freeze = tables.cronjob, tables.firing, tables.calendar, tables.freeze
    columns = {
        "cronjobs": (cronjob.c.name, cronjob.c.state, cronjob.c.cron, cronjob.c.paused_note),
        "ledger": (firing.c.kind, firing.c.scheduled_at, firing.c.state, firing.c.reason),
        "calendars": (calendar.c.name, calendar.c.dates),
        "freezes": (freeze.c.freeze_id, freeze.c.until, freeze.c.lifted_at),
    }

    def work(connection: Connection) -> dict[str, list[Any]]:
        return {
            name: sorted(tuple(row) for row in connection.execute(select(*chosen)))
            for name, chosen in columns.items()
        }

    return transact(url, work)


def ask(client: HostedClient, control: Control) -> int:
    """The status of the answer. Raises OSError where there is none."""
    headers = {**client.signature(control.method, control.path), **control.headers}
    parameters = None if control.parameters is None else dict(control.parameters)
    try:
        return client.send(control.method, control.path, parameters, headers)[0]
    except http.client.HTTPException as problem:
        raise OSError("no answer") from problem


@pytest.mark.sample(2)
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("control", CONTROLS)
def test_kill_around_a_change(cluster: Cluster, control: str, point: str) -> None:
    with cluster.node(roles=["api"]) as node:
        client = HostedClient(node.wait_until_started().url)
        client.create_account("owner@example.com")
        job = client.add_cronjob(**JOB)["response"]["cronjob_id"]
        if control == "resume":
            client.signed("POST", f"/cronjob/{job}/pause/", {})
        node.stop()
    if control == "replay":
        execute(
            cluster.url,
            "INSERT INTO firing (cronjob_id, account_id, scheduled_at, kind, state, reason, count, attempt, lease_no,"
            " lost_leases, refusals, created_at, finished_at)"
            " SELECT cronjob_id, account_id, :at, 'scheduled', 'failed', 'target_refused', 1, 1, 1, 0, 0, :at, :at"
            " FROM cronjob",
            at=AT,
        )
    asked, before = CONTROLS[control](job), snapshot(cluster.url)

    with cluster.node(roles=["api"], crash_at=f"{point}:1") as node:
        client.url = node.wait_until_started().url
        with pytest.raises(OSError):  # noqa: PT011 - however the connection ends
            ask(client, asked)
        node.wait_until_killed()
    left = snapshot(cluster.url)
    assert (left == before) is (point == "change.before_commit")

    with cluster.node(roles=["api"]) as node:
        client.url = node.wait_until_started().url
        status = ask(client, asked)
        node.stop()
    done = snapshot(cluster.url)
    assert done != before
    if point == "change.before_commit":
        assert status == 200
    else:
        assert done == left, "asked once more, and done twice"
