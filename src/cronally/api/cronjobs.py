"""`/cronjob/` and `/cronjobs/`: a tenant's cron jobs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from cronally.api.answers import success, success_page
from cronally.api.authenticate import Authenticator
from cronally.api.parameters import read_form_or_json, read_nothing, read_query, refuse_body
from cronally.operations import Operations
from cronally.wire import IDEMPOTENCY_KEY_HEADER


class Cronjobs:
    """The endpoints."""

    def __init__(self, operations: Operations, authenticate: Authenticator) -> None:
        self._operations = operations
        self._authenticate = authenticate

    async def create(self, request: Request) -> Response:
        """`POST /cronjob/`"""
        caller = await self._authenticate(request)
        given = await read_form_or_json(request)
        # Sent twice, they are read as one that no key can be, and refused as that.
        keys = request.headers.getlist(IDEMPOTENCY_KEY_HEADER)
        cronjob = await self._operations.create_cronjob(
            caller.account_id,
            given.values,
            unusable=given.unusable,
            idempotency_key=", ".join(keys) if keys else None,
        )
        return success(cronjob)

    async def list(self, request: Request) -> Response:
        """`GET /cronjobs/`"""
        caller = await self._authenticate(request)
        await refuse_body(request)
        given = read_query(request)
        page = await self._operations.list_cronjobs(caller.account_id, given.values, unusable=given.unusable)
        return success_page(page.items, page.next_cursor)

    async def get(self, request: Request) -> Response:
        """`GET /cronjob/<cronjob_id>/`"""
        caller = await self._authenticate(request)
        await read_nothing(request)
        cronjob_id = request.path_params["cronjob_id"]
        return success(await self._operations.get_cronjob(caller.account_id, cronjob_id))

    async def preview(self, request: Request) -> Response:
        """`GET /cronjob/<cronjob_id>/preview/`"""
        caller = await self._authenticate(request)
        await refuse_body(request)
        given = read_query(request)
        cronjob_id = request.path_params["cronjob_id"]
        preview = await self._operations.preview_cronjob(
            caller.account_id, cronjob_id, given.values, unusable=given.unusable
        )
        return success(preview)

    async def explain(self, request: Request) -> Response:
        """`GET /cronjob/<cronjob_id>/explain/`"""
        caller = await self._authenticate(request)
        await refuse_body(request)
        given = read_query(request)
        cronjob_id = request.path_params["cronjob_id"]
        explanation = await self._operations.explain_cronjob(
            caller.account_id, cronjob_id, given.values, unusable=given.unusable
        )
        return success(explanation)

    async def update(self, request: Request) -> Response:
        """`PATCH /cronjob/<cronjob_id>/`"""
        caller = await self._authenticate(request)
        given = await read_form_or_json(request)
        cronjob_id = request.path_params["cronjob_id"]
        cronjob = await self._operations.update_cronjob(
            caller.account_id, cronjob_id, given.values, unusable=given.unusable
        )
        return success(cronjob)

    async def delete(self, request: Request) -> Response:
        """`DELETE /cronjob/<cronjob_id>/`"""
        caller = await self._authenticate(request)
        await read_nothing(request)
        cronjob_id = request.path_params["cronjob_id"]
        return success(await self._operations.delete_cronjob(caller.account_id, cronjob_id))
