"""What a key may ask for, over a real server: every route x every scope, and every route x a key with tags."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from cronally.api.openapi import DocumentedRoute, one
from cronally.api.permissions import ACCESS, check_declared
from cronally.api.requests import Signed
from cronally.contract.hosts import Host
from cronally.contract.keys import Scope
from cronally.operations import Reach
from tests.api.serving import Api, Client, sign_up
from tests.operations.parameters import AWS, HTTP

UNKNOWN: Final = "00000000-0000-4000-8000-000000000000"
AT: Final = "2026-11-24T08:00:00Z"
PUBLIC: Final = {
    ("POST", "/account/"),
    ("GET", "/schedule/preview/"),
    ("GET", "/keys/{connection_id}/"),
    ("GET", "/healthz/"),
    ("GET", "/readyz/"),
    ("GET", "/status/"),
    *(
        (method, f"/ack/{{token}}/{word}")
        for method in ("GET", "POST")
        for word in ("", "start/", "fail/", "log/")
    ),
    ("GET", "/channel/confirm/{token}/"),
    ("POST", "/channel/confirm/{token}/"),
    ("POST", "/account/confirm/{token}/"),
    ("POST", "/account/recover/"),
}
"""What asks for no key."""
_CONVERTED: Final = re.compile(r":[a-z]+}")
_numbers = itertools.count(1)


def routes() -> dict[tuple[str, str], Any]:
    """What each route needs, by its method and its path as it is documented."""
    return {(method, _CONVERTED.sub("}", path)): access for (method, path), access in ACCESS.items()}


def scope_of(method: str, path: str) -> Scope:
    """The rule, in the words of the guide."""
    if (method, path) == ("DELETE", "/account/"):
        return Scope.KEYS
    if path.startswith("/key/") or path in ("/account/keys/", "/account/confirm/"):
        return Scope.KEYS
    if method == "GET":
        return Scope.READ
    last = path.strip("/").rpartition("/")[2]
    if last in ("run", "replay", "backfill") or (last == "verify" and "hosts" not in path):
        return Scope.RUN
    return Scope.WRITE


def filled(path: str, **names: str) -> str:
    """The path with names that nothing has."""
    named = {"scheduled_at": AT, "host": "nobodys.invalid", "name": "nobodys", **names}
    return re.sub(r"{([a-z_]+)}", lambda match: named.get(match[1], UNKNOWN), path)


def key_of(owner: Client, scopes: str, **restrictions: str) -> Client:
    name = f"key{next(_numbers)}"
    made = owner.ask("POST", "/key/", {"name": name, "scopes": scopes, **restrictions}).response
    return Client(owner.api, made["api_key"], made["api_secret"], owner.account_id)


@pytest.fixture(scope="module")
def owner(api: Api) -> Client:
    return sign_up(api, "scopes@example.com")


@pytest.fixture(scope="module")
def with_one(owner: Client) -> dict[Scope, Client]:
    """A key with each scope alone."""
    return {scope: key_of(owner, scope) for scope in Scope}


def test_scopes__every_signed_route_has_one(stranger: Client) -> None:
    paths = stranger.ask("GET", "/openapi.json").json["paths"]
    found = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert found - PUBLIC == routes().keys()
    for (method, path), access in routes().items():
        assert access.scope == scope_of(method, path), (method, path)
        described = paths[path][method.lower()]["description"]
        assert described == f"Needs the scope `{access.scope}`."


def test_scopes__a_signed_route_without_one_makes_no_application() -> None:
    async def handler(caller: Signed) -> None:
        """Do something."""

    route = DocumentedRoute("/forgotten/", handler, methods=["GET"], responses=one(Host))
    with pytest.raises(TypeError, match="/forgotten/"):
        check_declared([route])


@pytest.mark.parametrize(("method", "path"), routes())
def test_scopes__every_route_with_every_scope(with_one: dict[Scope, Client], method: str, path: str) -> None:
    needed = scope_of(method, path)
    for scope, client in with_one.items():
        answer = client.ask(method, filled(path))
        if scope == needed:
            assert answer.status != 403, (scope, answer.body)
            continue
        assert answer.status == 403
        assert answer.error["code"] == "forbidden"
        assert answer.error["message"].startswith(
            f"This needs the scope {needed}, which the API key has not (it has: {scope});"
        )
        if method == "GET":
            assert client.ask("HEAD", filled(path)).status == 403


# A key with tags: one cron job that it is for, and one that it is not for


@pytest.fixture(scope="module")
def seen(owner: Client) -> dict[str, Any]:
    made: dict[str, Any] = owner.ask(
        "POST", "/cronjob/", {**HTTP, "name": "seen", "tags": "team=web,x"}
    ).response
    return made


@pytest.fixture(scope="module")
def unseen(owner: Client) -> Iterator[dict[str, Any]]:
    """It must be as it was when all tests have had their go."""
    made = owner.ask("POST", "/cronjob/", {**HTTP, "name": "unseen", "tags": "team=shop"}).response
    owner.ask("POST", f"/cronjob/{made['cronjob_id']}/run/", {"at": "2h"})
    before = owner.ask("GET", f"/cronjob/{made['cronjob_id']}/").response
    yield made
    assert owner.ask("GET", f"/cronjob/{made['cronjob_id']}/").response == before


@pytest.fixture(scope="module")
def web(owner: Client) -> Client:
    return key_of(owner, "read,write,run", tags="team=web")


@pytest.mark.parametrize(("method", "path"), routes())
def test_tags__every_route_with_a_key_that_has_some(
    web: Client, seen: dict[str, Any], unseen: dict[str, Any], method: str, path: str
) -> None:
    access = routes()[method, path]
    if access.scope == Scope.KEYS:
        assert web.ask(method, filled(path)).status == 403
        return
    answer = web.ask(method, filled(path))
    match access.reach:
        case Reach.ACCOUNT:
            assert answer.status == 403
            assert answer.error["message"].startswith("The API key is restricted to the tags team=web,")
        case Reach.SHARED:
            assert answer.status in (200, 404), answer.body
        case Reach.CHOSEN:
            assert answer.status != 403, answer.body
            assert unseen["cronjob_id"].encode() not in answer.body
        case Reach.CRONJOB:
            of_unseen = web.ask(method, filled(path, cronjob_id=unseen["cronjob_id"]))
            assert of_unseen.status == 404
            assert of_unseen.error["message"].startswith("There is no such cron job;")
            if method != "DELETE" and "{scheduled_at}" not in path:
                assert web.ask(method, filled(path, cronjob_id=seen["cronjob_id"])).status != 404


LISTS: Final = (
    "/cronjobs/",
    "/cronjobs/?limit=100",
    "/cronjobs/?tag=team%3D*",
    "/account/firings/",
    "/account/firings/?state=pending",
    "/account/firings/?name=seen",
    "/account/dead-letters/",
    "/operations/",
    "/account/",
    "/freezes/",
    "/calendars/",
)


@pytest.mark.parametrize("path", LISTS)
def test_tags__what_a_key_is_not_for_is_in_no_list(
    owner: Client, web: Client, seen: dict[str, Any], unseen: dict[str, Any], path: str
) -> None:
    owner.ask("POST", f"/cronjob/{seen['cronjob_id']}/run/", {"at": "3h"})
    owner.ask("POST", "/cronjobs/pause/?tag=nobodys")
    answer = web.ask("GET", path)
    assert answer.status == 200
    assert unseen["cronjob_id"].encode() not in answer.body
    assert b"unseen" not in answer.body
    if "firings" in path or "cronjobs" in path:
        assert seen["cronjob_id"].encode() in answer.body
    if path == "/operations/":
        assert answer.response == []


@pytest.mark.parametrize("query", ["cronjob_id={}", "name=unseen"])
@pytest.mark.parametrize("path", ["/account/firings/", "/account/dead-letters/"])
def test_tags__the_ledger_of_what_a_key_is_not_for_is_not_there(
    web: Client, unseen: dict[str, Any], path: str, query: str
) -> None:
    answer = web.ask("GET", f"{path}?{query.format(unseen['cronjob_id'])}")
    unknown = web.ask("GET", f"{path}?cronjob_id={UNKNOWN}")
    assert (answer.status, answer.body) == (404, unknown.body)


def test_tags__what_filters_select_is_what_a_key_is_for(
    owner: Client, web: Client, seen: dict[str, Any], unseen: dict[str, Any]
) -> None:
    for action in ("pause", "resume", "run"):
        done = web.ask("POST", f"/cronjobs/{action}/?all=true", {"at": "4h"} if action == "run" else None)
        assert (done.response["total"], done.response["done"]) == (1, 1), action
    trial = web.ask("POST", "/cronjobs/delete/?all=true", {"dry_run": "true"}).response
    assert [one["cronjob_id"] for one in trial["cronjobs"]] == [seen["cronjob_id"]]
    changed = web.ask("POST", "/cronjobs/change/?all=true", {"dead_letter": "unseen"})
    assert changed.fields["dead_letter"].startswith("names a cron job that there is not")
    # What a key with the same tags began, and nothing else.
    operation = done.response["operation_id"]
    other = key_of(owner, "read,write", tags="team=web")
    assert other.ask("GET", f"/operation/{operation}/").status == 200
    of_all = owner.ask("POST", "/cronjobs/resume/?all=true").response["operation_id"]
    assert owner.ask("GET", f"/operation/{operation}/").status == 200
    assert {web.ask(method, f"/operation/{of_all}/").status for method in ("GET", "DELETE")} == {404}
    assert {one["operation_id"] for one in web.ask("GET", "/operations/?limit=100").response} < {
        one["operation_id"] for one in owner.ask("GET", "/operations/").response
    }
    replayed = web.ask("POST", "/firings/replay/", {"state": "failed", "dry_run": "true"}).response
    assert replayed["total"] == 0
    assert unseen["state"] == "active"


def test_tags__a_new_cron_job_has_one_of_them(web: Client) -> None:
    wrong: tuple[dict[str, str], ...] = ({}, {"tags": "team=shop"}, {"tags": "team"})
    for sent in wrong:
        refused = web.ask("POST", "/cronjob/", {**HTTP, "name": "new", **sent})
        assert refused.fields["tags"] == (
            "hold none of those that the API key is restricted to; send one of team=web"
        )
    named = {name: value for name, value in HTTP.items() if name != "name"}
    assert "tags" in web.ask("PUT", "/cronjob/by-name/new/", named).fields
    made = web.ask("PUT", "/cronjob/by-name/new/", {**named, "tags": "team=web"}).response
    path = f"/cronjob/{made['cronjob_id']}/"
    # It cannot be given away, or be made one of all.
    for tags in ("team=shop", ""):
        assert "tags" in web.ask("PATCH", path, {"tags": tags}).fields
    assert web.ask("PATCH", path, {"tags": "a,team=web", "name": "newer"}).status == 200
    assert web.ask("DELETE", path).status == 200


def test_tags__a_name_that_is_taken_by_what_a_key_is_not_for(web: Client, unseen: dict[str, Any]) -> None:
    named = {name: value for name, value in HTTP.items() if name != "name"}
    refused = web.ask("PUT", "/cronjob/by-name/unseen/", {**named, "tags": "team=web"})
    assert refused.status == 403
    assert "another name" in refused.error["message"]
    assert unseen["name"] == "unseen"


def test_tags__what_tells_and_what_is_used_is_what_a_key_is_for(
    owner: Client, web: Client, seen: dict[str, Any], unseen: dict[str, Any]
) -> None:
    path = f"/cronjob/{seen['cronjob_id']}/"
    for meant in ("unseen", unseen["cronjob_id"], unseen["cronjob_id"].upper()):
        assert (
            "names a cron job that there is not"
            in web.ask("PATCH", path, {"dead_letter": meant}).fields["dead_letter"]
        )
    connection = owner.ask("POST", "/connection/", {**AWS, "name": "shared"}).response["connection_id"]
    for meant in ("shared", connection, "nobodys"):
        refused = web.ask("POST", "/cronjob/", {**HTTP, "tags": "team=web", "connection": meant})
        assert "no cron job uses which the API key is for" in refused.fields["connection"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"tag": "team=web"}, 200),
        ({"tag": "team=shop"}, 403),
        ({"tag": "team=*"}, 403),
        ({"all": "true"}, 403),
        ({"host": "hooks.example.com"}, 403),
    ],
)
def test_tags__a_freeze_is_of_one_of_them(
    owner: Client, web: Client, sent: dict[str, str], status: int
) -> None:
    answer = web.ask("POST", "/freeze/", {**sent, "until": "1h"})
    assert answer.status == status
    if status == 200:
        assert web.ask("DELETE", f"/freeze/{answer.response['freeze_id']}/").status == 200
        return
    made = owner.ask("POST", "/freeze/", {**sent, "until": "1h"}).response
    path = f"/freeze/{made['freeze_id']}/"
    assert web.ask("DELETE", path).status == 403
    assert web.ask("GET", path).status == 200, "it may be what keeps its cron jobs from going"
    assert owner.ask("DELETE", path).response["in_force"] is False


def test_tags__of_a_key_with_any_value(owner: Client, seen: dict[str, Any], unseen: dict[str, Any]) -> None:
    both = key_of(owner, "read", tags="team=*,nothing")
    found = {one["cronjob_id"] for one in both.ask("GET", "/cronjobs/").response}
    assert {seen["cronjob_id"], unseen["cronjob_id"]} <= found
    none = key_of(owner, "read", tags="team,tea=*")
    assert none.ask("GET", "/cronjobs/").response == []


def test_tags__are_those_that_a_cron_job_has_now(owner: Client, web: Client, seen: dict[str, Any]) -> None:
    path = f"/cronjob/{seen['cronjob_id']}/"
    owner.ask("PATCH", path, {"tags": "other"})
    assert web.ask("GET", path).status == 404
    owner.ask("PATCH", path, {"tags": "team=web,x"})
    assert web.ask("GET", path).status == 200
