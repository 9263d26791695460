"""The text of an alert: what began, ended or goes on, of which cron jobs, and why.

Invariant: no I/O, and nothing that is secret: names, instants and reasons of the closed list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from cronally.alert import MAX_AFFECTED, Affected, Alert, Event, alert_id
from cronally.condition import Name, Telling
from cronally.firing import Reason
from cronally.instants import format_iso
from cronally.store.conditions import Group, Member

LISTED: Final = 20
"""Of a storm so many cron jobs have a line of their own; more are named (`alert.MAX_AFFECTED`)."""
_EVENTS: Final[Mapping[Telling, Event]] = {
    Telling.BEGINNING: Event.BEGAN,
    Telling.END: Event.ENDED,
    Telling.REMINDER: Event.REMINDER,
    Telling.WARNING: Event.NOTICE,
}
_BEGAN: Final[Mapping[Name, tuple[str, str]]] = {
    Name.FAILING: ("fails", "fail"),
    Name.LATE: ("is late", "are late"),
    Name.MISSED: ("missed fire times", "missed fire times"),
    Name.OVERDUE: ("was not acknowledged in time", "were not acknowledged in time"),
    Name.ACK_FAILED: ("failed, its receiver says", "failed, their receivers say"),
    Name.PAUSED_BY_SERVER: ("was paused by the server", "were paused by the server"),
}
_ENDED: Final[Mapping[Name, tuple[str, str]]] = {
    Name.FAILING: ("is well again", "are well again"),
    Name.LATE: ("is on time again", "are on time again"),
    Name.MISSED: ("is delivered again", "are delivered again"),
    Name.OVERDUE: ("is acknowledged again", "are acknowledged again"),
    Name.ACK_FAILED: ("is acknowledged again", "are acknowledged again"),
    Name.PAUSED_BY_SERVER: ("is paused no longer", "are paused no longer"),
}
_SHORT: Final = {
    Name.FAILING: "failed {count} in a row",
    Name.LATE: "late {count} in a row",
    Name.MISSED: "{count} missed",
    Name.OVERDUE: "{count} overdue",
    Name.ACK_FAILED: "{count} failed at the receiver",
    Name.PAUSED_BY_SERVER: "paused",
}


def make_alert(
    account_id: str,
    group: Group,
    members: Sequence[Member],
    names: Mapping[str, str],
    now: int,
    *,
    cause: str,
    outage: tuple[int, int] | None = None,
    users: Sequence[Affected] = (),
    used_by: int = 0,
) -> Alert:
    """The alert of a group of conditions.

    :param members: the first of the group, without what is the account's
    :param names: those of cron jobs and connections, by id
    :param cause: what they have in common, as people call it
    :param outage: when no server ran, if that is the cause
    :param users: the first cron jobs that use a connection, if the group is of one
    """
    name, total = Name(group.name), group.total
    kind, _, value = group.cause.partition(":")
    event = _EVENTS[group.telling]
    if outage is not None and group.telling is Telling.BEGINNING and not total:
        event = Event.NOTICE
    if total == 1 and name is not Name.HELD and outage is None:
        kind, value = "cronjob", members[0].subject
    affected = users or [Affected(one.subject, names[one.subject]) for one in members if one.subject in names]
    return Alert(
        # Of several rules that tell of one cause at one instant each has an alert of its own.
        alert_id=alert_id(account_id, name, kind, value, event, now, UUID(group.rule_id).int),
        account_id=account_id,
        condition=name,
        event=event,
        subject_kind=kind,
        subject_id=value,
        title=_title(group, name, members, names, cause, outage),
        lines=_lines(group, name, members, names),
        affected=tuple(affected[:MAX_AFFECTED]),
        affected_total=used_by if name is Name.HELD else total,
        created_at=now,
    )


def _title(
    group: Group,
    name: Name,
    members: Sequence[Member],
    names: Mapping[str, str],
    cause: str,
    outage: tuple[int, int] | None,
) -> str:
    said = _said(group, name, members, names, cause, outage)
    return f"Still: {said}" if group.telling is Telling.REMINDER else said


def _said(
    group: Group,
    name: Name,
    members: Sequence[Member],
    names: Mapping[str, str],
    cause: str,
    outage: tuple[int, int] | None,
) -> str:
    total, ended = group.total, group.telling is Telling.END
    if name is Name.HELD:
        which = "accepted again" if ended else "refused: what uses it is held"
        return f"The credentials of {cause} are {which}"
    one = total == 1 and bool(members)
    who = f"Cron job {names.get(members[0].subject, members[0].subject)}" if one else f"{total:,} cron jobs"
    if group.telling is Telling.WARNING:
        return f"{who} will be paused by the server unless a firing is delivered soon"
    verb = (_ENDED if ended else _BEGAN)[name][0 if one else 1]
    if outage is not None and not ended:
        down = f"No server ran from {format_iso(outage[0])} to {format_iso(outage[1])}"
        return f"{down}: {who[0].lower()}{who[1:]} {verb}" if total else down
    return f"{who} {verb}" if one or not cause else f"{who} {verb}: {cause}"


def _lines(group: Group, name: Name, members: Sequence[Member], names: Mapping[str, str]) -> list[str]:
    if name is Name.HELD:
        return [f"Since {format_iso(one.since)}." for one in members]
    lines = [_line(group, name, one, names) for one in members[:LISTED]]
    if group.total > LISTED:
        lines.append(f"And {group.total - LISTED:,} more.")
    return lines


def _line(group: Group, name: Name, member: Member, names: Mapping[str, str]) -> str:
    what = "failed {count} in a row" if group.telling is Telling.WARNING else _SHORT[name]
    line = (
        f"{names.get(member.subject, member.subject)}: {what.format(count=f'{member.count:,}')}, since"
        f" {format_iso(member.since)}"
    )
    if member.ended_at is not None:
        line += f", until {format_iso(member.ended_at)}"
    reason = member.reason
    if reason is not None and reason in Reason.__members__.values():
        line += f"; {reason}: {Reason(reason).sentence}"
    return line
