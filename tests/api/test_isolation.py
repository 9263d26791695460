"""One tenant and another: every route, with every kind of id that is not the tenant's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.serving import Api, Client, sign_up
from tests.operations.parameters import AWS, HTTP

UNKNOWN = "00000000-0000-4000-8000-000000000000"
AT = "2026-11-24T08:00:00Z"
EXPLAIN = "/cronjob/{}/explain/?at=2026-11-24T08:00:00Z"
BY_ID = {
    ("GET", "/cronjob/{}/"): None,
    ("HEAD", "/cronjob/{}/"): None,
    ("POST", "/cronjob/{}/verify/"): None,
    ("POST", "/cronjob/{}/run/"): {"at": "1h"},
    ("POST", "/cronjob/{}/pause/"): {"note": "Stolen"},
    ("POST", "/cronjob/{}/resume/"): None,
    ("POST", "/cronjob/{}/backfill/"): {"from": "2026-11-24T08:00:00Z"},
    ("POST", f"/cronjob/{{}}/firings/{AT}/replay/"): None,
    ("POST", f"/cronjob/{{}}/firings/{AT}/discard/"): {"note": "Stolen"},
    ("PATCH", "/cronjob/{}/"): {"name": "Stolen", "cron": "*/5 * * * *"},
    ("DELETE", "/cronjob/{}/"): None,
    ("GET", "/cronjob/{}/firings/"): None,
    ("HEAD", "/cronjob/{}/firings/"): None,
    ("GET", "/cronjob/{}/preview/"): None,
    ("HEAD", "/cronjob/{}/preview/"): None,
    ("GET", "/cronjob/{}/render/"): None,
    ("HEAD", "/cronjob/{}/render/"): None,
    ("GET", EXPLAIN): None,
    ("HEAD", EXPLAIN): None,
}


@pytest.fixture(scope="module")
def owner(api: Api) -> Client:
    return sign_up(api, "owner@example.com")


@pytest.fixture(scope="module")
def foreign_id(owner: Client) -> Iterator[str]:
    """Another tenant's cron job, which must be as it was when all tests have had their go."""
    made = owner.ask("POST", "/cronjob/", HTTP).response
    yield made["cronjob_id"]
    assert owner.ask("GET", "/cronjobs/").response == [{**made, "health": "new"}]


@pytest.fixture(scope="module")
def deleted_id(module_client: Client) -> str:
    cronjob_id: str = module_client.ask("POST", "/cronjob/", HTTP).response["cronjob_id"]
    assert module_client.ask("DELETE", f"/cronjob/{cronjob_id}/").status == 200
    return cronjob_id


@pytest.mark.parametrize(("method", "path"), BY_ID)
def test_isolation__what_is_not_the_tenants_is_not_there(
    module_client: Client, method: str, path: str, foreign_id: str, deleted_id: str
) -> None:
    ids = [UNKNOWN, foreign_id, foreign_id.upper(), "x"]
    # The ledger of a cron job outlives it, and so does what is told from it.
    if path != EXPLAIN:
        ids.append(deleted_id)
    answers = [module_client.ask(method, path.format(cronjob_id), BY_ID[method, path]) for cronjob_id in ids]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    own = {"date", "x-request-id"}
    headers = [{name: text for name, text in answer.headers.items() if name not in own} for answer in answers]
    assert all(sent == headers[0] for sent in headers)


def test_isolation__the_matrix_has_every_route_with_an_id(stranger: Client) -> None:
    paths = stranger.ask("GET", "/openapi.json").json["paths"]
    routes = {
        (method.upper(), path.replace("{cronjob_id}", "{}").replace("{scheduled_at}", AT))
        for path, methods in paths.items()
        for method in methods
        if "{cronjob_id}" in path
    }
    assert routes == {(method, path.partition("?")[0]) for method, path in BY_ID if method != "HEAD"}


@pytest.mark.parametrize("path", ["/cronjob/{}/preview/", "/cronjob/{}/explain/"])
def test_isolation__a_wrong_parameter_tells_nothing_either(
    module_client: Client, path: str, foreign_id: str
) -> None:
    answers = [
        module_client.ask("GET", path.format(cronjob_id) + query).body
        for cronjob_id in (UNKNOWN, foreign_id)
        for query in ("", "?at=never", "?after=never&count=0&colour=red")
    ]
    assert len(set(answers)) == 1
    assert module_client.ask("GET", path.format(foreign_id)).status == 404


def test_isolation__a_deleted_cron_job_of_the_tenants_own_is_explained(
    module_client: Client, deleted_id: str
) -> None:
    answer = module_client.ask("GET", f"/cronjob/{deleted_id}/explain/?at=2199-01-01T00:00:00Z")
    assert answer.response["finding"] == "deleted"


def test_isolation__the_ledger_of_another_is_not_there(module_client: Client, foreign_id: str) -> None:
    answers = [
        module_client.ask("GET", f"/account/firings/?cronjob_id={cronjob_id}")
        for cronjob_id in (UNKNOWN, foreign_id)
    ]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_isolation__the_calendar_of_another_is_not_there(
    module_client: Client, owner: Client, method: str
) -> None:
    put = owner.ask("PUT", "/calendar/theirs/", {"dates": "2026-12-24"})
    assert put.status == 200
    answers = [module_client.ask(method, f"/calendar/{name}/") for name in ("theirs", "nobodys")]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    refused = module_client.ask("POST", "/cronjob/", {**HTTP, "exclude": "theirs"})
    assert "theirs" not in refused.fields["exclude"]
    assert module_client.ask("GET", "/calendars/").response == []
    shown = owner.ask("GET", "/calendar/theirs/").response
    assert {**put.response, "created": None} == {**shown, "created": None}


def test_isolation__lists_hold_the_tenants_own(client: Client, foreign_id: str) -> None:
    assert client.ask("GET", "/cronjobs/").response == []
    assert client.ask("GET", "/account/firings/").response == []
    assert client.ask("GET", "/account/").response["cronjob_count"] == 0
    assert foreign_id


def test_isolation__a_cursor_of_another_opens_nothing(owner: Client, client: Client, foreign_id: str) -> None:
    second = owner.ask("POST", "/cronjob/", HTTP).response["cronjob_id"]
    cursor = owner.ask("GET", "/cronjobs/?limit=1").json["next_cursor"]
    assert client.ask("GET", f"/cronjobs/?cursor={cursor}").response == []
    assert owner.ask("DELETE", f"/cronjob/{second}/").status == 200
    assert foreign_id


def test_isolation__an_idempotency_key_is_the_tenants_own(owner: Client, client: Client) -> None:
    headers = {"Idempotency-Key": "shared"}
    theirs = owner.ask("POST", "/cronjob/", HTTP, headers=headers).response
    mine = client.ask("POST", "/cronjob/", {**HTTP, "name": "Mine"}, headers=headers).response
    assert (mine["name"], mine["account_id"]) == ("Mine", client.account_id)
    assert owner.ask("DELETE", f"/cronjob/{theirs['cronjob_id']}/").status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_isolation__the_freeze_of_another_is_not_there(
    module_client: Client, owner: Client, method: str
) -> None:
    made = owner.ask("POST", "/freeze/", {"tag": "nobodys", "until": "1h"}).response
    answers = [
        module_client.ask(method, f"/freeze/{freeze_id}/") for freeze_id in (made["freeze_id"], UNKNOWN, "x")
    ]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    assert module_client.ask("GET", "/freezes/").response == []
    assert owner.ask("GET", f"/freeze/{made['freeze_id']}/").response == made


@pytest.mark.parametrize(
    ("method", "sent"), [("GET", None), ("HEAD", None), ("PATCH", {"on_late": "5m"}), ("DELETE", None)]
)
def test_isolation__the_rule_of_another_is_not_there(
    module_client: Client, owner: Client, method: str, sent: dict[str, str] | None
) -> None:
    made = owner.ask("POST", "/rule/", {"on_failure": "true"}).response
    answers = [
        module_client.ask(method, f"/rule/{rule_id}/", sent) for rule_id in (made["rule_id"], UNKNOWN, "x")
    ]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    assert module_client.ask("GET", "/rules/").response == []
    assert owner.ask("GET", f"/rule/{made['rule_id']}/").response == made


def test_isolation__no_rule_is_for_the_cron_job_of_another(module_client: Client, foreign_id: str) -> None:
    answers = [
        module_client.ask("POST", "/rule/", {"on_failure": "true", "cronjob": cronjob_id})
        for cronjob_id in (UNKNOWN, foreign_id)
    ]
    assert {answer.status for answer in answers} == {400}
    assert len({answer.body for answer in answers}) == 1


@pytest.mark.parametrize(
    ("method", "sent"), [("GET", None), ("HEAD", None), ("PATCH", {"name": "stolen"}), ("DELETE", None)]
)
def test_isolation__the_connection_of_another_is_not_there(
    module_client: Client, owner: Client, method: str, sent: dict[str, str] | None
) -> None:
    name = f"theirs-{method}"
    made = owner.ask("POST", "/connection/", {**AWS, "name": name}).response
    answers = [
        module_client.ask(method, f"/connection/{meant}/", sent)
        for meant in (made["connection_id"], made["connection_id"].upper(), name, UNKNOWN, "nobodys")
    ]
    if method != "HEAD":  # which has no body
        answers.append(module_client.ask("POST", f"/connection/{made['connection_id']}/verify/"))
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    assert module_client.ask("GET", "/connections/").response == []
    assert owner.ask("GET", f"/connection/{name}/").response == made
    assert owner.ask("DELETE", f"/connection/{name}/").status == 200


def test_isolation__the_matrix_has_every_route_of_a_connection(stranger: Client) -> None:
    paths = stranger.ask("GET", "/openapi.json").json["paths"]
    routes = {
        (method, path) for path, methods in paths.items() for method in methods if "connection_id" in path
    }
    assert routes == {
        *((method, "/connection/{connection_id}/") for method in ("get", "patch", "delete")),
        ("post", "/connection/{connection_id}/verify/"),
        ("get", "/keys/{connection_id}/"),  # which is for everybody: test_key_pages.py
    }


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", "verify/")])
def test_isolation__the_host_of_another_is_not_there(
    module_client: Client, owner: Client, method: str, path: str
) -> None:
    made = owner.ask("POST", "/account/hosts/", {"host": "theirs.invalid"}).response
    answers = [
        module_client.ask(method, f"/account/hosts/{host}/{path}")
        for host in ("theirs.invalid", "THEIRS.invalid", "nobodys.invalid", "theirs.invalid:443")
    ]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    assert module_client.ask("GET", "/account/hosts/").response == []
    mine = module_client.ask("POST", "/account/hosts/", {"host": "theirs.invalid"}).response
    assert mine["text"] != made["text"]
    assert mine["url"] != made["url"]
    assert module_client.ask("DELETE", "/account/hosts/theirs.invalid/").status == 200
    assert owner.ask("GET", "/account/hosts/").response == [made]
    assert owner.ask("DELETE", "/account/hosts/theirs.invalid/").status == 200


def test_isolation__the_matrix_has_every_route_of_a_host(stranger: Client) -> None:
    paths = stranger.ask("GET", "/openapi.json").json["paths"]
    routes = {(method, path) for path, methods in paths.items() for method in methods if "{host}" in path}
    assert routes == {("delete", "/account/hosts/{host}/"), ("post", "/account/hosts/{host}/verify/")}


CHAT = {"kind": "slack", "webhook_url": "https://1.1.1.1/services/x"}


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("GET", "", None),
        ("HEAD", "", None),
        ("PATCH", "", {"name": "stolen"}),
        ("DELETE", "", None),
        ("POST", "test/", None),
        ("POST", "confirm/", None),
    ],
)
def test_isolation__the_channel_of_another_is_not_there(
    module_client: Client, owner: Client, method: str, path: str, sent: dict[str, str] | None
) -> None:
    name = f"theirs-{method}-{path.strip('/')}"
    made = owner.ask("POST", "/channel/", {**CHAT, "name": name}).response
    answers = [
        module_client.ask(method, f"/channel/{meant}/{path}", sent)
        for meant in (made["channel_id"], made["channel_id"].upper(), name, UNKNOWN, "nobodys")
    ]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    assert module_client.ask("GET", "/channels/").response == []
    assert owner.ask("GET", f"/channel/{name}/").response == made
    assert owner.ask("DELETE", f"/channel/{name}/").status == 200


def test_isolation__the_alert_of_another_is_not_there(module_client: Client, owner: Client) -> None:
    channel = owner.ask("POST", "/channel/", {**CHAT, "name": "told"}).response
    made = owner.ask("POST", "/channel/told/test/").response
    alert_id = made["alert_id"]
    answers = [module_client.ask("GET", f"/alert/{each}/") for each in (alert_id, UNKNOWN, "x")]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    for query in ("", f"?channel={channel['channel_id']}"):
        assert module_client.ask("GET", f"/account/alerts/{query}").response == []
    assert module_client.ask("GET", "/account/alerts/?channel=told").status == 404
    assert owner.ask("GET", f"/alert/{alert_id}/").response == made
    cursor = owner.ask("GET", "/account/alerts/?limit=1")
    assert [one["alert_id"] for one in cursor.response] == [alert_id]
    assert owner.ask("DELETE", "/channel/told/").status == 200
    assert [
        one["alert_id"]
        for one in owner.ask("GET", f"/account/alerts/?channel={channel['channel_id']}").response
    ]


def test_isolation__the_matrix_has_every_route_of_channels_and_alerts(stranger: Client) -> None:
    paths = stranger.ask("GET", "/openapi.json").json["paths"]
    routes = {
        (method, path)
        for path, methods in paths.items()
        for method in methods
        if path.startswith(("/channel", "/alert")) or path == "/account/alerts/"
    }
    assert routes == {
        *((method, "/channel/{channel_id}/") for method in ("get", "patch", "delete")),
        ("post", "/channel/{channel_id}/test/"),
        ("post", "/channel/{channel_id}/confirm/"),
        ("post", "/channel/"),
        ("get", "/channels/"),
        ("get", "/account/alerts/"),
        ("get", "/alert/{alert_id}/"),
        # These are for whoever has the token: test_channels.py.
        ("get", "/channel/confirm/{token}/"),
        ("post", "/channel/confirm/{token}/"),
    }


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("GET", "", None),
        ("HEAD", "", None),
        ("PATCH", "", {"scopes": "read"}),
        ("DELETE", "", None),
        ("POST", "rotate/", None),
    ],
)
def test_isolation__the_key_of_another_is_not_there(
    module_client: Client, owner: Client, method: str, path: str, sent: dict[str, str] | None
) -> None:
    name = f"theirs-{method}"
    made = owner.ask("POST", "/key/", {"name": name, "scopes": "read"}).response
    answers = [
        module_client.ask(method, f"/key/{meant}/{path}", sent)
        for meant in (made["api_key"], made["api_key"].upper(), name, UNKNOWN, "nobodys", owner.api_key)
    ]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    assert [key["api_key"] for key in module_client.ask("GET", "/account/keys/").response] == [
        module_client.api_key
    ]
    del made["api_secret"]
    assert owner.ask("GET", f"/key/{name}/").response == made


def test_isolation__the_matrix_has_every_route_of_a_key(stranger: Client) -> None:
    paths = stranger.ask("GET", "/openapi.json").json["paths"]
    routes = {(method, path) for path, methods in paths.items() for method in methods if "key_id" in path}
    assert routes == {
        *((method, "/key/{key_id}/") for method in ("get", "patch", "delete")),
        ("post", "/key/{key_id}/rotate/"),
    }
