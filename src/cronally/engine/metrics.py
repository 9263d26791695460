"""What `/metrics` shows of the engine: how much it does, how late, and what waits.

Invariant: a label is one of a small, fixed set of words (a state, a target); never a tenant, an id or a text.
"""

from __future__ import annotations

from collections import Counter as TallyOf
from collections.abc import Callable, Iterable
from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cronally.engine.early import Marked
from cronally.engine.janitor import Done
from cronally.engine.scheduler import Tick
from cronally.firing import WAITS, State
from cronally.instants import SECOND
from cronally.store.claims import Record
from cronally.store.timekeeper import Timekeeper

LATENESS_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400)
"""Seconds."""


class Metrics:
    """The engine's counters of this process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._rows = Counter("cronally_ledger_rows", "Rows that ticks wrote to the ledger", registry=registry)
        self._ticks = Counter("cronally_ticks", "Ticks that found due cron jobs", registry=registry)
        self._records = Counter(
            "cronally_firings",
            "Claims that ended, by target and state",
            ["target", "state"],
            registry=registry,
        )
        self._lateness = Histogram(
            "cronally_lateness_seconds",
            "From the fire time, or its place in the window, to the start of the first attempt",
            buckets=LATENESS_BUCKETS,
            registry=registry,
        )
        self._put_off = Counter(
            "cronally_put_off",
            "Due firings that were put off, by the limit or circuit that they wait for",
            ["reason"],
            registry=registry,
        )
        for reason in WAITS:
            self._put_off.labels(reason.value)
        self._opened = Counter("cronally_circuits_opened", "Circuits of hosts that opened", registry=registry)
        duration = Histogram(
            "cronally_attempt_seconds", "How long an attempt took", ["target"], registry=registry
        )
        # Finding a label's child costs more than counting.
        self._duration_of = cache(duration.labels)

    def observe_tick(self, tick: Tick) -> None:
        """Count what a tick did."""
        if tick.cronjobs:
            self._ticks.inc()
            self._rows.inc(tick.rows)

    def observe_records(self, records: Iterable[Record]) -> None:
        """Count how claims ended, once that is durable."""
        ended: TallyOf[tuple[str, State]] = TallyOf()
        for record in records:
            claim = record.claim
            if record.reason in WAITS and record.state is State.PENDING:
                self._put_off.labels(record.reason.value).inc()
                continue
            ended[claim.target, record.state] += 1
            if record.sent_at is None or record.duration is None:
                continue
            self._duration_of(claim.target).observe(record.duration / SECOND)
            if claim.attempt == 1 and record.state is State.DELIVERED:
                # What was held back, or is sent again, on purpose is not late for that.
                since = claim.due_since if claim.owed_at is None else claim.owed_at
                self._lateness.observe((record.sent_at - since) / SECOND)
        for (target, state), count in ended.items():
            self._records.labels(target, state.value).inc(count)

    def watch_in_flight(self, in_flight: Callable[[], float], long: Callable[[], float]) -> None:
        """Show how many firings are claimed and not yet recorded, and how many of requests that may take long."""
        for name, text, read in (
            ("cronally_in_flight", "Firings that are being sent", in_flight),
            ("cronally_long_in_flight", "Firings that are being sent whose requests may take long", long),
        ):
            Gauge(name, text, registry=self._registry).set_function(read)

    def count_opened(self) -> None:
        """Count a circuit that opened."""
        self._opened.inc()

    def watch_circuits(self, are_open: Callable[[], float]) -> None:
        """Show how many circuits are open."""
        gauge = Gauge(
            "cronally_circuits_open",
            "Circuits of hosts that are open: requests to them wait",
            registry=self._registry,
        )
        gauge.set_function(are_open)

    def watch_clock(self, keeper: Timekeeper, marked: Marked | None) -> None:
        """Show what is not believed of the clock, and what was put right after it."""
        for name, text, read in (
            (
                "cronally_clock_ahead_seconds",
                "By how much the clock has jumped ahead, while that is not believed",
                lambda: keeper.ahead / SECOND,
            ),
            (
                "cronally_clock_jumps",
                "Jumps of the clock that were not believed at first",
                lambda: keeper.jumps,
            ),
        ):
            Gauge(name, text, registry=self._registry).set_function(read)
        if marked is not None:
            gauge = Gauge(
                "cronally_sent_early",
                "Firings that were sent while the clock was ahead, and fire again",
                registry=self._registry,
            )
            gauge.set_function(lambda: marked.firings)

    def watch_janitor(self, done: Done) -> None:
        """Show what the janitor has repaired and deleted."""
        for name, text, read in (
            ("cronally_repaired", "Next fire times that the audit repaired", lambda: done.repaired),
            ("cronally_moved", "Next fire times that new zone data moved", lambda: done.moved),
            ("cronally_deleted_rows", "Rows that retention deleted", lambda: done.deleted),
        ):
            Gauge(name, text, registry=self._registry).set_function(read)
