"""Zones: the package's data, as `zoneinfo` reads the same data, until the year 2200; and what is not a zone."""

from __future__ import annotations

import contextlib
import struct
import sys
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import pairwise
from random import Random

import pytest
import tzdata
from hypothesis import given
from hypothesis import strategies as st

from cronally.clock import zones
from cronally.clock.tzif import FOREVER, DamagedZone, Zone
from cronally.instants import MAX_INSTANT, SECOND
from tests.support.clock_oracle import zone_info, zone_names

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def offset(name: str, second: int) -> int:
    moment = (_EPOCH + timedelta(seconds=second)).astimezone(zone_info(name))
    found = moment.utcoffset()
    assert found is not None
    return int(found.total_seconds())


def test_names__are_those_of_the_package() -> None:
    assert zones.version() == tzdata.IANA_VERSION
    assert set(zones.names()) == set(zone_names())
    assert len(zones.names()) > 590
    assert zones.UTC in zones.names()


def test_zone__agrees_with_zoneinfo_at_random_instants() -> None:
    """In the years that the files list, and in the years until 2200 that their footers rule."""
    random = Random(1)
    for name in zones.names():
        zone = zones.zone(name)
        for end in (2**31, 2**32, MAX_INSTANT // SECOND, MAX_INSTANT // SECOND):
            for _ in range(6):
                second = random.randrange(end)
                span = zone.span(second)
                assert span.start <= second < span.stop
                assert span.offset == offset(name, second), (name, second)


@pytest.mark.parametrize(
    "name", ["Europe/Dublin", "America/Nuuk", "Asia/Gaza", "Africa/Casablanca", "Asia/Tehran"]
)
def test_spans__join_at_every_change(name: str) -> None:
    zone, second = zones.zone(name), 0
    changes = []
    while second < 5_000_000_000:
        span = zone.span(second)
        if span.stop == FOREVER:
            break
        assert zone.span(span.stop).start == span.stop
        assert zone.span(span.stop).before == span.offset
        assert zone.span(span.stop).offset == span.then != span.offset
        assert zone.span(span.stop - 1) == span
        assert offset(name, span.stop - 1) == span.offset
        assert offset(name, span.stop) == span.then
        changes.append(span.stop)
        second = span.stop
    assert [change.at for change in zone.changes(0, 5_000_000_000)] == [
        t for t in changes if t < 5_000_000_000
    ]


def test_spans__none_is_shorter_than_a_week_nor_a_change_longer_than_a_day() -> None:
    """`zoned` counts on it: what one change moves never meets what another does."""
    for name in zones.names():
        zone = zones.zone(name)
        ends = [0, *(change.at for change in zone.changes(0, 4_000_000_000))]
        spans = [later - earlier for earlier, later in pairwise(ends)]
        assert min(spans[1:], default=FOREVER) >= 6 * 86_400, name
        for change in zone.changes(0, 4_000_000_000):
            assert 900 <= abs(change.offset - change.before) <= 86_400, name
            assert (change.offset - change.before) % 60 == 0 or name == "Africa/Monrovia"


def test_zone__is_small_and_kept() -> None:
    for name in zones.names():
        assert zones.zone(name) is zones.zone(name)
        zone = zones.zone(name)
        tables = zone._starts, zone._offsets
        assert sum(map(sys.getsizeof, tables)) < 8_500
    assert zones.zone.cache_info().maxsize == 1024
    assert repr(zones.zone("Asia/Tokyo")) == "Zone('Asia/Tokyo')"
    assert zones.zone("Asia/Tokyo").is_fixed
    assert not zones.zone("Europe/Rome").is_fixed


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("europe/berlin", 'write "Europe/Berlin"'),
        ("EUROPE/BERLIN", 'write "Europe/Berlin"'),
        ("Berlin", 'write "Europe/Berlin"'),
        ("Europe/Berlim", 'write "Europe/Berlin"'),
        ("New York", 'write "America/New_York"'),
        ("newyork", 'write "America/New_York"'),
        ("America/NewYork", 'write "America/New_York"'),
        ("posix/Europe/Rome", 'write "Europe/Rome"'),
        ("right/Europe/Rome", 'write "Europe/Rome"'),
        ("utc", 'write "UTC"'),
        ("Z", 'write "UTC"'),
        ("PST", 'write "America/Los_Angeles"'),
        ("EDT", 'write "America/New_York"'),
        ("CEST", 'write "Europe/Paris"'),
        ("+02:00", "is an offset, which no daylight-saving change moves"),
        ("UTC+2", "is an offset"),
        ("GMT+01:00", "is an offset"),
        ("-5", "is an offset"),
        ("localtime", "is not the name of a place"),
        ("Factory", "is not the name of a place"),
        ("posixrules", "is not the name of a place"),
        ("", "the time zone is empty"),
        ("../../etc/passwd", 'write an IANA name such as "Europe/Berlin", or "UTC"'),
        ("/etc/localtime", "is not a time zone of the IANA database"),
        ("Europe/Berlin\n", "is not a time zone of the IANA database"),
        ("Europe/Ber\x00lin", "is not a time zone"),
        ("\u0415urope/Berlin", "is not a time zone"),
        ("Atlantis", 'write "Canada/Atlantic"'),
        ("Xyzzy/Plugh", 'or "UTC"'),
        ("x" * 100_000, "xxx..."),
    ],
)
def test_refusal__offers_the_nearest_name(name: str, part: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        zones.zone(name)
    message = str(caught.value)
    assert part in message
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 200


def test_refusal__what_it_offers_is_a_zone() -> None:
    random = Random(2)
    for name in random.sample(zones.names(), 100):
        at = random.randrange(len(name))
        wrong = name[:at] + random.choice("xqé") + name[at + 1 :]
        if wrong in zones.names():
            continue
        with pytest.raises(ValueError, match=r".") as caught:
            zones.zone(wrong)
        offered = str(caught.value).split('write "')
        if len(offered) == 2:
            assert zones.zone(offered[1].rstrip('"'))


# The format


def tzif(footer: str, changes: list[tuple[int, int]], offsets: list[int], version: bytes = b"2") -> bytes:
    """A file with the changes (instant, index of an offset), without a block of version 1."""
    types = b"".join(struct.pack(">lBB", offset, 0, 0) for offset in offsets)
    empty = (
        struct.pack(">4s c 15x 6l", b"TZif", version, 0, 0, 0, 0, 1, 1) + struct.pack(">lBB", 0, 0, 0) + b"\0"
    )
    head = struct.pack(">4s c 15x 6l", b"TZif", version, 0, 0, 0, len(changes), len(offsets), 1)
    body = struct.pack(f">{len(changes)}q", *(at for at, _ in changes)) + bytes(index for _, index in changes)
    return empty + head + body + types + b"\0" + f"\n{footer}\n".encode()


def at(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp())


@pytest.mark.parametrize(
    ("footer", "starts", "ends"),
    [
        ("EST5EDT,M3.2.0,M11.1.0", "2030-03-10T07:00", "2030-11-03T06:00"),
        ("<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", "2030-03-31T01:00", "2030-10-27T01:00"),
        ("IST-1GMT0,M10.5.0,M3.5.0/1", "2030-10-27T01:00", "2030-03-31T01:00"),
        ("XXX0YYY,J60/0,J300/24", "2030-03-01T00:00", "2030-10-27T23:00"),
        ("XXX0YYY,59/0,299/0", "2030-03-01T00:00", "2030-10-26T23:00"),
        ("XXX0YYY-1:30,J60/0,J300/0", "2030-03-01T00:00", "2030-10-26T22:30"),
        ("EET-2EEST,M3.4.4/50,M10.4.4/50", "2030-03-30T00:00", "2030-10-25T23:00"),
    ],
)
def test_footer__rules_the_years_after_the_last_change(footer: str, starts: str, ends: str) -> None:
    zone = Zone("Test", tzif(footer, [(0, 0)], [0]))
    for year in (2030, 2058):  # the same calendar; looked up, and computed
        first, last = sorted(at(moment.replace("2030", str(year))) for moment in (starts, ends))
        changes = [change.at for change in zone.changes(at(f"{year}-01-02T00:00"), at(f"{year}-12-31T00:00"))]
        assert changes == [first, last]


def test_footer__j60_is_the_first_of_march_in_leap_years_too() -> None:
    zone = Zone("Test", tzif("XXX0YYY,J60/0,J300/0", [(0, 0)], [0]))
    zone_by_number = Zone("Test", tzif("XXX0YYY,59/0,299/0", [(0, 0)], [0]))
    assert zone.span(at("2028-03-01T00:00")).start == at("2028-03-01T00:00")
    assert zone_by_number.span(at("2028-03-01T00:00")).start == at("2028-02-29T00:00")


def test_footer__daylight_time_all_the_year_is_no_change() -> None:
    zone = Zone("Test", tzif("EST5EDT,0/0,J365/25", [(0, 0)], [-4 * 3600]))
    assert zone.span(at("2090-06-01T00:00")).offset == -4 * 3600
    assert zone.span(at("2090-01-01T00:00")).stop == FOREVER


def test_changes__of_a_name_alone_are_none() -> None:
    """And the footer rules from the last one listed, not from the last that changed the offset."""
    listed = [(at("2020-01-01T00:00"), 1), (at("2029-01-01T00:00"), 2)]
    zone = Zone("Test", tzif("EST5EDT,M3.2.0,M11.1.0", listed, [0, -5 * 3600, -5 * 3600]))
    assert zone.span(at("2028-07-01T00:00")).offset == -5 * 3600
    assert zone.span(at("2028-07-01T00:00")).stop == at("2029-03-11T07:00")


@given(st.data())
def test_zone__a_damaged_file_is_refused_or_read(data: st.DataObject) -> None:
    whole = files(tzdata).joinpath("zoneinfo", "Europe", "Rome").read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    junk = data.draw(st.binary(max_size=8))
    # Anything but that error goes through.
    with contextlib.suppress(DamagedZone):
        Zone("Test", whole[:cut] + junk + whole[cut + len(junk) :])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"TZif",
        b"GIF89a" + b"\0" * 100,
        tzif("EST5", [], [0], version=b"\0"),
        tzif("EST5EDT", [], [0]),
        tzif("EST5EDT,M13.1.0,M11.1.0", [], [0]),
        tzif("EST5EDT,M3.2.0", [], [0]),
        tzif("nonsense!", [], [0]),
        tzif("EST5EDT,J0,J300", [], [0]),
        tzif("EST5EDT,366,J300", [], [0]),
        tzif("EST5EDT,M3.2.0/168,M11.1.0", [], [0]),
    ],
)
def test_zone__damaged(data: bytes) -> None:
    with pytest.raises(DamagedZone, match="damaged zone file"):
        Zone("Test", data)
