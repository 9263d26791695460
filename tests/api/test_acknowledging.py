"""Acknowledgement URLs at the wire: what receivers send with whatever is at hand, and what strangers learn: nothing."""

from __future__ import annotations

import http.client
import json
import logging
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cronally.api import app as app_module
from cronally.api import refusals
from cronally.api.acknowledging import FORGED, MAX_SENT
from cronally.engine.admission import Limits
from cronally.engine.dispatcher import Dispatcher
from tests.api.conftest import MANY
from tests.api.serving import Answer, Api, Client, serving, sign_up
from tests.operations.parameters import HTTP
from tests.support.factories import LINKS, ScriptedTarget, vault, work_off

WORDS = {"": "done", "start/": "start", "fail/": "fail", "log/": "log"}
JOB = {**HTTP, "ack_within": "15m"}


def fire(api: Api, client: Client, **given: str) -> tuple[str, str]:
    """A cron job that was run once; its id, and the path that acknowledges it."""
    made = client.ask("POST", "/cronjob/", {**JOB, **given}).response
    client.ask("POST", f"/cronjob/{made['cronjob_id']}/run/").response  # noqa: B018
    target = ScriptedTarget(name="http", host_by="delivery_http_url")
    dispatcher = Dispatcher(api.store, vault(), {"http": target}, Limits(), links=LINKS, chance=lambda: 0.5)
    api.run(_deliver(dispatcher))
    (message,) = [one for one in target.messages if one.cronjob_id == made["cronjob_id"]]
    assert message.ack_url is not None
    return made["cronjob_id"], message.ack_url.removeprefix("https://cron.example.com")


async def _deliver(dispatcher: Dispatcher) -> None:
    await work_off(dispatcher)


def firing_of(client: Client, cronjob_id: str) -> Any:
    (firing,) = client.ask("GET", f"/cronjob/{cronjob_id}/firings/?attempts=true").response
    return firing


def call(api: Api, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    return Client(api).ask(method, path, body=body, headers=headers, signed=False)


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_word__is_heard_with_whatever_is_at_hand(api: Api, client: Client, method: str) -> None:
    cronjob_id, path = fire(api, client)
    assert firing_of(client, cronjob_id)["ack"] == "waiting"
    for end, ack in (("start/", "started"), ("log/", "started"), ("", "acknowledged"), ("", "acknowledged")):
        answer = call(api, method, path + end)
        assert answer.status == 200, answer.body
        if method != "HEAD":
            assert answer.response == {"received": WORDS[end]}
        assert firing_of(client, cronjob_id)["ack"] == ack
    assert call(api, method, path.removesuffix("/")).status == 200


def test_failure__keeps_exit_code_and_the_end_of_what_was_sent(api: Api, client: Client) -> None:
    cronjob_id, path = fire(api, client)
    sent = b"x" * 20_000 + "\u00e9nd".encode()
    answer = call(api, "POST", f"{path}fail/?exit_code=137", sent, **{"Content-Type": "text/plain"})
    assert answer.response == {"received": "fail"}
    firing = firing_of(client, cronjob_id)
    assert (firing["ack"], firing["ack_exit_code"], firing["ack_body_cut"]) == ("failed", 137, True)
    assert firing["ack_body"].endswith("x\u00e9nd")
    assert len(firing["ack_body"].encode()) == 10_240
    assert "ack_deadline_at" not in firing
    (said,) = client.ask("GET", f"/cronjob/{cronjob_id}/explain/?at={firing['scheduled_at']}").response[
        "manual"
    ]
    assert (said["ack"], said["ack_body"]) == ("failed", firing["ack_body"])
    # In a list of many there is no room for it.
    listed = client.ask("GET", "/account/firings/?ack=failed").response
    assert [one["firing_id"] for one in listed] == [firing["firing_id"]]
    assert "ack_body" not in listed[0]


def test_exit_code__of_the_shell_is_right_in_any_case(api: Api, client: Client) -> None:
    cronjob_id, path = fire(api, client)
    assert call(api, "GET", f"{path}fail/?exit_code=0").response == {"received": "done"}
    assert firing_of(client, cronjob_id)["ack"] == "acknowledged"


@pytest.mark.parametrize(
    "query", ["exit_code=x", "exit_code=-1", "exit_code=256", "exit=1", "exit_code=1&exit_code=2"]
)
def test_word__with_a_wrong_parameter_is_refused_with_a_sentence(
    api: Api, client: Client, query: str
) -> None:
    cronjob_id, path = fire(api, client)
    refused = call(api, "GET", f"{path}?{query}")
    assert refused.status == 400
    assert refused.fields
    forged = call(api, "GET", f"/ack/{'A' * 60}/?{query}")
    assert (forged.status, forged.body) == (refused.status, refused.body)
    assert call(api, "GET", f"{path}start/?{query}").status == 400
    assert firing_of(client, cronjob_id)["ack"] == "waiting"


def test_filter__by_where_it_stands(api: Api, client: Client) -> None:
    _, waiting = fire(api, client)
    done, path = fire(api, client, name="other")
    call(api, "POST", path)
    listed = client.ask("GET", "/account/firings/?ack=acknowledged").response
    assert [one["cronjob_id"] for one in listed] == [done]
    assert len(client.ask("GET", "/account/firings/?ack=acknowledged,waiting").response) == 2
    assert "ack" in client.ask("GET", "/account/firings/?ack=late").fields
    assert client.ask("GET", f"/cronjob/{done}/firings/?ack=overdue").response == []
    text = client.ask("GET", "/account/firings/?format=csv").body.decode()
    assert "ack_overdue_at" in text.splitlines()[0]
    assert waiting.split("/")[2] not in text


# What cannot be asked for


@pytest.mark.parametrize(
    ("given", "name", "says"),
    [
        ({"ack_within": "0s", "ack_retry": "1"}, "ack_retry", "needs ack_within"),
        ({"ack_within": "0s", "min_duration": "5s"}, "min_duration", "needs ack_within"),
        ({"min_duration": "15m"}, "min_duration", "not less than ack_within"),
        ({"ack_retry": "6"}, "ack_retry", "between 0 and 5"),
        ({"ack_within": "8d"}, "ack_within", "7d"),
        (
            {"ack_within": "0s", "delivery_http_method": "post", "delivery_http_body": "<cronally.ack-url>"},
            "delivery_http_body",
            "give ack_within too",
        ),
    ],
)
def test_new__with_what_needs_another_says_which(
    client: Client, given: dict[str, str], name: str, says: str
) -> None:
    refused = client.ask("POST", "/cronjob/", {**JOB, **given})
    assert refused.status == 400, refused.body
    assert says in refused.fields[name]


def test_change__that_takes_away_what_is_needed_says_by_what(client: Client) -> None:
    body = {"delivery_http_method": "post", "delivery_http_body": "call <cronally.ack-url>"}
    made = client.ask("POST", "/cronjob/", {**JOB, **body, "ack_retry": "2"}).response
    path = f"/cronjob/{made['cronjob_id']}/"
    refused = client.ask("PATCH", path, {"ack_within": "0s"})
    assert refused.status == 400
    assert "ack_within" in refused.fields
    assert client.ask("PATCH", path, {"min_duration": "20m"}).status == 400
    changed = client.ask("PATCH", path, {"ack_within": "1h", "min_duration": "20m"}).response
    assert (changed["ack_within"], changed["min_duration"], changed["ack_retry"]) == ("1h", "20m", 2)
    shown = client.ask("GET", f"{path}render/").response
    assert shown["headers"]["Cronally-Ack-Url"] == "https://cron.example.com/ack/***/"
    assert shown["body"] == "call https://cron.example.com/ack/***/"


def test_new__on_a_server_without_a_public_url_says_who_sets_it(
    migrated_sqlite: Path, tmp_path: Path
) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "cronally.db")
    with serving(f"sqlite:///{tmp_path}/cronally.db") as api:
        client = sign_up(api, "tenant@example.com")
        refused = client.ask("POST", "/cronjob/", JOB)
        assert "CRONALLY_PUBLIC_URL" in refused.fields["ack_within"]
        assert call(api, "GET", f"/ack/{'A' * 60}/").status == 404


# Strangers


def test_token__that_nobody_made_is_as_a_path_that_does_not_exist(api: Api, client: Client) -> None:
    _, path = fire(api, client)
    token = path.split("/")[2]
    nowhere = call(api, "POST", "/nothing/").body
    for other in (token[:-1], token + "A", "A" * 60, token[::-1], token.swapcase(), "..", "%2e", "x" * 4000):
        for end in WORDS:
            answer = call(api, "POST", f"/ack/{other}/{end}")
            assert (answer.status, answer.body) == (404, nowhere), other
    assert call(api, "DELETE", path).status == 405


def test_answers__say_nothing_of_whose_it_is(api: Api, client: Client) -> None:
    cronjob_id, path = fire(api, client)
    for end in WORDS:
        answer = call(api, "POST", path + end)
        seen = answer.body.decode() + str(answer.headers)
        assert not [one for one in (cronjob_id, client.account_id, HTTP["name"]) if one in seen]
        assert answer.headers["Cache-Control"] == "no-store"


def test_token__is_in_no_answer_to_the_account_and_in_no_log_line(
    api: Api, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    cronjob_id, path = fire(api, client)
    token = path.split("/")[2]
    call(api, "POST", f"{path}fail/?exit_code=1", b"no")
    call(api, "POST", f"{path}?exit_code=x")
    call(api, "POST", f"/ack/{token[:-1]}A/")
    scheduled_at = firing_of(client, cronjob_id)["scheduled_at"]
    for asked in (
        f"/cronjob/{cronjob_id}/",
        f"/cronjob/{cronjob_id}/firings/?attempts=true",
        f"/cronjob/{cronjob_id}/explain/?at={scheduled_at}",
        f"/cronjob/{cronjob_id}/render/",
        "/account/firings/",
        "/metrics/",
    ):
        assert token.encode() not in client.ask("GET", asked).body, asked
    assert token not in caplog.text


def test_words__of_one_firing_are_bounded(
    migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "ACKS_OF_FIRING", 3)
    shutil.copy(migrated_sqlite, tmp_path / "cronally.db")
    with serving(f"sqlite:///{tmp_path}/cronally.db", operations=MANY, acks_per_minute=12) as api:
        client = sign_up(api, "tenant@example.com")
        (_, one), (_, other) = fire(api, client), fire(api, client, name="other")
        assert [call(api, "GET", f"{one}log/").status for _ in range(4)] == [200, 200, 200, 429]
        assert call(api, "GET", other).status == 200
        # And those of one address, before a token is looked at.
        statuses = [call(api, "GET", f"/ack/{'A' * 60}/").status for _ in range(8)]
        assert statuses == [404] * 7 + [429]
        refused = call(api, "GET", other)
        assert refused.status == 429
        assert int(refused.headers["Retry-After"]) > 0


def test_forged_tokens__cost_the_connection(
    migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MAX_REFUSED", 2)
    shutil.copy(migrated_sqlite, tmp_path / "cronally.db")
    with serving(f"sqlite:///{tmp_path}/cronally.db", operations=MANY) as api:
        answers = []
        for _ in range(4):
            try:
                answers.append(call(api, "GET", f"/ack/{'A' * 60}/").headers.get("Connection"))
            except (ConnectionError, http.client.HTTPException):
                answers.append("refused")
        assert answers[0] is None
        assert answers[-1] in ("close", "refused")
        assert api.registry.get_sample_value("cronally_refused_total", {"what": FORGED})


def test_body__larger_than_is_read_says_what_to_send(api: Api, client: Client) -> None:
    cronjob_id, path = fire(api, client)
    refused = call(api, "POST", path, b"x" * (MAX_SENT + 1))
    assert refused.status == 413
    assert "tail -c" in refused.error["message"]
    assert firing_of(client, cronjob_id)["ack"] == "waiting"
    assert call(api, "POST", path, b"\0\xff" * 100).status == 200
    assert firing_of(client, cronjob_id)["ack"] == "acknowledged"


@pytest.fixture
def connection(api: Api) -> Iterator[socket.socket]:
    with api.connect() as bare:
        yield bare


def test_words__on_one_connection_as_scripts_send_them(
    api: Api, client: Client, connection: socket.socket
) -> None:
    """Bytes that curl and wget write, one behind the other, with a body in chunks among them."""
    cronjob_id, path = fire(api, client)
    head = "Host: cron.example.com\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n"
    connection.sendall(
        f"GET {path}start HTTP/1.1\r\n{head.replace('cron.example.com', 'x')}\r\n"
        f"POST {path}fail?exit_code=3 HTTP/1.1\r\n{head.replace('cron.example.com', 'x')}"
        "Transfer-Encoding: chunked\r\n\r\n4\r\noops\r\n0\r\n\r\n"
        f"POST {path} HTTP/1.1\r\n{head.replace('cron.example.com', 'x')}Content-Length: 0\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    got = b""
    while piece := connection.recv(65536):
        got += piece
    assert re.findall(rb"HTTP/1.1 (\d+)", got) == [b"200"] * 3
    said = [json.loads(one)["response"]["received"] for one in re.findall(rb'\{"status".*?\}\}', got)]
    assert said == ["start", "fail", "done"]
    firing = firing_of(client, cronjob_id)
    assert (firing["ack"], firing["ack_body"]) == ("acknowledged", "oops")
    assert firing["ack_started_at"] <= firing["ack_ended_at"]
