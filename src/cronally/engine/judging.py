"""What happened becomes conditions: by the rules of an account, one thing after the other.

Invariant: no I/O. What was judged once is in `conditions` and named in `changed`, so that the same things judged twice
over the same conditions, as by a transaction that was lost, come to the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from cronally.alert_rules import Rule, decide, decide_for_any
from cronally.condition import (
    GATHERED,
    LOOKED,
    NONE_YET,
    STANDS,
    Condition,
    Name,
    Phase,
    Said,
    after_end,
    after_failure,
    after_more,
    read_pause_after,
)
from cronally.cronjob import State, read_object
from cronally.instants import HOUR
from cronally.store.conditions import Key
from cronally.store.happenings import Happening, What
from cronally.store.subjects import Subject
from cronally.targets.host import host_of
from cronally.targets.target import Target

PAUSE_AFTER: Final = "pause_after"
_SELDOM: Final = HOUR
"""How often what has its end announced is looked at: its cron job, or its rule, may be gone."""
_ANNOUNCED: Final = (Name.FAILING, Name.LATE)


@dataclass(slots=True)
class Judge:
    """What is known of an account while its conditions are judged."""

    account_id: str
    now: int
    rules: Sequence[Rule]
    """The oldest first."""
    subjects: Mapping[str, Subject]
    """Its cron jobs that something happened to, or that are looked at."""
    conditions: dict[Key, Condition]
    targets: Mapping[str, Target]
    outages: Sequence[tuple[int, int]] = ()
    users: Mapping[str, Sequence[Subject]] = field(default_factory=dict)
    """Cron jobs that use a connection, by its id."""
    connections: Mapping[str, tuple[str, bool]] = field(default_factory=dict)
    """The name of a connection, and whether its credentials are refused, by its id."""
    delivered: frozenset[str] = frozenset()
    """Cron jobs of which a firing was delivered after fire times were missed."""
    acknowledged: frozenset[Key] = frozenset()
    """Cron jobs, with their conditions, of which a firing was acknowledged since."""
    changed: set[Key] = field(default_factory=set)

    def judge(self, happened: Iterable[Happening]) -> None:
        """Let conditions begin, go on and end."""
        for one in happened:
            subject = self.subjects.get(one.subject)
            at = min(one.at, self.now)  # a clock that was ahead wrote it
            said = Said(at, one.since, one.reason, one.count)
            match one.what:
                case What.HELD:
                    self._held(one.subject, said)
                case What.DOWN:
                    self._down(said)
                case _ if subject is None:
                    continue  # it is deleted
                case What.FAILED:
                    self._more(subject, Name.FAILING, said, self._cause(subject))
                    self._count(subject, said)
                case What.DELIVERED:
                    self._end(subject.cronjob_id, Name.FAILING, at)
                    self._end(subject.cronjob_id, Name.PAUSED_BY_SERVER, at, only=NONE_YET)
                    self._delivered(subject, said, one.late_by)
                case What.MISSED:
                    self._more(subject, Name.MISSED, said, self._outage(one.since) or self._cause(subject))
                case What.OVERDUE:
                    self._more(subject, Name.OVERDUE, said, self._cause(subject))
                case What.ACK_FAILED:
                    self._more(subject, Name.ACK_FAILED, said, self._cause(subject))
                case What.PAUSED:
                    self._paused(subject, said)

    def look(self, keys: Iterable[Key]) -> None:
        """Look whether conditions still stand whose end nothing announces, and forget what nobody is told of."""
        rules = {rule.rule_id: rule for rule in self.rules}
        for key in list(keys):
            subject, name = key[0], Name(key[1])
            before = self.conditions[key]
            rule = rules.get(before.rule_id or "")
            if before.rule_id is not None and (rule is None or not rule.settings.said_of(name)):
                self._put(key, None)
            elif subject == self.account_id:
                # That no server ran is over when it is told.
                self._put(key, None if before.phase is Phase.STANDING else before)
            elif name is not Name.HELD and subject not in self.subjects:
                self._put(key, None)
            elif before.phase in NONE_YET:
                self._put(key, before if self._counts_on(key) else None)
            elif before.phase in STANDS and self._is_over(subject, name):
                self._put(key, after_end(before, self.now, quiet=self._is_quiet(before, self.now)))
            else:
                self._put(key, before)

    def look_at(self, key: Key) -> int:
        """When a condition is looked at next."""
        return self.now + (_SELDOM if key[1] in _ANNOUNCED else LOOKED)

    def stopping(self) -> list[str]:
        """Cron jobs that the server is to pause, of those that were judged: their owners were warned."""
        return [
            key[0]
            for key in sorted(self.changed)
            if (one := self.conditions.get(key)) and one.phase is Phase.STOPPING and one.due_at is None
        ]

    # Of cron jobs

    def _more(self, subject: Subject, name: Name, said: Said, cause: str) -> None:
        key = (subject.cronjob_id, name)
        rule = decide(self.rules, name, subject.cronjob_id, _tags(subject))
        if rule is None:
            if key in self.conditions:
                self._put(key, None)
            return
        before = self.conditions.get(key)
        most = rule.settings.failures if name is Name.FAILING else 1
        self._put(key, self._reminded(before, after_more(before, said, most, cause, rule.rule_id)))

    def _reminded(self, before: Condition | None, after: Condition) -> Condition:
        """One that has not ended after all is reminded of as before."""
        if before is None or before.phase is not Phase.ENDED:
            return after
        rule = next((one for one in self.rules if one.rule_id == after.rule_id), None)
        every = None if rule is None else rule.settings.remind_every
        return after if every is None else replace(after, due_at=self.now + every)

    def _end(self, subject: str, name: Name, at: int, only: Sequence[Phase] = tuple(Phase)) -> None:
        before = self.conditions.get((subject, name))
        if before is not None and before.phase in only:
            self._put((subject, name), after_end(before, at, quiet=self._is_quiet(before, at)))

    def _delivered(self, subject: Subject, said: Said, late_by: int) -> None:
        rule = decide(self.rules, Name.LATE, subject.cronjob_id, _tags(subject))
        most = None if rule is None else rule.settings.on_late
        if most is not None and late_by > most:
            self._more(subject, Name.LATE, said, self._outage(said.since) or self._cause(subject))
        else:
            self._end(subject.cronjob_id, Name.LATE, said.at)

    def _count(self, subject: Subject, said: Said) -> None:
        """Count a failure towards a pause, if its cron job wants one."""
        policy = read_pause_after((read_object(subject.policies) or {}).get(PAUSE_AFTER))
        key = (subject.cronjob_id, Name.PAUSED_BY_SERVER)
        before = self.conditions.get(key)
        if policy is None or subject.state not in (State.ACTIVE, State.COMPLETED):
            return
        after = after_failure(before, said, policy)
        if after.phase is Phase.WARNED and (before is None or before.phase is Phase.COUNTING):
            rule = decide(self.rules, Name.PAUSED_BY_SERVER, subject.cronjob_id, _tags(subject))
            if rule is not None:
                due_at, cause = said.at + GATHERED, self._cause(subject)
                after = replace(after, due_at=due_at, cause=cause, rule_id=rule.rule_id)
        self._put(key, after)

    def _paused(self, subject: Subject, said: Said) -> None:
        key = (subject.cronjob_id, Name.PAUSED_BY_SERVER)
        before = self.conditions.get(key)
        if before is not None and before.phase in NONE_YET:
            self._put(key, None)
        self._more(subject, Name.PAUSED_BY_SERVER, said, self._cause(subject))

    def _counts_on(self, key: Key) -> bool:
        """Whether what is counted may still come to something."""
        subject = self.subjects[key[0]]
        if key[1] != Name.PAUSED_BY_SERVER:
            return True
        wants = (read_object(subject.policies) or {}).get(PAUSE_AFTER) is not None
        return wants and subject.state == State.ACTIVE

    # Of what many of them have in common

    def _held(self, connection_id: str, said: Said) -> None:
        users = self.users.get(connection_id, ())
        rule = decide_for_any(self.rules, Name.HELD, [(one.cronjob_id, _tags(one)) for one in users])
        if rule is not None:
            key, cause = (connection_id, Name.HELD), f"connection:{connection_id}"
            before = self.conditions.get(key)
            self._put(key, self._reminded(before, after_more(before, said, 1, cause, rule.rule_id)))

    def _down(self, said: Said) -> None:
        """No server ran: told with the fire times that were missed, and where none was."""
        rule = decide(self.rules, Name.MISSED, None, ())
        if rule is not None:
            cause = f"server:{said.since}"
            self._put(
                (self.account_id, Name.MISSED),
                after_more(None, replace(said, count=1), 1, cause, rule.rule_id),
            )

    def _outage(self, scheduled_at: int) -> str | None:
        return next(
            (f"server:{began}" for began, ended in self.outages if began <= scheduled_at <= ended), None
        )

    def _cause(self, subject: Subject) -> str:
        if subject.connection_id is not None:
            return f"connection:{subject.connection_id}"
        host = host_of(self.targets, subject.target, subject.destination)
        return f"cronjob:{subject.cronjob_id}" if host is None else f"host:{host}"

    def _is_over(self, subject: str, name: Name) -> bool:
        if name is Name.HELD:
            return not self.connections.get(subject, ("", False))[1]
        if name is Name.MISSED:
            return subject in self.delivered
        if name in (Name.OVERDUE, Name.ACK_FAILED):
            return (subject, name) in self.acknowledged
        if name is Name.PAUSED_BY_SERVER:
            return not is_paused_by_server(self.subjects[subject])
        return False

    def _is_quiet(self, condition: Condition, at: int) -> bool:
        rule = next((one for one in self.rules if one.rule_id == condition.rule_id), None)
        return rule is not None and rule.settings.quiet_until(at) is not None

    def _put(self, key: Key, condition: Condition | None) -> None:
        self.changed.add(key)
        if condition is None:
            self.conditions.pop(key, None)
        else:
            self.conditions[key] = condition


def is_paused_by_server(subject: Subject) -> bool:
    """Whether a cron job stands still because the server wanted it: it set it aside, or it did nothing but fail."""
    if subject.state != State.PAUSED:
        return False
    return subject.state_reason is not None or (subject.paused_at is not None and subject.paused_by is None)


def _tags(subject: Subject) -> list[str]:
    tags: list[str] = json.loads(subject.tags)
    return tags
