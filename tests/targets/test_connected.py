"""What a cron job sends with a connection."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.targets.connected import (
    Held,
    NotConnected,
    connect,
    request_headers,
    secret_texts,
    shown_headers,
)
from cronally.targets.http.grants import Grant
from cronally.targets.target import Destination, Role

SNS = Destination("sns", {"sns_topic": "t"}, {}, "me")
KEYS = Held(
    "aws",
    {"aws_access_key_id": "NEW"},
    {"aws_secret_access_key": "new", "aws_session_token": "token"},
    {"aws_access_key_id": "OLD", "aws_secret_access_key": "old"},
)
URL = "https://a.example/v1/x"
HTTP = Destination("http", {"delivery_http_url": URL}, {}, "me")
WEB = Held(
    "http",
    {"base_url": "https://a.example/v1"},
    {"authorization": "Bearer new", "headers": json.dumps({"X": "1"}), "signing_secret": "s2"},
    {"authorization": "Bearer old", "signing_secret": "s1"},
)


def test_aws__is_under_the_names_that_a_target_knows() -> None:
    sent = connect(SNS, KEYS)
    assert sent.public == {"sns_topic": "t", "sns_access_key_id": "NEW"}
    assert sent.secret == {"sns_secret_access_key": "new", "aws_session_token": "token"}
    assert sent.account_id == "me"
    assert "new" not in repr(KEYS)


def test_aws__a_role_goes_with_keys_or_without() -> None:
    arn = "arn:aws-cn:iam::111111111111:role/x"
    public = {"aws_role_arn": arn, "aws_external_id": "cronally-x", "connection_id": "conn"}
    alone = connect(SNS, Held("aws", public, {}))
    assert alone.role == Role(arn, "cronally-x", "cronally-conn", "cn-north-1")
    assert (alone.public, alone.secret) == (SNS.public, {})
    sent = connect(SNS, Held("aws", {**KEYS.public, **public, "aws_region": "cn-northwest-1"}, KEYS.secret))
    assert sent.role is not None
    assert sent.role.region == "cn-northwest-1"
    assert sent.secret["sns_secret_access_key"] == "new"
    assert connect(SNS, KEYS).role is None


@given(st.integers(0, 20))
def test_aws__refused_keys_and_former_ones_take_turns(refusals: int) -> None:
    sent = connect(SNS, KEYS, refusals)
    expected = ("NEW", "new") if refusals % 2 == 0 else ("OLD", "old")
    assert (sent.public["sns_access_key_id"], sent.secret["sns_secret_access_key"]) == expected
    assert ("aws_session_token" in sent.secret) == (refusals % 2 == 0)
    alone = Held("aws", KEYS.public, KEYS.secret)
    assert connect(SNS, alone, refusals).public["sns_access_key_id"] == "NEW"


def test_http__both_signing_secrets_are_there_whichever_credentials_are() -> None:
    for refusals, authorization in ((0, "Bearer new"), (1, "Bearer old"), (2, "Bearer new")):
        secret = connect(HTTP, WEB, refusals).secret
        assert secret["authorization"] == authorization
        assert (secret["signing_secret"], secret["signing_secret_previous"]) == ("s2", "s1")
    assert request_headers(connect(HTTP, WEB).secret) == {"X": "1", "Authorization": "Bearer new"}
    assert request_headers({}) == {}
    same = Held("http", WEB.public, WEB.secret, {"signing_secret": "s2"})
    assert "signing_secret_previous" not in connect(HTTP, same).secret


def test_http__what_tokens_are_asked_for_with_is_that_of_the_secrets_that_are_used() -> None:
    old, new = (Grant(f"https://{name}.example/token", "me", f"{name} secret") for name in ("old", "new"))
    held = Held("http", WEB.public, {"grant": new.sealed()}, {"grant": old.sealed()})
    for refusals, expected in ((0, new), (1, old), (2, new)):
        secret = connect(HTTP, held, refusals).secret
        assert Grant.of(secret["grant"]) == expected
        assert [*secret_texts(secret)] == [expected.client_secret]
        assert request_headers(secret) == {}
    # Another way to say who calls, in place of it, leaves nothing of it.
    former = Held("http", WEB.public, {"grant": new.sealed()}, {"authorization": "Bearer old"})
    assert connect(HTTP, former, 1).secret == {"authorization": "Bearer old"}
    assert shown_headers({"authentication": "oauth2"})["authorization"] == "***"


def test_http__the_timeout_of_a_cron_job_goes_before() -> None:
    held = Held("http", {**WEB.public, "timeout": 5_000_000}, WEB.secret)
    assert connect(HTTP, held).public == {"delivery_http_url": URL, "delivery_http_timeout": 5_000_000}
    own = Destination("http", {"delivery_http_url": URL, "delivery_http_timeout": 7_000_000}, {}, "me")
    assert connect(own, held).public["delivery_http_timeout"] == 7_000_000
    assert "delivery_http_timeout" not in connect(HTTP, WEB).public


@pytest.mark.parametrize(
    "url", ["https://evil.example/v1/x", "https://a.example/v1/../x", "https://a.example/v2"]
)
def test_http__goes_nowhere_else(url: str) -> None:
    with pytest.raises(NotConnected, match="not below"):
        connect(Destination("http", {"delivery_http_url": url}), WEB)
    # What counts is what is sent, not what is shown.
    with pytest.raises(NotConnected, match="not below"):
        connect(Destination("http", {"delivery_http_url": URL}, {"delivery_http_url": url}), WEB)


@pytest.mark.parametrize(
    ("destination", "held"), [(SNS, WEB), (HTTP, KEYS), (Destination("other", {}), KEYS)]
)
def test_kind__that_is_of_no_use(destination: Destination, held: Held) -> None:
    with pytest.raises(NotConnected, match="of no use"):
        connect(destination, held)
