"""What a firing sends that tells of one that has failed: the reason, the attempts and the message of that one.

Invariant: it goes where its own cron job's firings go, as the target's message; the message of the other one is filled
in as at its last attempt. Nothing that is sealed is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cronally.contract import templates
from cronally.contract.targets import parameters_of
from cronally.contract.templates import MARK, NotFilled, Values, with_own
from cronally.contract.told import MAX_BYTES, MESSAGES, SENT, text_of
from cronally.firing import State, firing_id
from cronally.instants import format_iso
from cronally.store.claims import Claim
from cronally.store.told import Told
from cronally.targets.target import Target

_CONTENT_TYPE = "delivery_http_content_type"


class NotTold(ValueError):
    """It cannot be told. The message is a sentence that says why."""


def telling(
    claim: Claim, public: Mapping[str, Any], target: Target, ack_url: str | None = None
) -> dict[str, Any]:
    """The public parameters of a cron job with what a claim tells in place of its message. Raises NotTold.

    :param ack_url: the claim's, if it has one
    """
    if claim.told is None:
        raise NotTold("The ledger has nothing more of the firing that it tells of.")
    if claim.target not in MESSAGES:
        raise NotTold(f"A cron job with delivery_type={claim.target} sends no message that can tell of it.")
    name = MESSAGES[claim.target]
    # The text is JSON, whatever the cron job's own message is.
    rest = {one: value for one, value in public.items() if one != _CONTENT_TYPE}

    def own(text: str) -> dict[str, Any]:
        return with_own(rest, {name: text}, parameters_of(claim.target))

    def fits(text: str) -> bool:
        return len(text.encode()) <= MAX_BYTES and not target.check_size(own(text), claim.name, ack_url)

    told = own(text_of(_firing(claim, claim.told), _message(claim.told), fits))
    for complaint in (target.check(told).get(name), target.check_size(told, claim.name, ack_url).get(name)):
        if complaint is not None:
            raise NotTold(f"Its target cannot be told of it: {name} {complaint}.")
    return told


def _firing(claim: Claim, told: Told) -> dict[str, Any]:
    """What became of the firing, by the names of the reference."""
    cronjob_id, scheduled_at, kind = told.key
    return {
        "firing_id": firing_id(*told.key),
        "cronjob_id": cronjob_id,
        "cronjob_name": told.name,
        "scheduled_at": format_iso(scheduled_at),
        "kind": kind,
        "state": State.FAILED.value,
        "reason": told.reason,
        "failed_at": format_iso(claim.created_at),
        "attempt": told.attempt,
        "attempts": [
            {
                "attempt": one.attempt,
                "started_at": format_iso(one.started_at),
                "duration_ms": one.duration // 1000,
                "outcome": one.outcome,
                "reason": one.reason,
                "detail": one.detail,
            }
            for one in told.attempts
        ],
    }


def _message(told: Told) -> str | None:
    """What the firing sent at its last attempt; None where that is nothing, or not kept."""
    name = SENT.get(told.target or "")
    if name is None or told.own_message:
        return None
    public: dict[str, Any] = json.loads(told.destination or "{}")
    form = public.get(MARK, {}).get(name)
    if name not in public or form is None:
        return public.get(name)
    cronjob_id, scheduled_at, _ = told.key
    values = Values(
        firing_id=firing_id(*told.key),
        cronjob_id=cronjob_id,
        cronjob_name=told.name or "",
        scheduled_at=scheduled_at,
        attempt=max(told.attempt, 1),
        timezone=told.timezone,
    )
    try:
        filled: str = templates.filled({name: public[name]}, {name: form}, values)[name]
    except NotFilled:
        return None
    return filled
