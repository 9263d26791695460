"""What a firing of a cron job would send at an instant: made by what sends it, and sent to nobody.

Invariant: no secret is opened. What is sealed is shown as it is shown of the cron job.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from cronally import errors
from cronally.ack_links import AckLinks
from cronally.clock import zones
from cronally.clock.preview import local_time
from cronally.clock.tzif import Zone
from cronally.contract.connections import Kind
from cronally.contract.reading import Reading
from cronally.contract.renderings import Rendered, Rendering
from cronally.contract.templates import NotFilled
from cronally.cronjob import read_policies
from cronally.firing import firing_id
from cronally.instants import to_datetime
from cronally.operations.caller import Caller
from cronally.operations.existing import existing
from cronally.operations.explain import moment
from cronally.store import Store, connections
from cronally.store.connections import StoredConnection
from cronally.store.cronjobs import Cronjob
from cronally.targets.connected import shown_headers
from cronally.targets.filled import filled
from cronally.targets.target import Destination, Message, ShowingTarget, Target


class Renderings:
    """Shows what would be sent."""

    def __init__(self, store: Store, targets: Mapping[str, Target], links: AckLinks | None = None) -> None:
        self._store = store
        self._targets = targets
        self._links = links

    async def render(self, caller: Caller, cronjob_id: str, reading: Reading[Rendered]) -> Rendering:
        """What a cron job would send at `at`. Raises InvalidRequest, and NotFound for one that is deleted."""
        now = await self._store.clock()

        def read(connection: Connection) -> tuple[Cronjob, StoredConnection | None]:
            found = existing(connection, caller.account_id, cronjob_id)
            if found.connection_id is None:
                return found, None
            return found, connections.get_connection(connection, caller.account_id, found.connection_id)

        cronjob, used = await self._store.transact(read)
        reading.raise_complaints()
        if "at" in reading.values:
            at = moment(cronjob, reading.values["at"])
        else:
            at = now if cronjob.next_fire_at is None else cronjob.next_fire_at
        try:
            return self._render(cronjob, used, at, zones.zone(cronjob.timezone))
        except NotFilled as problem:
            raise errors.InvalidRequest(str(problem)) from None
        except ValueError as problem:  # a zone that only another release of the zone data has
            raise errors.InvalidRequest(f"The cron job's time zone is not known: {problem}.") from None

    def _render(self, cronjob: Cronjob, used: StoredConnection | None, at: int, zone: Zone) -> Rendering:
        asked = read_policies(cronjob.policies).ack_within
        message = Message(
            firing_id=firing_id(cronjob.cronjob_id, at),
            cronjob_id=cronjob.cronjob_id,
            cronjob_name=cronjob.name,
            scheduled_at=at,
            attempt=1,
            ack_url=self._links.masked if asked and self._links is not None else None,
        )
        shared = {} if used is None or used.kind != Kind.HTTP else shown_headers(json.loads(used.parameters))
        stored = Destination(cronjob.target, json.loads(cronjob.destination), shared, cronjob.account_id)
        destination, target = filled(stored, message, cronjob.timezone), self._targets.get(cronjob.target)
        shown: dict[str, Any]
        if isinstance(target, ShowingTarget):
            shown = dict(target.show(destination, message))
        else:
            shown = {"parameters": {name: _text(value) for name, value in destination.public.items()}}
        return Rendering(
            cronjob_id=cronjob.cronjob_id,
            firing_id=message.firing_id,
            scheduled_at=to_datetime(at),
            local=local_time(zone, at),
            attempt=message.attempt,
            delivery_type=cronjob.target,
            **shown,
        )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
