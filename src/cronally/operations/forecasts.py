"""Forecasts: what lies ahead of an account, or of all, and which cron jobs to spread.

Invariant: an account's forecast takes its turns piece by piece, in the store as in the event loop, and counts for the
account as its requests do; one at a time is computed, and kept for ten seconds.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Generator, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from sqlalchemy import Connection

from cronally import errors
from cronally.clock import zones
from cronally.clock.exclusion import Exclusion
from cronally.contract import forecasts as contract
from cronally.contract.reading import Reading
from cronally.contract.writing import make_answer
from cronally.cronjob import Policies, Timing, read_policies
from cronally.fairness import out_of_turn
from cronally.forecast.forecast import AT_ONCE, Busy, Forecast, Forecaster, Group, run_whole, window
from cronally.forecast.grouping import NO_LIMITS, Key, Limits, key_of
from cronally.forecast.spread import MOST, NAMED, Member, Spread, spread, spread_out
from cronally.instants import SECOND, format_duration, to_datetime
from cronally.operations.caller import Caller
from cronally.store import Store, calendars, cronjobs
from cronally.store import forecasts as store_forecasts
from cronally.store.calendars import Dates
from cronally.store.forecasts import Position, Scheduled
from cronally.targets.target import Target

T = TypeVar("T")

KEPT_FOR: Final = 10 * SECOND
"""Microseconds. Who spreads cron jobs asks again to see the gain."""
KEPT: Final = 16
"""Forecasts that are kept, of one account one. One takes a megabyte at most."""
_UNKNOWN: Final = "unknown"
"""A host that this server cannot make out."""
_MOST_PLACES: Final = 50
"""Expressions, and addresses, of which cron jobs of all accounts are looked for to spread them."""


@dataclass(slots=True)
class _Kept:
    hours: int
    at: int
    answer: contract.Forecast


class Forecasts:
    """Forecasts of accounts, for one event loop."""

    def __init__(self, store: Store, targets: Mapping[str, Target]) -> None:
        self._store = store
        self._targets = targets
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        """By account; what was computed last stands last."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def forecast(self, caller: Caller, reading: Reading[contract.ForecastRange]) -> contract.Forecast:
        """What lies ahead of the account. Raises InvalidRequest."""
        reading.raise_complaints()
        account_id = caller.account_id
        hours = reading.values.get("hours", contract.DEFAULT_HOURS)
        lock = self._locks.setdefault(account_id, asyncio.Lock())
        while lock.locked():
            async with out_of_turn(), lock:
                pass
        async with lock:
            now = await self._store.clock()
            kept = self._kept.get(account_id)
            if kept is not None and kept.hours == hours and 0 <= now - kept.at < KEPT_FOR:
                return kept.answer
            answer = await self._compute(account_id, hours, now)
            self._kept.pop(account_id, None)
            self._kept[account_id] = _Kept(hours, now, answer)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return answer

    async def _compute(self, account_id: str, hours: int, now: int) -> contract.Forecast:
        forecaster = Forecaster(window(now, hours), now)
        until, begins_at = forecaster.window.ends_at, forecaster.window.begins_at
        gathered = Gathered(Hosts(self._targets), begins_at)
        after: Position | None = None
        while True:
            page, dates, after = await self._store.transact(
                partial(_page, account_id, until, after, self._targets)
            )
            await _in_pieces(gathered.add(page, dates))
            if after is None:
                break
            async with out_of_turn():
                await asyncio.sleep(0)
        await _in_pieces(forecaster.add(gathered.groups()))
        found = await _in_pieces(forecaster.sum())
        gain, names = None, {}
        if found.busiest:
            busy = found.busiest[0]
            gain = await _in_pieces(spread_out(forecaster, busy, gathered.members(forecaster, busy)))
        if gain is not None:
            ids = {one.cronjob_id for one in gain.moved[:NAMED]}
            names = await self._store.transact(
                lambda connection: cronjobs.names_of(connection, account_id, ids)
            )
        return forecast_answer(found, gain, names, gathered.unreadable, now)


def _page(
    account_id: str,
    until: int,
    after: Position | None,
    targets: Mapping[str, Target],
    connection: Connection,
) -> tuple[list[Scheduled], Mapping[str, Dates], Position | None]:
    page, last = store_forecasts.list_of_account(connection, account_id, until, after, host_by(targets))
    return page, _dates(connection, page), last


def _dates(connection: Connection, rows: Iterable[Scheduled]) -> Mapping[str, Dates]:
    """What the calendars hold that cron jobs exclude, by account."""
    return calendars.read_dates(
        connection, [(row.account_id, row.policies) for row in rows if row.account_id is not None]
    )


async def _in_pieces(work: Generator[None, None, T]) -> T:
    """Do work, and let others go on between two pieces of it."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            found: T = done.value
            return found
        async with out_of_turn():
            await asyncio.sleep(0)


def forecast_of_all(
    connection: Connection, targets: Mapping[str, Target], hours: int, now: int
) -> contract.Forecast:
    """What lies ahead of all accounts together, in one transaction that writes nothing: for a process of its own."""
    with store_forecasts.read_only(connection):
        return _forecast_of_all(connection, targets, hours, now)


def _forecast_of_all(
    connection: Connection, targets: Mapping[str, Target], hours: int, now: int
) -> contract.Forecast:
    forecaster = Forecaster(window(now, hours), now)
    until, begins_at = forecaster.window.ends_at, forecaster.window.begins_at
    hosts = Hosts(targets)
    gathered = Gathered(hosts, begins_at, members=False)
    rows = store_forecasts.list_grouped(connection, until, host_by(targets))
    run_whole(gathered.add(rows, _dates(connection, rows)))
    run_whole(forecaster.add(gathered.groups()))
    found = run_whole(forecaster.sum())
    gain, names = None, {}
    if found.busiest:
        busy = found.busiest[0]
        crons, several = gathered.expressions(forecaster, busy), Gathered(hosts, begins_at)
        if crons:
            addresses = hosts.addresses_of(busy.host)
            rows = store_forecasts.list_with(connection, until, crons, addresses, MOST, host_by(targets))
            run_whole(several.add(rows, _dates(connection, rows)))
        gain = run_whole(spread_out(forecaster, busy, several.members(forecaster, busy)))
    if gain is not None:
        ids = {one.cronjob_id for one in gain.moved[:NAMED]}
        names = store_forecasts.names_of_all(connection, ids)
    return forecast_answer(found, gain, names, gathered.unreadable, now)


def host_by(targets: Mapping[str, Target]) -> dict[str, str]:
    """The public parameter that the host goes by, by target."""
    return {name: target.host_by for name, target in targets.items()}


class Hosts:
    """The hosts of targets and addresses, each looked at once."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self._targets = targets
        self._known: dict[tuple[str, str | None], str] = {}

    def of(self, target: str, address: str | None) -> str:
        """The host that takes the requests of a target for an address."""
        found = self._known.get((target, address))
        if found is None:
            try:
                found = self._targets[target].host(address or "")
            except (KeyError, ValueError):
                found = _UNKNOWN
            self._known[target, address] = found
        return found

    def addresses_of(self, host: str) -> list[tuple[str, str | None]]:
        """The targets and addresses that were looked at and lead to a host, some of them."""
        return [place for place, found in self._known.items() if found == host][:_MOST_PLACES]


class Gathered:
    """Cron jobs by their fire times and hosts."""

    def __init__(self, hosts: Hosts, begins_at: int, *, members: bool = True) -> None:
        """
        :param begins_at: when the window begins
        :param members: whether each cron job is remembered
        """
        self.unreadable = 0
        self._of = hosts
        self._begins_at = begins_at
        self._remembers = members
        self._timings: dict[tuple[str, str, str], tuple[Timing, Policies]] = {}
        self._hosts: dict[Key, dict[str, int]] = {}
        self._makers: dict[Key, tuple[str | None, int | None]] = {}
        """Of each key the id and the creation of one cron job."""
        self._same: dict[tuple[str, Hashable], str | None] = {}
        """For an expression and what its `H` stand for the id of one cron job: it is read for one alone."""
        self._members: list[tuple[str, int, Key, str]] = []

    def add(self, rows: Iterable[Scheduled], dates: Mapping[str, Dates]) -> Generator[None, None, None]:
        """Add cron jobs.

        :param dates: what the calendars hold that they exclude, by account
        """
        for number, row in enumerate(rows, 1):
            host = self._of.of(row.target, row.address)
            decides = row.cron, row.timezone, row.policies
            known = self._timings.get(decides)
            if known is None:
                known = self._timings[decides] = row.timing, read_policies(row.policies)
            timing, policies = known
            limits = NO_LIMITS
            if row.since or policies.window or policies.exclude or policies.max_firings is not None:
                limits = _limits(row, policies, dates)
            key = key_of(timing, row.cronjob_id, row.created_at, self._begins_at, limits)
            hosts = self._hosts.get(key)
            if hosts is None:
                hosts = self._hosts[key] = {}
                self._makers[key] = row.cronjob_id, row.created_at
            hosts[host] = hosts.get(host, 0) + row.count
            if self._remembers and row.cronjob_id is not None and row.created_at is not None:
                self._members.append((row.cronjob_id, row.created_at, key, host))
            if number % (10 * AT_ONCE) == 0:
                yield

    def groups(self) -> Iterable[Group]:
        """All that can be read, with their timetables."""
        for key, hosts in self._hosts.items():
            cronjob_id, created_at = self._makers[key]
            if isinstance(key.place, tuple):
                cronjob_id = self._same.setdefault((key.timing.cron, key.place), cronjob_id)
            try:
                table = key.timing.timetable(cronjob_id, created_at)
                exclusion = key.limits.exclusion
                excluded = None if exclusion is None else exclusion.within(table.zone)
            except (errors.InvalidExpression, ValueError):
                self.unreadable += sum(hosts.values())
                continue
            yield Group(key, table, hosts, excluded)

    def members(self, forecaster: Forecaster, busy: Busy) -> list[Member]:
        """Some of the cron jobs that fire at a second and at that host, and may be spread."""
        keys = _spreadable(forecaster, busy)
        found = [Member(*one[:3]) for one in self._members if one[3] == busy.host and one[2] in keys]
        return found[:MOST]

    def expressions(self, forecaster: Forecaster, busy: Busy) -> list[str]:
        """Those of such cron jobs, the most frequent ones."""
        counts: Counter[str] = Counter()
        for key in _spreadable(forecaster, busy):
            counts[key.timing.cron] += self._hosts[key][busy.host]
        return [cron for cron, _ in counts.most_common(_MOST_PLACES)]


def _limits(row: Scheduled, policies: Policies, dates: Mapping[str, Dates]) -> Limits:
    return Limits(
        row.since,
        None if policies.max_firings is None else policies.max_firings - row.fired,
        Exclusion.of(policies.exclude, dates.get(row.account_id or "", {})),
        policies.window > 0,
    )


def _spreadable(forecaster: Forecaster, busy: Busy) -> set[Key]:
    keys = [group.key for group in forecaster.firing_at(busy)]
    return {key for key in keys if spread(key.timing.cron, key.timing.timezone) is not None}


def forecast_answer(
    found: Forecast, gain: Spread | None, names: Mapping[str, str], unreadable: int, now: int
) -> contract.Forecast:
    """A forecast as an answer.

    :param names: of the cron jobs that are named, by id
    """
    return contract.Forecast(
        computed_at=to_datetime(now),
        begins_at=to_datetime(found.window.begins_at),
        ends_at=to_datetime(found.window.ends_at),
        step=format_duration(found.window.step),
        firings=found.firings,
        hosts=tuple([make_answer(contract.ForecastHost, one, host=one.name) for one in found.hosts]),
        steps=tuple([make_answer(contract.ForecastStep, one) for one in found.steps]),
        busiest=tuple([make_answer(contract.BusySecond, one) for one in found.busiest]),
        spread=None if gain is None else _gain_answer(gain, names),
        unreadable=unreadable,
        tzdata=zones.version(),
    )


def _gain_answer(gain: Spread, names: Mapping[str, str]) -> contract.SpreadGain:
    named = [
        make_answer(contract.SpreadCronjob, one, name=names[one.cronjob_id])
        for one in gain.moved[:NAMED]
        if one.cronjob_id in names  # else it was deleted meanwhile
    ]
    return contract.SpreadGain(
        at=to_datetime(gain.busy.at),
        host=gain.busy.host,
        before=gain.busy.firings,
        after=gain.after,
        cronjob_count=len(gain.moved),
        cronjobs=tuple(named),
    )
