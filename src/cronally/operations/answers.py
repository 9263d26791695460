"""Rows of the store as the answers of the contract.

Invariant: nothing here ever reads a sealed secret or an opened one, except the API secret of who asks.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from cronally.contract import accounts, cronjobs, firings, standings
from cronally.contract.attribute import declared
from cronally.contract.limits import Limits
from cronally.contract.order import keeps_order
from cronally.contract.previews import one_or_more, schedule_of
from cronally.contract.stored_policies import shown_policies
from cronally.contract.targets import parameters_of, target_of
from cronally.contract.used_connections import UsedConnection
from cronally.contract.verification import Verification
from cronally.contract.writing import make_answer, shown
from cronally.cronjob import State as CronjobState
from cronally.cronjob import expressions_of, read_policies
from cronally.firing import Key, Reason, State, firing_id, lateness
from cronally.firing import shown as shown_state
from cronally.instants import to_datetime
from cronally.operations.target_answers import id_of
from cronally.retries import sentence
from cronally.standing import Health, Standing
from cronally.store.accounts import Account
from cronally.store.cronjobs import Cronjob
from cronally.store.last_firings import LastFiring
from cronally.store.ledger import Attempt, Firing
from cronally.store.links import Link

NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


def account_answer(account: Account, api_key: str, secret: bytes, limits: Limits) -> accounts.Account:
    """An account, with the API key that asks and its secret, and the limits that hold for it; without the secret where
    that is empty."""
    api_secret = base64.b64encode(secret).decode("ascii")
    return make_answer(
        accounts.Account,
        account,
        api_key=api_key,
        api_secret=api_secret,
        limits=limits,
        refuse_signature_v1=account.signature_v1_refused_at is not None,
        email_confirmed=account.email_confirmed_at is not None,
        email_change=_email_change(account),
    )


def _email_change(account: Account) -> accounts.EmailChange | None:
    if account.new_email is None or account.asked_at is None:
        return None
    return accounts.EmailChange(
        email=account.new_email,
        asked_at=to_datetime(account.asked_at),
        confirmed=account.confirmed_at is not None,
        agreed=account.agreed_at is not None,
        applies_at=None if account.applies_at is None else to_datetime(account.applies_at),
    )


def cronjob_answer(
    cronjob: Cronjob,
    warnings: Sequence[str] = (),
    verification: Verification | None = None,
    *,
    next_fire_at: int | None,
    connection: UsedConnection | None = None,
    standing: Mapping[str, Any] = NOTHING,
    only: Collection[str] | None = None,
) -> cronjobs.Cronjob:
    """A cron job, with its policies and the public parameters of its target.

    :param warnings: about what was sent of it
    :param verification: what became of the test message, if one was sent
    :param next_fire_at: when it fires next, an instant
    :param connection: the one that it uses
    :param standing: how it stands, by the names of the answer
    :param only: the keys that are wanted; what takes long to make is not made for another
    """
    has_schedule = only is None or "schedule" in only
    policies = read_policies(cronjob.policies)
    return make_answer(
        cronjobs.Cronjob,
        cronjob,
        cron=one_or_more(expressions_of(cronjob.cron)),
        next_fire_at=None if next_fire_at is None else to_datetime(next_fire_at),
        schedule=schedule_of(cronjob.timing, cronjob.cronjob_id) if has_schedule else None,
        tags=tuple(json.loads(cronjob.tags)),
        deleted=cronjob.state == CronjobState.DELETED,
        delivery_type=cronjob.target,
        connection=connection,
        warnings=tuple(warnings) or None,
        verification=verification,
        retries=sentence(policies.retry_delays, policies.retry_max_attempts, policies.max_age),
        **{
            **shown_policies(cronjob.policies),
            "ordered": keeps_order(cronjob.policies, cronjob.destination),
        },
        **_shown_destination(cronjob.destination),
        **standing,
    )


def standing_values(last: LastFiring | None, standing: Standing | None) -> dict[str, Any]:
    """The last firing and the health of a cron job, by their names in its answer.

    :param standing: None if it is well
    """
    values: dict[str, Any] = {"last_firing": None if last is None else _last_firing_answer(last)}
    if standing is not None:
        return values | {
            "health": standing.health,
            "health_since": to_datetime(standing.since),
            "in_a_row": standing.in_a_row,
        }
    return values | {"health": Health.NEW if last is None or not last.has_ended else Health.OK}


def _last_firing_answer(last: LastFiring) -> standings.LastFiring:
    return make_answer(
        standings.LastFiring,
        last,
        firing_id=firing_id(last.cronjob_id, last.scheduled_at, last.kind),
        state=shown_state(last.state, last.reason),
        lateness_ms=_lateness_ms(last),
    )


def _lateness_ms(firing: Firing | LastFiring) -> int | None:
    if firing.state != State.DELIVERED or firing.finished_at is None:
        return None
    return lateness(firing.due_since, firing.finished_at) // 1000


def _shown_destination(destination: str) -> dict[str, Any]:
    """The public parameters of a target; one that a newer version stored is left out.

    They are hidden again here, for what another version stored, and for what is not sealed yet.
    """
    stored, known = json.loads(destination), declared(cronjobs.Cronjob)
    shown_values = {}
    for name, value in stored.items():
        if name in known:
            hide = known[name].attribute.hide
            shown_values[name] = _as_sent(name, value) if hide is None else hide(value, stored)
    return shown_values


def _as_sent(name: str, value: Any) -> Any:
    """A parameter of a target as an answer holds it."""
    owner = target_of(name)
    return value if owner is None else shown(parameters_of(owner)[name], value)


def firing_answer(
    firing: Firing,
    name: str | None,
    failed: Sequence[Attempt] | None,
    answers: Mapping[str, firings.TargetAnswer] = NOTHING,
    links: Sequence[Link] = (),
    acknowledged: Mapping[Key, Mapping[str, Any]] = NOTHING,
) -> firings.Firing:
    """A firing.

    :param name: its cron job's

    :param failed: its attempts that did not deliver, oldest first; None if attempts were not asked for
    :param answers: what was answered to attempts, by the ids of the answers
    :param links: what tells of it, and what it tells of, in the order in which that failed; of others, too
    :param acknowledged: what is shown of acknowledgements; of others, too
    """
    key = (firing.cronjob_id, firing.scheduled_at, firing.kind)
    delivered = firing.state == State.DELIVERED and firing.finished_at is not None
    state = shown_state(firing.state, firing.reason)
    attempts = [
        make_answer(
            firings.Attempt,
            attempt,
            duration_ms=attempt.duration // 1000,
            answer=_answer_to(attempt, answers),
        )
        for attempt in failed or ()
    ]
    early = firing.reason == Reason.CLOCK_AHEAD  # its attempts have it already
    if failed is not None and delivered and not early and firing.sent_at is not None:
        attempts.append(
            firings.Attempt(
                attempt=firing.attempt,
                started_at=to_datetime(firing.sent_at),
                duration_ms=(firing.duration or 0) // 1000,
                outcome="delivered",
                answer=_answer_to(firing, answers),
            )
        )
    return make_answer(
        firings.Firing,
        firing,
        cronjob_name=name,
        firing_id=firing_id(firing.cronjob_id, firing.scheduled_at, firing.kind),
        state=state,
        due_at=to_datetime(firing.due_at) if state == State.PENDING and firing.due_at else None,
        lateness_ms=_lateness_ms(firing),
        attempts=None if failed is None else tuple(attempts),
        dead_letter=_other([link.telling for link in links if link.of == key]),
        dead_letter_of=_other([link.of for link in links if link.telling == key]),
        **acknowledged.get(key, {}),
    )


def _other(keys: Sequence[Key]) -> firings.OtherFiring | None:
    """The last of these firings; None of none."""
    if not keys:
        return None
    cronjob_id, scheduled_at, kind = keys[-1]
    return firings.OtherFiring(
        firing_id=firing_id(cronjob_id, scheduled_at, kind),
        cronjob_id=cronjob_id,
        scheduled_at=to_datetime(scheduled_at),
        kind=kind,
    )


def _answer_to(
    one: Firing | Attempt, answers: Mapping[str, firings.TargetAnswer]
) -> firings.TargetAnswer | None:
    return answers.get(id_of(one)) if answers else None
