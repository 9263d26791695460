"""Order of checks and the errors' envelope, over the wire."""

from __future__ import annotations

import pytest

from tests.api.serving import Client
from tests.operations.parameters import SNS

FORM = "application/x-www-form-urlencoded"


def test_strictness__sign_up_checks_in_order(stranger: Client) -> None:
    for body, content_type, status, fields in (
        (b"<email/>", "text/xml", 415, []),
        (b"", "text/xml", 400, ["email"]),
        (b"email=%FF", FORM, 400, ["email"]),
        (b'{"email": 5}', "application/json", 400, ["email"]),
        (b"{", "application/json", 400, ["body"]),
        (b"emial=a@b.co", FORM, 400, ["emial", "email"]),
    ):
        answer = stranger.ask("POST", "/account/", body=body, headers={"Content-Type": content_type})
        assert answer.status == status, body
        assert list(answer.fields) == fields


def test_strictness__create_names_everything_at_once(client: Client) -> None:
    body = b'{"name": null, "nmae": "x", "cron": "61 * * * *", "catch_up": true, "sns_topic": "x", "sns_topic": "y"}'
    answer = client.ask("POST", "/cronjob/", body=body, headers={"Content-Type": "application/json"})
    assert answer.status == 400
    assert answer.error["code"] == "invalid_request"
    assert answer.fields.keys() == {*SNS, "nmae", "catch_up"}
    assert answer.fields["nmae"].endswith("did you mean name?")
    assert answer.fields["name"].startswith("is null")
    assert "out of range" in answer.fields["cron"]


def test_strictness__an_expression_that_never_fires_has_a_code(client: Client) -> None:
    answer = client.ask("POST", "/cronjob/", {**SNS, "cron": "0 0 31 2 *"})
    assert (answer.status, answer.error["code"], list(answer.fields)) == (400, "invalid_expression", ["cron"])
    assert "never fires" in answer.error["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/account/?x=1"),
        ("GET", "/cronjobs/?page=2"),
        ("GET", "/account/firings/?cronjob=1"),
        ("GET", "/cronjobs/?limit=1&limit=2"),
        ("GET", "/cronjobs/?limit=%FF"),
        ("GET", "/cronjobs/?cursor="),
        ("GET", "/cronjobs/?cursor=x"),
        ("DELETE", "/cronjob/1/?force=1"),
        ("POST", "/cronjob/?name=x"),
    ],
)
def test_strictness__a_query_is_read_as_strictly(client: Client, method: str, path: str) -> None:
    answer = client.ask(method, path)
    assert answer.status == 400
    assert path.partition("?")[2].partition("=")[0] in answer.fields


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_strictness__a_body_where_none_belongs_is_named(client: Client, method: str) -> None:
    path = "/cronjob/00000000-0000-4000-8000-000000000000/"
    answer = client.ask(method, path, {"name": "x"})
    assert (answer.status, answer.fields) == (
        400,
        {"body": f"is not read with {method}; send parameters in the query, and no body"},
    )
    headers = {"Content-Type": "application/json"}
    assert client.ask(method, path, body=b"", headers=headers).status == 404


def test_strictness__a_repeated_idempotency_key_is_refused(client: Client) -> None:
    answer = client.ask("POST", "/cronjob/", SNS, headers={"Idempotency-Key": "a, a"})
    assert (answer.status, list(answer.fields)) == (400, ["Idempotency-Key"])


def test_strictness__what_is_no_name_is_not_repeated(client: Client) -> None:
    for body in (b'{"sns_secret_access_key": "canary"}', b"canary" * 50, b"can%20ary=1", b"=canary"):
        answer = client.ask("POST", "/cronjob/", body=body)
        assert (answer.status, list(answer.fields)) == (400, ["body"])
        assert b"canary" not in answer.body
