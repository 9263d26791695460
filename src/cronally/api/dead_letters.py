"""The endpoints of dead letters.

Invariant: as in `routes`.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from cronally.api.answers import JsonAnswer, success, success_firings
from cronally.api.openapi import DocumentedRoute, a_list_of_firings, one
from cronally.api.replays import FireTime
from cronally.api.requests import CronjobId, Signed, Works, in_body, in_query
from cronally.contract.dead_letters import DeadLetterQuery, Discard, Discarded, DiscardMany
from cronally.contract.firings import Firing
from cronally.contract.reading import Reading

dead_letters = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

_DEAD_LETTERS = "Dead letters"


@dead_letters.get("/account/dead-letters/", tags=[_DEAD_LETTERS], responses=a_list_of_firings(404))
async def list_dead_letters(
    caller: Signed, page: Annotated[Reading[DeadLetterQuery], in_query(DeadLetterQuery)], works: Works
) -> Response:
    """List the firings that have failed and are not discarded, newest first or oldest first."""
    return success_firings(await works.operations.dead_letters.list_dead_letters(caller, page), page)


@dead_letters.post("/account/dead-letters/discard/", tags=[_DEAD_LETTERS], responses=one(Discarded, 404))
async def discard_firings(
    caller: Signed, sent: Annotated[Reading[DiscardMany], in_body(DiscardMany)], works: Works
) -> JsonAnswer:
    """Discard the dead letters that filters select: they leave the list, and stay in the ledger."""
    return success(await works.operations.dead_letters.discard_firings(caller, sent))


@dead_letters.post(
    "/cronjob/{cronjob_id:identifier}/firings/{scheduled_at:instant}/discard/",
    tags=[_DEAD_LETTERS],
    responses=one(Firing, 409),
)
async def discard_firing(
    caller: Signed,
    sent: Annotated[Reading[Discard], in_body(Discard)],
    cronjob_id: CronjobId,
    scheduled_at: FireTime,
    works: Works,
) -> JsonAnswer:
    """Discard one dead letter, with a note: it leaves the list, and stays in the ledger."""
    return success(await works.operations.dead_letters.discard_firing(caller, cronjob_id, scheduled_at, sent))
