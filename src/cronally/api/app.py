"""The ASGI application: which endpoint answers where, and what stands around them.

Invariant: from the outside in: metrics, the notice, internal errors, turns, limits, host, memory, routing, then the
endpoint, which authenticates before it reads anything of the body. That is the order of checks that the wire facts fix.
Turns stand outside of all checks: a refusal costs time too.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from functools import cache, partial
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from cronally import __version__, errors
from cronally.api.acknowledging import acknowledging
from cronally.api.addresses import Addresses, Network
from cronally.api.alert_rules import alert_rules
from cronally.api.answers import JsonAnswer
from cronally.api.auditing import auditing
from cronally.api.authenticate import Authenticator
from cronally.api.channels import channels
from cronally.api.confirming import confirming
from cronally.api.connecting import connecting
from cronally.api.connections import Connections
from cronally.api.dead_letters import dead_letters
from cronally.api.docs import docs_page
from cronally.api.failures import InternalErrors, request_error_handler, routing_error_handler
from cronally.api.freezes import freezes
from cronally.api.health import Readiness
from cronally.api.hosts import CheckHost
from cronally.api.key_pages import key_pages
from cronally.api.keys import keys
from cronally.api.limits import Limits
from cronally.api.mailed_links import mailed_links
from cronally.api.many import many
from cronally.api.metrics import Metrics, MetricsPage
from cronally.api.notices import KnownNotice, ShowNotice
from cronally.api.openapi import describe
from cronally.api.permissions import check_declared
from cronally.api.protocol import BoundedProtocol
from cronally.api.proving import proving
from cronally.api.rate import Rate, per_minute
from cronally.api.refusals import LINE_FULL, Refusals
from cronally.api.refused import RefusedRequests
from cronally.api.replays import replays
from cronally.api.request_ids import RequestIds
from cronally.api.requests import Services
from cronally.api.routes import HEALTH, router
from cronally.api.short import RefuseWhileShort
from cronally.api.signup import Signup
from cronally.api.take_turns import TakeTurns
from cronally.api.turns import Turns
from cronally.instants import MINUTE
from cronally.operations import Operations

ACKS_OF_FIRING: Final = 60
"""Words of one firing that this process hears in a minute."""
_CONFIRMATIONS_PER_MINUTE: Final = 60
"""Pages that confirm an address, from one address."""

Endpoint = Callable[[Request], Awaitable[Response]]


def machine_clock() -> int:
    """The instant by this machine's clock."""
    return time.time_ns() // 1000


async def nothing() -> bytes:
    """A page of metrics on which there is nothing."""
    return b""


def create_app(
    operations: Operations,
    *,
    signup: Signup | None = None,
    signature_skew: int = 5 * MINUTE,
    trusted_proxies: Iterable[Network] = (),
    previews_per_minute: int = 60,
    key_pages_per_minute: int = 300,
    acks_per_minute: int = 6000,
    requests_per_minute: int = 6000,
    request_seconds_per_minute: int = 15,
    connections: int = 1000,
    connections_per_address: int = 100,
    hosts: Iterable[str] = (),
    is_short: Callable[[], bool] = lambda: False,
    clock: Callable[[], int] = machine_clock,
    stopwatch: Callable[[], float] = time.perf_counter,
    monotonic: Callable[[], float] = time.monotonic,
    give_way: Callable[[], None] = lambda: None,
    registry: CollectorRegistry | None = None,
    shown: Callable[[], Awaitable[bytes]] = nothing,
    only_health: bool = False,
) -> FastAPI:
    """The API over these operations.

    :param signup: who may create an account; anybody by default
    :param signature_skew: how far the date of a request may be from the server's time, in microseconds
    :param trusted_proxies: whose `X-Forwarded-For` is believed
    :param previews_per_minute: how many previews of expressions one address may ask this process for
    :param key_pages_per_minute: how many key pages one address may ask this process for
    :param acks_per_minute: how many acknowledgements one address may send to this process
    :param requests_per_minute: how many signed requests one account may make to this process
    :param request_seconds_per_minute: how much of this process's time for requests they may use
    :param connections: how many there may be at a time
    :param connections_per_address: how many of them one address may have
    :param hosts: the names that the server answers to, as `hosts.read_host` returns them
    :param is_short: whether the process is short of memory, so that new requests are refused
    :param clock: the server's time, an instant; the database's, where there is a cluster
    :param stopwatch: measures requests, in seconds
    :param monotonic: seconds, by which what is known of API keys grows old
    :param give_way: called before each step of a request, and may make the thread stand still
    :param registry: the API's own counters are added to it
    :param shown: what `/metrics` shows besides the API's own counters
    :param only_health: whether it answers nothing but `/healthz`, `/readyz` and `/metrics`
    """
    registry = CollectorRegistry() if registry is None else registry
    refusals, addresses = Refusals(registry), Addresses(trusted_proxies)
    refused = RefusedRequests(operations, addresses, time.monotonic)
    kept = Connections(refusals, addresses, most=connections, per_address=connections_per_address)
    notice = KnownNotice(operations.noticing.read)
    app = FastAPI(
        title="Cronally",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(Metrics, registry=registry),
            Middleware(RequestIds),
            Middleware(ShowNotice, known=notice),
            Middleware(InternalErrors),
            Middleware(
                TakeTurns,
                turns=Turns(stopwatch),
                addresses=addresses,
                is_known=kept.is_known,
                give_way=give_way,
                refused=partial(refusals.note, LINE_FULL),
                is_blocked=kept.is_blocked,
            ),
            Middleware(Limits),
            Middleware(CheckHost, names=hosts, refusals=refusals, addresses=addresses),
            Middleware(RefuseWhileShort, is_short=is_short),
        ],
    )
    app.add_exception_handler(errors.RequestError, request_error_handler(clock, refusals, addresses, refused))
    app.add_exception_handler(HTTPException, routing_error_handler(app.router.routes))
    app.state.connections = kept
    app.state.refused = refused
    app.state.services = Services(
        operations=operations,
        authenticate=Authenticator(
            operations,
            clock,
            signature_skew,
            requests_per_minute,
            request_seconds_per_minute,
            refused.note,
            monotonic,
        ),
        signup=signup or Signup(),
        addresses=addresses,
        previews=Rate(per_minute("previews", previews_per_minute)),
        key_pages=Rate(per_minute("key-pages", key_pages_per_minute)),
        acks=Rate(per_minute("acknowledgements", acks_per_minute)),
        acks_of_firing=Rate(per_minute("acknowledgements-of-firing", ACKS_OF_FIRING)),
        refusals=refusals,
        confirmations=Rate(per_minute("confirmations", _CONFIRMATIONS_PER_MINUTE)),
        readiness=Readiness(operations, app.state.connections),
        connections=app.state.connections,
        refused=refused,
        clock=clock,
        notice=notice,
    )
    # Not `include_router`: it would put a router between, and a 405 could not list the methods of a path.
    routes = [
        *router.routes,
        *many.routes,
        *freezes.routes,
        *replays.routes,
        *connecting.routes,
        *dead_letters.routes,
        *key_pages.routes,
        *acknowledging.routes,
        *proving.routes,
        *auditing.routes,
        *alert_rules.routes,
        *confirming.routes,
        *channels.routes,
        *mailed_links.routes,
        *keys.routes,
    ]
    routes = [route for route in routes if not only_health or HEALTH in getattr(route, "tags", ())]
    check_declared(routes)
    app.router.routes.extend(routes)
    for route in routes:
        if isinstance(route, APIRoute) and route.methods == {"GET"}:
            app.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)
    _add_page(app, "/metrics/", MetricsPage(registry, shown))
    if not only_health:
        _add_docs(app)
    return app


def protocol_of(app: FastAPI) -> Any:
    """The protocol that serves this application: give it to uvicorn as `http=`."""
    return partial(BoundedProtocol, connections=app.state.connections)


def _add_page(app: FastAPI, path: str, endpoint: Endpoint) -> None:
    app.add_api_route(path, endpoint, methods=["GET", "HEAD"], include_in_schema=False, response_model=None)


def _add_docs(app: FastAPI) -> None:
    @cache
    def described() -> dict[str, Any]:
        return describe(app)

    # Made once: anybody may ask for them as often as he likes.
    @cache
    def openapi() -> Response:
        return JsonAnswer(described())

    @cache
    def docs() -> Response:
        return docs_page(described())

    async def get_openapi(_request: Request) -> Response:
        return openapi()

    async def get_docs(_request: Request) -> Response:
        return docs()

    _add_page(app, "/openapi.json/", get_openapi)
    _add_page(app, "/docs/", get_docs)
