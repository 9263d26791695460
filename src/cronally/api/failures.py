"""Whatever goes wrong becomes an answer.

Invariant: an error of the server's own is logged with an id and answered with that id, and nothing of it but the id
leaves the server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cronally import errors
from cronally.api.addresses import Addresses
from cronally.api.answers import failure, of_status
from cronally.api.lines import TooManyWait
from cronally.api.refusals import LINE_FULL, Refusals
from cronally.api.refused import RefusedRequests
from cronally.api.request_ids import request_id_of
from cronally.api.requests import CALLER

_log = logging.getLogger(__name__)

Handler = Callable[[Request, Any], Any]

_NOTED: Final = (errors.Unauthorized, errors.Forbidden, errors.RateLimited, TooManyWait)
"""What an operator may want to know of."""


class InternalErrors:
    """ASGI middleware: logs and answers what no other part answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def observe(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, observe)
        except ClientDisconnect:
            return
        except Exception:
            error_id = uuid4().hex
            route = scope.get("route")
            _log.exception(
                "a request failed",
                extra={
                    "error_id": error_id,
                    "request_id": request_id_of(scope),
                    "method": scope.get("method"),
                    "route": None if route is None else route.path,
                },
            )
            if started:
                raise
            await failure(errors.InternalError(), error_id=error_id)(scope, receive, send)


def request_error_handler(
    clock: Callable[[], int], refusals: Refusals, addresses: Addresses, refused: RefusedRequests
) -> Handler:
    """Answers what operations, authentication and the parser raise.

    :param clock: the server's time, which a 401 shows
    :param refused: is told of what an account may not do
    """

    async def handle(request: Request, error: errors.RequestError) -> Response:
        if isinstance(error, _NOTED):
            refusals.note(
                LINE_FULL if isinstance(error, TooManyWait) else error.code, addresses.limited(request.scope)
            )
        if isinstance(error, errors.Forbidden) and CALLER in request.scope:
            refused.note(request.scope[CALLER], request, error)
        return failure(error, now=clock() if isinstance(error, errors.Unauthorized) else None)

    return handle


def routing_error_handler(routes: list[BaseRoute]) -> Handler:
    """Answers what the router raises: 404, and 405 with the methods of all routes of the path."""

    async def handle(request: Request, error: HTTPException) -> Response:
        allow = None
        if error.status_code == errors.MethodNotAllowed.status:
            allow = ", ".join(sorted(_methods_of(routes, request.scope)))
        return of_status(error.status_code, allow)

    return handle


def _methods_of(routes: list[BaseRoute], scope: Scope) -> set[str]:
    methods: set[str] = set()
    for route in routes:
        if route.matches(scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return methods
