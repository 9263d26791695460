"""What there is around an instant of a cron job, read for an explanation: what it was then, and the rows of the ledger.

Invariant: a few rows and versions, whatever the ledger holds. One row at most covers an instant.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Final

from sqlalchemy import Connection

from cronally.clock.exclusion import Exclusion
from cronally.cronjob import read_policies
from cronally.firing import CLOCK_CHANGES, Kind, Reason
from cronally.firing import State as FiringState
from cronally.instants import SECOND
from cronally.operations.acknowledgement_answers import NONE, Acknowledgements, read_acknowledgements
from cronally.operations.target_answers import read_answers
from cronally.store import calendars, freezes, ledger, versions
from cronally.store.answers import Answer
from cronally.store.cronjobs import Cronjob
from cronally.store.freezes import Freeze
from cronally.store.ledger import Attempt, Firing
from cronally.store.links import Link, list_links
from cronally.store.versions import SAME, Version

_ROWS: Final = 5
"""So many are read to each side of an instant: the nearest may be ones that stand for what was suppressed."""


@dataclass(frozen=True, slots=True)
class Around:
    """What the history and the ledger have around an instant."""

    then: Version | None
    """What the cron job was; None if it was made later, or that is not kept."""
    since: int
    """From when on it fired as it did then; `then` may be a later version, with another name, say."""
    following: Version | None
    """The next version that fired in another way; None if there is none since."""
    resumed_at: int | None
    """If it was paused then: when it was resumed, if it was."""
    until: Sequence[Firing]
    """The last rows that begin at the instant or before, last first."""
    after: Sequence[Firing]
    """The first rows that begin after the instant and after what covers it, first first."""
    attempts: Sequence[Attempt] = ()
    """Of the row that covers it, those that did not deliver."""
    on_the_way: int = 0
    """If that row is to be sent yet: how many firings of the account are being sent."""
    manual: Sequence[Firing] = ()
    """What was asked for in the second of the instant, or tells of a failure since then, up to `_ROWS` of it."""
    exclusion: Exclusion | None = None
    """What the cron job excluded then, if no row covers the instant; by the calendars as they are now."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """To the attempts of the row that covers it, by their ids, as far as they are kept."""
    links: Sequence[Link] = ()
    """What tells of the row that covers it, and of which other firings those of `manual` tell."""
    telling: Firing | None = None
    """The last firing that tells of the row that covers it."""
    acks: Acknowledgements = NONE
    """Those of the row that covers it, and of `manual`."""
    freeze: Freeze | None = None
    """What keeps, or kept, the row that covers it from going. If no row does: what is in force then, and is for it."""


def read_around(
    connection: Connection, cronjob: Cronjob, at: int, now: int, host: str | None = None
) -> Around:
    """What the history and the ledger have of a cron job around an instant.

    :param host: where it is sent to
    """
    in_force = _versions(connection, cronjob, at - at % SECOND)
    account_id, cronjob_id = cronjob.account_id, cronjob.cronjob_id
    until = ledger.list_until(connection, account_id, cronjob_id, at, _ROWS)
    row = covering(until, at)
    second = at - at % SECOND
    manual = ledger.list_manual(connection, account_id, cronjob_id, second, second + SECOND, _ROWS)
    links = list_links(connection, account_id, [*manual, *([] if row is None else [row])])
    if row is None:
        after = ledger.list_after(connection, account_id, cronjob_id, at, _ROWS)
        then = in_force[0]
        exclusion = None if then is None else calendars.read_exclusion(connection, account_id, then.policies)
        frozen = freezes.list_in_force(connection, [account_id], max(at, now))
        freeze = freezes.named(frozen, Kind.SCHEDULED, json.loads(cronjob.tags), host)
        acks = read_acknowledgements(connection, account_id, manual, bodies=True)
        return Around(
            *in_force,
            until,
            after,
            manual=manual,
            exclusion=exclusion,
            links=links,
            acks=acks,
            freeze=freeze,
        )
    last = max(at, row.until_at or at)
    after = ledger.list_after(connection, account_id, cronjob_id, last, _ROWS)
    attempts = ledger.list_attempts(connection, account_id, [row])
    pending = row.state == FiringState.PENDING
    on_the_way = ledger.count_on_the_way(connection, account_id) if pending else 0
    freeze = None
    if row.reason == Reason.FROZEN and row.cause is not None:
        freeze = freezes.get_freeze(connection, account_id, row.cause)
    answers = read_answers(connection, account_id, [row], attempts)
    of_row = attempts.get(row.position, ())
    told = [link.telling for link in links if link.of == (row.cronjob_id, row.scheduled_at, row.kind)]
    telling = ledger.get_firing(connection, account_id, *told[-1]) if told else None
    return Around(
        *in_force,
        until,
        after,
        of_row,
        on_the_way,
        manual,
        answers=answers,
        links=links,
        telling=telling,
        acks=read_acknowledgements(connection, account_id, [row, *manual], bodies=True),
        freeze=freeze,
    )


def _versions(
    connection: Connection, cronjob: Cronjob, at: int
) -> tuple[Version | None, int, Version | None, int | None]:
    """What a cron job was at an instant, since when it had fired as it did then, what came next, when it resumed."""
    now = current(cronjob)
    kept = [
        one for one in versions.list_versions(connection, cronjob.cronjob_id) if one.version < now.version
    ]
    kept.append(now)
    place = len(kept) - 1 if at > now.changed_at else versions.in_force(kept, at)
    if place is None:
        return None, cronjob.created_at, kept[0], None
    then = kept[place]
    *_, first = takewhile(partial(_fires_alike, then), reversed(kept[: place + 1]))
    following = next((one for one in kept[place:] if not _fires_alike(then, one)), None)
    resumed_at = next((one.changed_at for one in kept[place:] if one.paused_at != then.paused_at), None)
    return then, first.changed_at, following, resumed_at


def _fires_alike(one: Version, other: Version) -> bool:
    """Whether nothing that decides when a cron job fires is different: a change between them settled nothing."""
    return (one.state, one.state_reason, one.timing, *_late(one)) == (
        other.state,
        other.state_reason,
        other.timing,
        *_late(other),
    )


def _late(version: Version) -> tuple[str, int, int | None, tuple[str, ...]]:
    policies = read_policies(version.policies)
    return policies.catch_up, policies.misfire_grace, policies.max_firings, version.exclude


def current(cronjob: Cronjob) -> Version:
    """What a cron job is now."""
    same = {name: getattr(cronjob, name) for name in SAME}
    return Version(**same, changed_at=cronjob.updated_at, changed_by=cronjob.updated_by)


def covering(rows: Sequence[Firing], at: int) -> Firing | None:
    """Which of the last rows that begin at an instant or before stands for the instant, to the second."""
    second = at - at % SECOND
    for row in rows:
        if row.scheduled_at == at or row.scheduled_at <= second <= (row.until_at or row.scheduled_at):
            return row
    # What a gap skipped has its row in the last microsecond before the jump.
    return next((row for row in rows if row.scheduled_at == second - 1 and is_suppressed(row)), None)


def is_suppressed(row: Firing) -> bool:
    """Whether a row stands for what a change of the clock suppressed."""
    return row.state == FiringState.SKIPPED and row.reason in CLOCK_CHANGES
