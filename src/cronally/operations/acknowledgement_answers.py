"""Acknowledgements as the account sees them beside its firings.

Invariant: what a receiver sent is opened for the account that its row belongs to, and for nothing but to be shown to
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection

from cronally import errors
from cronally.acknowledgement import Acknowledgement
from cronally.firing import Key, firing_id
from cronally.instants import to_datetime
from cronally.operations.acknowledging import PLACE
from cronally.store import acknowledgements
from cronally.store.acknowledgements import Body
from cronally.store.ledger import Firing
from cronally.vault import Purpose, SealContext, Vault, open_secret

Values = Mapping[str, Any]
"""What is shown of an acknowledgement, by the names of the contract."""


@dataclass(frozen=True, slots=True)
class Acknowledgements:
    """Those of the firings of a page."""

    found: Mapping[Key, Acknowledgement] = field(default_factory=dict)
    bodies: Mapping[str, Body] = field(default_factory=dict)
    """What receivers sent, by the ids of the firings."""


NONE: Final = Acknowledgements()


def read_acknowledgements(
    connection: Connection, account_id: str, firings: Sequence[Firing], *, bodies: bool
) -> Acknowledgements:
    """The acknowledgements of firings of the account, as many as a page has.

    :param bodies: whether with what receivers sent
    """
    # What was never sent, nobody could acknowledge.
    sent = [(one.cronjob_id, one.scheduled_at, one.kind) for one in firings if one.attempt]
    found = acknowledgements.list_acknowledgements(connection, account_id, sent)
    if not bodies or not found:
        return Acknowledgements(found)
    ids = [firing_id(*key) for key in found]
    return Acknowledgements(found, acknowledgements.list_bodies(connection, account_id, ids))


def shown_acknowledgements(vault: Vault, account_id: str, read: Acknowledgements) -> dict[Key, Values]:
    """What is shown of each."""
    return {
        key: _shown(one) | _shown_body(vault, account_id, key, one, read.bodies.get(firing_id(*key)))
        for key, one in read.found.items()
    }


def _shown(one: Acknowledgement) -> dict[str, Any]:
    instants = {
        f"ack_{name}": None if at is None else to_datetime(at)
        for name, at in (
            ("deadline_at", one.deadline_at),
            ("started_at", one.started_at),
            ("ended_at", one.ended_at),
            ("overdue_at", one.overdue_at),
        )
    }
    return {
        "ack": one.ack,
        **instants,
        "ack_late": one.is_late or None,
        "ack_duration_ms": None if one.duration is None else one.duration // 1000,
        "ack_too_fast": one.is_too_fast or None,
        "ack_exit_code": one.exit_code,
        "ack_retries": one.retries or None,
    }


def _shown_body(
    vault: Vault, account_id: str, key: Key, one: Acknowledgement, body: Body | None
) -> dict[str, Any]:
    # Of a firing that was replayed since it is what was said of the delivery before.
    if body is None or (one.retries == 0 and one.sent_at is not None and body.received_at < one.sent_at):
        return {}
    try:
        opened = open_secret(
            vault, body.secret, SealContext(account_id, *PLACE, firing_id(*key)), Purpose.QUOTE
        )
    except errors.SealingError:
        return {}
    # It may begin within a character.
    return {"ack_body": opened.decode("utf-8", "replace"), "ack_body_cut": body.cut or None}
