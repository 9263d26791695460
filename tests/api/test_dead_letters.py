"""Dead letters over the wire: paths, parameters, answers and refusals."""

from __future__ import annotations

import pytest

from cronally.instants import format_iso
from tests.api.serving import Api, Client, sign_up
from tests.api.test_many import UNKNOWN
from tests.operations.parameters import HTTP
from tests.support.ended import add_ended

ENDED = ("failed", "delivered", "missed", "failed")
TELLS = {**HTTP, "name": "tells", "delivery_http_method": "post"}
NOTE = {"note": "made up for by hand"}


def test_dead_letters__are_listed_counted_and_discarded(client: Client, api: Api) -> None:
    cronjob_id, times = add_ended(api, client.account_id, ENDED)
    listed = client.ask("GET", "/account/dead-letters/?fields=scheduled_at,state&limit=1")
    assert listed.response == [
        {
            "firing_id": listed.response[0]["firing_id"],
            "scheduled_at": format_iso(times[3]),
            "state": "failed",
        }
    ]
    after = client.ask("GET", f"/account/dead-letters?cursor={listed.json['next_cursor']}")
    assert [each["scheduled_at"] for each in after.response] == [format_iso(times[0])]
    assert client.ask("GET", "/account/").response["dead_letters"] == 2
    path = f"/cronjob/{cronjob_id}/firings/{format_iso(times[0])}/discard/"
    answer = client.ask("POST", path, NOTE)
    assert (answer.status, answer.response["discarded_note"]) == (200, NOTE["note"])
    assert client.ask("POST", path.removesuffix("/"), json_body=NOTE).response == answer.response
    lines = client.ask("GET", "/account/dead-letters/?format=jsonl").body.decode().splitlines()
    assert len(lines) == 1
    done = client.ask("POST", "/account/dead-letters/discard/", json_body={**NOTE, "all": True})
    assert done.response == {"total": 1, "more": False}
    assert client.ask("GET", "/account/dead-letters/").response == []
    assert client.ask("GET", "/account/").response["dead_letters"] == 0


def test_account__names_the_one_that_tells(client: Client, api: Api) -> None:
    tells = client.ask("POST", "/cronjob/", TELLS).response["cronjob_id"]
    before = client.ask("GET", "/account/").response
    named = client.ask("PATCH", "/account/", {"dead_letter": "tells"})
    assert (named.status, named.response) == (200, {**before, "dead_letter": tells})
    assert client.ask("GET", "/account/").response == named.response
    assert client.ask("PATCH", "/account", json_body={}).response == named.response
    none = client.ask("PATCH", "/account/", json_body={"dead_letter": "none"}).response
    assert none == before
    stranger = sign_up(api, "stranger-of-dead-letters@example.com")
    refused = stranger.ask("PATCH", "/account/", {"dead_letter": tells})
    assert (refused.status, refused.json["error"]["fields"].keys()) == (400, {"dead_letter"})
    assert client.ask("PATCH", "/account/", {"dead_letter": "none"}, signed=False).status == 401


@pytest.mark.parametrize(
    ("scheduled_at", "body", "status"),
    [
        ("yesterday", NOTE, 400),
        ("2026-11-24T08:00:00Z", {}, 400),
        ("2026-11-24T08:00:00Z", {**NOTE, "kind": "other"}, 400),
        ("2026-11-24T08:00:00Z", {**NOTE, "as": "then"}, 400),
        ("2026-11-24T08:00:00Z", {"note": "x" * 257}, 400),
        ("2026-11-24T08:00:00Z", NOTE, 404),
    ],
)
def test_discard__of_what_is_not_there(
    module_client: Client, scheduled_at: str, body: dict[str, str], status: int
) -> None:
    path = f"/cronjob/{UNKNOWN}/firings/{scheduled_at}/discard/"
    assert module_client.ask("POST", path, body).status == status


@pytest.mark.parametrize("query", ["state=failed", "limit=0", "cursor=x", "order=other", "format=xml"])
def test_list__refuses(module_client: Client, query: str) -> None:
    assert module_client.ask("GET", f"/account/dead-letters/?{query}").status == 400


def test_cursor__of_the_ledger_is_none_of_dead_letters(client: Client, api: Api) -> None:
    add_ended(api, client.account_id, ENDED)
    cursor = client.ask("GET", "/account/firings/?limit=1").json["next_cursor"]
    assert client.ask("GET", f"/account/dead-letters/?cursor={cursor}").status == 400
