"""Conditions: what happened to an account is read, judged and told, in one transaction.

Invariant: whoever takes an account has its watch, so each thing that happened is judged once, and each beginning and
end is written once, as an alert, or not at all: no node and no crash parts the two. A step takes a few accounts, and of
each no more than `HAPPENINGS`: an account with a storm is in line behind every other one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection

from cronally import errors, failpoints
from cronally.alert import MAX_AFFECTED, Affected, Alert
from cronally.alert_rules import MAX_RULES, Rule
from cronally.condition import APART, Condition, Name, Telling
from cronally.engine.alert_text import make_alert
from cronally.engine.judging import Judge
from cronally.instants import HOUR, SECOND
from cronally.store import Store, alert_rules, alerts, conditions, happenings, outages, subjects
from cronally.store.conditions import Group, Key
from cronally.store.happenings import What
from cronally.targets.target import Target

HAPPENINGS: Final = 500
LOOKS: Final = 200
GROUPS: Final = 20
"""Of one account in one transaction."""
ACCOUNTS: Final = 10
"""In one step, by what happened to them; and as many more by what is due of them."""
USERS: Final = 200
"""Cron jobs of a connection whose rules are asked for."""
CONTENDED: Final = 0.05
"""Seconds to wait when what is due is in another node's hands."""
POLL: Final = 2.0
"""Seconds between two looks at what happened: an alert waits for others that may belong to it in any case."""

Stop = Callable[[str, str, int], Awaitable[None]]
"""Pauses a cron job of an account that has failed so many times in a row, for the server."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of an account's turn."""

    more: bool = False
    """Whether there may be more at once."""
    stopping: tuple[tuple[str, int], ...] = ()
    """Cron jobs that are to be paused, each with how often it failed."""


class Conditions:
    """Reads, judges and tells. Any number may run against one store."""

    def __init__(self, store: Store, targets: Mapping[str, Target], stop: Stop) -> None:
        self._store = store
        self._targets = targets
        self._stop = stop
        self._after = ""

    async def step(self) -> float | None:
        """Take the next accounts; return the seconds until there is more to do, None if nothing is known to come."""
        now = await self._store.clock()
        noted, due, happened, next_due = await self._store.transact(
            partial(_waiting, after=self._after, now=now)
        )
        turns = [await self.take(account_id, now) for account_id in dict.fromkeys([*due, *happened])]
        through = len(happened) < ACCOUNTS
        self._after = "" if through else happened[-1]
        if noted or not through or any(turn.more for turn in turns):
            return 0.0
        return None if next_due is None else max((next_due - now) / SECOND, CONTENDED)

    async def take(self, account_id: str, now: int) -> Turn:
        """Judge and tell what there is of an account, up to the limits of one transaction; pause what is to pause."""
        turn = await self._store.transact(partial(self._take, account_id=account_id, now=now))
        failpoints.reach("conditions.after_commit")
        for cronjob_id, failures in turn.stopping:
            try:
                await self._stop(account_id, cronjob_id, failures)
            except (errors.NotFound, errors.InvalidRequest, errors.RateLimited):
                continue  # it is deleted or completed, or is changed too often: it is looked at again
        return turn

    def _take(self, connection: Connection, account_id: str, now: int) -> Turn:
        if not conditions.lock_watch(connection, account_id):
            return Turn()
        rules = alert_rules.read_rules(connection, account_id, MAX_RULES)
        happened, last = happenings.list_happenings(connection, account_id, HAPPENINGS)
        looked = conditions.list_to_look_at(connection, account_id, now, LOOKS)
        known = {one.subject for one in happened}
        standing = conditions.list_conditions(connection, account_id, known) if known else {}
        judge = self._judge(connection, account_id, now, rules, {**looked, **standing}, known, looked)
        held = {one.subject for one in happened if one.what == What.HELD}
        judge.users = {of: subjects.list_users(connection, account_id, of, USERS) for of in sorted(held)}
        judge.judge(happened)
        judge.look(key for key in looked if key in judge.conditions and key not in judge.changed)
        changed = {key: (judge.conditions.get(key), judge.look_at(key)) for key in sorted(judge.changed)}
        conditions.write(connection, account_id, changed)
        if last is not None:
            happenings.forget(connection, account_id, last)
        groups = conditions.list_groups(connection, account_id, now, GROUPS)
        by_id = {rule.rule_id: rule for rule in rules}
        for group in groups:
            self._tell(connection, judge, group, by_id, now)
        conditions.record_turn(connection, account_id)
        failpoints.reach("conditions.before_commit")
        full = len(happened) == HAPPENINGS or len(looked) == LOOKS or len(groups) == GROUPS
        stopping = tuple((of, judge.conditions[of, Name.PAUSED_BY_SERVER].count) for of in judge.stopping())
        return Turn(full, stopping)

    def _judge(
        self,
        connection: Connection,
        account_id: str,
        now: int,
        rules: list[Rule],
        standing: dict[Key, Condition],
        known: set[str],
        looked: Mapping[Key, Condition],
    ) -> Judge:
        of = known | {subject for subject, _ in looked}
        held = {subject for subject, name in looked if name == Name.HELD}
        missed = [(key[0], one.last) for key, one in looked.items() if key[1] == Name.MISSED]
        delivered = [of for of, since in missed if subjects.was_delivered(connection, of, since)]
        waiting = [
            (key, one.last) for key, one in looked.items() if key[1] in (Name.OVERDUE, Name.ACK_FAILED)
        ]
        acknowledged = [key for key, since in waiting if subjects.was_acknowledged(connection, key[0], since)]
        return Judge(
            account_id,
            now,
            rules,
            subjects.read_subjects(connection, account_id, of),
            standing,
            self._targets,
            outages.list_outages(connection, now),
            connections=subjects.read_connections(connection, account_id, held),
            delivered=frozenset(delivered),
            acknowledged=frozenset(acknowledged),
        )

    def _tell(
        self, connection: Connection, judge: Judge, group: Group, rules: Mapping[str, Rule], now: int
    ) -> None:
        """Write the alert of what is due together, or put it off."""
        account_id, rule = judge.account_id, rules.get(group.rule_id)
        if rule is None or not rule.settings.said_of(Name(group.name)):
            conditions.drop(connection, account_id, group, now)
            return
        later = rule.settings.quiet_until(now)
        told_at = conditions.last_told(connection, account_id, group.told_of)
        if later is None and told_at is not None and told_at <= now < told_at + APART:
            later = told_at + APART
        if later is not None:
            conditions.put_off(connection, account_id, group, now, later)
            return
        if group.telling is not Telling.END or rule.settings.on_recovery:
            channels = rule.settings.channels or alert_rules.list_channels(connection, account_id)
            alerts.insert_alert(connection, _alert(connection, judge, group, now), channels)
            conditions.keep_told(connection, account_id, group.told_of, now, now - HOUR)
        every = rule.settings.remind_every
        conditions.record_told(connection, account_id, group, now, None if every is None else now + every)


def _waiting(connection: Connection, after: str, now: int) -> tuple[bool, list[str], list[str], int | None]:
    """Whether an outage was noted; accounts of which something is due; the next to which something happened; and when
    something is due next."""
    noted = happenings.note_outages(connection)
    happened: list[str] = []
    while len(happened) < ACCOUNTS:
        account_id = happenings.next_account(connection, happened[-1] if happened else after)
        if account_id is None:
            break
        happened.append(account_id)
    return noted, conditions.list_due(connection, now, ACCOUNTS), happened, conditions.next_due(connection)


def _alert(connection: Connection, judge: Judge, group: Group, now: int) -> Alert:
    account_id = judge.account_id
    members = conditions.list_members(connection, account_id, group, now, MAX_AFFECTED)
    kind, _, value = group.cause.partition(":")
    names: dict[str, str] = {}
    cause, users, used_by = "", [], 0
    if kind == "connection":
        called = subjects.read_connections(connection, account_id, [value]).get(value, (value, False))[0]
        cause = f"the connection {called}"
    elif kind == "host":
        cause = f"what is sent to {value}"
    if group.name == Name.HELD:
        several = subjects.list_users(connection, account_id, value, MAX_AFFECTED)
        users = [Affected(one.cronjob_id, one.name) for one in several]
        used_by = subjects.count_users(connection, account_id, value)
    else:
        of = subjects.read_subjects(connection, account_id, [one.subject for one in members])
        names = {cronjob_id: one.name for cronjob_id, one in of.items()}
    outage = next((one for one in judge.outages if kind == "server" and str(one[0]) == value), None)
    return make_alert(
        account_id, group, members, names, now, cause=cause, outage=outage, users=users, used_by=used_by
    )
