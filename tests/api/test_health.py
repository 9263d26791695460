"""`/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, text

from cronally import __version__
from cronally.api import health
from cronally.clock import zones
from cronally.instants import MINUTE, SECOND
from cronally.role import Role
from cronally.store import unwritable
from cronally.store.heartbeats import record_heartbeat
from cronally.store.unwritable import Reason
from cronally.store.zonedata import record_version
from tests.api.serving import Api, Client, serving, sign_up
from tests.support.factories import make_cronjob, make_firing
from tests.support.postgres import PostgresServer

REPORT = {
    "name": "report",
    "cron": "0 8 * * *",
    "sns_topic": "arn:aws:sns:us-east-1:123456789012:reports",
    "sns_region": "us-east-1",
    "sns_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "sns_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}


def test_health__the_process_lives(stranger: Client) -> None:
    assert stranger.ask("GET", "/healthz?cache=buster").response == {"version": __version__}


def test_health__readyz_tells_how_the_engine_stands(
    api: Api, stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "KEPT_FOR", 0.0)
    before = stranger.ask("GET", "/readyz").response
    assert before["database"] == "answers"
    assert before["last_tick_at"] is before["oldest_due_at"] is None

    async def arrange() -> None:
        now = await api.store.clock()
        await api.store.transact(
            lambda connection: record_heartbeat(connection, "node", Role.SCHEDULER, now, now - 3 * SECOND)
        )
        cronjob = await make_cronjob(api.store)
        await make_firing(api.store, cronjob, due_at=now - MINUTE)

    api.run(arrange())
    after = stranger.ask("GET", "/readyz").response
    assert 3_000 <= after["last_tick_age_ms"] < 60_000
    assert 60_000 <= after["oldest_due_age_ms"] < 120_000
    assert after["last_tick_at"] < after["now"]


def test_health__readyz_tells_the_zone_data(
    api: Api, stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "KEPT_FOR", 0.0)
    alone = stranger.ask("GET", "/readyz").response
    assert (alone["tzdata"], alone["newest_tzdata"]) == (zones.version(), None)

    async def arrive(version: str) -> None:
        await api.store.transact(lambda connection: record_version(connection, version, 0))

    api.run(arrive(zones.version()))
    among = stranger.ask("GET", "/readyz").response
    assert among["newest_tzdata"] == zones.version()
    assert "warning" not in among
    api.run(arrive("2999z"))
    behind = stranger.ask("GET", "/readyz").response
    assert behind["newest_tzdata"] == "2999z"
    assert behind["warning"] == (
        f"This node's zone data ({zones.version()}) are older than the database's (2999z): it does not tick;"
        " upgrade it."
    )


def test_health__readyz_asks_the_database_once_a_second(
    api: Api, stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "KEPT_FOR", 60.0)
    answers = {stranger.ask("GET", "/readyz").body for _ in range(5)}
    assert len(answers) == 1


@pytest.fixture
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is repeated."""
    monkeypatch.setattr(health, "KEPT_FOR", 0.0)


def not_ready(client: Client) -> str:
    """Why `/readyz` says that the server is not ready."""
    answer = client.ask("GET", "/readyz")
    assert (answer.status, answer.error["code"]) == (503, "unavailable")
    assert "retry-after" in answer.headers
    assert client.ask("GET", "/healthz").status == 200
    return str(answer.error["message"])


def test_readyz__full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_anew: None) -> None:
    with serving(f"sqlite:///{tmp_path / 'cronally.db'}") as api:
        tenant = sign_up(api, "somebody@example.com")
        api.run(api.store.transact(_fill))
        assert tenant.ask("GET", "/readyz").status == 200
        large = {**REPORT, "sns_message": "x" * 100_000}
        answer = tenant.ask("POST", "/cronjob/", large)
        assert (answer.status, answer.error["message"]) == (503, Reason.FULL)
        assert not_ready(tenant) == Reason.FULL
        # Who has little to write may still find room: the disk is full all the same.
        assert tenant.ask("GET", "/account/").status == 200
        assert not_ready(tenant) == Reason.FULL
        api.run(api.store.transact(lambda connection: _limit(connection, 1_000_000)))
        assert tenant.ask("POST", "/cronjob/", large).status == 200
        monkeypatch.setattr(unwritable, "LATELY", 0.0)
        assert tenant.ask("GET", "/readyz").status == 200


def _fill(connection: Connection) -> None:
    """Give SQLite's file no more room than it has."""
    pages = connection.execute(text("PRAGMA page_count")).scalar_one()
    _limit(connection, pages)


def _limit(connection: Connection, pages: int) -> None:
    connection.execute(text(f"PRAGMA max_page_count={pages}"))


def test_readyz__read_only_sqlite(tmp_path: Path, asked_anew: None) -> None:
    with serving(f"sqlite:///{tmp_path / 'cronally.db'}") as api:
        api.run(
            api.store.transact(lambda connection: connection.execute(text("PRAGMA query_only=ON")) and None)
        )
        assert not_ready(Client(api)) == Reason.READ_ONLY


def test_readyz__read_only_postgresql(
    postgres: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch, asked_anew: None
) -> None:
    with serving(postgres_url) as api:
        stranger = Client(api)
        name = api.run(
            api.store.transact(
                lambda connection: connection.execute(text("SELECT current_database()")).scalar_one()
            )
        )
        postgres.set_read_only(name, wanted=True)
        # Asking writes nothing, and so learns nothing.
        assert [stranger.ask("GET", "/readyz").status for _ in range(3)] == [200] * 3
        assert stranger.ask("POST", "/account/", {"email": "somebody@example.com"}).status == 503
        assert not_ready(stranger) == Reason.READ_ONLY
        postgres.set_read_only(name, wanted=False)
        assert sign_up(api, "somebody@example.com").account_id
        monkeypatch.setattr(unwritable, "LATELY", 0.0)
        assert stranger.ask("GET", "/readyz").status == 200


def test_metrics__count_by_route_and_never_by_tenant(client: Client, stranger: Client) -> None:
    client.ask("GET", "/cronjob/00000000-0000-4000-8000-000000000000/")
    client.ask("HEAD", "/account")
    stranger.ask("GET", "/account/?email=somebody@example.com")
    stranger.ask("GET", "/nope/nope")
    stranger.ask("PROPFIND", "/account/")
    page = stranger.ask("GET", "/metrics").body.decode()
    samples = {
        tuple(sample.labels.get(name) for name in ("method", "route", "status")): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "cronally_http_requests_total"
    }
    assert samples["GET", "/cronjob/{cronjob_id}", "404"] >= 1
    assert samples["HEAD", "/account", "200"] >= 1
    assert samples["GET", "/account", "401"] >= 1
    assert samples["GET", "none", "404"] >= 1
    assert samples["other", "/account", "405"] >= 1
    assert 'cronally_http_request_seconds_count{route="/account"}' in page
    for told in (client.account_id, client.api_key, "00000000-0000", "somebody", "nope", "PROPFIND"):
        assert told not in page


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_metrics__are_not_there_for_who_comes_through_a_proxy(stranger: Client, header: str) -> None:
    answer = stranger.ask("GET", "/metrics", headers={header: "127.0.0.1"})
    assert (answer.status, answer.error["code"]) == (404, "not_found")
