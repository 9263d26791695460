"""What each route needs of the key that asks: one scope, and what it is about. And from where a key may be used.

Invariant: every route that is signed stands here once, or the application is not made (`app`). It is looked at before
anything of the request's parameters is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import BaseRoute

from cronally import errors
from cronally.api.addresses import Address
from cronally.contract.keys import Scope
from cronally.operations import Access, Caller, Reach

READ, WRITE, RUN, KEYS = Scope.READ, Scope.WRITE, Scope.RUN, Scope.KEYS
_CRONJOB: Final = "/cronjob/{cronjob_id:identifier}/"
_FIRING: Final = f"{_CRONJOB}firings/{{scheduled_at:instant}}/"
_CALENDAR: Final = "/calendar/{name:calendar}/"
_OPERATION: Final = "/operation/{operation_id:identifier}/"
_FREEZE: Final = "/freeze/{freeze_id:identifier}/"
_CONNECTION: Final = "/connection/{connection_id:connection}/"
_HOST: Final = "/account/hosts/{host:host}/"
_CHANNEL: Final = "/channel/{channel_id:channel}/"
_RULE: Final = "/rule/{rule_id:identifier}/"
_KEY: Final = "/key/{key_id:key}/"

ACCESS: Final[Mapping[tuple[str, str], Access]] = {
    (method, path): Access(scope, reach)
    for reach, routes in {
        Reach.CRONJOB: (
            (READ, "GET", _CRONJOB),
            (WRITE, "PATCH", _CRONJOB),
            (WRITE, "DELETE", _CRONJOB),
            (RUN, "POST", f"{_CRONJOB}verify/"),
            (RUN, "POST", f"{_CRONJOB}run/"),
            (WRITE, "POST", f"{_CRONJOB}pause/"),
            (WRITE, "POST", f"{_CRONJOB}resume/"),
            (READ, "GET", f"{_CRONJOB}preview/"),
            (READ, "GET", f"{_CRONJOB}explain/"),
            (READ, "GET", f"{_CRONJOB}render/"),
            (READ, "GET", f"{_CRONJOB}firings/"),
            (RUN, "POST", f"{_FIRING}replay/"),
            (WRITE, "POST", f"{_FIRING}discard/"),
            (RUN, "POST", f"{_CRONJOB}backfill/"),
        ),
        Reach.CHOSEN: (
            (READ, "GET", "/cronjobs/"),
            (WRITE, "POST", "/cronjob/"),
            (WRITE, "PUT", "/cronjob/by-name/{name:name}/"),
            (READ, "GET", "/account/firings/"),
            (WRITE, "POST", "/cronjobs/pause/"),
            (WRITE, "POST", "/cronjobs/resume/"),
            (RUN, "POST", "/cronjobs/run/"),
            (WRITE, "POST", "/cronjobs/delete/"),
            (WRITE, "POST", "/cronjobs/change/"),
            (READ, "GET", "/operations/"),
            (READ, "GET", _OPERATION),
            (WRITE, "DELETE", _OPERATION),
            (WRITE, "POST", "/freeze/"),
            (WRITE, "DELETE", _FREEZE),
            (RUN, "POST", "/firings/replay/"),
            (READ, "GET", "/account/dead-letters/"),
            (WRITE, "POST", "/account/dead-letters/discard/"),
        ),
        Reach.SHARED: (
            (READ, "GET", "/account/"),
            (READ, "GET", "/calendars/"),
            (READ, "GET", _CALENDAR),
            (READ, "GET", "/freezes/"),
            (READ, "GET", _FREEZE),
        ),
        Reach.ACCOUNT: (
            (WRITE, "PATCH", "/account/"),
            (KEYS, "DELETE", "/account/"),
            (READ, "GET", "/account/forecast/"),
            (READ, "GET", "/account/audit/"),
            (READ, "GET", "/account/audit/ends/"),
            (WRITE, "PUT", _CALENDAR),
            (WRITE, "DELETE", _CALENDAR),
            (WRITE, "POST", "/connection/"),
            (READ, "GET", "/connections/"),
            (READ, "GET", _CONNECTION),
            (WRITE, "PATCH", _CONNECTION),
            (RUN, "POST", f"{_CONNECTION}verify/"),
            (WRITE, "DELETE", _CONNECTION),
            (WRITE, "POST", "/account/hosts/"),
            (READ, "GET", "/account/hosts/"),
            (WRITE, "POST", f"{_HOST}verify/"),
            (WRITE, "DELETE", _HOST),
            (WRITE, "POST", "/rule/"),
            (READ, "GET", "/rules/"),
            (READ, "GET", _RULE),
            (WRITE, "PATCH", _RULE),
            (WRITE, "DELETE", _RULE),
            (KEYS, "POST", "/key/"),
            (KEYS, "GET", "/account/keys/"),
            (KEYS, "GET", _KEY),
            (KEYS, "PATCH", _KEY),
            (KEYS, "DELETE", _KEY),
            (KEYS, "POST", f"{_KEY}rotate/"),
            (WRITE, "POST", "/channel/"),
            (READ, "GET", "/channels/"),
            (READ, "GET", _CHANNEL),
            (WRITE, "PATCH", _CHANNEL),
            (WRITE, "DELETE", _CHANNEL),
            (WRITE, "POST", f"{_CHANNEL}test/"),
            (WRITE, "POST", f"{_CHANNEL}confirm/"),
            (READ, "GET", "/account/alerts/"),
            (READ, "GET", "/alert/{alert_id:identifier}/"),
            (KEYS, "POST", "/account/confirm/"),
        ),
    }.items()
    for scope, method, path in routes
}
"""By method and path. HEAD is as GET."""


def check_declared(routes: Iterable[BaseRoute]) -> None:
    """Raise TypeError where a route is signed, and it is not said what it needs."""
    for route in routes:
        if not isinstance(route, APIRoute) or "security" not in (route.openapi_extra or {}):
            continue
        missing = {(method, route.path) for method in route.methods or ()} - ACCESS.keys()
        if missing:
            raise TypeError(f"api.permissions.ACCESS does not say what these need: {sorted(missing)}")


def access_to(request: Request) -> Access:
    """What the route of a request needs."""
    method = request.method
    return ACCESS["GET" if method == "HEAD" else method, request.scope["route"].path]


def check_network(caller: Caller, address: Address | None) -> None:
    """Raise Forbidden where a key is used from elsewhere than it may be.

    :param address: the client's, as far as proxies are believed; None: not known
    """
    if caller.networks and (address is None or not any(address in each for each in caller.networks)):
        raise errors.Forbidden(
            f"The API key may not be used from {'an address that is not known' if address is None else address}; ask"
            " from one of its networks, or let a key with the scope keys change it."
        )
