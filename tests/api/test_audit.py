"""The audit log over HTTP: each route that changes something writes its row, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from cronally.audit_chain import problems
from cronally.contract.audit import AuditEnds, AuditRow
from cronally.contract.writing import from_json
from cronally.instants import format_iso
from tests.api.serving import Api, Client, sign_up
from tests.operations.parameters import HTTP
from tests.support.ended import add_ended
from tests.support.factories import CANARY

AT: Final = "2026-11-24T08:00:00Z"
WEB: Final = {"name": "web", "kind": "http", "base_url": "https://1.1.1.1/in", "token": f"{CANARY}token"}
CHAT: Final = {"name": "chat", "kind": "slack", "webhook_url": f"https://1.1.1.1/services/{CANARY}"}
Path = Callable[[Client], str]


def job(client: Client, **given: Any) -> str:
    made: str = client.ask("POST", "/cronjob/", json_body={**HTTP, **given}).response["cronjob_id"]
    return made


def paused(client: Client) -> str:
    cronjob_id = job(client)
    assert client.ask("POST", f"/cronjob/{cronjob_id}/pause/").status == 200
    return cronjob_id


def of_job(path: str, make: Path = job) -> Path:
    return lambda client: path.format(make(client))


def calendar(client: Client) -> str:
    assert client.ask("PUT", "/calendar/holidays/", json_body={"dates": "2026-12-24"}).status == 200
    return "/calendar/holidays/"


def freeze(client: Client) -> str:
    made = client.ask("POST", "/freeze/", json_body={"all": True, "until": "1h"}).response
    return f"/freeze/{made['freeze_id']}/"


def connection(client: Client) -> str:
    assert client.ask("POST", "/connection/", json_body=WEB).status == 200
    return "/connection/web/"


def host(client: Client) -> str:
    assert client.ask("POST", "/account/hosts/", json_body={"host": "1.1.1.1"}).status == 200
    return "/account/hosts/1.1.1.1/"


def two_jobs(client: Client) -> str:
    job(client), job(client)
    return ""


def key(client: Client) -> str:
    assert client.ask("POST", "/key/", json_body={"name": "other", "scopes": "read"}).status == 200
    return "/key/other/"


def channel(client: Client) -> str:
    assert client.ask("POST", "/channel/", json_body=CHAT).status == 200
    return "/channel/chat/"


def rule(client: Client) -> str:
    made = client.ask("POST", "/rule/", json_body={"on_failure": True})
    assert made.status == 200
    return f"/rule/{made.response['rule_id']}/"


def many(what: str) -> Path:
    return lambda client: two_jobs(client) + f"/cronjobs/{what}/?all=true"


BULK: Final = ["operation.start", "{}", "{}", "operation.end"]
DONE: Final[dict[tuple[str, str], tuple[Path, Any, list[str]]]] = {
    ("POST", "/cronjob/"): (lambda _: "/cronjob/", HTTP, ["cronjob.create"]),
    ("PATCH", "/account/"): (
        lambda client: job(client, name="tell") and "/account/",
        {"dead_letter": "tell"},
        ["account.update"],
    ),
    ("PATCH", "/cronjob/{cronjob_id}/"): (of_job("/cronjob/{}/"), {"name": "Other"}, ["cronjob.update"]),
    ("PUT", "/cronjob/by-name/{name}/"): (
        lambda _: "/cronjob/by-name/new/",
        {name: value for name, value in HTTP.items() if name != "name"},
        ["cronjob.create"],
    ),
    ("DELETE", "/cronjob/{cronjob_id}/"): (of_job("/cronjob/{}/"), None, ["cronjob.delete"]),
    ("POST", "/cronjob/{cronjob_id}/run/"): (of_job("/cronjob/{}/run/"), {"at": "1h"}, ["cronjob.run"]),
    ("POST", "/cronjob/{cronjob_id}/pause/"): (
        of_job("/cronjob/{}/pause/"),
        {"note": "n"},
        ["cronjob.pause"],
    ),
    ("POST", "/cronjob/{cronjob_id}/resume/"): (
        of_job("/cronjob/{}/resume/", paused),
        None,
        ["cronjob.resume"],
    ),
    ("PUT", "/calendar/{name}/"): (lambda _: "/calendar/days/", {"dates": "2026-12-24"}, ["calendar.put"]),
    ("DELETE", "/calendar/{name}/"): (calendar, None, ["calendar.delete"]),
    ("POST", "/freeze/"): (lambda _: "/freeze/", {"all": True, "until": "1h"}, ["freeze.create"]),
    ("DELETE", "/freeze/{freeze_id}/"): (freeze, None, ["freeze.lift"]),
    ("POST", "/connection/"): (lambda _: "/connection/", WEB, ["connection.create"]),
    ("PATCH", "/connection/{connection_id}/"): (connection, {"token": f"{CANARY}2"}, ["connection.update"]),
    ("DELETE", "/connection/{connection_id}/"): (connection, None, ["connection.delete"]),
    ("POST", "/account/hosts/"): (lambda _: "/account/hosts/", {"host": "1.1.1.1"}, ["host.add"]),
    ("DELETE", "/account/hosts/{host}/"): (host, None, ["host.remove"]),
    ("POST", "/cronjobs/pause/"): (many("pause"), None, [one.format("cronjob.pause") for one in BULK]),
    ("POST", "/cronjobs/resume/"): (many("resume"), None, ["operation.start", "operation.end"]),
    ("POST", "/cronjobs/run/"): (many("run"), {"at": "1h"}, [one.format("cronjob.run") for one in BULK]),
    ("POST", "/cronjobs/delete/"): (many("delete"), None, [one.format("cronjob.delete") for one in BULK]),
    ("POST", "/cronjobs/change/"): (
        many("change"),
        {"catch_up": "skip"},
        [one.format("cronjob.update") for one in BULK],
    ),
    ("POST", "/cronjob/{cronjob_id}/backfill/"): (
        of_job("/cronjob/{}/backfill/"),
        {"from": AT, "to": "2026-11-24T09:00:00Z"},
        [],
    ),
    ("POST", "/key/"): (lambda _: "/key/", {"name": "other", "scopes": "read"}, ["key.create"]),
    ("PATCH", "/key/{key_id}/"): (key, {"scopes": "write"}, ["key.update"]),
    ("POST", "/key/{key_id}/rotate/"): (lambda client: f"{key(client)}rotate/", None, ["key.rotate"]),
    ("DELETE", "/key/{key_id}/"): (key, None, ["key.revoke"]),
    ("POST", "/channel/"): (lambda _: "/channel/", CHAT, ["channel.create"]),
    ("PATCH", "/channel/{channel_id}/"): (
        channel,
        {"webhook_url": f"https://1.1.1.1/{CANARY}"},
        ["channel.update"],
    ),
    ("DELETE", "/channel/{channel_id}/"): (channel, None, ["channel.delete"]),
    ("POST", "/rule/"): (lambda _: "/rule/", {"on_late": "5m"}, ["rule.create"]),
    ("PATCH", "/rule/{rule_id}/"): (rule, {"on_late": "5m"}, ["rule.update"]),
    ("DELETE", "/rule/{rule_id}/"): (rule, None, ["rule.delete"]),
}
"""What each route is asked for, and which rows it writes, in their order."""
ELSEWHERE: Final = {
    ("POST", "/account/"),  # test_signup__is_the_first_row
    ("DELETE", "/account/"),  # tests/engine/test_purging.py: nobody but the operator may read its log then
    ("POST", "/cronjob/{cronjob_id}/firings/{scheduled_at}/replay/"),  # test_firings__replayed_and_discarded
    ("POST", "/cronjob/{cronjob_id}/firings/{scheduled_at}/discard/"),
    ("POST", "/firings/replay/"),
    ("POST", "/account/dead-letters/discard/"),
    ("POST", "/account/confirm/{token}/"),  # tests/operations/test_recovering.py
    # These send something, and change nothing that is told, unless a connection or a host turns out well.
    ("POST", "/cronjob/{cronjob_id}/verify/"),
    ("POST", "/connection/{connection_id}/verify/"),
    ("POST", "/account/hosts/{host}/verify/"),
    ("POST", "/channel/{channel_id}/test/"),
    ("POST", "/channel/{channel_id}/confirm/"),
    ("POST", "/account/confirm/"),
    ("POST", "/account/recover/"),
    ("POST", "/channel/confirm/{token}/"),  # tests/operations/test_channels.py
    # Said by receivers of firings: the ledger tells of it.
    *(("POST", f"/ack/{{token}}/{word}") for word in ("", "start/", "fail/", "log/")),
    ("DELETE", "/operation/{operation_id}/"),  # test_firings__replayed_and_discarded
}
"""Routes that are tested by themselves, and those that change nothing that is told."""


@pytest.fixture
def known(api: Api, client: Client) -> Iterator[Client]:
    """A tenant whose log is whole, whatever a test has done."""
    yield client
    ends = from_json(AuditEnds, client.ask("GET", "/account/audit/ends/").response).as_ends()
    rows = [from_json(AuditRow, row).as_row() for row in log(client)]
    assert not [*problems(rows, ends, lambda: ends)]
    assert len(rows) == ends.number


def log(client: Client, query: str = "") -> list[dict[str, Any]]:
    """The log, newest first, a page after the other."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = client.ask("GET", f"/account/audit/?limit=4{cursor}{query}")
        assert page.status == 200
        found += page.response
        if "next_cursor" not in page.json:
            return found
        cursor = f"&cursor={page.json['next_cursor']}"


def test_routes__all_that_change_something_are_here(stranger: Client) -> None:
    paths = stranger.ask("GET", "/openapi.json").json["paths"]
    changing = {
        (method.upper(), path) for path, methods in paths.items() for method in methods if method != "get"
    }
    assert changing == DONE.keys() | ELSEWHERE


@pytest.mark.parametrize(("method", "route"), DONE)
def test_routes__write_their_rows(known: Client, method: str, route: str) -> None:
    path_of, body, actions = DONE[method, route]
    path = path_of(known)
    before = len(log(known))
    answer = known.ask(method, path, json_body=body)
    if not actions:
        assert answer.status in (200, 400)
        return
    assert answer.status == 200, answer.body
    rows = log(known)
    new = rows[: len(rows) - before][::-1]
    assert [row["action"] for row in new] == actions
    first = new[0]
    assert first["request_id"] == answer.headers["x-request-id"]
    assert (first["who"], first["address"]) == ("key", "127.0.0.1")
    assert {row["api_key"] for row in new} == {known.api_key}
    for row in new[1:]:
        assert (row["who"], row["request_id"]) == ("server", first["subject_id"])
    # Nothing is written where nothing is changed, or the request is refused.
    seen = len(log(known))
    known.ask(method, path, json_body={"colour": "red"})
    known.ask("GET", path.partition("?")[0])
    assert len(log(known)) == seen
    assert CANARY.encode() not in known.ask("GET", "/account/audit/?limit=100").body


def test_signup__is_the_first_row(known: Client) -> None:
    (row,) = log(known)
    assert (row["number"], row["action"], row["who"], row["api_key"]) == (
        1,
        "account.create",
        "key",
        known.api_key,
    )
    assert [change["name"] for change in row["changes"]] == ["email"]


def test_firings__replayed_and_discarded(api: Api, known: Client) -> None:
    cronjob_id, times = add_ended(api, known.account_id, ("failed", "failed", "failed"))
    path = f"/cronjob/{cronjob_id}/firings"
    note = {"note": "made up for by hand"}
    for asked, body, actions in (
        (f"{path}/{format_iso(times[0])}/replay/", None, ["firing.replay"]),
        (f"{path}/{format_iso(times[1])}/discard/", note, ["firing.discard"]),
        ("/account/dead-letters/discard/", {**note, "all": True}, ["firing.discard"]),
        ("/firings/replay/", {"cronjob_id": cronjob_id}, ["operation.start"]),
    ):
        before = len(log(known))
        answer = known.ask("POST", asked, json_body=body)
        assert answer.status == 200, answer.body
        rows = log(known)
        new = rows[: len(rows) - before][::-1]
        assert [row["action"] for row in new] == actions, asked
        assert new[0]["request_id"] == answer.headers["x-request-id"]
        assert new[0]["api_key"] == known.api_key
    operation_id = answer.response["operation_id"]
    assert known.ask("DELETE", f"/operation/{operation_id}/").status == 200
    cancelled = log(known)[0]
    assert (cancelled["action"], cancelled["subject_id"]) == ("operation.cancel", operation_id)


def test_change__before_and_after(known: Client) -> None:
    cronjob_id = job(known, cron="0 8 * * *", timezone="UTC", tags=["a"])
    path = f"/cronjob/{cronjob_id}/"
    known.ask("PATCH", path, json_body={"timezone": "Asia/Tokyo", "name": "Ünicode"})
    (row, _) = log(known, f"&cronjob_id={cronjob_id}")
    told = {change["name"]: (change["before"], change["after"]) for change in row["changes"]}
    assert told["timezone"] == ("UTC", "Asia/Tokyo")
    assert told["name"] == (HTTP["name"], "Ünicode")
    known.ask("PATCH", path, json_body={"timezone": "Asia/Tokyo"})
    assert len(log(known, f"&cronjob_id={cronjob_id}")) == 2


def test_secrets__are_told_by_digests_that_tell_nothing(known: Client) -> None:
    known.ask("POST", "/connection/", json_body=WEB)
    for token in ("1234", "1234", "5678", "1234"):
        known.ask("PATCH", "/connection/web/", json_body={"token": token})
    rows = log(known, "&action=connection.update")[::-1]
    digests = [{change["name"]: change for change in row["changes"]}["authorization"] for row in rows]
    assert len(rows) == 3  # the same token once more changes nothing
    seen = [text for one in digests for text in (one["before"], one["after"])]
    # The same secret has another digest in each row: who can change it cannot compare guesses with former ones.
    assert len(set(seen)) == len(seen) == 6
    assert all(text.startswith("digest:k1:") for text in seen)


def test_idempotency_key__writes_one_row(known: Client) -> None:
    for _ in range(2):
        assert (
            known.ask("POST", "/cronjob/", json_body=HTTP, headers={"Idempotency-Key": "once"}).status == 200
        )
    assert len(log(known, "&action=cronjob.create")) == 1


@pytest.mark.parametrize(
    "query",
    ["action=cronjob.fly", "who=nobody", "cronjob_id=x", "api_key=x", "since=never", "cursor=x", "limit=0"],
)
def test_filters__that_cannot_be(client: Client, query: str) -> None:
    name = query.partition("=")[0]
    answer = client.ask("GET", f"/account/audit/?{query}")
    assert (answer.status, [*answer.fields]) == (400, [name])


def test_filters__choose(known: Client) -> None:
    first, second = job(known), paused(known)
    assert [row["subject_id"] for row in log(known, "&action=cronjob.create")] == [second, first]
    assert [row["action"] for row in log(known, f"&cronjob_id={second}")] == [
        "cronjob.pause",
        "cronjob.create",
    ]
    assert not log(known, "&who=operator")
    assert len(log(known, f"&who=key&api_key={known.api_key}")) == 4
    assert not log(known, "&since=2199-01-01T00:00:00Z")
    assert len(log(known, "&until=2199-01-01T00:00:00Z")) == 4


def test_isolation__a_log_is_the_accounts_own(api: Api, client: Client) -> None:
    other = sign_up(api, "audited@example.com")
    cronjob_id = job(other)
    assert not log(client, f"&cronjob_id={cronjob_id}")
    assert cronjob_id not in {row["subject_id"] for row in log(client)}
    assert client.ask("GET", "/account/audit/ends/").response["hash"] == log(client)[0]["hash"]


@pytest.mark.parametrize(
    ("sent", "taken"), [("abc-1.2_3", True), ("a" * 65, False), ("a b", False), ("", False)]
)
def test_request_id__is_taken_if_it_is_well_formed(client: Client, sent: str, taken: bool) -> None:
    answer = client.ask("GET", "/account/", headers={"X-Request-Id": sent})
    assert (answer.headers["x-request-id"] == sent) is taken
    assert answer.headers["x-request-id"]


def test_request_id__every_answer_has_its_own(stranger: Client) -> None:
    ids = {
        stranger.ask("GET", path).headers["x-request-id"]
        for path in ("/nowhere/", "/docs/", "/docs/", "/account/")
    }
    assert len(ids) == 4


def test_refused__is_counted_and_folded(api: Api, known: Client) -> None:
    async def flush() -> None:
        await api.app.state.refused.flush(all_of_it=True)

    before = len(log(known))
    for _ in range(5):
        assert known.ask("GET", "/account/", headers={"X-Cron-Date": "200601021504"}).status == 401
    assert (
        known.ask("GET", "/account/", headers={"X-Cron-Key": "00000000-0000-4000-8000-000000000000"}).status
        == 401
    )
    assert len(log(known)) == before
    api.run(flush())
    rows = log(known)
    assert len(rows) == before + 1
    assert (rows[0]["action"], rows[0]["count"], rows[0]["address"]) == ("request.refused", 5, "127.0.0.1")
    assert {change["name"]: change["after"] for change in rows[0]["changes"]} == {
        "error": "unauthorized",
        "first": "GET /account/",
    }
    api.run(flush())
    assert len(log(known)) == before + 1
