"""Both clients against the real API."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cronally import AsyncClient, Client
from cronally.api.signup import Signup
from cronally.client import Account, Attempt, Counts, Cronjob, FireTime, Page, Suppressed
from cronally.errors import InvalidExpression, InvalidRequest, NotFound, Unauthorized
from cronally.instants import to_datetime
from tests.api.serving import Api, serving
from tests.support.api_database import EIGHT, add_deliveries, secret_of
from tests.support.relay import Relay

SNS: dict[str, Any] = {
    "sns_topic": "arn:aws:sns:us-east-1:123456789012:report",
    "sns_message": "grüße & 100% = a+b\n",
    "sns_region": "us-east-1",
    "sns_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "sns_secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
}
HTTP: dict[str, Any] = {
    "delivery_type": "http",
    "delivery_http_url": "https://1.1.1.1/hook?a=1&b=2",
    "delivery_http_method": "post",
}
NOTHING = {"delivered": 0, "failed": 0, "missed": 0, "skipped": 0}


def as_listed(created: Iterable[Cronjob]) -> tuple[Cronjob, ...]:
    """Cron jobs that have never fired, as a list has them."""
    return tuple([replace(each, health="new") for each in created])


def test_signup__needs_no_keys_and_gives_them(relay: Relay) -> None:
    with Client(relay.url) as client:
        account = client.signup("a+b@example.com")
    assert isinstance(account, Account)
    assert (account.email, account.cronjob_count) == ("a+b@example.com", 0)
    assert relay.last.headers["content-type"] == "application/x-www-form-urlencoded"
    assert not [name for name in relay.last.headers if name.startswith("x-cron")]
    with Client(relay.url, account.api_key, account.api_secret) as client:
        assert client.account() == account


def test_signup__sends_the_operators_token(migrated_sqlite_url: str) -> None:
    with serving(migrated_sqlite_url, signup=Signup("token", "let-me-in")) as api, Client(api.url) as client:
        with pytest.raises(Unauthorized, match="token of the server's operator"):
            client.signup("a@example.com")
        assert client.signup("a@example.com", token="let-me-in").email == "a@example.com"


def test_cronjob__lives_through_all_verbs(client: Client, relay: Relay, api: Api) -> None:
    created = client.create_cronjob(name="report", cron="0 8 * * *", **SNS)
    assert relay.last.form() == {"name": "report", "cron": "0 8 * * *", **SNS}
    assert secret_of(api, created.cronjob_id) == {"sns_secret_access_key": SNS["sns_secret_access_key"]}
    assert created.sns_message == SNS["sns_message"]
    assert created.next_fire_at is not None
    assert created.created_at < created.next_fire_at <= created.created_at + timedelta(days=1)
    assert (created.next_fire_at.hour, created.next_fire_at.minute) == (8, 0)
    shown = client.cronjob(created.cronjob_id)
    assert replace(shown, counts_24h=None, counts_7d=None) == as_listed([created])[0]
    assert shown.counts_24h is not None
    assert shown.counts_7d == Counts(since=shown.counts_24h.since - timedelta(days=6), **NOTHING)
    assert client.cronjobs() == Page(as_listed([created]))
    assert client.cronjobs(counts=True).items[0].counts_7d is not None
    updated = client.update_cronjob(created.cronjob_id, name="other", misfire_grace=timedelta(hours=1))
    assert relay.last.form() == {"name": "other", "misfire_grace": "1h"}
    assert (updated.name, updated.version) == ("other", 2)
    until = datetime(2030, 1, 1, tzinfo=UTC)
    paused = client.pause_cronjob(created.cronjob_id, note="deploying", until=until)
    assert relay.last.form() == {"note": "deploying", "until": "2030-01-01T00:00:00Z"}
    assert (paused.state, paused.paused_note, paused.paused_until) == ("paused", "deploying", until)
    assert client.pause_cronjob(created.cronjob_id).paused_until is None
    resumed = client.resume_cronjob(created.cronjob_id)
    assert (resumed.state, resumed.paused_at, resumed.version) == ("active", None, 5)
    deleted = client.delete_cronjob(created.cronjob_id)
    assert (deleted.deleted, deleted.state) == (True, "deleted")
    with pytest.raises(NotFound, match="no such cron job"):
        client.cronjob(created.cronjob_id)


def test_create_cronjob__http_delivery_needs_nothing_of_sns(client: Client, relay: Relay) -> None:
    created = client.create_cronjob(
        name="ping",
        cron="*/5 * * * *",
        **HTTP,
        sns_topic=None,  # type: ignore[arg-type]  # what is None is not sent
    )
    assert created.delivery_http_url == "https://1.1.1.1/hook?a=1&b=2"
    assert set(relay.last.form()) == {
        "name",
        "cron",
        "delivery_type",
        "delivery_http_url",
        "delivery_http_method",
    }


def test_create_cronjob__every_call_has_its_own_idempotency_key(client: Client, relay: Relay) -> None:
    one = client.create_cronjob(name="report", cron="0 8 * * *", **HTTP)
    other = client.create_cronjob(name="report", cron="0 8 * * *", **HTTP)
    assert one.cronjob_id != other.cronjob_id
    chosen = [
        client.create_cronjob(name="x", cron="0 8 * * *", idempotency_key="mine-1", **HTTP) for _ in range(2)
    ]
    assert chosen[0] == chosen[1]
    assert relay.last.headers["idempotency-key"] == "mine-1"


def test_lists__are_read_page_by_page(client: Client, relay: Relay) -> None:
    jobs = [client.create_cronjob(name=f"job {number}", cron="0 8 * * *", **HTTP) for number in range(5)]
    page = client.cronjobs(limit=2)
    assert page.items == as_listed(jobs[:2])
    assert page.next_cursor is not None
    second = client.cronjobs(limit=2, cursor=page.next_cursor)
    assert second.next_cursor is not None
    assert client.cronjobs(limit=2, cursor=second.next_cursor) == Page(as_listed(jobs[4:]), None)
    assert tuple(client.iter_cronjobs(page_size=2)) == as_listed(jobs)
    assert [request.query() for request in relay.requests[-3:]] == [
        {"limit": "2"},
        {"limit": "2", "cursor": page.next_cursor},
        {"limit": "2", "cursor": second.next_cursor},
    ]


def test_lists__are_filtered_and_sorted(client: Client, relay: Relay) -> None:
    made = [
        client.create_cronjob(name=name, cron="0 8 * * *", tags=tags, **HTTP)
        for name, tags in (("b", ["web", "env=prod"]), ("a", ["env=dev"]), ("c", []))
    ]
    assert made[0].tags == ("env=prod", "web")
    assert relay.last.form() == {"name": "c", "cron": "0 8 * * *", "tags": "", **HTTP}
    for page_size in (1, 2, None):
        found = client.iter_cronjobs(page_size, tag=["env=*"], sort="name")
        assert [job.name for job in found] == ["a", "b"]
    assert [job.name for job in client.cronjobs(sort="-name", name_prefix="b")] == ["b"]
    next_fire_at = made[0].next_fire_at
    assert next_fire_at is not None
    assert list(client.iter_cronjobs(next_fire_until=next_fire_at)) == []
    changed = client.update_cronjob(made[0].cronjob_id, tags=[])
    assert relay.last.form() == {"tags": ""}
    assert (changed.tags, changed.version) == ((), 2)
    page = client.cronjobs(sort="name", limit=1)
    with pytest.raises(InvalidRequest, match="other filters or in another order"):
        client.cronjobs(sort="-name", limit=1, cursor=page.next_cursor or "")


def test_firings__newest_first_with_their_attempts(client: Client, api: Api, account: Account) -> None:
    one = client.create_cronjob(name="one", cron="0 8 * * *", **HTTP)
    other = client.create_cronjob(name="other", cron="0 8 * * *", **HTTP)
    add_deliveries(api, account.account_id, one.cronjob_id, 5)
    add_deliveries(api, account.account_id, other.cronjob_id, 2)
    firings = list(client.iter_firings(one.cronjob_id, page_size=2))
    assert [firing.message_id for firing in firings] == [f"message-{number}" for number in (4, 3, 2, 1, 0)]
    assert firings[-1].attempts is None
    oldest = client.firings(one.cronjob_id, attempts=True).items[-1]
    assert oldest.scheduled_at == datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
    assert oldest.finished_at == datetime(2026, 11, 24, 8, 0, 2, 4321, tzinfo=UTC)
    assert oldest.due_at is None
    assert oldest.attempts == (
        Attempt(
            attempt=1,
            started_at=oldest.scheduled_at,
            duration_ms=45,
            outcome="retry",
            reason="target_unavailable",
            detail="HTTP 503",
        ),
        Attempt(
            attempt=2,
            started_at=oldest.scheduled_at + timedelta(seconds=2),
            duration_ms=4,
            outcome="delivered",
        ),
    )
    assert list(client.firings(one.cronjob_id)) == firings
    assert len(client.account_firings()) == 7
    assert len(list(client.iter_account_firings(page_size=3))) == 7
    client.delete_cronjob(other.cronjob_id)
    assert len(client.account_firings(cronjob_id=other.cronjob_id)) == 2


def test_preview__needs_no_keys(relay: Relay) -> None:
    with Client(relay.url) as client:
        preview = client.preview(
            "30 1,2 * * *",
            timezone="America/New_York",
            after=datetime(2026, 10, 31, 12, tzinfo=UTC),
            count=100,
            dst_gap="shift",
            dst_overlap="first",
            cronjob_id="abc",
        )
    assert relay.last.query() == {
        "cron": "30 1,2 * * *",
        "timezone": "America/New_York",
        "after": "2026-10-31T12:00:00Z",
        "count": "100",
        "dst_gap": "shift",
        "dst_overlap": "first",
        "id": "abc",
    }
    assert not [name for name in relay.last.headers if name.startswith("x-cron")]
    assert preview.after == datetime(2026, 10, 31, 12, tzinfo=UTC)
    assert len(preview.fire_times) == 100
    first = preview.fire_times[0]
    assert first == FireTime(
        scheduled_at=datetime(2026, 11, 1, 5, 30, tzinfo=UTC), local="2026-11-01T01:30:00-04:00"
    )
    (suppressed,) = preview.suppressed
    assert isinstance(suppressed, Suppressed)
    assert suppressed.until_at == datetime(2026, 11, 1, 6, 30, tzinfo=UTC)
    assert suppressed.reason == "dst_overlap=first"
    assert not hasattr(preview, "cronjob_id")


def test_preview__says_what_a_change_of_the_clock_moves(relay: Relay) -> None:
    with Client(relay.url) as client:
        moved = client.preview(
            "0,30 2 * * *", timezone="America/New_York", after="2027-03-14T00:00:00Z", count=1
        ).fire_times[0]
    assert (moved.mark, moved.instead_of, moved.count) == ("moved", "2027-03-14T02:00:00", 2)


def test_cronjob__has_several_expressions_and_bounds(client: Client, relay: Relay) -> None:
    starts_at = datetime(2190, 12, 1, tzinfo=UTC)
    several = ["0 9 * * MON-FRI", "0 11 * * SAT"]
    created = client.create_cronjob(
        name="report",
        cron=several,
        starts_at=starts_at,
        ends_at="2191-01-01T00:00:00Z",
        max_firings=10,
        **HTTP,
    )
    assert created.cron == tuple(several)
    assert (created.starts_at, created.max_firings, created.fired) == (starts_at, 10, 0)
    assert created.ends_at == datetime(2191, 1, 1, tzinfo=UTC)
    changed = client.update_cronjob(
        created.cronjob_id, cron="0 8 * * *", starts_at="default", ends_at="default", max_firings="default"
    )
    assert (changed.cron, changed.starts_at, changed.ends_at, changed.max_firings) == (
        *("0 8 * * *", None, None),
        None,
    )
    preview = client.preview(several, ends_at="2190-01-01T00:00:00Z", count=1)
    assert preview.expression == tuple(several)
    with pytest.raises(InvalidExpression) as caught:
        client.create_cronjob(name="report", cron=["0 8 * * *", "30 0 8 * * *"], **HTTP)
    assert "30s apart" in caught.value.fields["cron"]


def test_cronjob__is_previewed_and_explained(
    client: Client, relay: Relay, api: Api, account: Account
) -> None:
    created = client.create_cronjob(
        name="report",
        cron="30 1 * * *",
        timezone="America/New_York",
        dst_gap="shift",
        dst_overlap="last",
        **HTTP,
    )
    assert (created.timezone, created.dst_gap, created.dst_overlap) == ("America/New_York", "shift", "last")
    preview = client.preview_cronjob(created.cronjob_id, count=1)
    assert relay.last.query() == {"count": "1"}
    assert (preview.cronjob_id, preview.state, len(preview.fire_times)) == (created.cronjob_id, "active", 1)
    add_deliveries(api, account.account_id, created.cronjob_id, 1)
    fired = client.explain(created.cronjob_id, to_datetime(EIGHT))
    assert fired.finding == "delivered"
    assert "delivered" in fired.sentence
    assert fired.at == datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert fired.firing == next(iter(client.firings(created.cronjob_id, attempts=True)))
    nothing = client.explain(created.cronjob_id, "2030-11-24T09:00:00+01:00")
    assert (nothing.finding, nothing.firing, nothing.mark) == ("no_fire_time", None, None)
    assert nothing.next_at == datetime(2030, 11, 25, 6, 30, tzinfo=UTC)
    assert relay.last.query() == {"at": "2030-11-24T09:00:00+01:00"}


def test_errors__are_the_apis(client: Client) -> None:
    with pytest.raises(InvalidExpression) as caught:
        client.create_cronjob(name="report", cron="61 8 * * *", **HTTP)
    assert set(caught.value.fields) == {"cron"}
    assert caught.value.fields["cron"].startswith('"61" is out of range for minute (0-59)')


def test_account__is_changed(client: Client, relay: Relay, account: Account) -> None:
    tells = client.create_cronjob(name="tells", cron="0 8 * * *", **HTTP)
    changed = client.update_account(dead_letter=tells.cronjob_id)
    assert (relay.last.method, relay.last.path) == ("PATCH", "/account/")
    assert changed.dead_letter == tells.cronjob_id
    assert client.account() == changed
    with pytest.raises(InvalidRequest, match="nothing to change"):
        client.update_account()
    with pytest.raises(InvalidRequest) as caught:
        client.update_account(dead_letter="nobody")
    assert caught.value.fields.keys() == {"dead_letter"}

    async def run() -> None:
        async with AsyncClient(relay.url, account.api_key, account.api_secret) as other:
            assert (await other.update_account(dead_letter="none")).dead_letter is None

    asyncio.run(run())


def test_errors__wrong_keys(relay: Relay, account: Account) -> None:
    with (
        Client(relay.url, account.api_key, "d3Jvbmc=") as client,
        pytest.raises(Unauthorized, match="The server's clock says 20"),
    ):
        client.account()


def test_client__without_keys_says_so_and_sends_nothing(relay: Relay) -> None:
    with Client(relay.url) as client, pytest.raises(Unauthorized, match="give the client an API key"):
        client.account()
    assert relay.requests == []


@pytest.mark.parametrize(
    "cronjob_id", ["", "../account", "a/b", "a?b", "a%2Fb", "a b", "ä", "a\n", "a" * 101]
)
def test_client__an_id_cannot_become_another_path(client: Client, relay: Relay, cronjob_id: str) -> None:
    for verb in (
        client.cronjob,
        client.delete_cronjob,
        client.firings,
        client.preview_cronjob,
        lambda wrong: client.explain(wrong, "2026-11-24T08:00:00Z"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            verb(cronjob_id)
        assert set(caught.value.fields) == {"cronjob_id"}
    assert relay.requests == []


@pytest.mark.parametrize("text", ["", "a\r\nX-Other: 1", "a b", "ä", "a" * 256])
def test_client__a_header_cannot_become_two(client: Client, relay: Relay, text: str) -> None:
    with pytest.raises(InvalidRequest, match="parameters that cannot be used"):
        client.create_cronjob(name="x", cron="* * * * *", idempotency_key=text)
    with pytest.raises(InvalidRequest, match="parameters that cannot be used"):
        client.signup("a@example.com", token=text)
    assert relay.requests == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (timedelta(milliseconds=1), "a whole number of seconds"),
        (timedelta(seconds=-1), "not below 0"),
        (datetime(2026, 11, 24), "an instant needs an offset"),  # naive on purpose
    ],
)
def test_parameters__that_have_no_text(client: Client, relay: Relay, value: Any, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.update_cronjob("abc", misfire_grace=value)
    assert reason in caught.value.fields["misfire_grace"]
    assert relay.requests == []


def test_update_cronjob__without_changes_sends_nothing(client: Client, relay: Relay) -> None:
    with pytest.raises(InvalidRequest, match="nothing to change"):
        client.update_cronjob("abc", name=None)  # type: ignore[arg-type]
    assert relay.requests == []


async def test_async_client__does_all_that_the_client_does(relay: Relay, api: Api) -> None:
    async with AsyncClient(relay.url) as client:
        account = await client.signup("async@example.com")
    async with AsyncClient(relay.url, account.api_key, account.api_secret) as client:
        assert await client.account() == account
        jobs = [await client.create_cronjob(name=f"{n}", cron="0 8 * * *", **SNS) for n in range(3)]
        shown = await client.cronjob(jobs[0].cronjob_id)
        assert replace(shown, counts_24h=None, counts_7d=None) == as_listed(jobs)[0]
        assert (await client.cronjobs(limit=2)).items == as_listed(jobs[:2])
        assert tuple([job async for job in client.iter_cronjobs(page_size=2)]) == as_listed(jobs)
        add_deliveries(api, account.account_id, jobs[0].cronjob_id, 3)
        listed = [firing async for firing in client.iter_firings(jobs[0].cronjob_id, page_size=2)]
        assert len(listed) == 3
        assert (await client.firings(jobs[0].cronjob_id)).items == tuple(listed)
        assert (await client.account_firings(cronjob_id=jobs[0].cronjob_id)).items == tuple(listed)
        assert [firing async for firing in client.iter_account_firings(page_size=1)] == listed
        assert (await client.preview("30 1 * * *")).expression == "30 1 * * *"
        assert (await client.preview_cronjob(jobs[0].cronjob_id, count=1)).cronjob_id == jobs[0].cronjob_id
        explained = await client.explain(jobs[0].cronjob_id, listed[0].scheduled_at)
        whole = await client.firings(jobs[0].cronjob_id, attempts=True, limit=1)
        assert explained.firing == whole.items[0]
        assert (await client.update_cronjob(jobs[0].cronjob_id, name="new")).name == "new"
        assert (await client.pause_cronjob(jobs[0].cronjob_id, note="why")).paused_note == "why"
        assert (await client.resume_cronjob(jobs[0].cronjob_id)).state == "active"
        assert (await client.delete_cronjob(jobs[0].cronjob_id)).deleted
        with pytest.raises(NotFound):
            await client.cronjob(jobs[0].cronjob_id)


def test_both_clients__have_the_same_verbs() -> None:
    def verbs(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in vars(kind).items()
            if not name.startswith("_")
        }

    assert verbs(Client) == verbs(AsyncClient)
    for name in verbs(Client):
        assert getattr(Client, name).__doc__ == getattr(AsyncClient, name).__doc__
        assert getattr(Client, name).__doc__


def test_firings__that_are_chosen_page_by_page(client: Client, api: Api, account: Account) -> None:
    one = client.create_cronjob(name="one", cron="0 8 * * *", **HTTP)
    add_deliveries(api, account.account_id, one.cronjob_id, 5)
    since = to_datetime(EIGHT) + timedelta(minutes=1)
    chosen: dict[str, Any] = {"state": ["delivered", "failed"], "since": since, "order": "oldest"}
    expected = ["message-1", "message-2", "message-3", "message-4"]
    for listed in (
        client.iter_firings(one.cronjob_id, 2, **chosen),
        client.iter_account_firings(page_size=3, name="one", **chosen),
        client.iter_account_firings(one.cronjob_id, **chosen),
        client.account_firings(**chosen),
    ):
        assert [firing.message_id for firing in listed] == expected
    assert not list(client.iter_account_firings(kind="manual"))
    assert not client.firings(one.cronjob_id, reason="max_age", until=to_datetime(EIGHT)).items
    with pytest.raises(NotFound):
        client.account_firings(name="two")
