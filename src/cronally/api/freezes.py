"""The endpoints for freezes: everything that a selector names stands still until an instant.

Invariant: as in `routes`.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from cronally.api.answers import JsonAnswer, success, success_page
from cronally.api.openapi import DocumentedRoute, a_list_of, one
from cronally.api.requests import FreezeId, NoParameters, Signed, Works, in_body, in_header
from cronally.contract.freezes import Freeze, NewFreeze
from cronally.contract.reading import Reading
from cronally.contract.values import IDEMPOTENCY_KEY
from cronally.wire import IDEMPOTENCY_KEY_HEADER

freezes = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

_FREEZES = "Freezes"
_FREEZE = "/freeze/{freeze_id:identifier}/"


@freezes.post("/freeze/", tags=[_FREEZES], responses=one(Freeze, 403))
async def create_freeze(
    caller: Signed,
    new: Annotated[Reading[NewFreeze], in_body(NewFreeze)],
    idempotency_key: Annotated[str | None, in_header(IDEMPOTENCY_KEY_HEADER, IDEMPOTENCY_KEY)],
    works: Works,
) -> JsonAnswer:
    """Let everything of a tag, a host or the account stand still until an instant."""
    freezing = works.operations.freezing
    return success(await freezing.freeze(caller, new, idempotency_key=idempotency_key))


@freezes.get("/freezes/", tags=[_FREEZES], responses=a_list_of(Freeze))
async def list_freezes(caller: Signed, _nothing: NoParameters, works: Works) -> Response:
    """List the account's freezes, those in force first, then the newest."""
    return success_page(await works.operations.freezing.list_freezes(caller))


@freezes.get(_FREEZE, tags=[_FREEZES], responses=one(Freeze))
async def get_freeze(caller: Signed, _nothing: NoParameters, freeze_id: FreezeId, works: Works) -> JsonAnswer:
    """Show a freeze."""
    return success(await works.operations.freezing.get_freeze(caller, freeze_id))


@freezes.delete(_FREEZE, tags=[_FREEZES], responses=one(Freeze))
async def lift_freeze(
    caller: Signed, _nothing: NoParameters, freeze_id: FreezeId, works: Works
) -> JsonAnswer:
    """Lift a freeze: what it holds goes out at once."""
    return success(await works.operations.freezing.lift(caller, freeze_id))
