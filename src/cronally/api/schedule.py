"""`/schedule/`: what an expression will fire, for anybody who asks."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from cronally.api.addresses import Addresses
from cronally.api.answers import success
from cronally.api.parameters import read_query, refuse_body
from cronally.api.rate import Rate
from cronally.operations import Operations


class Schedule:
    """The endpoints."""

    def __init__(
        self, operations: Operations, addresses: Addresses, rate: Rate, clock: Callable[[], int]
    ) -> None:
        """
        :param clock: the server's time, an instant
        """
        self._operations = operations
        self._addresses = addresses
        self._rate = rate
        self._clock = clock

    async def preview(self, request: Request) -> Response:
        """`GET /schedule/preview/`"""
        self._rate.count(self._addresses.limited(request.scope))
        await refuse_body(request)
        given = read_query(request)
        return success(
            self._operations.preview_expression(given.values, unusable=given.unusable, now=self._clock())
        )
