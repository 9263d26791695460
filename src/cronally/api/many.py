"""The endpoints for many cron jobs at a time, and for the operations that these are.

Invariant: as in `routes`.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from starlette.responses import Response

from cronally.api.answers import JsonAnswer, success, success_page
from cronally.api.openapi import DocumentedRoute, a_list_of, one, one_of
from cronally.api.requests import (
    NoParameters,
    OperationId,
    Signed,
    Works,
    in_body,
    in_header,
    in_query,
)
from cronally.contract.bulk import (
    ChangeMany,
    DeleteMany,
    PauseMany,
    ResumeMany,
    RunMany,
    Selecting,
    Selection,
)
from cronally.contract.operations import Operation, OperationPage
from cronally.contract.reading import Reading
from cronally.contract.values import IDEMPOTENCY_KEY
from cronally.wire import IDEMPOTENCY_KEY_HEADER

many = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

_MANY, _OPERATIONS = "Many cron jobs", "Operations"
_OPERATION = "/operation/{operation_id:identifier}/"
_ANSWERS: dict[str, Any] = {"tags": [_MANY], "responses": one_of((Operation, Selection))}

_Filters = Annotated[Reading[Selecting], in_query(Selecting, with_body=True)]
_Key = Annotated[str | None, in_header(IDEMPOTENCY_KEY_HEADER, IDEMPOTENCY_KEY)]


@many.post("/cronjobs/pause/", **_ANSWERS)
async def pause_cronjobs(
    caller: Signed,
    filters: _Filters,
    sent: Annotated[Reading[PauseMany], in_body(PauseMany, with_query=True)],
    key: _Key,
    works: Works,
) -> JsonAnswer:
    """Let the cron jobs that the filters select stand still."""
    bulk = works.operations.bulk
    return success(await bulk.ask(caller, "pause", filters, sent, idempotency_key=key))


@many.post("/cronjobs/resume/", **_ANSWERS)
async def resume_cronjobs(
    caller: Signed,
    filters: _Filters,
    sent: Annotated[Reading[ResumeMany], in_body(ResumeMany, with_query=True)],
    key: _Key,
    works: Works,
) -> JsonAnswer:
    """Let the paused ones of the cron jobs that the filters select fire again."""
    bulk = works.operations.bulk
    return success(await bulk.ask(caller, "resume", filters, sent, idempotency_key=key))


@many.post("/cronjobs/run/", **_ANSWERS)
async def run_cronjobs(
    caller: Signed,
    filters: _Filters,
    sent: Annotated[Reading[RunMany], in_body(RunMany, with_query=True)],
    key: _Key,
    works: Works,
) -> JsonAnswer:
    """Fire each of the cron jobs that the filters select once, in whichever state it is."""
    bulk = works.operations.bulk
    return success(await bulk.ask(caller, "run", filters, sent, idempotency_key=key))


@many.post("/cronjobs/delete/", **_ANSWERS)
async def delete_cronjobs(
    caller: Signed,
    filters: _Filters,
    sent: Annotated[Reading[DeleteMany], in_body(DeleteMany, with_query=True)],
    key: _Key,
    works: Works,
) -> JsonAnswer:
    """Delete the cron jobs that the filters select."""
    bulk = works.operations.bulk
    return success(await bulk.ask(caller, "delete", filters, sent, idempotency_key=key))


@many.post("/cronjobs/change/", **_ANSWERS)
async def change_cronjobs(
    caller: Signed,
    filters: _Filters,
    sent: Annotated[Reading[ChangeMany], in_body(ChangeMany, with_query=True)],
    key: _Key,
    works: Works,
) -> JsonAnswer:
    """Change policies, or the time zone, of the cron jobs that the filters select."""
    bulk = works.operations.bulk
    return success(await bulk.ask(caller, "change", filters, sent, idempotency_key=key))


@many.get("/operations/", tags=[_OPERATIONS], responses=a_list_of(Operation))
async def list_operations(
    caller: Signed, page: Annotated[Reading[OperationPage], in_query(OperationPage)], works: Works
) -> Response:
    """List the account's operations, newest first."""
    return success_page(await works.operations.tracking.list_operations(caller, page))


@many.get(_OPERATION, tags=[_OPERATIONS], responses=one(Operation, 404))
async def get_operation(
    caller: Signed, _nothing: NoParameters, operation_id: OperationId, works: Works
) -> JsonAnswer:
    """Show an operation: how far it is, and what went wrong."""
    return success(await works.operations.tracking.get_operation(caller, operation_id))


@many.delete(_OPERATION, tags=[_OPERATIONS], responses=one(Operation, 404))
async def cancel_operation(
    caller: Signed, _nothing: NoParameters, operation_id: OperationId, works: Works
) -> JsonAnswer:
    """Cancel an operation: what is done stays done. One that has ended stays as it is."""
    return success(await works.operations.tracking.cancel_operation(caller, operation_id))
