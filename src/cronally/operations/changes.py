"""What creating, changing and deleting a cron job do inside their transaction.

Invariant: a transaction that changes a cron job holds its row lock, which the tick takes too, and raises the version.
What fell due or was suppressed before the change is in the ledger, by the old timetable, before the new one takes
over; the new next fire time is later than now and than every fire time until now that the ledger covers.
"""

from __future__ import annotations

import contextlib
import hmac
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection

from cronally import errors
from cronally.clock import zones
from cronally.clock.dates import names_in
from cronally.contract.cronjob_requests import CronjobChange
from cronally.contract.order import takes_turns
from cronally.contract.previews import never_fires
from cronally.contract.reading import Reading
from cronally.contract.stored_policies import stored_policies
from cronally.contract.targets import TARGETS, without_secrets
from cronally.contract.verification import VERIFY
from cronally.cronjob import State
from cronally.operations.completing import Completing
from cronally.operations.excluding import check_exclude, names_for
from cronally.operations.quotas import MAX_VERSIONS, Quotas
from cronally.operations.repeats import Repeats, other_request
from cronally.operations.rules import TIMING, Rules, Specification
from cronally.operations.telling import find_telling
from cronally.operations.using import USED, find_used, require_same
from cronally.store import (
    accounts,
    connections,
    cronjobs,
    former,
    pauses,
    removal,
    schedule,
    selection,
    versions,
)
from cronally.store.cronjobs import Cronjob
from cronally.store.selection import Chosen
from cronally.targets.target import Destination
from cronally.vault import Purpose, SealContext, Vault, open_secret

SCHEDULING: Final = TIMING | {"cron", "catch_up", "misfire_grace", "max_firings", "exclude"}
"""The parameters that decide when a cron job fires, and how often."""
MAX_NAMED: Final = 5
"""So many of the cron jobs of one name are told."""
_NEW: Final = "a new cron job"
NO_CRONJOB: Final = "There is no such cron job; GET /cronjobs/ lists those of the account."


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change has come to."""

    cronjob: Cronjob
    over: bool = True
    """False if `order.free` is to follow."""
    wrote: bool = True
    """Whether anything was written."""
    reconnected: bool = False
    """True if `connection_health.free` is to follow: it uses another connection, or none."""


class Changes:
    """Changes cron jobs. Every method runs inside the caller's transaction, and may run in it again."""

    def __init__(
        self, vault: Vault, rules: Rules, quotas: Quotas, repeats: Repeats, completing: Completing
    ) -> None:
        self._vault = vault
        self._completing = completing
        self._rules = rules
        self._quotas = quotas
        self._repeats = repeats

    def create(
        self,
        connection: Connection,
        *,
        account_id: str,
        cronjob_id: str,
        specification: Specification,
        parameters: Mapping[str, Any],
        idempotency_key: str | None,
        changed_by: str | None,
        now: int,
        only_name: bool = False,
    ) -> Cronjob:
        """Insert a cron job, or find the one that the idempotency key made.

        :param only_name: whether it is refused, with Conflict, where another one has its name
        :param changed_by: the caller's API key
        :param parameters: those that were sent
        """
        # Who creates for one account takes turns: the count holds, and a repeated request finds the first one's key.
        accounts.lock_account(connection, account_id)
        if only_name and named(connection, account_id, specification.name):
            raise errors.Conflict()
        made, others = self.check_create(
            connection,
            account_id=account_id,
            cronjob_id=cronjob_id,
            specification=specification,
            parameters=parameters,
            idempotency_key=idempotency_key,
            now=now,
        )
        if made is not None:
            return made
        destination, timing = specification.destination or Destination("", {}), specification.timing
        require_same(connection, account_id, specification.used)
        cronjob = Cronjob(
            cronjob_id=cronjob_id,
            account_id=account_id,
            name=specification.name,
            cron=timing.cron,
            timezone=timing.timezone,
            policies=_policies(specification),
            state=State.ACTIVE,
            state_reason=None,
            version=1,
            created_at=now,
            updated_at=now,
            settled_at=now,
            updated_by=changed_by,
            next_fire_at=timing.timetable(cronjob_id, now).next(now),
            tzdata=zones.version(),
            target=destination.target,
            destination=_encode(destination.public),
            tags=_encode_tags(specification),
            connection_id=_used_id(specification),
        )
        cronjobs.insert_cronjob(connection, cronjob, self._seal(cronjob, destination.secret), turn=others)
        self._quotas.weigh(connection, account_id)
        if idempotency_key is not None:
            self._repeats.record(connection, account_id, idempotency_key, parameters, now, cronjob_id)
        return cronjob

    def check_create(
        self,
        connection: Connection,
        *,
        account_id: str,
        cronjob_id: str,
        specification: Specification,
        parameters: Mapping[str, Any],
        idempotency_key: str | None,
        now: int,
    ) -> tuple[Cronjob | None, int]:
        """The cron job that the idempotency key made, if it did, and how many the account has.

        Raises what `create` raises, but for the room that it takes.
        """
        if idempotency_key is not None:
            used = self._repeats.find(connection, account_id, idempotency_key, parameters, now, _NEW)
            if used is not None:
                made = cronjobs.get_cronjob(connection, account_id, used.cronjob_id)
                if made is None:
                    raise other_request(_NEW)
                return made, 0
        others = self._quotas.check_one_more(connection, account_id, now)
        idle = never_fires(specification.timing, cronjob_id, now, now)
        if idle is not None:
            raise idle.error
        times = specification.timing.timetable(cronjob_id, now)
        check_exclude(connection, account_id, _policies(specification), times, now)
        return None, others

    def read_destination(
        self,
        connection: Connection,
        *,
        account_id: str,
        cronjob_id: str,
        change: Reading[CronjobChange] | None,
        now: int,
        whole: bool = False,
    ) -> tuple[Destination, str, str]:
        """Where the firings of a cron job go, or would go after a change, with the secrets, and its name and time zone
        by then.

        :param whole: whether what was not sent of the change gets its default
        Raises NotFound, InvalidRequest, and Unavailable if the server has not the key that its secret is sealed with.
        """
        cronjob = cronjobs.get_cronjob(connection, account_id, cronjob_id)
        if cronjob is None or cronjob.state == State.DELETED:
            raise errors.NotFound(NO_CRONJOB)
        name, public, target = cronjob.name, json.loads(cronjob.destination), cronjob.target
        timezone, destination, kept, used = cronjob.timezone, None, None, None
        if change is None and cronjob.connection_id is not None:
            used = connections.get_connection(connection, account_id, cronjob.connection_id)
        if change is not None:
            wanted = self._check_change(connection, change, cronjob, now, whole)
            self._quotas.check_change(connection, cronjob, now)
            name, timezone, used = wanted.name, wanted.timing.timezone, wanted.used
            if wanted.destination is not None:
                destination, kept = wanted.destination, wanted.kept
                public, target = dict(destination.public), destination.target
        if destination is None or kept is None or kept:
            sealed = cronjobs.get_secret(connection, cronjob)
            secret = {} if sealed is None else self._completing.read_secret(sealed, _place(cronjob))
            if destination is not None and kept is not None:
                secret = _merged(secret, kept, destination)
            destination = Destination(target, public, secret)
        destination = self._completing.complete(
            connection, account_id, destination, used, name=name, timezone=timezone
        )
        return destination, name, timezone

    def update(
        self,
        connection: Connection,
        *,
        account_id: str,
        cronjob_id: str,
        reading: Reading[CronjobChange],
        changed_by: str | None,
        now: int,
        whole: bool = False,
        unless_same: bool = False,
    ) -> Changed | None:
        """Change what was sent of a cron job; an empty request changes nothing.

        :param whole: whether what was not sent gets its default, instead of staying; refused, with Conflict, where the
            name is another one
        :param unless_same: whether a cron job that is already as it is to be is left alone

        None where more is owed than one transaction settles: a part of it is settled, nothing is changed yet, and the
        caller does the same again in another transaction.
        """
        before = pauses.look(connection, lock(connection, account_id, cronjob_id), now)
        if whole and reading.values.get("name", before.name) != before.name:
            raise errors.Conflict  # it was found by its name, and has another one since
        wanted = self._check_change(connection, reading, before, now, whole)
        if changes_nothing(reading) or (unless_same and self._is_same(connection, wanted, before)):
            return Changed(before, wrote=False)
        self._quotas.check_change(connection, before, now)
        reschedules = whole or bool(reading.values.keys() & SCHEDULING)
        settled = before
        if reschedules:
            if not schedule.record_settled(connection, cronjob_id, now):
                return None
            settled = pauses.settle(connection, lock(connection, account_id, cronjob_id), now, now)
            settled = replace(settled, settled_at=now)
        after = replace(
            settled,
            name=wanted.name,
            cron=wanted.timing.cron,
            timezone=wanted.timing.timezone,
            policies=_policies(wanted),
            tags=_encode_tags(wanted),
            connection_id=_used_id(wanted),
            version=before.version + 1,
            updated_at=now,
            updated_by=changed_by,
        )
        if reschedules:
            after = _reschedule(connection, settled, after, now)
        if wanted.destination is not None:
            destination = wanted.destination
            after = replace(after, target=destination.target, destination=_encode(destination.public))
            if wanted.kept is not None:
                stays = self._opened(connection, before, Purpose.KEEP) if wanted.kept else {}
                secret = _merged(stays, wanted.kept, destination)
                cronjobs.replace_secret(connection, after, self._seal(after, secret))
        cronjobs.update_cronjob(connection, after)
        if (after.target, after.destination) != (before.target, before.destination):
            former.keep_destination(connection, cronjob_id, before.version, _without_secrets(before))
        versions.forget_versions(connection, cronjob_id, after.version - MAX_VERSIONS)
        if after.size > before.size:
            accounts.lock_account(connection, account_id)
            self._quotas.weigh(connection, account_id)
        return Changed(
            after,
            over=_takes_turns(after) or not _takes_turns(settled),
            reconnected=before.connection_id not in (None, after.connection_id),
        )

    def _check_change(
        self,
        connection: Connection,
        reading: Reading[CronjobChange],
        cronjob: Cronjob,
        now: int,
        whole: bool,
    ) -> Specification:
        """What a changed cron job is to be.

        :param whole: whether what was not sent gets its default
        """
        if names_in(reading.values.get("exclude")) or USED in reading.values:
            # After the cron job, as everywhere. No calendar or connection that it names is deleted meanwhile.
            accounts.lock_account(connection, cronjob.account_id)
        known = names_for(connection, cronjob.account_id, reading)
        used = find_used(connection, cronjob.account_id, reading, cronjob, whole=whole)
        find_telling(connection, cronjob.account_id, reading, cronjob.cronjob_id, self._rules.targets)
        check = self._rules.check_whole if whole else self._rules.check_change
        wanted = check(reading, cronjob, now, known, used)
        if whole:
            exclude = tuple(wanted.policies["exclude"] or ())
            fires_otherwise = (wanted.timing, exclude) != (cronjob.timing, cronjob.exclude)
        else:
            fires_otherwise = bool(reading.values.keys() & {"cron", "exclude", *TIMING})
        if fires_otherwise:
            try:
                times = wanted.timing.timetable(cronjob.cronjob_id, cronjob.created_at)
            except (errors.InvalidExpression, ValueError):
                return wanted  # what was not sent cannot be read by this version
            check_exclude(connection, cronjob.account_id, _policies(wanted), times, now)
        return wanted

    def _is_same(self, connection: Connection, wanted: Specification, cronjob: Cronjob) -> bool:
        """Whether a cron job, whose row lock the caller holds, is as it is to be, with its secrets."""
        if (wanted.name, wanted.timing, _encode_tags(wanted)) != (cronjob.name, cronjob.timing, cronjob.tags):
            return False
        if _used_id(wanted) != cronjob.connection_id:
            return False
        if dict(wanted.policies) != stored_policies(cronjob.policies):
            return False
        destination = wanted.destination
        if destination is None:
            return True
        if destination.target != cronjob.target or dict(destination.public) != json.loads(
            cronjob.destination
        ):
            return False
        if wanted.kept is None:
            return True
        # What cannot be opened is sealed anew.
        with contextlib.suppress(errors.Unavailable):
            stored = self._opened(connection, cronjob, Purpose.MATCH)
            merged = _merged(stored, wanted.kept, destination)
            return hmac.compare_digest(_encode(stored).encode(), _encode(merged).encode())
        return False

    def _opened(self, connection: Connection, cronjob: Cronjob, purpose: Purpose) -> dict[str, str]:
        """What is sealed of a cron job. Raises Unavailable if the server has not the key for it."""
        sealed = cronjobs.get_secret(connection, cronjob)
        if sealed is None:
            return {}
        try:
            opened: dict[str, str] = json.loads(open_secret(self._vault, sealed, _place(cronjob), purpose))
        except errors.SealingError as problem:
            raise errors.Unavailable(str(problem)) from None
        return opened

    def delete(
        self, connection: Connection, *, account_id: str, cronjob_id: str, changed_by: str | None, now: int
    ) -> tuple[Cronjob, bool]:
        """Delete a cron job: nothing of it fires any more, and its secret is gone; False if `removal.skip_rest` is to
        follow.
        """
        before = lock(connection, account_id, cronjob_id)
        return removal.delete(
            connection, before, now, retention=self._quotas.retention, changed_by=changed_by
        )

    def _seal(self, cronjob: Cronjob, secret: Mapping[str, str]) -> bytes | None:
        if not secret:
            return None
        return self._vault.seal(_encode(secret).encode(), _place(cronjob))


def _merged(stored: Mapping[str, str], kept: Collection[str], destination: Destination) -> dict[str, str]:
    """What is to be sealed: of what is stored what is kept, and what is new."""
    return {name: value for name, value in stored.items() if name in kept} | dict(destination.secret)


def named(connection: Connection, account_id: str, name: str) -> list[Cronjob]:
    """The account's cron jobs of this name, of several only the oldest ones."""
    keys = selection.list_keys(connection, account_id, None, MAX_NAMED, Chosen(name=name))
    return cronjobs.list_cronjobs(connection, account_id, [key.cronjob_id for key in keys])


def changes_nothing(reading: Reading[CronjobChange]) -> bool:
    """Whether a change has nothing that is stored."""
    return not reading.parameters.keys() - {VERIFY}


def _place(cronjob: Cronjob) -> SealContext:
    return SealContext(cronjob.account_id, "cronjob", "secret", cronjob.cronjob_id)


def lock(connection: Connection, account_id: str, cronjob_id: str) -> Cronjob:
    """The account's cron job, locked until the transaction ends. Raises NotFound, for one that is deleted too."""
    cronjob = cronjobs.lock_cronjob(connection, account_id, cronjob_id)
    if cronjob is None or cronjob.state == State.DELETED:
        raise errors.NotFound(NO_CRONJOB)
    return cronjob


def _without_secrets(cronjob: Cronjob) -> str:
    """The public parameters of a cron job, hidden again: another version may have stored what this one hides."""
    public = json.loads(cronjob.destination)
    return _encode(without_secrets(cronjob.target, public)[0] if cronjob.target in TARGETS else public)


def _takes_turns(cronjob: Cronjob) -> bool:
    return takes_turns(cronjob.policies, cronjob.destination)


def _reschedule(connection: Connection, before: Cronjob, after: Cronjob, now: int) -> Cronjob:
    """Let the new timetable take over from what is settled."""
    changed = (after.timing, after.exclude) != (before.timing, before.exclude)
    if before.paused_at is not None:
        # A new timetable is one that can be read.
        return replace(after, state_reason=None) if changed else after
    if before.state == State.PAUSED and not (before.state_reason is not None and changed):
        return after
    try:
        table = after.timing.timetable(after.cronjob_id, after.created_at)
    except (errors.InvalidExpression, ValueError):
        # Only what was not sent can be unreadable to this version: the scheduler sets it aside.
        return after
    # One that was set aside for its expression has another one now; one that was completed may have more to fire.
    covered = schedule.last_covered(connection, before.cronjob_id, now)
    next_fire_at = None if after.is_used_up else table.next(now if covered is None else max(now, covered))
    return replace(
        after,
        state=State.COMPLETED if next_fire_at is None else State.ACTIVE,
        state_reason=None,
        next_fire_at=next_fire_at,
        tzdata=zones.version(),
    )


def _policies(specification: Specification) -> str:
    """JSON of the policies, without those that follow their default rule."""
    return _encode({name: value for name, value in specification.policies.items() if value is not None})


def _used_id(specification: Specification) -> str | None:
    return None if specification.used is None else specification.used.connection_id


def _encode_tags(specification: Specification) -> str:
    return json.dumps([*specification.tags], separators=(",", ":"))


def _encode(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), separators=(",", ":"), ensure_ascii=False, sort_keys=True)
