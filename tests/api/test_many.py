"""Many cron jobs at a time, operations, and cron jobs by their names, over the wire."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from cronally.operations.background import Background
from tests.api.serving import Api, Client, sign_up
from tests.operations.parameters import HTTP

BODY = {name: value for name, value in HTTP.items() if name != "name"}
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def work_off(api: Api) -> None:
    """Let the background do all that there is."""

    async def do() -> None:
        runner = Background(api.store, api.operations.actions)
        while await runner.step() is not None:
            pass

    api.run(do())


def make(client: Client, count: int, **given: str) -> list[str]:
    made = [client.ask("POST", "/cronjob/", {**HTTP, **given}).response for _ in range(count)]
    return [each["cronjob_id"] for each in made]


def test_many__is_a_filter_in_the_query_and_the_rest_in_the_body(client: Client) -> None:
    make(client, 2)
    make(client, 1, name="other")
    path = "/cronjobs/pause/?name=other"
    trial = client.ask("POST", path, json_body={"dry_run": True, "note": "x"}).response
    assert (trial["total"], [each["name"] for each in trial["cronjobs"]]) == (1, ["other"])
    done = client.ask("POST", path, {"note": "x"}).response
    assert (done["state"], done["done"], done["filters"], done["parameters"]) == (
        "completed",
        1,
        {"name": "other"},
        {"note": "x"},
    )
    states = {each["name"]: each["state"] for each in client.ask("GET", "/cronjobs/").response}
    assert states == {"Wake up": "active", "other": "paused"}
    assert client.ask("GET", f"/operation/{done['operation_id']}").response == done
    assert client.ask("GET", "/operations/").response == [done]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/cronjobs/pause/", {}, "all"),
        ("/cronjobs/pause/?all=true&name=x", {}, "all"),
        ("/cronjobs/pause/?all=true&dry_run=true", {}, "dry_run"),
        ("/cronjobs/pause/?all=true", {"name": "x"}, "name"),
        ("/cronjobs/delete/", {"all": "true"}, "all"),
        ("/cronjobs/change/?all=true", {"cron": "* * * * *"}, "cron"),
        ("/cronjobs/change/?all=true", {"sns_secret_access_key": "x"}, "sns_secret_access_key"),
        ("/cronjobs/run/?state=none", {"at": "soon"}, "at"),
        ("/operations/?limit=0", None, "limit"),
        ("/operations/?cursor=x", None, "cursor"),
    ],
)
def test_wrong_requests__do_nothing(
    module_client: Client, path: str, body: dict[str, str] | None, field: str
) -> None:
    answer = module_client.ask("GET" if body is None else "POST", path, body)
    assert answer.status == 400
    assert field in answer.fields
    assert module_client.ask("GET", "/operations/").response == []


def test_many__unsigned_is_refused(client: Client) -> None:
    for method, path in (
        ("POST", "/cronjobs/delete/?all=true"),
        ("GET", "/operations/"),
        ("GET", f"/operation/{UNKNOWN}/"),
        ("DELETE", f"/operation/{UNKNOWN}/"),
        ("PUT", "/cronjob/by-name/x/"),
    ):
        assert client.ask(method, path, signed=False).status == 401


def test_many__goes_on_in_the_background(client: Client, api: Api) -> None:
    make(client, 101)
    running = client.ask("POST", "/cronjobs/pause/?all=true", {}).response
    assert (running["state"], running["total"], running["done"]) == ("running", 101, 0)
    other = sign_up(api, "neighbour@example.com")
    for method in ("GET", "DELETE"):
        path = f"/operation/{running['operation_id']}/"
        assert other.ask(method, path).status == 404
        assert client.ask(method, f"/operation/{UNKNOWN}/").status == 404
        assert client.ask(method, "/operation/a_b/").status == 404
    assert other.ask("GET", "/operations/").response == []
    work_off(api)
    done = client.ask("GET", path).response
    assert (done["state"], done["done"], done["failed"]) == ("completed", 101, 0)
    assert client.ask("DELETE", path).response == done
    again = client.ask("POST", "/cronjobs/resume/?all=true", {}).response
    cancelled = client.ask("DELETE", f"/operation/{again['operation_id']}/").response
    assert cancelled["state"] == "cancelled"
    work_off(api)
    assert len(client.ask("GET", "/cronjobs/?state=paused&limit=100").response) == 100


def test_many__with_the_same_key_is_one(client: Client) -> None:
    make(client, 1)
    headers = {"Idempotency-Key": "k"}
    first, again = (
        client.ask("POST", "/cronjobs/run/?all=true", {"at": "1h"}, headers=headers).response
        for _ in range(2)
    )
    assert first == again
    assert len(client.ask("GET", "/account/firings/").response) == 1


NAMES = ["report", "a/b", "a%2Fb", "ü 茶 🍵", "..", ".", "a+b?c#d&e", "100%", "x/", "x" * 256, "ä" * 256]


def by_name(name: str) -> str:
    return f"/cronjob/by-name/{quote(name, safe='').replace('.', '%2E')}/"


def test_put__any_name_that_the_path_holds(client: Client) -> None:
    for name in NAMES:
        made = client.ask("PUT", by_name(name), BODY).response
        assert (made["name"], made["outcome"]) == (name, "created")
        again = client.ask("PUT", by_name(name).removesuffix("/"), json_body=BODY).response
        assert again == {**made, "outcome": "unchanged"}
        changed = client.ask("PUT", by_name(name), {**BODY, "cron": "1 1 1 1 *"}).response
        assert (changed["outcome"], changed["cronjob_id"]) == ("changed", made["cronjob_id"])
    assert [each["name"] for each in client.ask("GET", "/cronjobs/").response] == NAMES


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/cronjob/by-name/%FF/", 400),
        ("/cronjob/by-name/%zz/", 400),
        ("/cronjob/by-name/100%/", 400),
        ("/cronjob/by-name/%0A/", 400),
        ("/cronjob/by-name/%20/", 400),
        ("/cronjob/by-name/" + "x" * 257, 400),
        ("/cronjob/by-name/a/b/", 404),
        ("/cronjob/by-name//", 404),
        ("/cronjob/by-name/../", 404),
        ("/cronjob/by-name/./", 404),
        ("/cronjob/%62y-name/x/", 404),
        ("/cronjob/by-name/x/%2E%2E/", 404),
    ],
)
def test_put__paths_that_are_no_name(module_client: Client, path: str, status: int) -> None:
    assert module_client.ask("PUT", path, BODY).status == status
    assert module_client.ask("GET", "/cronjobs/").response == []


def test_put__of_several_is_a_conflict(client: Client) -> None:
    ids = make(client, 2)
    answer = client.ask("PUT", by_name("Wake up"), BODY)
    assert (answer.status, answer.error["code"]) == (409, "conflict")
    assert all(cronjob_id in answer.error["message"] for cronjob_id in ids)


def test_put__complaints_are_those_of_a_create(module_client: Client) -> None:
    answer: Any = module_client.ask("PUT", by_name("x"), {"sns_topic": "x", "name": "x"})
    assert {"cron", "name", "sns_topic", "sns_message"} <= answer.fields.keys()
    assert module_client.ask("POST", by_name("x"), BODY).status == 405
