"""The endpoints that send firings once more, or make up for fire times of the past.

Invariant: as in `routes`.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.convertors import register_url_convertor

from cronally.api.answers import JsonAnswer, success
from cronally.api.openapi import DocumentedRoute, one, one_of
from cronally.api.requests import CronjobId, Identifier, Signed, Works, in_body, in_header
from cronally.contract.firings import Firing
from cronally.contract.operations import Operation
from cronally.contract.reading import Reading, refusal
from cronally.contract.replays import Backfill, BackfillTrial, Replay, ReplayMany, ReplayTrial
from cronally.contract.values import IDEMPOTENCY_KEY
from cronally.instants import parse_iso
from cronally.wire import IDEMPOTENCY_KEY_HEADER

replays = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

_REPLAYS = "Replay and backfill"
_Key = Annotated[str | None, in_header(IDEMPOTENCY_KEY_HEADER, IDEMPOTENCY_KEY)]


class _Instant(Identifier):
    """What may stand in a path where an instant belongs."""

    regex = "[0-9A-Za-z:.+-]+"


register_url_convertor("instant", _Instant())


class _ReadFireTime:
    """Reads the fire time in the path. Raises InvalidRequest for one that is no instant."""

    async def __call__(
        self,
        scheduled_at: Annotated[
            str, Path(description="The fire time, as lists of firings show it", min_length=1)
        ],
    ) -> int:
        try:
            return parse_iso(scheduled_at)
        except ValueError as problem:
            raise refusal("scheduled_at", f"is no instant: {problem}") from None


FireTime = Annotated[int, Depends(_ReadFireTime())]
"""The fire time in a path, an instant."""


@replays.post(
    "/cronjob/{cronjob_id:identifier}/firings/{scheduled_at:instant}/replay/",
    tags=[_REPLAYS],
    responses=one(Firing, 409),
)
async def replay_firing(
    caller: Signed,
    sent: Annotated[Reading[Replay], in_body(Replay)],
    cronjob_id: CronjobId,
    scheduled_at: FireTime,
    works: Works,
) -> JsonAnswer:
    """Let one firing that has ended go once more, now."""
    replaying = works.operations.replays
    return success(await replaying.replay_firing(caller, cronjob_id, scheduled_at, sent))


@replays.post("/firings/replay/", tags=[_REPLAYS], responses=one_of((Operation, ReplayTrial), 404))
async def replay_firings(
    caller: Signed, sent: Annotated[Reading[ReplayMany], in_body(ReplayMany)], key: _Key, works: Works
) -> JsonAnswer:
    """Let the firings go once more that filters select, so many a minute."""
    return success(await works.operations.replays.ask(caller, sent, idempotency_key=key))


@replays.post(
    "/cronjob/{cronjob_id:identifier}/backfill/",
    tags=[_REPLAYS],
    responses=one_of((Operation, BackfillTrial), 409),
)
async def backfill_cronjob(
    caller: Signed,
    sent: Annotated[Reading[Backfill], in_body(Backfill)],
    cronjob_id: CronjobId,
    key: _Key,
    works: Works,
) -> JsonAnswer:
    """Make firings of the fire times of a range of the past, so many a minute."""
    return success(await works.operations.backfills.ask(caller, cronjob_id, sent, idempotency_key=key))
