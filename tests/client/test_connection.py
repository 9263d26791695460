"""Addresses, keys, answers that are none of Cronally's, and what is never shown."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import pytest

from cronally import AsyncClient, Client, errors
from cronally.client import DEFAULT_URL, Account, PlaintextWarning, calls
from cronally.client.connection import Connection
from cronally.errors import InternalError, InvalidRequest, RequestError, UnexpectedAnswer
from cronally.request_signatures import ACCEPTED
from tests.support.relay import Relay, failure, success
from tests.support.scripted import Step, answer, json_answer

SECRET = "h/Be+K0LvQxanvcabBL5Pjg3HL8g7CekNkG090he6rk="


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "https://",
        "https://user:canary@example.com",
        "https://example.com/?a=1",
        "https://example.com/#a",
        "https://example.com:port",
        "https://exa mple.com",
    ],
)
def test_url__that_cannot_be_used(url: str) -> None:
    with pytest.raises(ValueError, match="the server's URL") as caught:
        Connection(url)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1:8000", "http://cron.example.com", "http://localhost.example.com", "http://0.0.0.0"],
)
def test_url__plain_http_to_another_machine_warns(url: str) -> None:
    with pytest.warns(PlaintextWarning, match="use https") as caught:
        Client(url).close()
    assert caught[0].filename == __file__, "the warning points at the caller"


@pytest.mark.parametrize(
    "url",
    [
        DEFAULT_URL,
        "http://localhost",
        "http://cron.localhost:8000",
        "http://[::1]:8000",
        "https://example.com",
    ],
)
def test_url__loopback_and_https_do_not_warn(url: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Connection(url).url == url


@pytest.mark.parametrize(
    ("key", "secret", "message"),
    [
        ("key", None, "give both or none"),
        (None, SECRET, "give both or none"),
        ("key", "canary!", "the API secret is not the base64 text"),
        ("canary\r\nX-Other: 1", SECRET, "the API key is not the text"),
        ("", SECRET, "the API key is not the text"),
    ],
)
def test_keys__that_cannot_be_used(key: str | None, secret: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Connection(DEFAULT_URL, key, secret)
    assert "canary" not in str(caught.value)


def test_from_environment__reads_the_three_variables(
    monkeypatch: pytest.MonkeyPatch, relay: Relay, account: Account
) -> None:
    monkeypatch.setenv("CRONALLY_URL", relay.url + "/")
    monkeypatch.setenv("CRONALLY_API_KEY", account.api_key)
    monkeypatch.setenv("CRONALLY_API_SECRET", account.api_secret)
    with Client.from_environment() as client:
        assert client.url == relay.url
        assert client.account().email == account.email
    for name in ("URL", "API_KEY", "API_SECRET"):
        monkeypatch.setenv(f"CRONALLY_{name}", "")
    with Client.from_environment() as client:
        assert repr(client) == f"Client(url='{DEFAULT_URL}', api_key=None)"


OLDER = json_answer(
    401,
    {
        "status": "error",
        "error": {
            "code": "unauthorized",
            "message": "The request is not signed by a known API key.",
            "fields": {},
            "server_time": "2026-11-24T08:00:00Z",
        },
    },
)


def test_signature__is_of_version_2_and_is_never_another_by_itself(client: Client, relay: Relay) -> None:
    """Whoever answers 401 cannot make a client sign what says less."""
    relay.script.append(OLDER)
    with pytest.raises(errors.Unauthorized) as caught:
        client.account()
    assert 'signature_version="v1"' in caught.value.message
    assert "CRONALLY_SIGNATURE_VERSION=v1" in caught.value.message
    assert "2026-11-24T08:00:00Z" in caught.value.message
    client.account()
    for request in relay.requests:
        assert 'tag="cronally-api"' in request.headers["signature-input"]
        assert not [name for name in request.headers if name.startswith("x-cron-")]


def test_signature__of_version_1_where_it_is_asked_for(
    relay: Relay, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(relay.url, account.api_key, account.api_secret, signature_version="v1") as client:
        assert client.account().email == account.email
        assert "signature-input" not in relay.last.headers
        assert relay.last.headers["x-cron-key"] == account.api_key
        relay.script.append(OLDER)
        with pytest.raises(errors.Unauthorized) as caught:
            client.account()
        assert "signature_version" not in caught.value.message
    monkeypatch.setenv("CRONALLY_SIGNATURE_VERSION", "v1")
    with Client.from_environment() as client:
        assert client._signature_version == "v1"
    with pytest.raises(ValueError, match="there are the signature versions v1 and v2"):
        Client(relay.url, signature_version="v3")


def test_signature__that_this_server_refuses_is_not_blamed_on_its_age(relay: Relay, account: Account) -> None:
    other = "A" * 43 + "="
    with Client(relay.url, account.api_key, other) as client, pytest.raises(errors.Unauthorized) as caught:
        client.account()
    assert "older" not in caught.value.message
    assert "The server's clock says" in caught.value.message


def test_signature__covers_query_and_body(client: Client, relay: Relay, account: Account) -> None:
    client.cronjobs(limit=5, tag=["team:a/b", "c"])
    client.put_calendar("holidays", dates=["2026-12-25"])
    client.update_account(refuse_signature_v1=True)
    assert client.account().refuse_signature_v1
    with Client(relay.url, account.api_key, account.api_secret) as other:
        assert other.account().refuse_signature_v1


async def test_signature__of_the_asynchronous_client(relay: Relay, account: Account) -> None:
    async with AsyncClient(relay.url, account.api_key, account.api_secret) as client:
        await client.put_calendar("holidays", dates=["2026-12-25"])
    assert 'tag="cronally-api"' in relay.last.headers["signature-input"]
    async with AsyncClient(relay.url, account.api_key, account.api_secret, signature_version="v1") as client:
        await client.account()
    assert "x-cron-key" in relay.last.headers


def test_loopback__is_not_sought_behind_a_proxy(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Client(client.url, retries=0) as other, pytest.raises(errors.InvalidRequest):
        other.signup("no address")


def test_signature__covers_the_path_as_sent(relay: Relay, account: Account) -> None:
    """Below a path of its own, the path is part of what is sent and therefore of what is signed."""
    with (
        Client(f"{relay.url}/a b/ü/", account.api_key, account.api_secret) as client,
        pytest.raises(errors.NotFound),
    ):
        client.account()
    assert relay.last.path == "/a%20b/%C3%BC/account/"


@pytest.mark.parametrize(
    ("scripted", "message"),
    [
        (answer(200, b"<html>", Content_Type="text/html"), "answered 200 with 'text/html'"),
        (answer(200, b""), "no answer of Cronally"),
        (answer(200, b"[]"), "no answer of Cronally"),
        (answer(200, b"\xff"), "no answer of Cronally"),
        (answer(200, b"[" * 100_000), "no answer of Cronally"),
        (json_answer(200, {"status": "error", "error": {}}), "no answer of Cronally"),
        (json_answer(404, {"detail": "Not Found"}), "answered 404"),
        (json_answer(404, {"status": "error", "error": "x"}), "answered 404"),
        (answer(301, Location="https://example.com/"), "redirects to 'https://example.com/'"),
        (answer(200, b"junk", Content_Encoding="gzip"), "cannot be decoded"),
        (success(None), "holds no account"),
        (success([1]), "holds no account"),
        (success({"account_id": "1"}), "holds no `email`"),
    ],
)
def test_answer__that_is_none_of_cronallys(
    client: Client, relay: Relay, scripted: Step, message: str
) -> None:
    relay.script.append(scripted)
    with pytest.raises(UnexpectedAnswer) as caught:
        client.account()
    assert message in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "scripted",
    [
        success({}),
        success([1]),
        success([{"cronjob_id": "1", "firing_id": "2"}]),
        success([], next_cursor=7),
    ],
)
def test_answer__that_is_no_list(client: Client, relay: Relay, scripted: Step) -> None:
    relay.script.append(scripted)
    with pytest.raises(UnexpectedAnswer):
        client.account_firings()


@pytest.mark.parametrize(("key", "value"), [("scheduled_at", "soon"), ("created_at", 7), ("attempts", {})])
def test_answer__with_a_value_that_is_no_instant(client: Client, relay: Relay, key: str, value: Any) -> None:
    firing = {
        "firing_id": "1",
        "cronjob_id": "2",
        "scheduled_at": "2026-11-24T08:00:00Z",
        "kind": "scheduled",
        "state": "pending",
        "count": 1,
        "attempt": 0,
        "created_at": "2026-11-24T08:00:00Z",
    }
    relay.script.append(success([{**firing, key: value}]))
    with pytest.raises(UnexpectedAnswer, match=f"`{key}` in the server's answer"):
        client.account_firings()


def test_answer__of_a_newer_server(client: Client, relay: Relay) -> None:
    relay.script.append(
        success(
            [
                {
                    "firing_id": "1",
                    "cronjob_id": "2",
                    "scheduled_at": "2026-11-24T08:00:00Z",
                    "kind": "backfilled",
                    "state": "held",
                    "count": 1,
                    "attempt": 0,
                    "created_at": "2026-11-24T08:00:00Z",
                    "mood": {"new": True},
                }
            ],
            total=1,
        )
    )
    (firing,) = client.account_firings()
    assert (firing.kind, firing.state) == ("backfilled", "held")
    assert firing.extra == {"mood": {"new": True}}


def test_list__that_leads_in_a_circle_ends(client: Client, relay: Relay) -> None:
    relay.script.extend([success([], next_cursor="a"), success([], next_cursor="a")])
    with pytest.raises(UnexpectedAnswer, match="does not end"):
        list(client.iter_cronjobs())


def every_request_error(kind: type[RequestError] = RequestError) -> list[type[RequestError]]:
    """Those that go over the wire: others are a server's own."""
    kinds = [kind, *[below for child in kind.__subclasses__() for below in every_request_error(child)]]
    return [one for one in kinds if one.__module__ == RequestError.__module__]


@pytest.mark.parametrize("kind", [kind for kind in every_request_error() if kind is not RequestError])
def test_error__of_every_class_comes_back_as_itself(
    client: Client, relay: Relay, kind: type[RequestError]
) -> None:
    headers = {"Retry_After": "11", "Accept_Signature": ACCEPTED}
    relay.script.append(failure(kind.status, kind.code, "words", {"a": "b"}, **headers))
    with pytest.raises(kind) as caught:
        client.account()
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.fields, caught.value.retry_after) == ("words", {"a": "b"}, 11)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, errors.NotFound), (410, InvalidRequest), (422, InvalidRequest), (507, InternalError)],
)
def test_error__that_is_new_becomes_one_of_its_class(
    client: Client, relay: Relay, status: int, kind: type[RequestError]
) -> None:
    relay.script.append(failure(status, "something_new", "words"))
    with pytest.raises(kind, match="words"):
        client.account()


def test_nothing_shows_a_secret(client: Client, account: Account) -> None:
    call = calls.create_cronjob(
        {"name": "x", "cron": "* * * * *", "sns_secret_access_key": "canary"}, "canary-key"
    )
    shown = repr([client, call, calls.signup("a@example.com", "canary-token"), client.account()])
    assert "canary" not in shown
    assert account.api_secret not in shown


def test_import__of_cronally_is_light() -> None:
    script = (
        "import sys, cronally; heavy = {'httpx2', 'typer', 'rich', 'ssl'} & set(sys.modules);"
        "assert not heavy, heavy; from cronally import Client; assert 'httpx2' in sys.modules;"
        "heavy = {'asyncio', 'pydantic', 'rich', 'sqlalchemy'} & set(sys.modules); assert not heavy, heavy;"
        "from cronally import AsyncClient; assert 'asyncio' in sys.modules;"
        "assert AsyncClient is cronally.client.AsyncClient;"
        "assert 'Client' in dir(cronally)\n"
        "try: cronally.Nothing\n"
        "except AttributeError: pass\n"
        "else: raise SystemExit(1)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
