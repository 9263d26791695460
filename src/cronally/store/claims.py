"""What is claimed, and how a claim ended: what the ledger hands out to be sent, and what it gets back.

Invariant: a claim never changes, and a record holds the claim that it ends: what is written is written under its lease.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cronally.clock.zones import UTC
from cronally.contract.order import is_fifo, takes_turns
from cronally.cronjob import Policies, read_policies
from cronally.firing import Key, Reason, State, firing_id
from cronally.store.answers import Answer
from cronally.store.told import Told


class Claim(NamedTuple):
    """A firing under lease, with what is needed to send it: as its cron job stands now, or stood in a version.

    Its fields stand in the order in which `leases` reads them: a row becomes a claim in one step, for every firing has
    one.
    """

    cronjob_id: str
    scheduled_at: int
    kind: str
    account_id: str
    attempt: int
    """The number of the attempt that this claim is for, from 1."""
    lease_no: int
    lost_leases: int
    created_at: int
    cronjob_state: str
    version: int
    """That it is sent as."""
    name: str
    target: str
    destination: str
    """JSON of the target's public parameters; an empty text where those of the version are not kept."""
    secret: bytes | None
    """Of the cron job; sealed."""
    size: int
    """Bytes of the cron job, its message among them, and of a message of its own."""
    stored_policies: str = "{}"
    """JSON of the cron job's policies."""
    refusals: int = 0
    """Attempts so far on the short schedule."""
    message: bytes | None = None
    """What it sends in place of its cron job's message, sealed; None if nothing."""
    place_at: int | None = None
    """When it starts in the window that its cron job had; None for its fire time."""
    owed_at: int | None = None
    """From when on its age counts, where the ledger says so."""
    attempts_before: int = 0
    """How many attempts it had when it was last replayed."""
    destination_now: str | None = None
    """JSON of the public parameters that the cron job has now, where the firing is sent as a version."""
    target_then: str | None = None
    """The target that the version had; None where that is not kept."""
    timezone: str = UTC
    """The IANA name of its cron job's time zone, as it was in the version that it is sent as."""
    only_early: bool = False
    """Whether all attempts before were made while the clock was ahead: at its time it has not been attempted."""
    connection_id: str | None = None
    """The connection that its cron job uses."""
    connection_kind: str | None = None
    connection_parameters: str | None = None
    """JSON of what may be shown of the connection."""
    connection_secret: bytes | None = None
    connection_previous: bytes | None = None
    """Its former secrets while they go on; sealed, both."""
    connection_version: int | None = None
    connection_probe: str | None = None
    """Of one that is unhealthy: the id of the firing that is to try it, an empty text for none; else None."""
    freezes: bool = False
    """Whether its account had freezes in force, or stood still, when it was claimed."""
    told: Told | None = None
    """What one that tells of a failure is to tell; None where that is not kept."""

    def __repr__(self) -> str:
        """Neither what is sealed nor what is sent."""
        return f"Claim({self.firing_id}, attempt={self.attempt}, lease_no={self.lease_no})"

    @property
    def key(self) -> Key:
        """Which row of the ledger it is."""
        return (self.cronjob_id, self.scheduled_at, self.kind)

    @property
    def firing_id(self) -> str:
        """Its id."""
        return firing_id(*self.key)

    @property
    def policies(self) -> Policies:
        """The cron job's policies as they are now."""
        return read_policies(self.stored_policies)

    @property
    def due_since(self) -> int:
        """From when on it may start: how late it is counts from here."""
        return self.scheduled_at if self.place_at is None else self.place_at

    @property
    def ordered(self) -> bool:
        """Whether it is sent after the earlier ones of its cron job, and before the later ones: as a version, too."""
        if takes_turns(self.stored_policies, self.destination):
            return True
        return self.destination_now is not None and is_fifo(self.destination_now)


@dataclass(frozen=True, slots=True)
class Record:
    """How a claim ended."""

    claim: Claim
    state: State
    reason: Reason | None = None
    attempt_reason: Reason | None = None
    """Why the attempt did not deliver, where the firing ends for another reason."""
    due_at: int | None = None
    """When it may be attempted again; set if and only if `state` is pending."""
    attempt: int | None = None
    """How many attempts may have reached the target; the claim's own number unless it burned none."""
    refusals: int | None = None
    """How many were on the short schedule; as before if None."""
    sent_at: int | None = None
    duration: int | None = None
    """Microseconds."""
    finished_at: int | None = None
    message_id: str | None = None
    outcome: str | None = None
    """The name of an outcome that did not deliver, to be kept as an attempt."""
    detail: str | None = None
    """What the target said; set if and only if `outcome` is."""
    answer: Answer | None = None
    """What is kept of what it answered."""
