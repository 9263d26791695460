"""How many requests there are and how long they take; and the page on which a scraper reads that.

Invariant: a label is a route's template, a method or a status, never what a client sent. The page is for this
machine alone: an operator who scrapes from elsewhere lets a collector on this machine, or a proxy rule, do it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cronally import errors
from cronally.api.addresses import is_from_this_machine

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


class Metrics:
    """ASGI middleware, outside of everything else."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._requests = Counter(
            "cronally_http_requests", "Requests answered", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "cronally_http_request_seconds",
            "From a request's head to the last byte of its answer",
            ["route"],
            buckets=BUCKETS,
            registry=registry,
        )
        # The registry's own look-up of a child costs more than the rest.
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        began = time.perf_counter()

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, observe)
        finally:
            self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        path = "none" if route is None else route.path_format.rstrip("/") or "/"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        key = (method, path, status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._requests.labels(method, path, str(status))
        counter.inc()
        timer = self._timers.get(path)
        if timer is None:
            timer = self._timers[path] = self._seconds.labels(path)
        timer.observe(seconds)


class MetricsPage:
    """`GET /metrics`: what the API counts, and what others of the same server do."""

    def __init__(self, registry: CollectorRegistry, others: Callable[[], Awaitable[bytes]]) -> None:
        """
        :param others: their page; none of its families may be one of the API's
        """
        self._registry = registry
        self._others = others

    async def __call__(self, request: Request) -> Response:
        if not is_from_this_machine(request.scope):
            raise errors.NotFound()
        page = await self._others() + generate_latest(self._registry)
        return Response(page, media_type=CONTENT_TYPE_LATEST)
