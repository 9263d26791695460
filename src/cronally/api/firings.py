"""`/cronjob/<cronjob_id>/firings/` and `/account/firings/`: the ledger, newest first."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from cronally.api.answers import success_page
from cronally.api.authenticate import Authenticator
from cronally.api.parameters import read_query, refuse_body
from cronally.operations import Operations


class Firings:
    """The endpoints."""

    def __init__(self, operations: Operations, authenticate: Authenticator) -> None:
        self._operations = operations
        self._authenticate = authenticate

    async def list(self, request: Request) -> Response:
        """`GET /account/firings/`"""
        caller = await self._authenticate(request)
        await refuse_body(request)
        given = read_query(request)
        page = await self._operations.list_firings(caller.account_id, given.values, unusable=given.unusable)
        return success_page(page.items, page.next_cursor)

    async def list_of_cronjob(self, request: Request) -> Response:
        """`GET /cronjob/<cronjob_id>/firings/`"""
        caller = await self._authenticate(request)
        await refuse_body(request)
        given = read_query(request)
        page = await self._operations.list_firings_of_cronjob(
            caller.account_id, request.path_params["cronjob_id"], given.values, unusable=given.unusable
        )
        return success_page(page.items, page.next_cursor)
