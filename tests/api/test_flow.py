"""The reference, walked through over the wire on both databases."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.api.serving import Api, Client, serving, sign_up
from tests.operations.parameters import HTTP, SECRET, SNS
from tests.support.postgres import PostgresServer


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    if request.param == "sqlite":
        migrated: Path = request.getfixturevalue("migrated_sqlite")
        path = tmp_path_factory.mktemp("api") / "cronally.db"
        shutil.copy(migrated, path)
        with serving(f"sqlite:///{path}") as running:
            yield running
    else:
        template: str = request.getfixturevalue("migrated_postgres")
        postgres: PostgresServer = request.getfixturevalue("postgres")
        with serving(postgres.create_database("api_flow", template)) as running:
            yield running
        postgres.drop_database("api_flow")


def test_flow__pause_and_resume(client: Client) -> None:
    cronjob = client.ask("POST", "/cronjob/", SNS).response
    path = f"/cronjob/{cronjob['cronjob_id']}/"
    paused = client.ask("POST", f"{path}pause/", {"note": "größer", "until": "2030-01-01T00:00:00Z"}).response
    assert (paused["state"], paused["next_fire_at"], paused["version"]) == ("paused", None, 2)
    assert (paused["paused_until"], paused["paused_note"]) == ("2030-01-01T00:00:00Z", "größer")
    assert paused["paused_by"] == client.api_key
    assert client.ask("GET", "/cronjobs/?state=paused").response == [{**paused, "health": "new"}]
    for_ever = client.ask("POST", f"{path}pause/").response
    assert not {"paused_until", "paused_note"} & for_ever.keys()
    assert for_ever["paused_at"] == paused["paused_at"]
    resumed = client.ask("POST", f"{path}resume/").response
    assert (resumed["state"], resumed["version"]) == ("active", 4)
    assert not [name for name in resumed if name.startswith("paused_")]
    assert client.ask("POST", f"{path}resume/").response == resumed
    assert client.ask("GET", "/cronjobs/?state=paused").response == []
    assert client.ask("DELETE", path).status == 200


def test_flow__documented_keys_are_there(client: Client) -> None:
    account = client.ask("GET", "/account/").response
    assert account["account_id"] == client.account_id
    assert account["api_key"] == client.api_key
    assert account["api_secret"] == client.api_secret
    assert account["cronjob_count"] == 0
    assert account["email"].endswith("@example.com")
    cronjob = client.ask("POST", "/cronjob/", SNS).response
    assert {name: cronjob[name] for name in ("name", "cron", "account_id", "deleted")} == {
        "name": SNS["name"],
        "cron": SNS["cron"],
        "account_id": client.account_id,
        "deleted": False,
    }
    assert client.ask("GET", "/account/").response["cronjob_count"] == 1
    listed = client.ask("GET", "/cronjobs/").json
    assert listed == {"status": "success", "response": [{**cronjob, "health": "new"}]}
    path = f"/cronjob/{cronjob['cronjob_id']}/"
    shown = client.ask("GET", path).response
    assert shown["counts_24h"].keys() == shown["counts_7d"].keys()
    assert {name: value for name, value in shown.items() if name in cronjob} == cronjob
    assert shown.keys() - cronjob.keys() == {"health", "counts_24h", "counts_7d"}
    changed = client.ask("PATCH", path.rstrip("/"), {"name": "Tea", "cron": "0 16 * * *"}).response
    assert (changed["name"], changed["cron"], changed["version"]) == ("Tea", "0 16 * * *", 2)
    assert client.ask("GET", f"{path}firings/").json == {"status": "success", "response": []}
    deleted = client.ask("DELETE", path).response
    assert deleted["deleted"] is True
    assert deleted["cronjob_id"] == cronjob["cronjob_id"]
    assert client.ask("DELETE", path).status == 404
    assert client.ask("GET", f"/account/firings/?cronjob_id={cronjob['cronjob_id']}").response == []
    assert client.ask("GET", "/cronjobs/").response == []


def test_flow__json_and_form_mean_the_same(client: Client) -> None:
    by_form = client.ask("POST", "/cronjob/", SNS).response
    by_json = client.ask("POST", "/cronjob/", json_body=SNS).response
    for answer in (by_form, by_json):
        for name in ("cronjob_id", "created_at", "updated_at"):
            answer.pop(name)
    assert by_form == by_json


def test_flow__http_delivery(client: Client) -> None:
    cronjob = client.ask("POST", "/cronjob/", HTTP).response
    assert cronjob["delivery_type"] == "http"
    assert cronjob["delivery_http_method"] == "post"


def test_flow__pages(client: Client) -> None:
    made = [client.ask("POST", "/cronjob/", HTTP).response["cronjob_id"] for _ in range(3)]
    first = client.ask("GET", "/cronjobs/?limit=2").json
    second = client.ask("GET", f"/cronjobs/?limit=2&cursor={first['next_cursor']}").json
    assert [cronjob["cronjob_id"] for cronjob in [*first["response"], *second["response"]]] == made
    assert "next_cursor" not in second


def test_flow__a_parallel_duplicate_gets_the_same_answer(client: Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(client.ask, "POST", "/cronjob/", SNS, headers={"Idempotency-Key": "once"})
            for _ in range(8)
        ]
        answers = {answer.result().body for answer in asked}
    assert len(answers) == 1
    assert len(client.ask("GET", "/cronjobs/").response) == 1
    other = client.ask("POST", "/cronjob/", {**SNS, "name": "Other"}, headers={"Idempotency-Key": "once"})
    assert other.status == 400
    assert list(other.fields) == ["Idempotency-Key"]


def test_flow__an_address_is_taken_once(api: Api, stranger: Client) -> None:
    sign_up(api, "Taken@example.com")
    refused = stranger.ask("POST", "/account/", {"email": "tAKEN@example.com"})
    assert refused.status == 400
    assert list(refused.fields) == ["email"]


def test_flow__the_secret_never_comes_back(client: Client) -> None:
    cronjob = client.ask("POST", "/cronjob/", SNS)
    path = f"/cronjob/{cronjob.response['cronjob_id']}/"
    answers = [
        cronjob,
        client.ask("GET", path),
        client.ask("PATCH", path, {"sns_secret_access_key": SECRET + "x"}),
        client.ask("POST", "/cronjob/", {**SNS, "cron": "*", "sns_access_key_id": "-"}),
        client.ask("GET", "/cronjobs/"),
        client.ask("DELETE", path),
    ]
    assert all(SECRET.encode() not in answer.body for answer in answers)
