"""Which claimed firings an unhealthy connection keeps from going: all but the one that tries it.

Invariant: decided in the transaction that claims, by the connection as it was read there. A claim without an unhealthy
connection costs no question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from cronally import failpoints
from cronally.engine import lateness, verdict
from cronally.engine.backoff import PUT_OFF_LEAST
from cronally.firing import Reason
from cronally.store import connection_health, connection_holds, outcomes
from cronally.store.claims import Claim, Record


def hold_back(connection: Connection, claims: Sequence[Claim], now: int, leased_until: int) -> list[Record]:
    """The records of what is held, written already."""
    held = [
        claim
        for claim in claims
        if claim.connection_probe is not None
        and not (
            claim.connection_probe == claim.firing_id
            and connection_health.take_probe(connection, claim, now, leased_until)
        )
    ]
    if not held:
        return []
    used = {claim.connection_id for claim in held if claim.connection_id is not None}
    locked = connection_health.lock_unhealthy(connection, used)
    # Of one that another transaction changes it is asked again in a moment.
    records = [
        replace(
            verdict.release(
                claim,
                lateness.last_chance(claim) + 1 if claim.connection_id in locked else now + PUT_OFF_LEAST,
            ),
            reason=Reason.CONNECTION_UNHEALTHY,
        )
        for claim in held
    ]
    outcomes.record_outcomes(connection, records)
    connection_holds.record_held(connection, [claim for claim in held if claim.connection_id in locked])
    failpoints.reach("hold.before_commit")
    return records
