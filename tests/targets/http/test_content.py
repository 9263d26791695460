"""What an HTTP request carries, as it arrives: method, headers, body, and the type of that."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.contract.http_requests import MAX_BODY, HttpMethod
from cronally.targets.egress import Egress
from cronally.targets.http.content import GUESSED, JSON, TEXT, check_content, guess
from cronally.targets.http.target import HttpTarget
from cronally.targets.target import Delivered, Destination
from tests.support.scripted import ScriptedServer
from tests.targets.conftest import make_message

METHODS = HttpMethod.__origin__.__args__  # type: ignore[attr-defined]


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), connect_timeout=10, total_timeout=10, connections=4)
    yield target
    await target.close()


def _to(server: ScriptedServer, method: str, **more: Any) -> Destination:
    more = {f"delivery_http_{name}": value for name, value in more.items()}
    return Destination("http", {"delivery_http_method": method, "delivery_http_url": server.url, **more})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("body", [None, "", "plain", '{"a": "ü"}'])
async def test_send__each_method_with_and_without_a_body(
    server: ScriptedServer, target: HttpTarget, method: str, body: str | None
) -> None:
    message = make_message()
    more = {} if body is None else {"body": body}
    assert await target.send(_to(server, method, **more), message) == Delivered(None)
    (request,) = server.requests
    assert request.method == method.upper()
    headers = request.headers
    assert headers["cronally-firing-id"] == headers["idempotency-key"] == message.firing_id
    if method in ("get", "head") or (method == "delete" and not body):
        assert request.body == b""
        assert not {"content-length", "content-type"} & headers.keys()
    elif body:
        assert request.body == body.encode()
        assert headers["content-type"] == (TEXT if body == "plain" else JSON)
    else:
        assert json.loads(request.body)["firing_id"] == message.firing_id
        assert headers["content-type"] == JSON


async def test_send__headers_of_its_own_take_the_place_of_others(
    server: ScriptedServer, target: HttpTarget
) -> None:
    own = {"X-Team": "blue", "accept": "text/csv"}
    sent = _to(server, "put", headers=own, body="a=b&c=d", content_type="application/x-www-form-urlencoded")
    assert await target.send(sent, make_message()) == Delivered(None)
    (request,) = server.requests
    assert (request.headers["x-team"], request.headers["accept"]) == ("blue", "text/csv")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.form() == {"a": "b", "c": "d"}


async def test_send__the_largest_body_arrives_whole(server: ScriptedServer, target: HttpTarget) -> None:
    body = "é" * (MAX_BODY // 2)
    assert await target.send(_to(server, "patch", body=body), make_message()) == Delivered(None)
    assert server.requests[0].body == body.encode()
    assert target.receiver(_to(server, "patch", body=body).public).size == MAX_BODY


@pytest.mark.parametrize("method", ["get", "head"])
def test_check__no_body_with_get_and_head(method: str) -> None:
    for name in ("delivery_http_body", "delivery_http_content_type"):
        given = {"delivery_http_method": method, name: "a/b"}
        assert check_content(given)[name].startswith(f"is not sent with {method.upper()}")
    assert check_content({"delivery_http_method": method, "delivery_http_body": ""}) == {}


def test_check__a_type_without_a_body() -> None:
    of = {"delivery_http_method": "post", "delivery_http_content_type": "a/b"}
    assert check_content(of).keys() == {"delivery_http_content_type"}
    assert check_content({**of, "delivery_http_body": "x"}) == {}


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_guess__is_json_if_it_is(value: Any) -> None:
    assert guess(json.dumps(value)) == JSON


@pytest.mark.parametrize("text", ["a", "{", "[1,]", "a=b&c=d", "[" * GUESSED, "<a/>", "{'a': 1}"])
def test_guess__is_text_if_it_is_not(text: str) -> None:
    assert guess(text) == TEXT


def test_guess__a_long_text_by_its_brackets() -> None:
    assert guess(json.dumps(["x"] * GUESSED)) == guess(f" {{{'x' * GUESSED}}}\n") == JSON
    assert guess("x" * GUESSED + "]") == guess(f"[{'x' * GUESSED}}}") == guess(" " * 3 * GUESSED) == TEXT
