"""The endpoints for hosts that an account proves to be its own.

Invariant: as in `routes`. A path that no host can have does not exist.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from cronally.api.answers import JsonAnswer, success, success_page
from cronally.api.openapi import DocumentedRoute, a_list_of, one
from cronally.api.requests import HostName, NoParameters, Signed, Works, in_body
from cronally.contract.hosts import Host, NewHost
from cronally.contract.reading import Reading

proving = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

_HOSTS = "Hosts"
_LIST = "/account/hosts/"
_HOST = "/account/hosts/{host:host}/"


@proving.post(_LIST, tags=[_HOSTS], responses=one(Host, 403))
async def add_host(
    caller: Signed, new: Annotated[Reading[NewHost], in_body(NewHost)], works: Works
) -> JsonAnswer:
    """Add a host, and say what it is to show to be proven the account's own."""
    return success(await works.operations.proving.add(caller, new))


@proving.get(_LIST, tags=[_HOSTS], responses=a_list_of(Host))
async def list_hosts(caller: Signed, _nothing: NoParameters, works: Works) -> Response:
    """List the account's hosts by name, proven or not."""
    return success_page(await works.operations.proving.list_hosts(caller))


@proving.post(f"{_HOST}verify/", tags=[_HOSTS], responses=one(Host))
async def verify_host(caller: Signed, _nothing: NoParameters, host: HostName, works: Works) -> JsonAnswer:
    """Look now whether a host shows what it is to show."""
    return success(await works.operations.proving.verify(caller, host))


@proving.delete(_HOST, tags=[_HOSTS], responses=one(Host))
async def remove_host(caller: Signed, _nothing: NoParameters, host: HostName, works: Works) -> JsonAnswer:
    """Remove a host; its proof ends."""
    return success(await works.operations.proving.remove(caller, host))
