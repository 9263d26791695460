"""The endpoints for the audit log of an account.

Invariant: as in `routes`.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from cronally.api.answers import JsonAnswer, success, success_page
from cronally.api.openapi import DocumentedRoute, a_list_of, one
from cronally.api.requests import NoParameters, Signed, Works, in_query
from cronally.contract.audit import AuditEnds, AuditPage, AuditRow
from cronally.contract.reading import Reading

auditing = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

_AUDIT = "Audit log"


@auditing.get("/account/audit/", tags=[_AUDIT], responses=a_list_of(AuditRow))
async def list_audit(
    caller: Signed, page: Annotated[Reading[AuditPage], in_query(AuditPage)], works: Works
) -> Response:
    """List what was done in the account, newest first."""
    return success_page(await works.operations.auditing.list_audit(caller, page))


@auditing.get("/account/audit/ends/", tags=[_AUDIT], responses=one(AuditEnds))
async def get_audit_ends(caller: Signed, _nothing: NoParameters, works: Works) -> JsonAnswer:
    """Show where the log begins and ends, to check that it is whole."""
    return success(await works.operations.auditing.get_ends(caller))
