"""The ASGI application: which endpoint answers where, and what stands around them.

Invariant: from the outside in: metrics, internal errors, limits, routing, then the endpoint, which authenticates
before it reads anything of the body. That is the order of checks that the wire facts fix.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from cronally import __version__, errors
from cronally.api import documentation as documented
from cronally.api import schemas
from cronally.api.accounts import Accounts, Signup
from cronally.api.addresses import Addresses, Network
from cronally.api.answers import JsonAnswer
from cronally.api.authenticate import Authenticator
from cronally.api.cronjobs import Cronjobs
from cronally.api.docs import docs_page
from cronally.api.failures import InternalErrors, request_error_handler, routing_error_handler
from cronally.api.firings import Firings
from cronally.api.health import Readiness, get_healthz
from cronally.api.limits import Limits
from cronally.api.metrics import Metrics, MetricsPage
from cronally.api.rate import Rate
from cronally.api.schedule import Schedule
from cronally.instants import MINUTE
from cronally.operations import Operations

Endpoint = Callable[[Request], Awaitable[Response]]


def machine_clock() -> int:
    """The instant by this machine's clock."""
    return time.time_ns() // 1000


def create_app(
    operations: Operations,
    *,
    signup: Signup | None = None,
    signature_skew: int = 5 * MINUTE,
    trusted_proxies: Iterable[Network] = (),
    previews_per_minute: int = 60,
    requests_per_minute: int = 6000,
    clock: Callable[[], int] = machine_clock,
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """The API over these operations.

    :param signup: who may create an account; anybody by default
    :param signature_skew: how far the date of a request may be from the server's time, in microseconds
    :param trusted_proxies: whose `X-Forwarded-For` is believed
    :param previews_per_minute: how many previews of expressions one address may ask this process for
    :param requests_per_minute: how many signed requests one account may make to this process
    :param clock: the server's time, an instant; the database's, where there is a cluster
    :param registry: what `/metrics` shows; the API's own counters are added to it
    """
    registry = CollectorRegistry() if registry is None else registry
    app = FastAPI(
        title="Cronally",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(Metrics, registry=registry),
            Middleware(InternalErrors),
            Middleware(Limits),
        ],
    )
    app.add_exception_handler(errors.RequestError, request_error_handler(clock))
    app.add_exception_handler(HTTPException, routing_error_handler(app.router.routes))
    authenticate = Authenticator(operations, clock, signature_skew, Rate(requests_per_minute))
    addresses = Addresses(trusted_proxies)
    _add_accounts(app, Accounts(operations, authenticate, signup or Signup(), addresses))
    cronjobs = Cronjobs(operations, authenticate)
    _add_cronjobs(app, cronjobs)
    _add_schedule(app, Schedule(operations, addresses, Rate(previews_per_minute), clock), cronjobs)
    _add_firings(app, Firings(operations, authenticate))
    _add_health(app, Readiness(operations))
    _add_undocumented(app, registry)
    return app


class _Identifier(Convertor[str]):
    """What may stand in a path where an id belongs. Anything else is a path that does not exist."""

    regex = "[0-9A-Za-z-]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("identifier", _Identifier())


def _add_accounts(app: FastAPI, accounts: Accounts) -> None:
    account = schemas.one("Account")
    _add(
        app,
        "POST",
        "/account/",
        accounts.create,
        "Create an account",
        "Accounts",
        documented.operation(
            account,
            signed=False,
            parameters=(documented.SIGNUP_TOKEN,),
            body=schemas.ACCOUNT_PARAMETERS,
            failures=(401, 403, 429),
        ),
    )
    _add(
        app,
        "GET",
        "/account/",
        accounts.get,
        "Show the account of the API key",
        "Accounts",
        documented.operation(account),
    )


def _add_cronjobs(app: FastAPI, cronjobs: Cronjobs) -> None:
    cronjob, tag, path = schemas.one("Cronjob"), "Cron jobs", "/cronjob/{cronjob_id:identifier}/"
    by_id = (documented.CRONJOB_ID,)
    _add(
        app,
        "GET",
        "/cronjobs/",
        cronjobs.list,
        "List the account's cron jobs, oldest first; all of them without limit and cursor",
        tag,
        documented.operation(schemas.page("Cronjob"), parameters=(documented.LIMIT, documented.CURSOR)),
    )
    _add(
        app,
        "POST",
        "/cronjob/",
        cronjobs.create,
        "Create a cron job",
        tag,
        documented.operation(
            cronjob,
            parameters=(documented.IDEMPOTENCY_KEY,),
            body=schemas.CRONJOB_PARAMETERS,
            failures=(403,),
        ),
    )
    _add(
        app,
        "GET",
        path,
        cronjobs.get,
        "Show a cron job",
        tag,
        documented.operation(cronjob, parameters=by_id, failures=(404,)),
    )
    _add(
        app,
        "PATCH",
        path,
        cronjobs.update,
        "Change a cron job; what is not given stays",
        tag,
        documented.operation(cronjob, parameters=by_id, body=schemas.CRONJOB_CHANGES, failures=(404,)),
    )
    _add(
        app,
        "DELETE",
        path,
        cronjobs.delete,
        "Delete a cron job; its secret is erased, its firings stay in the ledger",
        tag,
        documented.operation(cronjob, parameters=by_id, failures=(404,)),
    )


def _add_schedule(app: FastAPI, schedule: Schedule, cronjobs: Cronjobs) -> None:
    tag, path = "Said beforehand, and explained", "/cronjob/{cronjob_id:identifier}/"
    by_id, window = documented.CRONJOB_ID, documented.WINDOW
    _add(
        app,
        "GET",
        "/schedule/preview/",
        schedule.preview,
        "Show when an expression will fire, as of a cron job that is created after the instant `after`",
        tag,
        documented.operation(
            schemas.one("Preview"),
            signed=False,
            parameters=(*documented.TIMING, *window, documented.SPREAD_ID),
            failures=(429,),
        ),
    )
    _add(
        app,
        "GET",
        f"{path}preview/",
        cronjobs.preview,
        "Show when a cron job will fire",
        tag,
        documented.operation(schemas.one("CronjobPreview"), parameters=(by_id, *window), failures=(404,)),
    )
    _add(
        app,
        "GET",
        f"{path}explain/",
        cronjobs.explain,
        "Tell why a cron job, deleted or not, did or did not fire at an instant",
        tag,
        documented.operation(schemas.one("Explanation"), parameters=(by_id, documented.AT), failures=(404,)),
    )


def _add_firings(app: FastAPI, firings: Firings) -> None:
    page, window = schemas.page("Firing"), (documented.LIMIT, documented.CURSOR)
    _add(
        app,
        "GET",
        "/cronjob/{cronjob_id:identifier}/firings/",
        firings.list_of_cronjob,
        "List the firings of a cron job, newest first",
        "Firings",
        documented.operation(page, parameters=(documented.CRONJOB_ID, *window), failures=(404,)),
    )
    _add(
        app,
        "GET",
        "/account/firings/",
        firings.list,
        "List the account's firings, newest first",
        "Firings",
        documented.operation(page, parameters=(documented.OF_CRONJOB, *window), failures=(404,)),
    )


def _add_health(app: FastAPI, readiness: Readiness) -> None:
    for path, endpoint, summary, answer in (
        ("/healthz/", get_healthz, "Whether the process lives", "Health"),
        ("/readyz/", readiness, "Whether the database answers, and how the engine stands", "Readiness"),
    ):
        _add(
            app,
            "GET",
            path,
            endpoint,
            summary,
            "Health",
            documented.operation(schemas.one(answer), signed=False),
        )


def _add_undocumented(app: FastAPI, registry: CollectorRegistry) -> None:
    described: dict[str, Any] = {}

    async def get_openapi(_request: Request) -> Response:
        if not described:
            described.update(documented.describe(app))
        return JsonAnswer(described)

    async def get_docs(_request: Request) -> Response:
        if not described:
            described.update(documented.describe(app))
        return docs_page(described)

    _add(app, "GET", "/openapi.json/", get_openapi)
    _add(app, "GET", "/docs/", get_docs)
    _add(app, "GET", "/metrics/", MetricsPage(registry))


def _add(
    app: FastAPI,
    method: str,
    path: str,
    endpoint: Endpoint,
    summary: str | None = None,
    tag: str | None = None,
    documentation: dict[str, Any] | None = None,
) -> None:
    """Let an endpoint answer; one for GET answers HEAD too.

    :param path: with a slash at its end; `limits` adds it where a client leaves it out
    """
    words = path.replace(":identifier", "").strip("/").replace("{", "").replace("}", "").replace("/", "_")
    app.add_api_route(
        path,
        endpoint,
        methods=[method],
        summary=summary,
        tags=[tag] if tag else None,
        operation_id=f"{method.lower()}_{words.replace('.', '_')}",
        openapi_extra=documentation,
        include_in_schema=documentation is not None,
        response_model=None,
    )
    if method == "GET":
        app.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False, response_model=None)
