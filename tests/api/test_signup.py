"""Who may sign up, and how often."""

from __future__ import annotations

import ipaddress
import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cronally.api import Signup
from cronally.operations import Operations
from tests.api.serving import Answer, Api, Client, serving

Serve = Callable[..., Api]
_numbers = itertools.count(1)


@pytest.fixture
def serve(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Serve]:
    """Start a server with settings of the test's own."""
    with ExitStack() as stack:

        def start(*, per_minute: int = 1000, **settings: Any) -> Api:
            path = tmp_path / f"{next(_numbers)}.db"
            shutil.copy(migrated_sqlite, path)
            operations = {"signups_per_minute": per_minute}
            return stack.enter_context(serving(f"sqlite:///{path}", operations=operations, **settings))

        yield start


def sign_up(api: Api, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    email = {"email": f"user{next(_numbers)}@example.com"}
    return Client(api).ask("POST", "/account/", email, headers=named)


def test_signup__closed_is_closed(serve: Serve) -> None:
    api = serve(signup=Signup("closed"))
    answer = sign_up(api, X_Cronally_Signup_Token="x")
    assert (answer.status, answer.error["code"]) == (403, "forbidden")


def test_signup__asks_for_the_token(serve: Serve) -> None:
    api = serve(signup=Signup("token", "open sesame"))
    assert sign_up(api, X_Cronally_Signup_Token="open sesame").status == 200
    for headers in (
        {},
        {"X_Cronally_Signup_Token": ""},
        {"X_Cronally_Signup_Token": "open sesam"},
        {"X_Cronally_Signup_Token": "open sesame, open sesame"},
    ):
        answer = sign_up(api, **headers)
        assert (answer.status, answer.error["code"]) == (401, "unauthorized")
        assert "X-Cronally-Signup-Token" in answer.error["message"]
    # Before the body and its type are looked at.
    assert (
        Client(api).ask("POST", "/account/", body=b"x", headers={"Content-Type": "image/png"}).status == 401
    )


def test_signup__a_token_that_is_not_set_admits_nobody(serve: Serve) -> None:
    api = serve(signup=Signup("token"))
    assert sign_up(api, X_Cronally_Signup_Token="").status == 401
    assert "open sesame" not in repr(Signup("token", "open sesame"))


@pytest.fixture
def minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The minute does not end while the test runs."""
    count = Operations.count_signup

    async def counted(self: Operations, address: str) -> None:
        async def clock() -> int:
            return 1_000_000_000_000_000

        monkeypatch.setattr(self._store, "clock", clock)
        await count(self, address)

    monkeypatch.setattr(Operations, "count_signup", counted)


@pytest.mark.usefixtures("minute")
def test_signup__an_address_is_limited_whatever_it_sends(serve: Serve) -> None:
    api = serve(per_minute=3)
    assert sign_up(api).status == 200
    assert Client(api).ask("POST", "/account/", {"email": "bad"}).status == 400
    assert Client(api).ask("POST", "/account/", body=b"x", headers={"Content-Type": "x/y"}).status == 415
    # Before the type and the parameters are looked at, and whatever the client says of its address.
    for headers in (
        {},
        {"Content_Type": "x/y"},
        {"X_Forwarded_For": "192.0.2.9"},
        {"Forwarded": "for=192.0.2.9"},
    ):
        answer = sign_up(api, **headers)
        assert (answer.status, answer.error["code"]) == (429, "rate_limited")
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert answer.headers["RateLimit-Policy"] == '"sign-ups";q=3;w=60'


def ask_for(api: Api, email: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client(api).ask("POST", "/account/", {"email": email}, headers=named)


@pytest.mark.usefixtures("minute")
def test_signup__who_tries_email_addresses_is_slowed_down(serve: Serve) -> None:
    api = serve(per_minute=11)
    assert ask_for(api, "there@example.com").status == 200
    # Each one that has an account counts for five, whatever its case.
    for email in ("there@example.com", "There@Example.com"):
        answer = ask_for(api, email)
        assert answer.fields.keys() == {"email"}
        assert "API key" in answer.error["message"]
    assert ask_for(api, "new@example.com").status == 429
    assert ask_for(api, "there@example.com").status == 429


def test_signup__without_the_token_nothing_is_said_of_an_email_address(serve: Serve) -> None:
    api = serve(signup=Signup("token", "open sesame"))
    assert ask_for(api, "there@example.com", X_Cronally_Signup_Token="open sesame").status == 200
    there, new = (
        ask_for(api, email, X_Cronally_Signup_Token="guess")
        for email in ("there@example.com", "elsewhere@example.com")
    )
    assert (there.status, new.status) == (401, 401)
    assert {**there.error, "server_time": ""} == {**new.error, "server_time": ""}


@pytest.mark.usefixtures("minute")
def test_signup__a_trusted_proxy_speaks_for_its_clients(serve: Serve) -> None:
    api = serve(per_minute=1, trusted_proxies=[ipaddress.ip_network("127.0.0.0/8")])
    for forwarded, status in (
        ("192.0.2.1", 200),
        ("192.0.2.1", 429),
        ("203.0.113.7, 192.0.2.1", 429),
        ("192.0.2.1, 127.0.0.9", 429),
        ("192.0.2.2", 200),
        ("192.0.2.2:4711", 429),
        ("2001:db8:1:2::1", 200),
        ("2001:db8:1:2:ffff::1", 429),
        ("[2001:db8:1:2::9]:443", 429),
        ("2001:db8:1:3::1", 200),
        ("::ffff:192.0.2.2", 429),
    ):
        assert sign_up(api, X_Forwarded_For=forwarded).status == status, forwarded
