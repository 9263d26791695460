"""Firings as CloudEvents: read by the SDK of the CloudEvents project, from what arrived over a socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from hypothesis import given
from hypothesis import strategies as st

from cronally.instants import to_datetime
from cronally.targets.egress import Egress
from cronally.targets.http import events
from cronally.targets.http.target import HttpTarget
from cronally.targets.target import Delivered, Destination, Message
from tests.support.scripted import Request, ScriptedServer, answer
from tests.targets.conftest import make_message

NAMES = ["Reports", 'a "b" %41', "Söhne & \N{SNOWMAN}", " x "]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(answer(200)) as scripted:
        yield scripted


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), connections=4)
    yield target
    await target.close()


async def call(
    target: HttpTarget, server: ScriptedServer, form: str, message: Message, method: str = "post"
) -> Request:
    public = {"delivery_http_method": method, "delivery_http_url": server.url, "delivery_http_format": form}
    assert isinstance(await target.send(Destination("http", public), message), Delivered)
    return server.requests[-1]


def as_expected(message: Message) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": message.firing_id,
        "source": f"urn:uuid:{message.cronjob_id}",
        "type": "cronally.firing",
        "time": to_datetime(message.scheduled_at),
        "subject": message.cronjob_name,
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", [events.BINARY, events.STRUCTURED])
async def test_event__is_read_by_the_sdk(
    target: HttpTarget, server: ScriptedServer, form: str, name: str
) -> None:
    message = replace(make_message(), cronjob_name=name, attempt=3)
    request = await call(target, server, form, message)
    event = from_http_event(HTTPMessage(dict(request.headers), request.body))
    found = dict(event.get_attributes())
    assert int(found.pop("cronallyattempt")) == 3
    assert found.pop("datacontenttype") == "application/json"
    assert found == as_expected(message)
    plain = await call(target, server, events.DEFAULT, message)
    assert event.get_data() == json.loads(plain.body)
    assert plain.headers.keys() <= request.headers.keys()
    assert not [header for header in plain.headers if header.startswith("ce-")]
    if form == events.BINARY:
        assert request.body == plain.body
        assert request.headers["content-type"] == "application/json"
    else:
        assert request.headers["content-type"] == "application/cloudevents+json"
        assert not [header for header in request.headers if header.startswith("ce-")]


@pytest.mark.parametrize(
    ("own", "shared", "expected"),
    [
        ({"X-Env": "own"}, {"x-env": "shared"}, {"x-env": "shared"}),
        ({"Accept": "text/csv"}, {}, {"accept": "text/csv"}),
        ({}, {"accept": "text/html", "authorization": "Token it"}, {"accept": "text/html"}),
        ({"Ce-Id": "own", "ce-Type": "own"}, {"CE-source": "shared"}, {}),
    ],
)
async def test_event__headers_of_a_connection_and_of_ones_own_are_there_once(
    target: HttpTarget,
    server: ScriptedServer,
    own: dict[str, str],
    shared: dict[str, str],
    expected: dict[str, str],
) -> None:
    public = {"delivery_http_method": "post", "delivery_http_url": f"http://***@127.0.0.1:{server.port}/"}
    public |= {"delivery_http_format": events.BINARY}
    secret = {"delivery_http_url": f"http://a:b@127.0.0.1:{server.port}/", "headers": json.dumps(shared)}
    destination = Destination("http", {**public, "delivery_http_headers": own}, secret)
    assert isinstance(await target.send(destination, make_message()), Delivered)
    (request,) = server.requests
    assert {name: request.headers[name] for name in expected} == expected
    assert request.headers["authorization"] == shared.get("authorization", "Basic YTpi")
    assert request.headers["ce-id"] == request.headers["cronally-firing-id"]
    assert request.headers["ce-source"] == f"urn:uuid:{make_message().cronjob_id}"


async def test_event__of_a_request_without_a_body(target: HttpTarget, server: ScriptedServer) -> None:
    request = await call(target, server, events.BINARY, make_message(), "get")
    event = from_http_event(HTTPMessage(dict(request.headers), request.body))
    assert event.get_id() == make_message().firing_id
    assert event.get_time() == datetime.fromisoformat("2026-11-24T08:00:00+00:00").astimezone(UTC)
    assert not event.get_data()


def test_check__what_has_no_body_is_not_structured() -> None:
    target = HttpTarget(egress=Egress())
    sent = {"delivery_http_method": "get", "delivery_http_format": events.STRUCTURED}
    assert target.check(sent) == {
        "delivery_http_format": "needs a body, and such a request has none; give delivery_http_method=post,"
        " or cloudevents-binary"
    }
    assert not target.check({**sent, "delivery_http_method": "post"})
    assert not target.check({**sent, "delivery_http_format": events.BINARY})


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["text/plain", "application/json"]))
def test_around__holds_any_body_as_it_is(body: str, content_type: str) -> None:
    found = json.loads(events.around(make_message(), content_type, body.encode()))
    try:
        expected = json.loads(body) if content_type == "application/json" else body
    except ValueError:
        expected = body
        assert found["datacontenttype"] == "text/plain"
    assert found["data"] == expected or json.dumps(expected) in ("NaN", "Infinity", "-Infinity")


@pytest.mark.parametrize(
    "body", ['{"n": 123456789012345678901234567890.10}', '{"n": 1E400}', "[" * 5000, "NaN"]
)
def test_around__changes_no_number_and_is_json_always(body: str) -> None:
    made = events.around(make_message(), "application/problem+json; charset=utf-8", body.encode()).decode()
    assert body in made
    found = json.loads(made)
    assert (found["datacontenttype"] == "text/plain") == (not body.startswith("{"))
