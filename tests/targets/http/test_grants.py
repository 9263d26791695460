"""Client credentials of OAuth 2.0: what a token endpoint is asked, and what its answers mean. Pure."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, quote_plus, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.contract.credentials import check_scope
from cronally.targets.answer import Answer
from cronally.targets.http.grants import (
    BEFORE_END,
    DEFAULT_LIFETIME,
    MAX_LIFETIME,
    MAX_TOKEN,
    Grant,
    Token,
    read_token,
)
from cronally.targets.pool import USER_AGENT
from cronally.targets.target import Retry, Unauthorized
from tests.targets.conftest import CANARY

URL = "https://login.example.com/token"
# https://datatracker.ietf.org/doc/html/rfc6749#section-4.4.2
GRANT = Grant(URL, "s6BhdRkqt3", "gX1fBat3bV")
# https://datatracker.ietf.org/doc/html/rfc6749#section-4.4.3
GIVEN = {"access_token": "2YotnFZFEjr1zCsicMWpAA", "token_type": "example", "expires_in": 3600}
GOOD = {**GIVEN, "token_type": "Bearer"}

text = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1)


def said(
    body: object, status: int = 200, *, grant: Grant = GRANT, after: float | None = None, public: bool = True
) -> Token | Retry | Unauthorized:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_token(Answer(status, {}, content), grant, after=after, public=public)


def test_request__is_that_of_the_rfc() -> None:
    headers, body = GRANT.request()
    assert headers == {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Authorization": "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW",
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": USER_AGENT,
    }
    assert body == b"grant_type=client_credentials"


@given(text, text, st.none() | text, st.none() | text, st.booleans())
def test_request__whatever_the_credentials_hold_comes_out_again(
    client: str, secret: str, scope: str | None, audience: str | None, in_body: bool
) -> None:
    grant = Grant(URL, client, secret, scope, audience, "body" if in_body else "basic")
    assert Grant.of(grant.sealed()) == grant
    headers, body = grant.request()
    form = parse_qs(body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    expected = {"grant_type": "client_credentials", "scope": scope, "audience": audience}
    if in_body:
        assert "Authorization" not in headers
        expected |= {"client_id": client, "client_secret": secret}
    else:
        kind, _, pair = headers["Authorization"].partition(" ")
        parts = base64.b64decode(pair, validate=True).decode("ascii").split(":")
        assert (kind, [unquote_plus(part) for part in parts]) == ("Basic", [client, secret])
    assert form == {name: [value] for name, value in expected.items() if value is not None}
    if len(secret) > 30:
        assert secret not in repr(grant)


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (3600, 3600 - BEFORE_END),
        ("3599", 3599 - BEFORE_END),
        (3600.5, 3600.5 - BEFORE_END),
        (100, 75),
        (1, 0.75),
        (None, DEFAULT_LIFETIME),
        (10**400, MAX_LIFETIME - BEFORE_END),
        (86_401, MAX_LIFETIME - BEFORE_END),
    ],
)
def test_lifetime__ends_before_the_token_does_and_is_bounded(expires_in: Any, lifetime: float) -> None:
    found = said({**GOOD, "expires_in": expires_in})
    assert isinstance(found, Token)
    assert (found.text, found.lifetime, found.taken) == (GIVEN["access_token"], lifetime, False)


@pytest.mark.parametrize("expires_in", [0, -1, -(10**400), "soon", "-5", "1e3", "٣", True, [3600], {}])
def test_lifetime__that_says_nothing(expires_in: object) -> None:
    found = said({**GOOD, "expires_in": expires_in})
    assert found == Retry(
        "the token endpoint answered HTTP 200, with an expires_in that is no number of seconds, or not above 0"
    )


@given(st.floats() | st.integers() | st.text())
def test_lifetime__is_between_nothing_and_a_day(expires_in: object) -> None:
    found = said({**GOOD, "expires_in": expires_in})
    assert isinstance(found, Retry) or (isinstance(found, Token) and 0 < found.lifetime <= MAX_LIFETIME)


@pytest.mark.parametrize(
    "token",
    ["", "a\r\nX-Evil: 1", "a\nb", "a b", "a\tb", "a\0b", "tökén", "\x7f", None, 5, ["a"], "a" * 8193],
)
def test_token__that_cannot_stand_in_a_header(token: object) -> None:
    found = said({**GOOD, "access_token": token})
    assert isinstance(found, Retry)
    assert "access_token" in found.detail


@given(st.text())
def test_token__stands_in_a_header_as_it_is(token: str) -> None:
    found = said({**GOOD, "access_token": token})
    good = 0 < len(token) <= MAX_TOKEN and all("!" <= character <= "~" for character in token)
    assert isinstance(found, Token) == good
    assert not token.strip() or len(token) < 6 or token not in repr(found)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"<html>maintenance</html>", "no JSON object"),
        (b"", "no JSON object"),
        (b"[]", "no JSON object"),
        (b'"token"', "no JSON object"),
        (b"\xff\xfe{", "no JSON object"),
        (b"[" * 30_000, "no JSON object"),
        (b'{"a":' * 30_000, "no JSON object"),
        (b'{"access_token": ' + b"9" * 5_000 + b"}", "no JSON object"),
        (b'{"access_token": "a"', "no JSON object"),
        ({}, "without an access_token"),
        ({"token_type": "Bearer"}, "without an access_token"),
        (GIVEN, "token_type is not Bearer"),
        ({**GOOD, "token_type": None}, "token_type is not Bearer"),
    ],
)
def test_answer__that_is_none(body: object, detail: str) -> None:
    found = said(body)
    assert isinstance(found, Retry)
    assert detail in found.detail
    assert "maintenance" not in found.detail


def test_answer__that_was_cut() -> None:
    found = read_token(Answer(200, {}, json.dumps(GOOD).encode(), cut=True), GRANT, after=None, public=True)
    assert isinstance(found, Retry)
    assert "more than 32,768 bytes, or not all of them in time" in found.detail


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_answer__says_its_type_in_any_case_or_not_at_all(kind: str) -> None:
    assert isinstance(said({**GOOD, "token_type": kind}), Token)
    assert isinstance(said({"access_token": "a"}, 201), Token)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            401,
            {"error": "invalid_client"},
            Unauthorized("the token endpoint answered HTTP 401: invalid_client"),
        ),
        (
            400,
            {"error": "invalid_client"},
            Unauthorized("the token endpoint answered HTTP 400: invalid_client"),
        ),
        (
            400,
            {"error": "unauthorized_client", "error_description": "No such\r\ngrant."},
            Unauthorized("the token endpoint answered HTTP 400: unauthorized_client: No such grant."),
        ),
        (
            400,
            {"error": "invalid_scope"},
            Unauthorized("the token endpoint answered HTTP 400: invalid_scope"),
        ),
        (401, "no", Unauthorized("the token endpoint answered HTTP 401")),
        (403, b"<html>", Unauthorized("the token endpoint answered HTTP 403")),
        (404, b"", Unauthorized("the token endpoint answered HTTP 404")),
        (400, {"error": 5}, Unauthorized("the token endpoint answered HTTP 400")),
        (400, {"error": 'a"b'}, Unauthorized("the token endpoint answered HTTP 400")),
        (
            302,
            b"",
            Unauthorized("HTTP 302: redirects are not followed; give the token_url that it leads to"),
        ),
        (
            400,
            {"error": "temporarily_unavailable"},
            Retry("the token endpoint answered HTTP 400: temporarily_unavailable", 7.0),
        ),
        (429, b"slowly", Retry("the token endpoint answered HTTP 429", 7.0)),
        (500, b"", Retry("the token endpoint answered HTTP 500", 7.0)),
        (
            503,
            {"error": "invalid_client"},
            Retry("the token endpoint answered HTTP 503: invalid_client", 7.0),
        ),
        (408, b"", Retry("the token endpoint answered HTTP 408", 7.0)),
        (999, b"", Retry("the token endpoint answered HTTP 999", 7.0)),
    ],
)
def test_refusal__waits_for_the_account_or_for_the_endpoint(
    status: int, body: object, expected: Retry | Unauthorized
) -> None:
    found = said(body, status, after=7.0)
    assert found == expected
    assert not isinstance(found, Unauthorized) or not found.known, "no matter of one cron job alone"


def test_refusal__says_no_secret_and_nothing_of_what_is_not_public() -> None:
    for secret in (CANARY, f"{CANARY} {CANARY}", f"{CANARY}:" * 20):
        grant = Grant(URL, "me", secret)
        echo = f"{secret}, {quote_plus(secret)}, {base64.b64encode(secret.encode()).decode()}" + "x" * 9_000
        body = {"error": "invalid_client", "error_description": echo}
        shown = said(body, 401, grant=grant)
        assert isinstance(shown, Unauthorized)
        assert shown.detail.startswith("the token endpoint answered HTTP 401: invalid_client: ***, ***, ***x")
        assert len(shown.detail) < 1_000
    shown = said({"error": CANARY}, 401, grant=Grant(URL, "me", CANARY))
    assert shown == Unauthorized("the token endpoint answered HTTP 401: ***")
    assert said(body, 401, public=False) == Unauthorized("the token endpoint answered HTTP 401")
    unusable: tuple[object, ...] = (b"page", b"[", {}, {"access_token": "a b"}, {**GOOD, "expires_in": 0})
    found = {said(wrong, public=False) for wrong in unusable}
    assert found == {Retry("the token endpoint answered HTTP 200, and no token that can be sent")}


@given(st.text(st.characters(min_codepoint=0, max_codepoint=0x80), max_size=6))
def test_scope__is_that_of_the_rfc(scope: str) -> None:
    allowed = {chr(code) for code in (0x21, *range(0x23, 0x5C), *range(0x5D, 0x7F))}
    good = all(part and set(part) <= allowed for part in scope.split(" "))
    try:
        taken = check_scope(scope) == scope
    except ValueError:
        taken = False
    assert taken == good
