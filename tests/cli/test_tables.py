"""The tables: nothing that is to be copied is cut, and no line is wider than the terminal."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from typer.testing import CliRunner

from cronally.cli import cronjob_tables, firing_cells, ledger_tables
from cronally.cli.app import app
from cronally.cli.layout import distance
from cronally.cli.output import printable
from cronally.client import Attempt, Counts, Cronjob, Explanation, Firing, LastFiring, Page, TargetAnswer
from cronally.instants import DAY, HOUR, MINUTE, SECOND

ID = "70184d25-0f1e-43e6-9c4d-e2b8a39cb18d"
AT = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
REASON = "NotFound: Topic does not exist, 5 attempts over 10 minutes"


def preview(arguments: list[str]) -> None:
    print(CliRunner().invoke(app, ["next", *arguments], prog_name="cronally").output)


def cronjobs() -> Page[Cronjob]:
    return Page(
        tuple(
            Cronjob(
                cronjob_id=ID,
                account_id=ID,
                name=name,
                cron=cron,
                timezone="UTC",
                tzdata="2026f",
                catch_up="latest",
                misfire_grace="24h",
                max_age="24h",
                retry_max_attempts=185,
                ordered=False,
                after_completion="keep",
                overlap="allow",
                window="0s",
                delivery_type="sns",
                created_at=AT,
                updated_at=AT,
                version=1,
                deleted=False,
                state=state,
                next_fire_at=AT,
                sns_topic=f"arn:aws:sns:us-east-1:123456789012:{name}",
            )
            for name, cron, state in (
                ("a", "0 8 * * *", "active"),
                (
                    "a name that is too long for any terminal, and then some, and still goes on" * 2,
                    "*/5 * * * *",
                    "active",
                ),
                ("定期的なレポート" * 8, ",".join(map(str, range(60))) + " * * * *", "paused"),
            )
        )
    )


def firings() -> Page[Firing]:
    return Page(
        tuple(
            Firing(
                firing_id=ID,
                cronjob_id=ID,
                cronjob_name="nightly",
                scheduled_at=AT,
                kind="scheduled",
                created_at=AT,
                state=state,
                attempt=1,
                lateness_ms=lateness,
                reason=reason,
                message_id=None if reason else ID,
                until_at=AT + timedelta(hours=1) if state == "missed" else None,
                count=61 if state == "missed" else 1,
            )
            for state, lateness, reason in (
                ("delivered", 4, None),
                ("failed", 3_599_000, REASON),
                ("missed", None, "no server was awake"),
                ("new state", 0, None),
            )
        )
    )


@pytest.mark.parametrize("width", [60, 75, 76, 80, 100, 110, 120, 131, 132, 160, 200])
def test_tables__fit_and_cut_no_id_and_no_fire_time(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    cronjob_tables.print_cronjobs(cronjobs())
    jobs = capsys.readouterr().out
    assert jobs.count(ID) == 3
    assert jobs.count("2026-11-24 08:00") == 2
    assert "paused" in jobs
    ledger_tables.print_firings(firings(), of_one=False)
    all_firings = capsys.readouterr().out
    ledger_tables.print_firings(firings(), of_one=True)
    of_one = capsys.readouterr().out
    assert all_firings.count(ID) >= 4
    assert all_firings.count("nightly") == 4
    for text in (all_firings, of_one):
        assert text.count("2026-11-24 08:00:00") == 4
        assert "to 2026-11-24 09:00" in text
        assert "61 fire times: " in text or width < 75
        assert all(word in text for word in REASON.split())
    assert all(cell_len(line) <= width for line in (jobs + all_firings + of_one).splitlines())


WIDTHS = [40, 60, 80, 98, 120, 132, 160, 200]


@pytest.mark.parametrize("width", WIDTHS)
def test_tables__cut_nothing(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    moment = datetime(2026, 11, 30, 4, 45, 30, tzinfo=UTC)
    url = "https://***@hooks.example.com/services/T0/reports?token=***&team=finance"
    listed = [
        replace(each, next_fire_at=moment, delivery_type="http", delivery_http_url=url) for each in cronjobs()
    ]
    cronjob_tables.print_cronjobs(Page(tuple(listed)))
    shown = capsys.readouterr().out
    assert shown.count("2026-11-30 04:45:30") == 2
    ledger_tables.print_firings(firings(), of_one=False, attempts=True)
    shown += capsys.readouterr().out
    for zone in ("UTC", "America/Argentina/ComodRivadavia"):
        preview(["0,30 2 * * *", "--timezone", zone, "--after", "2026-03-08T00:00:00Z"])
        printed = capsys.readouterr().out
        assert width < 60 or ("2026-03-08 02:30:00" if zone == "UTC" else "02:30:00-03:00") in printed
        shown += printed
    assert "…" not in shown
    assert all(cell_len(line) <= width for line in shown.splitlines())


@pytest.mark.parametrize(("width", "lines"), [(120, 2), (160, 1), (200, 1)])
def test_firings__are_one_row_where_there_is_room(
    width: int, lines: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    ledger_tables.print_firings(Page(firings().items[:1]), of_one=False)
    _, _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == lines
    assert "nightly" in rows[0]


@pytest.mark.parametrize("width", WIDTHS)
def test_firings__have_their_attempts_beneath_them(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    said = "HTTP 500: the report generator is being redeployed"
    attempts = tuple(
        Attempt(attempt=number, started_at=AT, duration_ms=4, outcome=outcome, reason=reason, detail=detail)
        for number, outcome, reason, detail in (
            (1, "retry", "target_unavailable", said),
            (2, "unknown", "unconfirmed", None),
            (3, "delivered", None, "HTTP 200"),
        )
    )
    delivered, failed, *_ = firings()
    page = Page((replace(delivered, attempts=attempts), failed))
    ledger_tables.print_firings(page, of_one=True)
    assert said.split()[-1] not in capsys.readouterr().out, "they are to be asked for"
    ledger_tables.print_firings(page, of_one=True, attempts=True)
    head, *lines = capsys.readouterr().out.splitlines()
    text = " ".join(" ".join(lines).split())
    if width >= 60:
        assert f"Attempt 1 2026-11-24 08:00:00 retry target_unavailable: {said} Attempt 2" in text
        assert "Attempt 2 2026-11-24 08:00:00 unknown unconfirmed Attempt 3" in text
    assert "Attempt 3 2026-11-24 08:00:00 delivered" in text
    assert all(cell_len(line) <= width for line in lines)
    # The row after them stands in the columns of the first.
    assert [line.find("failed") for line in lines if "failed" in line] == [head.find("State")]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.com", "example.com"),
        ("http://***@example.com:8080/hook?token=***", "example.com:8080/hook?token=***"),
        ("https://example.com/a@b/***", "example.com/a@b/***"),
        ("https://example.com?to=a@b", "example.com?to=a@b"),
        ("nonsense", "nonsense"),
    ],
)
def test_target__has_its_path(
    url: str, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    job = replace(cronjobs().items[0], delivery_type="http", delivery_http_url=url)
    cronjob_tables.print_cronjobs(Page((job,)))
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"  {shown}")


def standing() -> Page[Cronjob]:
    """A cron job that is well, one that fails, one that is paused and was late, one that is new."""
    ok, failing, late, *_ = cronjobs()
    last = LastFiring(
        firing_id=ID,
        scheduled_at=AT,
        kind="scheduled",
        state="delivered",
        count=1,
        finished_at=AT,
        lateness_ms=40,
    )
    none = {"missed": 0, "skipped": 0}
    day = Counts(since=AT, delivered=1437, failed=3, **none)
    week = Counts(since=AT - timedelta(days=6), delivered=10_080, failed=0, **none)
    return Page(
        (
            replace(ok, name="report", health="ok", last_firing=last, counts_24h=day, counts_7d=week),
            replace(
                failing,
                name="nightly backup of all databases",
                cron="*/5 8-17 * * MON-FRI",
                health="failing",
                health_since=AT - timedelta(minutes=55),
                in_a_row=12,
                last_firing=replace(last, state="failed", reason="target_unauthorized", lateness_ms=None),
            ),
            replace(
                late,
                name="quiet",
                cron="30 2 * * *",
                health="late",
                health_since=AT,
                in_a_row=1,
                last_firing=replace(last, state="skipped", reason="paused", count=60, lateness_ms=None),
            ),
            replace(ok, name="new", health="new"),
        )
    )


@pytest.mark.parametrize("width", [*WIDTHS, 79, 100])
def test_cronjobs__have_last_firing_and_health_at_any_width(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    cronjob_tables.print_cronjobs(standing())
    shown = capsys.readouterr().out
    for text in ("failing", "12 times", "late", "ok", "new", "delivered", "failed", "skipped", "paused"):
        assert text in shown
    # Next and last.
    assert shown.count("2026-11-24 08:00") == 3 + 3
    assert "1 times" not in shown
    said = " ".join(shown.split())
    assert width < 60 or "Last 24 hours 1,437 delivered, 3 failed Last 7 days 10,080 delivered" in said
    assert all(cell_len(line) <= width for line in shown.splitlines())
    if width == 80:
        assert "Health" in shown.splitlines()[0]
    if width == 120:
        assert "Target" in shown.splitlines()[0]


def test_cronjob__shows_all_about_how_it_stands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    shown = []
    for each in standing():
        cronjob_tables.print_cronjob(each)
        shown.append({line[:22].strip(): line[22:].strip() for line in capsys.readouterr().out.splitlines()})
    assert [each.get("Health") for each in shown] == [
        "ok",
        "failing since 2026-11-24 07:05:00, 12 in a row",
        "late since 2026-11-24 08:00:00, 1 in a row",
        "new",
    ]
    assert [each.get("Last firing (UTC)") for each in shown] == [
        "2026-11-24 08:00:00 delivered after 40 ms",
        "2026-11-24 08:00:00 failed (target_unauthorized)",
        "2026-11-24 08:00:00 skipped, 60 fire times (paused)",
        None,
    ]
    assert shown[0]["Last 24 hours"] == "1,437 delivered, 3 failed"
    assert "Last 24 hours" not in shown[1]
    # Where not all was counted.
    (well, *_) = standing()
    assert well.counts_24h is not None
    assert well.counts_7d is not None
    for since, both in ((AT - timedelta(days=2), False), (AT, True)):
        less = replace(well.counts_7d, since=since, delivered=0)
        cronjob_tables.print_cronjob(replace(well, counts_7d=less))
        text = capsys.readouterr().out
        assert f"none; counted since {since:%Y-%m-%d} 08:00:00" in text
        assert ("3 failed; counted since" in text) is both


@pytest.mark.parametrize(
    ("reason", "last", "shown"),
    [
        ("target_refused", ("target_refused", "NotFound: no topic"), "target_refused: NotFound: no topic"),
        ("worker_lost", ("target_unavailable", "HTTP 503"), "worker_lost"),
        ("target_refused", ("target_refused", None), "target_refused"),
    ],
)
def test_reason__has_the_detail_of_the_last_attempt_beside_it(
    reason: str,
    last: tuple[str, str | None],
    shown: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    attempts = tuple(
        Attempt(attempt=number, started_at=AT, duration_ms=4, outcome="retry", reason=why, detail=detail)
        for number, (why, detail) in enumerate([("target_unavailable", "HTTP 500"), last], 1)
    )
    firing = replace(firings().items[1], reason=reason, attempts=attempts)
    ledger_tables.print_firings(Page((firing,)), of_one=True)
    explanation = Explanation(
        cronjob_id=ID,
        at=AT,
        finding="failed",
        sentence="Failed.",
        firing=firing,
        state="active",
        version=1,
        timezone="UTC",
        tzdata="2026f",
    )
    ledger_tables.print_explanation(explanation)
    table, explained = capsys.readouterr().out.split("Failed.")
    for text in (table, explained):
        assert re.search(rf"\b{re.escape(shown)} *(  .*)?$", text, re.MULTILINE)
    assert "HTTP 500" in explained
    assert "HTTP 500" not in table


def test_tables__in_a_pipe_are_one_row_a_line_and_uncut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    check_that_rows_are_lines(capsys)


def test_tables__wide_cut_and_wrap_nothing_however_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    detail = "HTTP 500: " + "and so on " * 150 + "END"
    attempt = Attempt(attempt=1, started_at=AT, duration_ms=4, outcome="retry", reason=REASON, detail=detail)
    firing = replace(firings().items[1], attempts=(attempt,))
    ledger_tables.print_firings(Page((firing,)), of_one=False, attempts=True, wide=True)
    _, _, row, beneath = capsys.readouterr().out.splitlines()
    assert detail in row
    assert beneath.endswith(detail), "it is filled up with no spaces"


def test_tables__wide_are_one_row_a_line_on_any_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    check_that_rows_are_lines(capsys, wide=True)


def check_that_rows_are_lines(capsys: pytest.CaptureFixture[str], *, wide: bool = False) -> None:
    ledger_tables.print_firings(firings(), of_one=False, wide=wide)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 4 + 1
    assert REASON in lines[3]
    assert lines[2].count(ID) == 3
    assert lines[2].split()[2] == "nightly"
    cronjob_tables.print_cronjobs(cronjobs(), wide=wide)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 3
    for line, cronjob in zip(lines[2:], cronjobs(), strict=True):
        assert all(text in line for text in (cronjob.cronjob_id, cronjob.name, str(cronjob.cron)))


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0, "in 0 s"),
        (SECOND - 1, "in 0 s"),
        (59 * SECOND, "in 59 s"),
        (MINUTE, "in 1 min"),
        (MINUTE + 30 * SECOND, "in 1 min 30 s"),
        (3 * HOUR + 12 * MINUTE, "in 3 h 12 min"),
        (2 * DAY + 59 * MINUTE, "in 2 d"),
        (400 * DAY + HOUR, "in 400 d 1 h"),
        (-5 * MINUTE, "5 min ago"),
    ],
)
def test_distance__in_its_two_largest_units(duration: int, text: str) -> None:
    assert distance(duration) == text


@given(st.text())
def test_printable__never_steers_a_terminal(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)


def test_attempts__show_what_the_target_answered() -> None:
    found = TargetAnswer(
        status=503,
        headers={"retry-after": "5", "x-id": "7"},
        body="busy\x1b[31m",
        encoding="utf-8",
        cut=True,
        dns_ms=1,
        connect_ms=2,
        first_byte_ms=30,
        whole_ms=40,
    )
    at = datetime(2026, 11, 24, 8, tzinfo=UTC)
    attempt = Attempt(attempt=1, started_at=at, duration_ms=40, outcome="retry", answer=found)
    pairs = dict(firing_cells.answer(attempt))
    assert pairs["Answer"] is not None
    for shown in ("HTTP 503", "dns 1 ms, connect 2 ms, first byte 30 ms, whole 40 ms"):
        assert shown in pairs["Answer"]
    assert "tls" not in pairs["Answer"]
    assert pairs["Headers"] == "retry-after: 5\nx-id: 7"
    assert pairs["Body"] == "busy\x1b[31m…"
    left_out = replace(attempt, answer=TargetAnswer(status=200, left_out=True, first_byte_ms=0, whole_ms=1))
    assert [value for _, value in firing_cells.answer(left_out)][1:] == [None, None]
    assert firing_cells.answer(replace(attempt, answer=None)) == []


def acknowledged(**given: object) -> Page[Firing]:
    return Page((replace(firings().items[0], **given),))  # type: ignore[arg-type]


def test_firings__show_where_their_acknowledgements_stand(capsys: pytest.CaptureFixture[str]) -> None:
    page = acknowledged(
        ack="failed",
        ack_late=True,
        ack_exit_code=3,
        ack_duration_ms=90_000,
        ack_started_at=AT,
        ack_ended_at=AT + timedelta(seconds=90),
        ack_overdue_at=AT + timedelta(seconds=60),
        ack_body="the\x1b[31m end",
        ack_body_cut=True,
    )
    ledger_tables.print_firings(page, of_one=True, attempts=True)
    shown = capsys.readouterr().out
    assert "failed, late, exit code 3" in shown
    assert "after 1 min 30 s" in shown or "after 90 s" in shown
    assert "2026-11-24 08:01:30" in shown
    assert "the" in shown
    assert "\x1b[31m" not in shown
    ledger_tables.print_firings(acknowledged(ack="acknowledged", ack_too_fast=True), of_one=False)
    assert "acknowledged, too" in capsys.readouterr().out
    ledger_tables.print_firings(acknowledged(), of_one=True, attempts=True)
    assert "Acknowledgement" not in capsys.readouterr().out
