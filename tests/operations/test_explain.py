"""Why it did or did not fire: asked of ledgers that real ticks wrote, over changes of the clock and outages."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, insert, select, update

from cronally import errors
from cronally.instants import HOUR, MINUTE, SECOND, format_iso, parse_iso
from cronally.operations import Caller
from cronally.store import Store, tables
from tests.operations.conftest import sign_up
from tests.operations.explained import NEW_YORK, Explained
from tests.operations.tenant import Tenants
from tests.operations.test_firings import add_attempt
from tests.support.factories import NOON, Clock, insert_rows, make_cronjob, make_firing

pytestmark = pytest.mark.sample


@pytest.fixture
def explained(operations: Tenants, caller: Caller, store: Store, clock: Clock) -> Explained:
    return Explained(operations, caller, store, clock)


def said(answer: dict[str, object]) -> tuple[object, ...]:
    return answer["finding"], answer["sentence"]


# Waiting


@pytest.mark.parametrize(
    ("reason", "attempts", "sentence"),
    [
        (None, 0, "Owed: it waits for its first attempt. 3 firings of the account are being sent."),
        (
            "account_limit",
            0,
            "Owed: it waits for its first attempt because the account has as many firings on the way as it may have, of"
            " all that it sends or to this host or topic. 3 firings of the account are being sent. It is looked at"
            " again from 2026-11-24T12:00:30Z on.",
        ),
        (
            "circuit_open",
            1,
            "Not delivered yet: 1 attempt failed, the last one with 'HTTP 503'; the next one comes from"
            " 2026-11-24T12:00:30Z on: the host has not answered lately, and is tried from time to time.",
        ),
    ],
)
async def test_explain__what_a_due_firing_waits_for(
    explained: Explained, store: Store, reason: str | None, attempts: int, sentence: str
) -> None:
    await explained.create("* * * * *", "2026-11-24T11:59:30Z")
    await explained.awake("2026-11-24T12:00:00Z")
    at = parse_iso("2026-11-24T12:00:00Z")

    def work(connection: Connection) -> None:
        connection.execute(
            update(tables.firing).values(
                reason=reason, attempt=attempts, lease_no=attempts, due_at=at + 30 * SECOND
            )
        )
        (row,) = connection.execute(select(tables.firing)).mappings()
        key = {name: row[name] for name in ("cronjob_id", "scheduled_at", "kind")}
        if attempts:
            tried = {"lease_no": 1, "attempt": 1, "started_at": at, "duration": 1, "version": 1}
            said = {"outcome": "retry", "reason": "target_unavailable", "detail": "HTTP 503"}
            connection.execute(insert(tables.attempt).values(**key, **tried, **said))
        for number in range(1, 4):
            other = {**row, "scheduled_at": at + number, "state": "sending", "due_at": at + MINUTE}
            connection.execute(insert(tables.firing).values(**other))

    await store.transact(work)
    assert said(await explained.ask("2026-11-24T12:00:00Z")) == ("pending", sentence)


# Over changes of the clock


async def test_explain__a_repeated_hour_fires_once(explained: Explained) -> None:
    await explained.create("30 1 * * *", "2026-10-31T12:00:00Z", timezone=NEW_YORK)
    await explained.awake("2026-11-02T12:00:00Z")
    fired = await explained.ask("2026-11-01T05:30:00Z")
    assert said(fired) == ("pending", "Owed: it waits for its first attempt.")
    assert fired["firing"]["scheduled_at"] == "2026-11-01T05:30:00Z"
    assert fired["local"] == "2026-11-01T01:30:00-04:00"
    again = await explained.ask("2026-11-01T06:30:00Z")
    assert said(again) == (
        "suppressed",
        "Suppressed by dst_overlap=first: its local time comes twice, and it fired at 2026-11-01T05:30:00Z instead.",
    )
    assert (again["reason"], again["mark"]) == ("dst_overlap=first", "suppressed")
    assert again["instead_at"] == "2026-11-01T05:30:00Z"
    assert again["firing"]["state"] == "skipped"
    assert (again["previous_at"], again["next_at"]) == ("2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z")


async def test_explain__a_repeated_hour_with_several(explained: Explained) -> None:
    await explained.create("0,30 1 * * *", "2026-10-31T12:00:00Z", timezone=NEW_YORK, dst_overlap="last")
    await explained.awake("2026-11-02T12:00:00Z")
    for asked, instead in (("05:00", "06:00"), ("05:30", "06:30")):
        answer = await explained.ask(f"2026-11-01T{asked}:00Z")
        assert answer["finding"] == "suppressed"
        assert answer["instead_at"] == f"2026-11-01T{instead}:00Z"
    between = await explained.ask("2026-11-01T05:10:00Z")
    assert said(between) == (
        "no_fire_time",
        "Not a fire time: there is none before, the next is 2026-11-01T06:00:00Z.",
    )


async def test_explain__a_gap(explained: Explained) -> None:
    await explained.create("0,30 2 * * *", "2026-03-07T12:00:00Z", timezone=NEW_YORK, dst_gap="skip")
    await explained.awake("2026-03-10T12:00:00Z")
    jump = await explained.ask("2026-03-08T07:00:00Z")
    assert said(jump) == (
        "suppressed",
        "Suppressed by dst_gap=skip: the clock skips the local times of 2 fire times.",
    )
    row = jump["firing"]
    assert row["reason"] == "dst_gap=skip"
    assert (await explained.ask(row["scheduled_at"]))["firing"] == row
    meant = await explained.ask("2026-03-08T02:30:00-05:00")
    assert said(meant) == (
        "no_fire_time",
        "Not a fire time: 2026-03-08T02:30:00 does not exist on that day, and by dst_gap=skip it does not fire; there"
        " is none before, the next is 2026-03-09T06:00:00Z.",
    )
    assert (meant["reason"], meant["mark"], meant["instead_at"]) == ("dst_gap=skip", "suppressed", None)


async def test_explain__a_local_time(explained: Explained) -> None:
    """It means the clock of the cron job's time zone; a blank may stand for the `T`."""
    await explained.create("0,30 2 * * *", "2026-03-07T12:00:00Z", timezone=NEW_YORK, dst_gap="skip")
    await explained.awake("2026-03-10T12:00:00Z")
    for local, instant in [
        ("2026-03-09T02:30", "2026-03-09T06:30:00Z"),
        ("2026-03-09 02:30:00", "2026-03-09T06:30:00Z"),
        # The clock skips it: what became of it is said.
        ("2026-03-08T02:30", "2026-03-08T02:30:00-05:00"),
    ]:
        answer = await explained.ask(local)
        assert answer == await explained.ask(instant)
    assert "does not exist on that day" in answer["sentence"]


async def test_explain__a_local_time_that_comes_twice(explained: Explained) -> None:
    await explained.create("30 1 * * *", "2026-10-30T12:00:00Z", timezone=NEW_YORK)
    await explained.awake("2026-11-02T12:00:00Z")
    with pytest.raises(errors.InvalidRequest) as caught:
        await explained.ask("2026-11-01T01:30")
    complaint = caught.value.fields["at"]
    first, _, second = complaint.partition("; write ")[2].partition(" or ")
    assert complaint == (
        "comes more than once in America/New_York; write 2026-11-01T01:30:00-04:00 or 2026-11-01T01:30:00-05:00"
    )
    found = [(await explained.ask(at))["finding"] for at in (first, second)]
    assert found == ["pending", "suppressed"]


async def test_explain__what_a_jump_moved(explained: Explained) -> None:
    await explained.create("0,30 2 * * *", "2026-03-07T12:00:00Z", timezone=NEW_YORK)
    ahead = await explained.ask("2026-03-08T07:00:00Z")
    assert said(ahead) == (
        "future",
        "In the future: it will fire at 2026-03-08T07:00:00Z. It stands for 2026-03-08T02:00:00 and 1 more, which the"
        " local clock skips (dst_gap=run_at_jump).",
    )
    await explained.awake("2026-03-08T12:00:00Z")
    moved = await explained.ask("2026-03-08T07:00:00Z")
    assert (moved["finding"], moved["mark"]) == ("pending", "moved")
    assert "stands for 2026-03-08T02:00:00 and 1 more" in moved["sentence"]
    meant = await explained.ask("2026-03-08T07:30:00Z")
    assert (meant["finding"], meant["instead_at"]) == ("no_fire_time", "2026-03-08T07:00:00Z")
    assert "2026-03-08T02:30:00 does not exist on that day, and by dst_gap=run_at_jump" in meant["sentence"]


async def test_explain__what_will_be_suppressed(explained: Explained) -> None:
    await explained.create("30 1 * * *", "2026-10-31T12:00:00Z", timezone=NEW_YORK)
    ahead = await explained.ask("2026-11-01T06:30:00Z")
    assert said(ahead) == (
        "suppressed",
        "To be suppressed by dst_overlap=first: its local time comes twice, and it fires at 2026-11-01T05:30:00Z"
        " instead.",
    )
    assert ahead["firing"] is None


async def test_explain__a_wildcard_job_follows_the_real_minutes(explained: Explained) -> None:
    await explained.create("*/20 1,2 * * *", "2026-03-07T12:00:00Z", timezone=NEW_YORK)
    await explained.awake("2026-03-08T12:00:00Z")
    jump = await explained.ask("2026-03-08T07:00:00Z")
    assert said(jump) == (
        "suppressed",
        "Suppressed by real_minutes: a wildcard job fires at every real minute that its expression names, and at none"
        " that the clock skips.",
    )
    await explained.awake("2026-11-01T12:00:00Z")
    second = await explained.ask("2026-11-01T06:20:00Z")
    assert (second["finding"], second["mark"], second["reason"]) == ("pending", "doubled", None)
    assert "comes for the second time then (real_minutes)" in second["sentence"]


# Over outages


async def test_explain__an_outage_and_what_fired_instead(explained: Explained) -> None:
    await explained.create("*/10 * * * *", "2026-11-24T11:55:00Z")
    await explained.tick("2026-11-24T12:00:00Z")
    await explained.tick("2026-11-24T15:04:00.5Z")
    for asked in ("12:10", "13:30", "14:50"):
        missed = await explained.ask(f"2026-11-24T{asked}:00Z")
        assert said(missed) == (
            "missed",
            "Missed: no server ran from 2026-11-24T12:10:00Z to 2026-11-24T15:04:00.500000Z, for this and 16 more"
            " fire times; catch_up=latest fired 2026-11-24T15:00:00Z instead.",
        )
        assert missed["instead_at"] == "2026-11-24T15:00:00Z"
        assert missed["firing"]["count"] == 17
    assert (await explained.ask("2026-11-24T15:00:00Z"))["finding"] == "pending"
    between = await explained.ask("2026-11-24T13:35:00Z")
    assert said(between) == (
        "no_fire_time",
        "Not a fire time: the one before is 2026-11-24T13:30:00Z, the next is 2026-11-24T13:40:00Z.",
    )


@pytest.mark.parametrize(
    ("policy", "grace", "ending"),
    [
        ("skip", "24h", "; catch_up=skip."),
        ("all", "1h", "; by then it was older than misfire_grace allows."),
    ],
)
async def test_explain__an_outage_and_nothing_instead(
    explained: Explained, policy: str, grace: str, ending: str
) -> None:
    await explained.create("0 * * * *", "2026-11-24T11:55:00Z", catch_up=policy, misfire_grace=grace)
    await explained.tick("2026-11-24T15:30:00Z")
    missed = await explained.ask("2026-11-24T12:00:00Z")
    assert missed["finding"] == "missed"
    assert missed["sentence"].endswith(ending)
    assert missed["instead_at"] is None


async def test_explain__an_outage_over_a_change_of_the_clock(explained: Explained) -> None:
    await explained.create("0,30 1 * * *", "2026-10-30T12:00:00Z", timezone=NEW_YORK)
    await explained.tick("2026-11-03T12:00:00Z")
    found = {
        at: (await explained.ask(f"2026-{at}:00Z"))["finding"]
        for at in ("10-31T05:00", "11-01T05:30", "11-01T06:00", "11-01T06:30", "11-02T06:30", "11-03T06:30")
    }
    assert list(found.values()) == ["missed", "missed", "suppressed", "suppressed", "missed", "pending"]
    first = await explained.ask("2026-10-31T05:00:00Z")
    assert first["instead_at"] == "2026-11-02T06:00:00Z" or first["firing"]["reason"] == "misfire_grace"


# What the ledger does not have


async def test_explain__before_it_existed_and_after_its_end(explained: Explained) -> None:
    await explained.create("0 * * * *", "2026-11-24T11:55:00.25Z")
    for asked in ("2026-11-24T11:55:00Z", "2020-01-01T00:00:00Z"):
        before = await explained.ask(asked)
        assert said(before) == (
            "before_creation",
            "Before the cron job existed: it was created at 2026-11-24T11:55:00.250000Z.",
        )
    assert before["next_at"] == "2026-11-24T12:00:00Z"
    await explained.awake("2026-11-24T14:30:00Z")
    await explained.delete("2026-11-24T14:40:00Z")
    after = await explained.ask("2026-11-24T15:00:00Z")
    assert said(after) == ("deleted", "Not fired: the cron job was deleted at 2026-11-24T14:40:00Z.")
    assert (after["previous_at"], after["next_at"]) == ("2026-11-24T14:00:00Z", None)
    skipped = await explained.ask("2026-11-24T14:00:00Z")
    assert said(skipped) == (
        "skipped",
        "Skipped: the cron job was deleted before it was delivered.",
    )
    assert (await explained.ask("2026-11-24T14:35:00Z"))["finding"] == "no_fire_time"


async def test_explain__before_a_change_by_what_the_cron_job_was(explained: Explained) -> None:
    await explained.create("0 * * * *", "2026-11-24T11:55:00Z")
    await explained.awake("2026-11-24T14:05:00Z")
    await explained.change("2026-11-24T14:20:00Z", cron="15 * * * *")
    await explained.awake("2026-11-24T16:30:00Z")
    fired = await explained.ask("2026-11-24T13:00:00Z")
    assert (fired["finding"], fired["version"]) == ("pending", 1)
    before = await explained.ask("2026-11-24T13:15:00Z")
    assert said(before) == (
        "no_fire_time",
        "Not a fire time of '0 * * * *' in UTC, as the cron job was until 2026-11-24T14:20:00Z: the one before is"
        " 2026-11-24T13:00:00Z, the next is 2026-11-24T14:00:00Z.",
    )
    assert before["version"] == 1
    last = await explained.ask("2026-11-24T14:10:00Z")
    assert (last["previous_at"], last["next_at"]) == ("2026-11-24T14:00:00Z", "2026-11-24T15:15:00Z")
    after = await explained.ask("2026-11-24T15:00:00Z")
    assert (after["previous_at"], after["next_at"]) == ("2026-11-24T14:00:00Z", "2026-11-24T15:15:00Z")
    assert said(after) == (
        "no_fire_time",
        "Not a fire time: the one before is 2026-11-24T14:00:00Z, the next is 2026-11-24T15:15:00Z.",
    )
    assert after["version"] == 2


async def test_explain__a_range_of_the_cron_job_as_it_was(explained: Explained) -> None:
    await explained.create("0 * * * *", "2026-11-24T11:55:00Z", catch_up="skip")
    await explained.change("2026-11-24T16:30:00Z", cron="15 * * * *")
    for hour in (12, 13, 16):
        assert (await explained.ask(f"2026-11-24T{hour}:00:00Z"))["finding"] == "missed"
    inside = await explained.ask("2026-11-24T13:15:00Z")
    assert (inside["finding"], inside["firing"]) == ("no_fire_time", None)


async def test_explain__over_several_changes(explained: Explained) -> None:
    await explained.create("30 1 * * *", "2026-10-30T12:00:00Z", timezone=NEW_YORK)
    await explained.change("2026-10-31T12:00:00Z", dst_overlap="last")
    await explained.change("2026-11-01T12:00:00Z", timezone="UTC", dst_overlap="default")
    await explained.change("2026-11-02T12:00:00Z", cron="0 8 * * *", name="Other")
    await explained.awake("2026-11-04T12:00:00Z")
    found = {}
    for at in ("10-31T05:30", "11-01T05:30", "11-01T06:30", "11-02T01:30", "11-03T08:00"):
        answer = await explained.ask(f"2026-{at}:00Z")
        found[at] = (answer["version"], answer["timezone"], answer["finding"], answer["reason"])
    assert found == {
        "10-31T05:30": (1, NEW_YORK, "pending", None),
        "11-01T05:30": (2, NEW_YORK, "suppressed", "dst_overlap=last"),
        "11-01T06:30": (2, NEW_YORK, "pending", None),
        "11-02T01:30": (3, "UTC", "pending", None),
        "11-03T08:00": (4, "UTC", "pending", None),
    }
    assert (await explained.ask("2026-11-01T05:30:00Z"))["instead_at"] == "2026-11-01T06:30:00Z"
    assert (await explained.ask("2026-11-01T05:30:00Z"))["local"] == "2026-11-01T01:30:00-04:00"


async def test_explain__a_change_that_leaves_the_timing(explained: Explained) -> None:
    await explained.create("0 * * * *", "2026-11-24T11:55:00Z")
    await explained.change("2026-11-24T12:20:00Z", name="Other")
    await explained.awake("2026-11-24T13:30:00Z")
    before = await explained.ask("2026-11-24T12:10:00Z")
    assert said(before) == (
        "no_fire_time",
        "Not a fire time: the one before is 2026-11-24T12:00:00Z, the next is 2026-11-24T13:00:00Z.",
    )


async def test_explain__the_very_instant_of_a_change_is_of_the_cron_job_before(explained: Explained) -> None:
    await explained.create("0 * * * *", "2026-11-24T11:55:00Z")
    await explained.change("2026-11-24T13:00:00Z", cron="0 0 * * *")
    at = await explained.ask("2026-11-24T13:00:00Z")
    assert (at["finding"], at["version"]) == ("pending", 1)


async def test_explain__set_aside_and_changed_again(explained: Explained, store: Store) -> None:
    await explained.create("0 * * * *", "2026-11-24T11:55:00Z")
    # As a newer version would have written it.
    await store.transact(
        lambda connection: connection.execute(tables.cronjob.update().values(policies="[]")) and None
    )
    await explained.tick("2026-11-24T12:00:00Z")
    await explained.change("2026-11-24T14:30:00Z", dst_gap="default", cron="0 */2 * * *")
    await explained.awake("2026-11-24T18:30:00Z")
    aside = await explained.ask("2026-11-24T13:00:00Z")
    assert (aside["finding"], aside["reason"], aside["state"]) == ("inactive", "set_aside", "paused")
    assert aside["sentence"].startswith(
        "Not fired: the cron job was paused from 2026-11-24T12:00:00Z to 2026-11-24T14:30:00Z. Cannot be scheduled:"
    )
    assert (aside["previous_at"], aside["next_at"]) == ("2026-11-24T12:00:00Z", "2026-11-24T16:00:00Z")
    assert (await explained.ask("2026-11-24T16:00:00Z"))["finding"] == "pending"


async def test_explain__completed_and_changed_again(explained: Explained) -> None:
    await explained.create("at(2026-11-24T12:30:00)", "2026-11-24T12:00:00Z")
    await explained.awake("2026-11-24T13:00:00Z")
    await explained.change("2026-11-24T15:00:00Z", cron="0 * * * *")
    await explained.awake("2026-11-24T17:30:00Z")
    between = await explained.ask("2026-11-24T14:00:00Z")
    assert said(between) == (
        "no_fire_time",
        "Not a fire time: the cron job was completed from 2026-11-24T12:30:00Z to 2026-11-24T15:00:00Z; the one before"
        " is 2026-11-24T12:30:00Z, the next is 2026-11-24T16:00:00Z.",
    )


async def test_explain__a_deleted_one_over_its_changes(explained: Explained) -> None:
    await explained.create("0 * * * *", "2026-11-24T11:55:00Z")
    await explained.change("2026-11-24T12:20:00Z", cron="15 * * * *")
    await explained.awake("2026-11-24T14:00:00Z")
    await explained.delete("2026-11-24T14:40:00Z")
    found = [
        (await explained.ask(f"2026-11-24T{at}:00Z"))["finding"]
        for at in ("12:00", "12:15", "13:00", "13:15", "14:15", "15:15")
    ]
    assert found == ["skipped", "no_fire_time", "no_fire_time", "skipped", "skipped", "deleted"]


async def test_explain__where_the_history_does_not_reach(explained: Explained, store: Store) -> None:
    await explained.create("0 * * * *", "2026-11-24T11:55:00Z")
    await explained.awake("2026-11-24T14:05:00Z")
    await explained.change("2026-11-24T14:20:00Z", cron="15 * * * *")
    await store.transact(
        lambda connection: (
            connection.execute(tables.cronjob_version.delete().where(tables.cronjob_version.c.version == 1))
            and None
        )
    )
    before = await explained.ask("2026-11-24T13:15:00Z")
    assert said(before) == (
        "before_change",
        "Did not fire, and was no fire time: the ledger has a row for each, and none here. The cron job was changed at"
        " 2026-11-24T14:20:00Z, and what it was before is not kept: the one before is 2026-11-24T13:00:00Z, the next"
        " is 2026-11-24T14:00:00Z.",
    )
    assert (await explained.ask("2026-11-24T13:00:00Z"))["finding"] == "pending"
    range_row = await explained.ask("2026-11-24T11:00:00Z")
    assert range_row["finding"] == "before_creation"


async def test_explain__a_range_whose_version_is_not_kept(explained: Explained, store: Store) -> None:
    await explained.create("0 * * * *", "2026-11-24T11:55:00Z", catch_up="skip")
    await explained.change("2026-11-24T16:30:00Z", cron="15 * * * *")
    await store.transact(
        lambda connection: (
            connection.execute(tables.cronjob_version.delete().where(tables.cronjob_version.c.version == 1))
            and None
        )
    )
    assert (await explained.ask("2026-11-24T12:00:00Z"))["finding"] == "missed"
    inside = await explained.ask("2026-11-24T13:15:00Z")
    assert inside["finding"] == "missed"
    assert "whether this instant is one of them is not kept" in inside["sentence"]


async def test_explain__one_that_is_due(explained: Explained, clock: Clock) -> None:
    await explained.create("0 * * * *", "2026-11-24T11:55:00Z")
    clock.now = parse_iso("2026-11-24T13:30:00Z")
    due = await explained.ask("2026-11-24T13:00:00Z")
    assert due["finding"] == "due"
    assert due["firing"] is None
    ahead = await explained.ask("2026-11-24T14:00:00Z")
    assert ahead["finding"] == "future"
    assert (await explained.ask("2026-11-24T14:00:01Z"))["finding"] == "no_fire_time"


async def test_explain__one_that_fires_once(explained: Explained) -> None:
    await explained.create("at(2026-11-24T18:00:00)", "2026-11-24T12:00:00Z")
    assert (await explained.ask("2026-11-24T18:00:00Z"))["finding"] == "future"
    await explained.awake("2026-11-24T18:00:00Z")
    assert (await explained.ask("2026-11-24T18:00:00Z"))["finding"] == "pending"
    after = await explained.ask("2026-11-25T18:00:00Z", now="2026-11-26T00:00:00Z")
    assert said(after) == (
        "no_fire_time",
        "Not a fire time: the cron job has been completed since 2026-11-24T18:00:00Z; the one before is"
        " 2026-11-24T18:00:00Z, there is none after.",
    )
    assert (await explained.ask("2026-11-24T17:00:00Z"))["next_at"] == "2026-11-24T18:00:00Z"


async def test_explain__older_than_the_ledger_is_kept(explained: Explained) -> None:
    await explained.create("0 * * * *", "2026-11-24T12:30:00Z")
    await explained.awake("2026-11-24T13:30:00Z")
    now = "2027-01-24T12:30:00Z"
    # What is still there is told all the same.
    assert (await explained.ask("2026-11-24T13:00:00Z", now))["finding"] == "pending"
    for asked, ending in (
        ("2026-11-24T20:00:00Z", "it was a fire time."),
        ("2026-11-24T20:01:00Z", "no fire time."),
    ):
        gone = await explained.ask(asked, now)
        assert gone["finding"] == "not_kept"
        assert gone["sentence"].startswith(
            "Not known any more: the ledger is kept from 2026-12-25T12:30:00Z on."
        )
        assert gone["sentence"].endswith(ending)


async def test_explain__paused_with_its_reason(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    aside = {"state": "paused", "state_reason": "Cannot be read.", "next_fire_at": None, "version": 2}
    row = await make_cronjob(store, caller.account_id, cron="nonsense", updated_at=NOON, **aside)
    clock.now = NOON + HOUR
    asked = {"at": format_iso(NOON + MINUTE)}
    answer = await operations.explain_cronjob(caller.account_id, row["cronjob_id"], asked)
    assert said(answer) == (
        "inactive",
        "Not fired: the cron job has been paused since 2026-11-24T12:00:00Z. Cannot be read.",
    )
    assert answer["reason"] == "set_aside"
    assert answer["local"] is None
    assert (answer["previous_at"], answer["next_at"]) == (None, None)


# What the ledger has


@pytest.mark.parametrize(
    ("given_", "sentence"),
    [
        (
            {
                "state": "delivered",
                "attempt": 1,
                "lease_no": 1,
                "sent_at": NOON,
                "finished_at": NOON + 45_678,
            },
            "Fired: delivered at 2026-11-24T12:00:00.045678Z, 45 ms after the fire time.",
        ),
        (
            {"state": "delivered", "attempt": 3, "lease_no": 3, "finished_at": NOON + 90 * SECOND},
            "Fired: delivered at 2026-11-24T12:01:30Z, 90 s after the fire time, by attempt 3.",
        ),
        ({"state": "sending", "attempt": 1, "lease_no": 1}, "Due: attempt 1 is on its way."),
        (
            {"state": "sending", "attempt": 2, "lease_no": 2, "sent_at": NOON, "duration": SECOND},
            "Due: attempt 2 is on its way.",
        ),
        (
            {"state": "sending", "attempt": 2, "lease_no": 2, "sent_at": NOON},
            "Due: attempt 2 is on its way, since 2026-11-24T12:00:00Z.",
        ),
        (
            {"attempt": 1, "lease_no": 1, "reason": "target_unavailable", "due_at": NOON + MINUTE},
            "Not delivered yet: 1 attempt failed, the last one with 'HTTP 503'; the next one comes from"
            " 2026-11-24T12:01:00Z on.",
        ),
        (
            {"state": "failed", "attempt": 5, "lease_no": 5, "reason": "target_unavailable"},
            "Failed after 5 attempts: HTTP 503.",
        ),
        (
            {"attempt": 1, "lease_no": 2, "reason": None, "due_at": NOON},
            "Not delivered yet: 1 attempt failed, the last one with 'HTTP 503'; the next one comes from"
            " 2026-11-24T12:00:00Z on.",
        ),
        (
            {"state": "failed", "attempt": 5, "lease_no": 5, "reason": "worker_lost"},
            "Failed after 5 attempts: five workers in a row stopped while they sent it; the last attempt ended with"
            " 'HTTP 503'.",
        ),
        (
            {"state": "failed", "attempt": 5, "lease_no": 5, "reason": "of_a_newer_server"},
            "Failed after 5 attempts: of_a_newer_server; the last attempt ended with 'HTTP 503'.",
        ),
        (
            {"state": "skipped", "reason": "set_aside"},
            "Skipped: the server could not read the cron job's schedule, and paused it.",
        ),
    ],
)
async def test_explain__each_state(
    operations: Tenants, caller: Caller, store: Store, given_: dict[str, object], sentence: str
) -> None:
    row = await make_cronjob(store, caller.account_id)
    firing = await make_firing(store, row, **given_)
    if given_.get("lease_no", 0) and given_.get("state") != "sending":
        await add_attempt(store, firing, 1)
    asked = {"at": format_iso(NOON + SECOND - 1)}
    answer = await operations.explain_cronjob(caller.account_id, row["cronjob_id"], asked)
    assert (answer["finding"], answer["sentence"]) == (firing["state"], sentence)
    listed = await operations.list_firings_of_cronjob(
        caller.account_id, row["cronjob_id"], {"attempts": True}
    )
    assert listed.items == [answer["firing"]]


async def test_explain__a_firing_by_hand_stands_for_no_fire_time(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    row = await make_cronjob(store, caller.account_id, next_fire_at=NOON + MINUTE)
    await make_firing(store, row, kind="manual", scheduled_at=NOON + 30 * SECOND)
    asked = {"at": format_iso(NOON + 30 * SECOND)}
    answer = await operations.explain_cronjob(caller.account_id, row["cronjob_id"], asked)
    assert (answer["finding"], answer["firing"]) == ("no_fire_time", None)


# Who asks, and how


async def test_explain__what_is_not_the_tenants_is_not_there(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    other = await sign_up(operations, "other@example.com")
    row = await make_cronjob(store, other.account_id)
    await insert_rows(store, "firing", [])
    for cronjob_id in (row["cronjob_id"], "00000000-0000-4000-8000-000000000000"):
        for parameters in ({"at": format_iso(NOON)}, {"at": "x"}, {}):
            with pytest.raises(errors.NotFound):
                await operations.explain_cronjob(caller.account_id, cronjob_id, parameters)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({}, {"at"}),
        ({"at": ""}, {"at"}),
        ({"at": "yesterday"}, {"at"}),
        ({"at": "2026-11-31T08:00:00"}, {"at"}),
        ({"at": "2026-11-24T08"}, {"at"}),
        ({"at": "1969-12-31T23:59:59Z"}, {"at"}),
        ({"at": "2026-11-24T08:00:00 02:00", "when": "x"}, {"at", "when"}),
    ],
)
async def test_explain__names_what_is_wrong(
    operations: Tenants, caller: Caller, store: Store, parameters: dict[str, str], named: set[str]
) -> None:
    row = await make_cronjob(store, caller.account_id)
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.explain_cronjob(caller.account_id, row["cronjob_id"], parameters)
    assert caught.value.fields.keys() == named
