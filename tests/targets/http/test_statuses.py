"""The fault matrix of HTTP statuses: each row of the table, over real sockets, at a first and at a repeated attempt."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.utils import formatdate

import pytest

from cronally.targets.egress import Egress
from cronally.targets.http.statuses import (
    REFUSED_STATUSES,
    RETRY_STATUSES,
    STATUSES,
    SUCCESS,
    Choices,
    Meaning,
    Row,
    outcome,
    row_of,
)
from cronally.targets.http.target import HttpTarget
from cronally.targets.target import (
    Delivered,
    Destination,
    Outcome,
    Refused,
    Repeated,
    Retry,
    Unauthorized,
)
from tests.support.scripted import ScriptedServer, answer
from tests.targets.conftest import SCHEDULED_AT, make_message

NOW = SCHEDULED_AT / 1e6

# By status: what a first attempt makes of it, and a repeated one. Written by hand, from RFC 9110, 4918, 6585, 7725 and
# 8470: the table of the code must agree.
EXPECTED: dict[int, tuple[Outcome, Outcome]] = {
    **{
        status: (Delivered(None), Delivered(None))
        for status in (200, 201, 202, 203, 204, 205, 206, 207, 208, 226)
    },
    **{
        status: (found, found)
        for status in (300, 301, 302, 303, 304, 305, 306, 307, 308)
        for found in [Refused(f"HTTP {status}: redirects are not followed; give the URL that it leads to")]
    },
    **{
        status: (Refused(f"HTTP {status}"), Refused(f"HTTP {status}"))
        for status in (400, 402, 405, 406, 407, 410, 411, 412, 413, 414, 415, 416, 417, 418, 420, 422, 424)
    },
    **{
        status: (Refused(f"HTTP {status}"), Refused(f"HTTP {status}"))
        for status in (426, 428, 431, 444, 451, 499)
    },
    **{status: (Unauthorized(f"HTTP {status}"), Unauthorized(f"HTTP {status}")) for status in (401, 403)},
    404: (Refused("HTTP 404", final=False), Refused("HTTP 404", final=False)),
    409: (Refused("HTTP 409"), Repeated("HTTP 409: it knows this firing from an earlier attempt")),
    **{
        status: (Retry(f"HTTP {status}"), Retry(f"HTTP {status}"))
        for status in (408, 421, 423, 425, 429, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511)
    },
    **{status: (Retry(f"HTTP {status}"), Retry(f"HTTP {status}")) for status in (520, 530, 599, 600, 999)},
}


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    made = HttpTarget(
        egress=Egress(["127.0.0.0/8"]),
        connect_timeout=10,
        total_timeout=10,
        connections=4,
        clock=lambda: NOW,
    )
    yield made
    await made.close()


def _to(server: ScriptedServer) -> Destination:
    return Destination("http", {"delivery_http_method": "post", "delivery_http_url": server.url})


@pytest.mark.parametrize("status", EXPECTED)
async def test_status__first_and_repeated(server: ScriptedServer, target: HttpTarget, status: int) -> None:
    server.script += [answer(status), answer(status)]
    found = [await target.send(_to(server), make_message(attempt=attempt)) for attempt in (1, 2)]
    assert tuple(found) == EXPECTED[status]


def test_rows__each_has_a_status_that_is_tried() -> None:
    assert {id(row_of(status)) for status in EXPECTED} == {id(row) for row in STATUSES}


@pytest.mark.parametrize("status", range(200, 1000))
def test_rows__have_every_status(status: int) -> None:
    assert row_of(status) in STATUSES


@pytest.mark.parametrize("row", STATUSES, ids=lambda row: row.shown)
def test_rows__show_their_statuses(row: Row) -> None:
    numbers = [int(word) for word in row.shown.replace(",", "").split() if word.isdecimal()]
    if len(row.statuses) > 1 or len(row.statuses[0]) == 1:
        assert numbers == [status for each in row.statuses for status in each]
    else:
        assert row.shown in ("2xx", "3xx", "any other 4xx", "5xx", "600 to 999")


@pytest.mark.parametrize("status", [409, 423, 425])
@pytest.mark.parametrize("attempt", [2, 3, 186])
def test_repeated__is_never_failed_for_good(status: int, attempt: int) -> None:
    assert isinstance(outcome(status, attempt, None), Retry | Repeated)


@pytest.mark.parametrize(
    ("value", "after"),
    [
        ("30", 30.0),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("Tuesday, 24-Nov-26 08:01:30 GMT", 90.0),
        ("Tue Nov 24 08:01:30 2026", 90.0),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
    ],
)
@pytest.mark.parametrize("status", [413, 429, 503, 409])
async def test_retry_after__with_each_status_that_may_come_later(
    server: ScriptedServer, target: HttpTarget, status: int, value: str, after: float | None
) -> None:
    server.script.append(answer(status, Retry_After=value))
    found = await target.send(_to(server), make_message(attempt=2))
    if status == 413 and after is None:
        assert found == Refused("HTTP 413")
        return
    assert isinstance(found, Repeated if status == 409 else Retry)
    assert found.after == after


@pytest.mark.parametrize("status", [400, 401, 404, 410, 301])
def test_retry_after__changes_nothing_elsewhere(status: int) -> None:
    assert outcome(status, 1, 30.0) == outcome(status, 1, None)


@pytest.mark.parametrize(
    ("status", "chosen", "attempt", "expected"),
    [
        (410, {RETRY_STATUSES: ["410"]}, 1, Retry("HTTP 410", 30.0)),
        (401, {RETRY_STATUSES: ["4xx"]}, 1, Retry("HTTP 401", 30.0)),
        (409, {RETRY_STATUSES: ["400-410"]}, 2, Retry("HTTP 409", 30.0)),
        (301, {RETRY_STATUSES: ["301"]}, 1, Retry("HTTP 301", 30.0)),
        (503, {REFUSED_STATUSES: ["500-502", "503"]}, 1, Refused("HTTP 503")),
        (404, {REFUSED_STATUSES: ["404"]}, 1, Refused("HTTP 404")),
        (429, {REFUSED_STATUSES: ["4xx"], RETRY_STATUSES: ["5xx"]}, 1, Refused("HTTP 429")),
        (409, {REFUSED_STATUSES: ["409"]}, 2, Refused("HTTP 409")),
        (404, {REFUSED_STATUSES: ["405"], RETRY_STATUSES: []}, 1, Refused("HTTP 404", final=False)),
        (204, {REFUSED_STATUSES: ["3xx", "4xx", "5xx"]}, 1, Delivered(None)),
    ],
)
async def test_status__as_the_cron_job_chooses(
    server: ScriptedServer,
    target: HttpTarget,
    status: int,
    chosen: dict[str, list[str]],
    attempt: int,
    expected: Outcome,
) -> None:
    server.script.append(answer(status, Retry_After="30"))
    to = Destination("http", {**_to(server).public, **chosen})
    assert await target.send(to, make_message(attempt=attempt)) == expected


def test_check__a_status_means_one_thing(target: HttpTarget) -> None:
    assert target.check({RETRY_STATUSES: ["5xx"], REFUSED_STATUSES: ["404", "501"]}) == {
        REFUSED_STATUSES: "holds 501, which delivery_http_retry_statuses holds too; leave it out of one of them"
    }
    assert target.check({RETRY_STATUSES: ["5xx"], REFUSED_STATUSES: ["4xx"]}) == {}


def test_meanings__are_all_used() -> None:
    used = {meaning for row in STATUSES for meaning in (row.meaning, row.repeated, row.asked)}
    assert used - {None} == {*Meaning}


@pytest.mark.parametrize("status", [*EXPECTED, 299, 399, 599])
@pytest.mark.parametrize("success", ["2xx", "200,204", "2xx,404,409", "3xx", "5xx"])
def test_success__of_a_cron_job_goes_before_the_table(status: int, success: str) -> None:
    wanted = {"2xx": range(200, 300), "200,204": (200, 204), "3xx": range(300, 400), "5xx": range(500, 600)}
    taken = status in wanted.get(success, (*range(200, 300), 404, 409))
    found = outcome(status, 2, 30.0, Choices.of({SUCCESS: success.split(",")}))
    if taken:
        assert found == Delivered(None)
    elif status < 300:
        assert found == Retry(f"HTTP {status}: it is none of delivery_http_success", 30.0)
    else:
        assert found == outcome(status, 2, 30.0)


async def test_success__is_the_cron_jobs(server: ScriptedServer, target: HttpTarget) -> None:
    to = Destination("http", {**_to(server).public, "delivery_http_success": ["404", "3xx"]})
    server.script += [answer(404), answer(302, Location="http://127.0.0.1:1/"), answer(200, Retry_After="30")]
    found = [await target.send(to, make_message()) for _ in range(3)]
    assert found == [
        Delivered(None),
        Delivered(None),
        Retry("HTTP 200: it is none of delivery_http_success", 30.0),
    ]
    assert len(server.requests) == 3, "no redirect was followed"
