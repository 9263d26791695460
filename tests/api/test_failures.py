"""What goes wrong inside: an answer with an id, a line in the log, and no secret in either."""

from __future__ import annotations

import asyncio
import logging

import pytest
from sqlalchemy import text

from cronally import errors
from cronally.api import health
from tests.api.serving import Api, Client
from tests.operations.parameters import SECRET, SNS
from tests.support.factories import CANARY


@pytest.fixture
def broken(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every operation on cron jobs trips over a bug."""

    async def fail(*_arguments: object, **_named: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(api.operations, "get_cronjob", fail)


@pytest.mark.usefixtures("broken")
def test_failures__a_bug_is_500_with_an_id_that_the_log_has(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.ask("GET", "/cronjob/x/")
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert b"bug" not in answer.body
    assert b"Traceback" not in answer.body
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert vars(record)["error_id"] == answer.error["error_id"]
    assert vars(record)["route"] == "/cronjob/{cronjob_id:identifier}/"
    # And the server goes on.
    assert client.ask("GET", "/account/").status == 200


def test_failures__a_database_that_does_not_answer_is_503(
    api: Api, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def transact(_work: object) -> None:
        raise errors.Unavailable()

    monkeypatch.setattr(api.store, "transact", transact)
    answer = client.ask("GET", "/cronjobs/")
    assert (answer.status, answer.error["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.fixture
def readiness(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered between two questions."""
    monkeypatch.setattr(health, "KEPT_FOR", 0.0)


@pytest.mark.usefixtures("readiness")
def test_failures__readyz_says_when_the_database_does_not_answer(
    api: Api, stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def hang(_work: object) -> None:
        asked.append(1)
        await asyncio.Event().wait()

    async def fail(_work: object) -> None:
        raise errors.Unavailable()

    monkeypatch.setattr(health, "PATIENCE", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(api.store, "transact", fail)
        assert stranger.ask("GET", "/readyz").status == 503
        patch.setattr(api.store, "transact", hang)
        for _ in range(3):
            answer = stranger.ask("GET", "/readyz")
            assert (answer.status, answer.error["code"]) == (503, "unavailable")
        # Those who ask meanwhile wait for the same question.
        assert len(asked) == 1
        assert stranger.ask("GET", "/healthz").status == 200


def test_failures__no_secret_is_in_answers_logs_or_metrics(
    api: Api, client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    path = f"/cronjob/{client.ask('POST', '/cronjob/', SNS).response['cronjob_id']}/"
    answers = [
        client.ask("GET", path),
        client.ask("PATCH", path, {"sns_secret_access_key": f"{SECRET} "}),
        client.ask("POST", "/cronjob/", body=f'{{"sns_secret_access_key": "{SECRET}", "x":'.encode()),
        client.ask("POST", "/cronjob/", {SECRET[:8]: SECRET, "name": SECRET + "\n"}),
        client.ask("GET", f"/cronjobs/?cursor={SECRET}"),
        client.ask("POST", "/cronjob/", SNS, headers={"Idempotency-Key": "k"}),
        client.ask(
            "POST", "/cronjob/", {**SNS, "sns_secret_access_key": CANARY}, headers={"Idempotency-Key": "k"}
        ),
    ]
    # The database refuses a row while the secret is at hand.
    api.run(
        api.store.transact(
            lambda connection: connection.execute(text("ALTER TABLE cronjob RENAME TO gone")) and None
        )
    )
    try:
        answers.append(client.ask("POST", "/cronjob/", SNS))
        answers.append(client.ask("GET", "/account/"))
    finally:
        api.run(
            api.store.transact(
                lambda connection: connection.execute(text("ALTER TABLE gone RENAME TO cronjob")) and None
            )
        )
    assert answers[-1].status >= 500
    answers.append(client.ask("GET", "/metrics"))
    told = b"\n".join(answer.body for answer in answers).decode()
    told += "\n".join(caplog.handler.format(record) + repr(vars(record)) for record in caplog.records)
    assert SECRET not in told
    assert client.api_secret not in told
    assert CANARY not in told.replace(SECRET[:8], "")


def test_failures__clients_that_go_away_are_no_errors(
    api: Api, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    for sent in (
        b"POST /account/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
        b"POST /account/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"GET /account/ HTTP/1.1\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        with api.connect() as connection:
            connection.sendall(sent)
    assert client.ask("GET", "/account/").status == 200
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
