"""What creating, changing and deleting a cron job do inside their transaction.

Invariant: a transaction that changes a cron job holds its row lock, which the tick takes too, and raises the version.
What is owed until then is settled by the cron job as it was (`rescheduling`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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
from cronally.operations.cronjob_secrets import CronjobSecrets
from cronally.operations.excluding import check_exclude, names_for
from cronally.operations.existing import lock, named
from cronally.operations.quotas import MAX_VERSIONS, Quotas
from cronally.operations.repeats import Repeats, other_request
from cronally.operations.rescheduling import SCHEDULING, reschedule, settle
from cronally.operations.rules import Rules, Specification
from cronally.operations.stored_parameters import encode
from cronally.operations.telling import find_telling
from cronally.operations.timing_rules import TIMING
from cronally.operations.using import USED, find_used, require_same
from cronally.store import accounts, cronjobs, former, pauses, removal, versions
from cronally.store.cronjobs import Cronjob
from cronally.targets.target import Destination, Target

_NEW: Final = "a new cron job"


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change has come to."""

    cronjob: Cronjob
    over: bool = True
    """False if `order.free` is to follow."""
    wrote: bool = True
    """Whether anything was written."""
    reconnected: bool = False
    """True if `connection_holds.free` is to follow: it uses another connection, or none."""


class Changes:
    """Changes cron jobs. Every method runs inside the caller's transaction, and may run in it again."""

    def __init__(
        self,
        secrets: CronjobSecrets,
        targets: Mapping[str, Target],
        rules: Rules,
        quotas: Quotas,
        repeats: Repeats,
    ) -> None:
        self._secrets = secrets
        self.digests = secrets.digests
        """By which the audit log tells of secrets."""
        self._targets = targets
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
            destination=encode(destination.public),
            tags=_encode_tags(specification),
            connection_id=_used_id(specification),
        )
        cronjobs.insert_cronjob(
            connection, cronjob, self._secrets.seal(cronjob, destination.secret), turn=others
        )
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
        wanted = self.check_change(connection, reading, before, now, whole)
        if changes_nothing(reading) or (unless_same and self._is_same(connection, wanted, before)):
            return Changed(before, wrote=False)
        self._quotas.check_change(connection, before, now)
        reschedules = whole or bool(reading.values.keys() & SCHEDULING)
        settled = settle(connection, before, now) if reschedules else before
        if settled is None:
            return None
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
            after = reschedule(connection, settled, after, now)
        if wanted.destination is not None:
            destination = wanted.destination
            after = replace(after, target=destination.target, destination=encode(destination.public))
            if wanted.kept is not None:
                self._secrets.replace(connection, before, after, wanted.kept, destination)
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

    def check_change(
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
        find_telling(connection, cronjob.account_id, reading, cronjob.cronjob_id, self._targets)
        check = self._rules.check_whole if whole else self._rules.check_change
        wanted = check(reading, cronjob, now, known, used)
        if whole:
            exclude = tuple(wanted.policies["exclude"] or ())
            fires_otherwise = (wanted.timing, exclude) != (cronjob.timing, cronjob.exclude)
        else:
            fires_otherwise = bool(reading.values.keys() & {"exclude", *TIMING})
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
        public = json.loads(cronjob.destination)
        if (destination.target, dict(destination.public)) != (cronjob.target, public):
            return False
        return wanted.kept is None or self._secrets.is_same(connection, cronjob, wanted.kept, destination)

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


def changes_nothing(reading: Reading[CronjobChange]) -> bool:
    """Whether a change has nothing that is stored."""
    return not reading.parameters.keys() - {VERIFY}


def _without_secrets(cronjob: Cronjob) -> str:
    """The public parameters of a cron job, hidden again: another version may have stored what this one hides."""
    public = json.loads(cronjob.destination)
    return encode(without_secrets(cronjob.target, public)[0] if cronjob.target in TARGETS else public)


def _takes_turns(cronjob: Cronjob) -> bool:
    return takes_turns(cronjob.policies, cronjob.destination)


def _policies(specification: Specification) -> str:
    """JSON of the policies, without those that follow their default rule."""
    return encode({name: value for name, value in specification.policies.items() if value is not None})


def _used_id(specification: Specification) -> str | None:
    return None if specification.used is None else specification.used.connection_id


def _encode_tags(specification: Specification) -> str:
    return json.dumps([*specification.tags], separators=(",", ":"))
