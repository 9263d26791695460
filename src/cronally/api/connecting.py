"""The endpoints for connections: credentials of an account that its cron jobs share.

Invariant: as in `routes`. The path takes a connection's id or its name: a name is never an id.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from cronally.api.answers import JsonAnswer, success, success_page
from cronally.api.openapi import DocumentedRoute, a_list_of, one
from cronally.api.requests import MeantConnection, NoParameters, Signed, Works, in_body, in_header, in_query
from cronally.contract.connection_requests import ConnectionChange, ConnectionPage, NewConnection
from cronally.contract.connections import Connection, ConnectionVerification
from cronally.contract.reading import Reading
from cronally.contract.values import IDEMPOTENCY_KEY
from cronally.wire import IDEMPOTENCY_KEY_HEADER

connecting = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

_CONNECTIONS = "Connections"
_CONNECTION = "/connection/{connection_id:connection}/"


@connecting.post("/connection/", tags=[_CONNECTIONS], responses=one(Connection, 403))
async def create_connection(
    caller: Signed,
    new: Annotated[Reading[NewConnection], in_body(NewConnection)],
    idempotency_key: Annotated[str | None, in_header(IDEMPOTENCY_KEY_HEADER, IDEMPOTENCY_KEY)],
    works: Works,
) -> JsonAnswer:
    """Create a connection: credentials that many cron jobs may use."""
    made = works.operations.connecting.create(caller, new, idempotency_key=idempotency_key)
    return success(await made)


@connecting.get("/connections/", tags=[_CONNECTIONS], responses=a_list_of(Connection))
async def list_connections(
    caller: Signed, page: Annotated[Reading[ConnectionPage], in_query(ConnectionPage)], works: Works
) -> Response:
    """List the account's connections by name."""
    return success_page(await works.operations.connecting.list_connections(caller, page))


@connecting.get(_CONNECTION, tags=[_CONNECTIONS], responses=one(Connection))
async def get_connection(
    caller: Signed, _nothing: NoParameters, connection_id: MeantConnection, works: Works
) -> JsonAnswer:
    """Show a connection, without its secrets."""
    return success(await works.operations.connecting.get(caller, connection_id))


@connecting.patch(_CONNECTION, tags=[_CONNECTIONS], responses=one(Connection, 403, 409))
async def update_connection(
    caller: Signed,
    change: Annotated[Reading[ConnectionChange], in_body(ConnectionChange, changes=True)],
    connection_id: MeantConnection,
    works: Works,
) -> JsonAnswer:
    """Change a connection; what is not sent stays. The next attempt of each firing is made with it."""
    return success(await works.operations.connecting.update(caller, connection_id, change))


@connecting.post(f"{_CONNECTION}verify/", tags=[_CONNECTIONS], responses=one(ConnectionVerification))
async def verify_connection(
    caller: Signed, _nothing: NoParameters, connection_id: MeantConnection, works: Works
) -> JsonAnswer:
    """Try out the credentials of a connection, now, and show what is said to them."""
    return success(await works.operations.trying.verify(caller, connection_id))


@connecting.delete(_CONNECTION, tags=[_CONNECTIONS], responses=one(Connection, 409))
async def delete_connection(
    caller: Signed, _nothing: NoParameters, connection_id: MeantConnection, works: Works
) -> JsonAnswer:
    """Delete a connection that no cron job uses; its secrets are erased."""
    return success(await works.operations.connecting.delete(caller, connection_id))
