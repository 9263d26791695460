"""What a handler asks of a request: who signed it, and its parameters.

Invariant: each is a dependency of FastAPI, and each says itself what the OpenAPI document has of it, so a handler's
signature is all that is written about its request.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Protocol
from urllib.parse import unquote_to_bytes

from fastapi import Depends, Path
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request

from cronally import ack_links, errors
from cronally.api.addresses import Addresses
from cronally.api.authenticate import Authenticator
from cronally.api.connections import Connections
from cronally.api.health import Readiness
from cronally.api.notices import KnownNotice
from cronally.api.parameters import read_form_or_json, read_nothing, read_query, refuse_body
from cronally.api.permissions import access_to, check_network
from cronally.api.rate import Rate
from cronally.api.refusals import Refusals
from cronally.api.refused import RefusedRequests
from cronally.api.request_ids import request_id_of
from cronally.api.signup import Signup, refuse_another_site
from cronally.api.turns import name_asker, take_turn
from cronally.clock.dates import NAME
from cronally.contract import channels, connections, mailed_links
from cronally.contract.accounts import SIGNUP_TOKEN
from cronally.contract.attribute import Attribute, Declared, declared
from cronally.contract.hosts import PATH_FORM
from cronally.contract.reading import Reading, refusal
from cronally.contract.schema import Schema, attribute_schema, request_schema
from cronally.contract.used_connections import check_meant
from cronally.operations import Caller, Operations, Reach, check_permission
from cronally.wire import SIGNUP_TOKEN_HEADER

SUSPENDED: Final = (
    "The server's operator has suspended the account: {}. Nothing of it fires until they resume it; ask them."
)
SIGNED: Final[list[Schema]] = [
    {"signature_input": [], "message_signature": [], "content_digest": []},
    {"key": [], "date": [], "signature": []},
]


CALLER: Final = "cronally.caller"
"""Where a request has who signed it."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers work with, in `app.state.services`."""

    operations: Operations
    authenticate: Authenticator
    signup: Signup
    addresses: Addresses
    previews: Rate
    key_pages: Rate
    acks: Rate
    acks_of_firing: Rate
    refusals: Refusals
    """Told what was refused, and to which address."""
    confirmations: Rate
    readiness: Readiness
    connections: Connections
    refused: RefusedRequests
    clock: Callable[[], int]
    """The time of the server, an instant."""
    notice: KnownNotice


class Documented(Protocol):
    """A dependency that says what the OpenAPI document has of it."""

    def document(self, operation: dict[str, Any], statuses: set[int]) -> None:
        """Add to the documentation of an operation, and to the statuses that it may answer with."""


async def services(request: Request) -> Services:
    """What the handlers work with."""
    found: Services = request.app.state.services
    return found


Works = Annotated[Services, Depends(services)]
"""What the handlers work with."""


async def _request_id(request: Request) -> str | None:
    return request_id_of(request.scope)


RequestId = Annotated[str | None, Depends(_request_id)]
"""The id of the request."""


class _Signed:
    async def __call__(self, request: Request, works: Works) -> Caller:
        client = works.addresses.client(request.scope)
        caller = replace(
            await works.authenticate(request),
            address=None if client is None else str(client),
            request_id=request_id_of(request.scope),
        )
        request.scope[CALLER] = caller
        name_asker(request.scope, caller.account_id, works.authenticate.seconds.spend)
        try:
            works.authenticate.admit(caller)
        except errors.RateLimited:
            # Who goes on asking waits for being told so, like everybody who has used much.
            await take_turn(request.scope)
            raise
        if caller.networks:
            check_network(caller, works.addresses.client(request.scope))
        if caller.suspended is not None:
            await take_turn(request.scope)
            raise errors.AccountSuspended(SUSPENDED.format(caller.suspended))
        await works.authenticate.use_nonce(request.scope, caller)
        # Not before: who is over its limits, or suspended, waits among strangers, and so does who sends again what
        # others sent.
        works.connections.know(works.addresses.limited(request.scope))
        works.authenticate.uses.note(caller.api_key, works.clock())
        await self._permit(request, works, caller)
        return caller

    async def _permit(self, request: Request, works: Services, caller: Caller) -> None:
        """Raise Forbidden, or NotFound, for what the key may not ask for."""
        access = access_to(request)
        check_permission(caller, access)
        if caller.tags and access.reach is Reach.CRONJOB:
            await works.operations.restricting.check_cronjob(caller, request.path_params["cronjob_id"])

    def document(self, operation: dict[str, Any], statuses: set[int]) -> None:
        operation["security"] = SIGNED
        statuses |= {401, 403, 429}


class _Counted:
    """Counts what needs no account, and costs more than a preview, over all nodes."""

    async def __call__(self, request: Request, works: Works) -> str:
        address = works.addresses.limited(request.scope)
        try:
            await works.operations.count_signup(address)
        except errors.RateLimited:
            await take_turn(request.scope)
            raise
        name_asker(request.scope, address)
        return address

    def document(self, _operation: dict[str, Any], statuses: set[int]) -> None:
        statuses.add(429)


class _Sender(_Counted):
    """The same of what sends a mail: no page of another site may have it sent."""

    async def __call__(self, request: Request, works: Works) -> str:
        address = await super().__call__(request, works)
        refuse_another_site(request)
        return address

    def document(self, operation: dict[str, Any], statuses: set[int]) -> None:
        super().document(operation, statuses)
        statuses.add(403)


class _Admission(_Counted):
    async def __call__(self, request: Request, works: Works) -> str:
        # Before the token is looked at: guesses count.
        address = await super().__call__(request, works)
        works.signup.admit(request)
        return address

    def document(self, operation: dict[str, Any], statuses: set[int]) -> None:
        _Header(SIGNUP_TOKEN_HEADER, SIGNUP_TOKEN).document(operation, statuses)
        statuses |= {401, 403, 429}


@dataclass(frozen=True)
class _Limit:
    rate: Callable[[Services], Rate]

    async def __call__(self, request: Request, works: Works) -> None:
        address = works.addresses.limited(request.scope)
        self.rate(works).count(address)
        name_asker(request.scope, address)

    def document(self, _operation: dict[str, Any], statuses: set[int]) -> None:
        statuses.add(429)


def _peer(request: Request) -> str | None:
    client = request.scope.get("client")
    return client[0] if client else None


@dataclass(frozen=True)
class _Body:
    """Reads a request of one kind from the body, a form or JSON."""

    kind: Any
    changes: bool = False
    """Whether what is not sent stays as it is."""
    with_query: bool = False
    """Whether there are others in the query."""

    async def __call__(self, request: Request) -> Reading[Any]:
        refused = declared(self.kind).keys() if self.with_query else None
        return Reading(self.kind, await read_form_or_json(request, refused))

    def document(self, operation: dict[str, Any], statuses: set[int]) -> None:
        schema = request_schema(self.kind, defaults=not self.changes)
        media_types = ("application/x-www-form-urlencoded", "application/json")
        operation["requestBody"] = {
            "required": bool(schema.get("required")),
            "content": {media_type: {"schema": schema} for media_type in media_types},
        }
        statuses.add(415)


@dataclass(frozen=True)
class _Query:
    """Reads a request of one kind from the query."""

    kind: Any = None
    """None: there are no parameters."""
    with_body: bool = False
    """Whether there are others in the body."""

    async def __call__(self, request: Request) -> Reading[Any] | None:
        if self.kind is None:
            await read_nothing(request)
            return None
        if not self.with_body:
            await refuse_body(request)
        return Reading(self.kind, read_query(request))

    def document(self, operation: dict[str, Any], _statuses: set[int]) -> None:
        if self.kind is not None:
            attributes = declared(self.kind).values()
            operation["parameters"] += [parameter(one.name, "query", one) for one in attributes]


@dataclass(frozen=True)
class _Header:
    """Reads a header. Sent twice, it is read as a text that no check accepts."""

    name: str
    attribute: Attribute = field(hash=False)

    async def __call__(self, request: Request) -> str | None:
        sent = request.headers.getlist(self.name)
        return ", ".join(sent) if sent else None

    def document(self, operation: dict[str, Any], _statuses: set[int]) -> None:
        one = Declared(self.name, str, nullable=False, required=False, attribute=self.attribute)
        operation["parameters"].append(parameter(self.name, "header", one))


def parameter(name: str, place: str, one: Declared) -> Schema:
    """A parameter of the OpenAPI document."""
    schema = attribute_schema(one)
    described = {
        "name": name,
        "in": place,
        "required": one.required,
        "schema": schema,
        "description": schema.pop("description"),
    }
    if one.item is not None:
        described |= {"style": "form", "explode": True}
    return described


def in_body(kind: Any, *, changes: bool = False, with_query: bool = False) -> Any:
    """The dependency that reads a request of one kind from the body.

    :param with_query: whether there are others in the query
    """
    return Depends(_Body(kind, changes, with_query))


def in_query(kind: Any, *, with_body: bool = False) -> Any:
    """The dependency that reads a request of one kind from the query.

    :param with_body: whether there are others in the body
    """
    return Depends(_Query(kind, with_body))


def in_header(name: str, attribute: Attribute) -> Any:
    """The dependency that reads a header."""
    return Depends(_Header(name, attribute))


Signed = Annotated[Caller, Depends(_Signed())]
"""Who signed the request."""
Admitted = Annotated[str, Depends(_Admission())]
"""The address of a client that may create an account, and does not ask too often."""
Limited: Final = Depends(_Limit(lambda works: works.previews))
"""Check that a client without an account does not ask too often."""
Sender = Annotated[str, Depends(_Sender())]
"""The address of a client without an account that has a mail sent, and does not ask too often."""
LimitedKeys: Final = Depends(_Limit(lambda works: works.key_pages))
"""The same of the keys of connections."""
LimitedAcks: Final = Depends(_Limit(lambda works: works.acks))
"""The same of acknowledgements."""
LimitedConfirmations: Final = Depends(_Limit(lambda works: works.confirmations))
"""The same of pages that confirm an address."""
NoParameters = Annotated[None, Depends(_Query())]
"""See that a request that takes no parameters has none."""


class Identifier(Convertor[str]):
    """What may stand in a path where an id belongs. Anything else is a path that does not exist."""

    regex = "[0-9A-Za-z-]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _Name(Identifier):
    """What may stand in a path where the name of a calendar belongs."""

    regex = NAME.pattern


class _Connection(Identifier):
    """What may stand in a path where the id or the name of a connection belongs."""

    regex = connections.NAME_FORM.pattern

    def convert(self, value: str) -> str:
        return check_meant(value)


class _AckToken(Identifier):
    """The token of an acknowledgement URL."""

    regex = ack_links.TOKEN_FORM


class _Channel(Identifier):
    """What may stand in a path where the id or the name of a channel belongs."""

    regex = channels.NAME_FORM.pattern

    def convert(self, value: str) -> str:
        return channels.check_meant(value)


class _Token(Identifier):
    """What may stand in a path where the token of a link belongs."""

    regex = channels.TOKEN_FORM


class _CronjobName(Identifier):
    """The name of a cron job, percent-encoded."""

    regex = "[^/]+"


class _Host(Identifier):
    """What may stand in a path where a host belongs, with a port."""

    regex = PATH_FORM


class _Link(Identifier):
    """What may stand in a path where the token of a link belongs."""

    regex = mailed_links.TOKEN_FORM


register_url_convertor("link", _Link())
register_url_convertor("identifier", Identifier())
register_url_convertor("calendar", _Name())
register_url_convertor("connection", _Connection())
register_url_convertor("acktoken", _AckToken())
register_url_convertor("channel", _Channel())
register_url_convertor("token", _Token())
register_url_convertor("name", _CronjobName())
register_url_convertor("host", _Host())

CalendarName = Annotated[str, Path(description="The calendar's name", pattern=f"^{NAME.pattern}$")]


class _ReadName:
    """Reads the name in the path. Raises InvalidRequest for one that is not UTF-8, percent-encoded."""

    async def __call__(
        self,
        name: Annotated[str, Path(description="The cron job's name, percent-encoded", min_length=1)],
    ) -> str:
        if _ESCAPES.sub("", name).find("%") < 0 and name.isascii():
            with suppress(UnicodeDecodeError):
                return unquote_to_bytes(name).decode()
        raise refusal("name", "is not percent-encoded UTF-8")


_ESCAPES: Final = re.compile("%[0-9A-Fa-f]{2}")
CronjobName = Annotated[str, Depends(_ReadName())]
"""The name in the path."""

MeantConnection = Annotated[
    str, Path(description="The connection's id or its name", pattern=f"^{connections.NAME_FORM.pattern}$")
]
MeantChannel = Annotated[
    str, Path(description="The channel's id or its name", pattern=f"^{channels.NAME_FORM.pattern}$")
]
AlertId = Annotated[str, Path(description="The alert's id", pattern="^[0-9A-Za-z-]+$", min_length=1)]
ConnectionId = Annotated[
    str, Path(description="The connection's id", pattern="^[0-9A-Za-z-]+$", min_length=1)
]
HostName = Annotated[
    str, Path(description="The host, with its port unless that is 443", pattern=f"^{PATH_FORM}$")
]
CronjobId = Annotated[str, Path(description="The cron job's id", pattern="^[0-9A-Za-z-]+$", min_length=1)]
OperationId = Annotated[str, Path(description="The operation's id", pattern="^[0-9A-Za-z-]+$", min_length=1)]
LinkToken = Annotated[
    str, Path(description="The last part of the link", pattern=f"^{mailed_links.TOKEN_FORM}$")
]
RuleId = Annotated[str, Path(description="The rule's id", pattern="^[0-9A-Za-z-]+$", min_length=1)]
FreezeId = Annotated[str, Path(description="The freeze's id", pattern="^[0-9A-Za-z-]+$", min_length=1)]
