"""Owners, two nodes and the clock by chance, beside the model of each cron job.

Invariant: whatever is done goes through what a tenant and a node have, and is told to the model. After each step the
ledger, what was sent, and how the cron jobs stand are what the model says.

Another control is another verb of `Controls`, another line of `steps.asked`, and another verdict of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest

from cronally import errors
from cronally.contract.calendars import CalendarDates
from cronally.contract.reading import Parameters, Reading
from cronally.firing import Kind, firing_id
from cronally.instants import DAY, MINUTE, SECOND, format_iso, parse_iso
from cronally.operations import Caller
from cronally.store import tables
from cronally.targets.target import Message
from tests.control import again, asking, oracle
from tests.control.asking import CALENDAR, Place
from tests.control.judge import assert_right, replayed
from tests.control.model import Asked, Cronjob
from tests.control.nodes import Node, Nodes, Said
from tests.control.oracle import Timing
from tests.control.steps import MOST, Done
from tests.operations.parameters import SNS
from tests.operations.tenant import API_KEY
from tests.store.test_standings import stored
from tests.support.factories import make_account, read, read_firings

BEGINNING = Asked(Timing(("0 * * * *",)))


@dataclass
class Freeze:
    """Of all, of a tag, or of a host."""

    freeze_id: str
    tag: str | None
    host: str | None
    until: int
    rule: str

    def is_for(self, own: dict[str, Any]) -> bool:
        """Whether it is for a cron job that has this beside what the model knows."""
        if self.host is not None:
            return self.host == f"{own['sns_topic'].rpartition(':')[2]}.example.com"
        return self.tag is None or self.tag in own["tags"]


class Controls:
    """Cron jobs between their owner and two nodes, and the model of each."""

    def __init__(self, on: Nodes, place: tuple[str, int], dates: list[int]) -> None:
        zone, begins = place
        self.on = on
        self.on.begin(begins)
        self.clock = self.on.clock
        self.place = Place(zone, begins)
        self.latest = begins
        """The latest that the clock has shown."""
        self.other: Callable[[], Coroutine[Any, Any, Any]] | None = None
        """What a node does at the same time as what is asked for next."""
        self.jobs: list[Cronjob] = []
        self.own: dict[str, dict[str, Any]] = {}
        """What each cron job has beside what the model knows."""
        self.said: dict[str, list[Said | None]] = {}
        """What the firings of each say of how it stands, in the order in which they were recorded."""
        self.freezes: list[Freeze] = []
        self.on.receiver.may_send = self.may_send
        self.account = self.on.run(make_account(self.on.store))
        self.change_calendar(dates)

    def step(
        self, time: Done, asked: Done, meanwhile: str | None, worked: Sequence[str], node: int, answers: str
    ) -> None:
        self.on.receiver.answers = answers
        self.do(time)
        if meanwhile is not None and (meanwhile, asked[0]) != ("schedule", "delete"):
            # All of it comes to the same at one instant, whichever is first, but that a deletion skips what is due.
            self.other = getattr(self.on.nodes[node], meanwhile)
            self.do(asked)
            if meanwhile == "schedule" and self.other is None:
                self.scheduled()
            self.other = None
        else:
            self.do(asked)
        self.work(worked, self.on.nodes[: 1 + node] if len(worked) > 1 else [self.on.nodes[node]])
        self.assert_right()

    def do(self, done: Done) -> None:
        verb, given = done
        if "number" in given:
            alive = self.alive
            if not alive:
                return
            given = {**given, "job": alive[given["number"] % len(alive)]}
            del given["number"]
        getattr(self, verb)(**given)

    @property
    def alive(self) -> list[Cronjob]:
        return [job for job in self.jobs if job.alive]

    # The clock

    def time_passes(self, duration: int) -> None:
        self.clock.forward(duration)
        self.latest = max(self.latest, self.clock.now)

    def a_fire_time_comes(self, near: int, job: Cronjob) -> None:
        """Or the end of a pause."""
        coming = [one.until for one in self.alive if one.until is not None and one.until > self.clock.now]
        coming += self.coming(job)[:1]
        if coming:
            self.time_passes(max(0, min(coming) + near - self.clock.now))

    def the_clock_goes_back(self) -> None:
        """By less than is followed without a question, all told."""
        if self.clock.now == self.latest:
            self.clock.forward(-SECOND)

    def coming(self, job: Cronjob) -> list[int]:
        """Its fire times of the next days."""
        return oracle.expected(job.asked.timing, self.clock.now, self.clock.now + 2 * DAY).fires

    # What nodes do

    def work(self, what: Sequence[str], nodes: Sequence[Node]) -> None:
        """Let nodes schedule, deliver, or both, at once."""
        self.on.together(*(node.work(what) for node in nodes))
        if "schedule" in what:
            self.scheduled()
        self.hear()

    def scheduled(self) -> None:
        """Tell the models that a scheduler did all there was to do."""
        now, rows = self.clock.now, self.rows()
        for job in self.jobs:
            job.tick(now)
            job.look(now)
            job.tick(now)
            job.settled(min(rows[job.cronjob_id].settled_at, now))

    def hear(self) -> None:
        """Of what two nodes recorded at once the order is not known."""
        heard = [node.hear() for node in self.on.nodes]
        for cronjob_id in heard[0].keys() | heard[1].keys():
            one, two = (said.get(cronjob_id, []) for said in heard)
            self.said.setdefault(cronjob_id, []).extend([None] if one and two else one or two)

    # What owners do

    def ask(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do it, while the other node does something; its answer, None where it was refused."""

        async def asked() -> Any:
            try:
                return await work
            except errors.InvalidRequest:
                return None

        others = [] if self.other is None else [self.other()]
        self.other = None
        answer, *_ = self.on.together(asked(), *others)
        self.hear()
        return answer

    def nothing(self) -> None:
        """Leave it to the nodes."""

    def create(self, given: dict[str, Any], own: dict[str, Any]) -> None:
        if len(self.alive) == MOST:
            return
        now = self.clock.now
        asked = self.place.asked(BEGINNING, {"zone": None, **given}, now)
        own = {**own, "name": f"job {len(self.jobs)}"}
        sent = {**SNS, **asking.parameters(asked), **own}
        answer = self.ask(self.on.tenants.create_cronjob(self.account, sent))
        assert (answer is not None) == asking.fires(asked, self.place.calendars, now)
        if answer is not None:
            self.jobs.append(Cronjob(answer["cronjob_id"], asked, self.place.calendars, now, now))
            self.own[answer["cronjob_id"]] = own

    def change(self, job: Cronjob, given: dict[str, Any]) -> None:
        now = self.clock.now
        asked = self.place.asked(job.asked, given, now)
        sent = asking.parameters(asked, given)
        answer = self.ask(self.on.tenants.update_cronjob(self.account, job.cronjob_id, sent))
        if answer is None:
            assert not asking.fires(asked, self.place.calendars, now)
        elif given:
            job.change(now, asked)
        else:
            job.look(now)

    def put(self, job: Cronjob, given: dict[str, Any] | None) -> None:
        """The whole of it, by its name; None: as it is."""
        now, asked = self.clock.now, job.asked
        if given is not None:
            asked = self.place.asked(BEGINNING, {"zone": None, **given}, now)
        sent = {**SNS, **asking.parameters(asked), **self.own[job.cronjob_id]}
        name = sent.pop("name")
        answer = self.ask(self.on.tenants.put_cronjob(self.account, name, sent))
        if answer is None:
            assert asked != job.asked
            assert not asking.fires(asked, self.place.calendars, now)
            return
        assert answer["outcome"] == ("unchanged" if asked == job.asked else "changed")
        job.look(now)
        if asked != job.asked:
            job.change(now, asked)

    def rename(self, job: Cronjob) -> None:
        own = self.own[job.cronjob_id]
        own["name"] += "'"
        self.ask(self.on.tenants.update_cronjob(self.account, job.cronjob_id, {"name": own["name"]}))
        job.look(self.clock.now)

    def pause(self, job: Cronjob, ends: Any, note: dict[str, str]) -> None:
        now = self.clock.now
        until = None if ends is None else self.until(job, ends)
        sent = note if until is None else {**note, "until": format_iso(until)}
        answer = self.ask(self.on.tenants.pause_cronjob(self.account, job.cronjob_id, sent))
        before = deepcopy(job.__dict__)
        if job.pause(now, until):
            assert answer is not None
            assert answer["state"] == "paused"
        else:
            # It is completed. What was done to find that out is undone, and done by a tick.
            assert answer is None
            job.__dict__ |= before
            self.work(["schedule"], self.on.nodes[:1])

    def until(self, job: Cronjob, ends: Any) -> int:
        if isinstance(ends, int):
            return self.clock.now + ends
        place, near = ends
        coming = self.coming(job)
        until = coming[min(place, len(coming) - 1)] + near if coming else 0
        return until if until > self.clock.now else self.clock.now + 1

    def resume(self, job: Cronjob) -> None:
        answer = self.ask(self.on.tenants.resume_cronjob(self.account, job.cronjob_id))
        job.resume(self.clock.now)
        assert answer["state"] in (job.state, "active")

    def run_now(self, job: Cronjob, ahead: str | None) -> None:
        sent = {} if ahead is None else {"at": ahead}
        answer = self.ask(self.on.tenants.run_cronjob(self.account, job.cronjob_id, sent))
        at = parse_iso(answer["scheduled_at"])
        assert at not in job.runs
        job.runs.add(at)

    def delete(self, job: Cronjob) -> None:
        self.ask(self.on.tenants.delete_cronjob(self.account, job.cronjob_id))
        job.delete(self.clock.now)
        for verb in ("resume_cronjob", "run_cronjob"):
            with pytest.raises(errors.NotFound):
                self.on.run(getattr(self.on.tenants, verb)(self.account, job.cronjob_id))

    def replay(self, job: Cronjob, **given: Any) -> None:
        again.replay(self, job, **given)

    def replay_set(self, job: Cronjob, **given: Any) -> None:
        again.replay_set(self, job, **given)

    def backfill(self, job: Cronjob, **given: Any) -> None:
        again.backfill(self, job, **given)

    def freeze(self, of: dict[str, str], rule: str, lasts: str) -> None:
        """What falls due is kept back; what was claimed before may still go out."""
        sent: dict[str, Any] = dict(of) or {"all": True}
        answer = self.ask(self.on.tenants.freeze(self.account, {**sent, "rule": rule, "until": lasts}))
        until = parse_iso(answer["until"])
        self.freezes.append(Freeze(answer["freeze_id"], of.get("tag"), of.get("host"), until, rule))

    def lift(self, which: int) -> None:
        if self.freezes:
            freeze = self.freezes[which % len(self.freezes)]
            freeze.until = min(freeze.until, self.clock.now)
            self.ask(self.on.tenants.lift_freeze(self.account, freeze.freeze_id))

    def may_send(self, message: Message) -> bool:
        """Whether no freeze is in force: what was asked for by hand is kept from a frozen host alone."""
        job = message.cronjob_id
        by_hand = message.firing_id == firing_id(job, message.scheduled_at, Kind.MANUAL)
        return not any(
            self.clock.now < one.until and (one.host is not None or not by_hand)
            for one in self.freezes_of(job)
        )

    def refuses(self, job: Cronjob, kind: str = "scheduled") -> bool:
        """Whether a freeze might skip what goes once more: the first that is for it decides."""
        in_force = [one for one in self.freezes_of(job.cronjob_id) if self.clock.now < one.until]
        rules = [one.rule for one in in_force if one.host is not None or kind == "scheduled"]
        return bool(rules) and rules[0] != "all"

    def freezes_of(self, cronjob_id: str) -> list[Freeze]:
        return [one for one in self.freezes if one.is_for(self.own[cronjob_id])]

    def change_calendar(self, dates: list[int]) -> None:
        """It counts at once for all that has no row yet."""
        listed = sorted({self.place.on(number) for number in dates})
        reading = Reading(CalendarDates, Parameters({"dates": listed}))
        caller = Caller(self.account, API_KEY, b"")
        self.on.run(self.on.tenants.operations.calendars.put_calendar(caller, CALENDAR, reading))
        self.place.calendars[CALENDAR] = listed

    # What holds

    def rows(self) -> dict[str, Any]:
        return {row.cronjob_id: row for row in self.on.run(read(self.on.store, tables.cronjob.select()))}

    def assert_right(self) -> None:
        """Of every cron job."""
        rows, standings = self.rows(), self.on.run(stored(self.on.store))
        ledgers: dict[str, list[Any]] = {}
        for one in self.on.run(read_firings(self.on.store)):
            ledgers.setdefault(one.cronjob_id, []).append(one)
        receiver = self.on.receiver
        assert not receiver.broken, "sent while it was frozen"
        for job in self.jobs:
            overlaps = self.own[job.cronjob_id]["overlap"] == "allow"
            ledger = ledgers.get(job.cronjob_id, [])
            freezes = {one.freeze_id for one in self.freezes_of(job.cronjob_id)}
            assert_right(
                job,
                rows[job.cronjob_id],
                ledger,
                receiver.sent,
                self.clock.now,
                overlaps=overlaps,
                freezes=freezes,
            )
            assert overlaps or job.again or receiver.most[job.cronjob_id] <= 1, (
                "two were on their way at once"
            )
            standing = standings.get(job.cronjob_id)
            known = replayed(self.said.get(job.cronjob_id, [])) if job.alive else None
            if known is not False:
                assert (standing and (standing.health, standing.since, standing.in_a_row)) == known

    def assert_counts(self, job: Cronjob) -> None:
        """What an answer counts is in the ledger."""
        now = self.clock.now
        answer = self.on.run(self.on.tenants.get_cronjob(self.account, job.cronjob_id, standing=True))
        ledger = self.on.run(read_firings(self.on.store, job.cronjob_id))
        if ledger and ledger[0].scheduled_at < now - now % MINUTE - 7 * DAY:
            return  # of a range that reaches beyond, the part is an estimate
        counts = dict.fromkeys(("delivered", "failed", "missed", "skipped"), 0)
        for one in ledger:
            if one.state in counts and one.scheduled_at <= now:
                counts[one.state] += one.count
        assert {name: answer["counts_7d"][name] for name in counts} == counts

    def finish(self) -> None:
        """Everything that is open ends, and nothing that was owed is left."""
        self.work(["schedule"], self.on.nodes[:1])
        for job in self.alive:
            self.assert_counts(job)
            self.delete(job)
        self.assert_right()
        for _ in range(3):
            self.time_passes(2 * DAY)
            self.work(["schedule", "deliver"], self.on.nodes)
        self.assert_right()
        ledger = self.on.run(read_firings(self.on.store))
        assert not [one for one in ledger if one.due_at is not None], "something waits for ever"
