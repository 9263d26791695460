"""The endpoints of links that are sent by mail.

Invariant: as in `routes`. A GET changes nothing and looks nothing up: what a link does is done by POST, for programs
that look at mails follow links. Nothing here is signed by an API key but the wish to confirm an address; so all is
counted by the client's address, as sign-ups are.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cronally import errors
from cronally.api.answers import JsonAnswer, accepted, success
from cronally.api.link_pages import asking_page, failed_page, used_page, wants_page
from cronally.api.openapi import DocumentedRoute, one, one_or_mailed
from cronally.api.requests import (
    LimitedConfirmations,
    LinkToken,
    NoParameters,
    RequestId,
    Sender,
    Signed,
    Works,
    in_body,
)
from cronally.contract.mailed_links import PATH, LinkUse, Recovery, UsedLink, purpose_of
from cronally.contract.reading import Reading

mailed_links = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

_ACCOUNTS = "Accounts"
_LINK = f"{PATH}{{token:link}}/"


@mailed_links.get(_LINK, include_in_schema=False)
async def show_link(token: LinkToken) -> Response:
    """Show the page behind a link of a mail."""
    return asking_page(purpose_of(token))


@mailed_links.post("/account/recover/", tags=[_ACCOUNTS], status_code=202, responses=one_or_mailed(None))
async def recover_account(
    address: Sender, asked: Annotated[Reading[Recovery], in_body(Recovery)], works: Works
) -> JsonAnswer:
    """Have a link mailed that gives an account a new API key, to an address that was confirmed."""
    return accepted(await works.operations.recovering.ask(asked, address))


@mailed_links.post(PATH, tags=[_ACCOUNTS], status_code=202, responses=one_or_mailed(None, 409))
async def confirm_email(caller: Signed, _nothing: NoParameters, works: Works) -> JsonAnswer:
    """Have a link mailed that confirms the address of the account."""
    return accepted(await works.operations.recovering.ask_confirmation(caller))


@mailed_links.post(_LINK, tags=[_ACCOUNTS], dependencies=[LimitedConfirmations], responses=one(UsedLink, 409))
async def use_link(
    use: Annotated[Reading[LinkUse], in_body(LinkUse)],
    token: LinkToken,
    request: Request,
    request_id: RequestId,
    works: Works,
) -> Response:
    """Do what a link of a mail is for; it can be used once."""
    try:
        client = works.addresses.client(request.scope)
        used = await works.operations.links.use(
            token, use, None if client is None else str(client), request_id
        )
    except (errors.InvalidRequest, errors.NotFound, errors.Conflict) as problem:
        if not wants_page(request):
            raise
        return failed_page(problem)
    return used_page(used) if wants_page(request) else success(used)
