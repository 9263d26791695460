"""Replay and backfill over the wire: paths, parameters, answers and refusals."""

from __future__ import annotations

import pytest

from cronally.instants import format_iso
from tests.api.serving import Api, Client
from tests.api.test_many import UNKNOWN, work_off
from tests.support.ended import add_ended

ENDED = ("failed", "delivered", "missed", "failed")


def test_replay__of_one_is_by_its_fire_time(client: Client, api: Api) -> None:
    cronjob_id, times = add_ended(api, client.account_id, ENDED)
    path = f"/cronjob/{cronjob_id}/firings/{format_iso(times[0])}/replay/"
    answer = client.ask("POST", path, {})
    assert answer.status == 200
    assert (answer.response["state"], answer.response["scheduled_at"]) == ("pending", format_iso(times[0]))
    again = client.ask("POST", path.removesuffix("/"), json_body={"kind": "scheduled"})
    assert (again.status, again.error["code"]) == (409, "conflict")
    listed = client.ask("GET", f"/cronjob/{cronjob_id}/firings/?state=pending").response
    assert listed == [answer.response]


@pytest.mark.parametrize(
    ("scheduled_at", "body", "status"),
    [
        ("yesterday", {}, 400),
        ("2026-11-24T08:00:00", {}, 400),
        ("2026-11-24T08:00:00Z", {"kind": "other"}, 400),
        ("2026-11-24T08:00:00Z", {"dry_run": "true"}, 400),
        ("2026-11-24T08:00:00Z", {}, 404),
        ("2026-11-24T08:00:00+00:00", {}, 404),
        ("2026-11-24%2008", {}, 404),
    ],
)
def test_replay__of_what_is_not_there(
    module_client: Client, scheduled_at: str, body: dict[str, str], status: int
) -> None:
    path = f"/cronjob/{UNKNOWN}/firings/{scheduled_at}/replay/"
    assert module_client.ask("POST", path, body).status == status


def test_replay__of_a_set(client: Client, api: Api) -> None:
    cronjob_id, times = add_ended(api, client.account_id, ENDED, tags='["env=prod"]')
    trial = client.ask("POST", "/firings/replay/", json_body={"tag": ["env=prod"], "dry_run": True}).response
    assert trial["total"] == 2
    assert [each["scheduled_at"] for each in trial["firings"]] == [
        format_iso(times[0]),
        format_iso(times[3]),
    ]
    begun = client.ask(
        "POST", "/firings/replay/", {"cronjob_id": cronjob_id, "state": "failed,missed"}
    ).response
    assert (begun["action"], begun["state"], begun["total"]) == ("replay", "running", 3)
    assert begun["filters"] == {"cronjob_id": cronjob_id, "state": "failed,missed"}
    work_off(api)
    done = client.ask("GET", f"/operation/{begun['operation_id']}").response
    assert (done["state"], done["done"]) == ("completed", 3)


def test_replay__as_it_was_is_refused_where_what_was_sent_is_not_kept(client: Client, api: Api) -> None:
    """Nothing of these cron jobs' versions is known."""
    cronjob_id, times = add_ended(api, client.account_id, ENDED)
    path = f"/cronjob/{cronjob_id}/firings/{format_iso(times[0])}/replay/"
    refused = client.ask("POST", path, {"as": "then"})
    assert (refused.status, "replay it with as=now" in refused.error["message"]) == (400, True)
    assert [*client.ask("POST", path, {"as": "x"}).fields] == ["as"]
    assert client.ask("POST", path, {}).status == 200
    sent = {"cronjob_id": cronjob_id, "as": "then", "dry_run": "true"}
    trial = client.ask("POST", "/firings/replay/", sent).response
    assert (trial["total"], trial["failed"], len(trial["problems"])) == (1, 1, 1)
    begun = client.ask(
        "POST", "/firings/replay/", json_body={"cronjob_id": cronjob_id, "as": "then"}
    ).response
    assert (begun["filters"], begun["parameters"]) == ({"cronjob_id": cronjob_id}, {"as": "then"})
    work_off(api)
    done = client.ask("GET", f"/operation/{begun['operation_id']}").response
    assert (done["done"], done["failed"]) == (0, 1)


def test_backfill(client: Client, api: Api) -> None:
    cronjob_id, times = add_ended(api, client.account_id, ENDED)
    path = f"/cronjob/{cronjob_id}/backfill/"
    sent = {"from": format_iso(times[0]), "to": format_iso(times[3])}
    trial = client.ask("POST", path, json_body=sent | {"dry_run": True}).response
    assert trial == {
        "fire_times": 4,
        "to_insert": 0,
        "to_revive": 1,
        "delivered": 1,
        "failed": 2,
        "on_the_way": 0,
        "first": [format_iso(times[2])],
    }
    begun = client.ask("POST", path, sent).response
    assert (begun["action"], begun["total"]) == ("backfill", 1)
    work_off(api)
    assert client.ask("GET", f"/operation/{begun['operation_id']}").response["done"] == 1
    wrong = client.ask("POST", path, {"to": "x", "version": "0"})
    assert (wrong.status, {*wrong.fields}) == (400, {"from", "to", "version"})
    assert client.ask("POST", f"/cronjob/{UNKNOWN}/backfill/", sent).status == 404


def test_unsigned__is_refused(module_client: Client) -> None:
    for path in (
        "/firings/replay/",
        f"/cronjob/{UNKNOWN}/backfill/",
        f"/cronjob/{UNKNOWN}/firings/2026-11-24T08:00:00Z/replay/",
    ):
        assert module_client.ask("POST", path, {}, signed=False).status == 401
