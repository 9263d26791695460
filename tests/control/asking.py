"""What owners ask for, by chance: of the model, and in the parameters of a request."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from cronally.instants import DAY, HOUR, MINUTE, format_iso, parse_iso
from tests.control import oracle
from tests.control.model import Asked, Calendars
from tests.support.clock_oracle import day
from tests.support.factories import NOON

CALENDAR = "holidays"

TEXTS = [
    ("*/20 * * * *",),
    ("0 * * * *",),
    ("7 */2 * * *",),
    ("30 * * * *", "0 2 * * *"),
    ("30 1,2 * * *",),
    ("15,45 1-3 * * *", "0 */6 * * *"),
    ("30 6,18 * * *", "0 0 * * *"),
]
PLACES = [
    ("UTC", NOON),
    ("America/New_York", parse_iso("2026-03-08T04:00:00Z")),
    ("America/New_York", parse_iso("2026-11-01T03:40:00Z")),
    ("Europe/London", parse_iso("2026-10-24T22:15:30Z")),
    ("Australia/Lord_Howe", parse_iso("2026-04-04T12:00:00Z")),
]
"""A zone, and when it begins: of the zones that change, some hours before they do."""

CHOICES: dict[str, st.SearchStrategy[Any]] = {
    "texts": st.sampled_from(TEXTS),
    "gap": st.sampled_from([None, "run_at_jump", "skip", "shift"]),
    "overlap": st.sampled_from([None, "first", "last", "both"]),
    "starts": st.sampled_from([None, None, None, None, 40 * MINUTE, 5 * HOUR]),
    "ends": st.sampled_from([None, None, None, None, 5 * HOUR, 2 * DAY]),
    "catch_up": st.sampled_from(["latest", "all", "skip"]),
    "grace": st.sampled_from([DAY, 7 * DAY, HOUR, MINUTE]),
    "max_firings": st.sampled_from([None, None, None, 1, 4, 20]),
    "exclude": st.sampled_from([(), (), (), (1,), (0, CALENDAR), (CALENDAR,)]),
}
"""Bounds are how long after the moment, dates how many days after the first one."""
ZONE = st.sampled_from(["UTC", None])
"""None: the one of the place."""

whole = st.fixed_dictionaries(CHOICES)
"""All of a cron job."""
unbounded = st.fixed_dictionaries({**CHOICES, **dict.fromkeys(("starts", "ends", "max_firings"), st.none())})
"""The same, but that it goes on."""
change = st.fixed_dictionaries({}, optional={**CHOICES, "zone": ZONE})
"""Some of it."""


@dataclass(frozen=True)
class Place:
    """Where an example happens."""

    zone: str
    begins: int
    calendars: dict[str, list[str]] = field(default_factory=dict)

    def on(self, number: int) -> str:
        """A date, by how many days it is after the first."""
        first: date = day(self.begins // DAY)
        return str(first + timedelta(days=number))

    def asked(self, base: Asked, given: dict[str, Any], now: int) -> Asked:
        """What a cron job is to be when this is asked for."""
        named = {"texts": "texts", "zone": "zone", "gap": "gap", "overlap": "overlap"}
        timing = {name: given[name] for name in named if name in given}
        if timing.get("zone", "") is None:
            timing["zone"] = self.zone
        for name in ("starts", "ends"):
            if name in given:
                timing[f"{name}_at"] = None if given[name] is None else now - now % MINUTE + given[name]
        rest: dict[str, Any] = {
            name: given[name] for name in ("catch_up", "grace", "max_firings") if name in given
        }
        if "exclude" in given:
            rest["exclude"] = tuple(self.on(one) if isinstance(one, int) else one for one in given["exclude"])
        return replace(base, timing=replace(base.timing, **timing), **rest)


def parameters(asked: Asked, given: dict[str, Any] | None = None) -> dict[str, Any]:
    """The same in the parameters of a request, of which what is not given is left out; None: all of it."""
    timing = asked.timing
    texts = list(timing.texts)
    bounds = {name: getattr(timing, f"{name}_at") for name in ("starts", "ends")}
    sent = {
        "texts": ("cron", texts if len(texts) > 1 else texts[0]),
        "zone": ("timezone", timing.zone),
        "gap": ("dst_gap", timing.gap or "default"),
        "overlap": ("dst_overlap", timing.overlap or "default"),
        **{name: (f"{name}_at", "default" if at is None else format_iso(at)) for name, at in bounds.items()},
        "catch_up": ("catch_up", asked.catch_up),
        "grace": ("misfire_grace", f"{asked.grace // MINUTE}m"),
        "max_firings": ("max_firings", asked.max_firings or "default"),
        "exclude": ("exclude", list(asked.exclude)),
    }
    return dict(pair for name, pair in sent.items() if given is None or name in given)


def fires(asked: Asked, calendars: Calendars, now: int) -> bool:
    """Whether it has anything to fire after an instant: else it cannot be asked for."""
    timing = asked.timing
    if timing.ends_at is None:
        return True
    return any(
        oracle.cause_of(asked.exclude, calendars, timing.zone, at) is None
        for at in oracle.expected(timing, now, max(now, timing.ends_at)).fires
    )
