"""The endpoints of links that are sent by mail.

Invariant: as in `routes`. A GET changes nothing and looks nothing up: what a link does is done by POST, for programs
that look at mails follow links. Nothing here is signed by an API key but the wish to confirm an address; so all is
counted by the client's address, as sign-ups are.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cronally import errors
from cronally.api.answers import success
from cronally.api.link_pages import asking_page, failed_page, used_page, wants_page
from cronally.api.openapi import DocumentedRoute, one
from cronally.api.requests import LimitedConfirmations, LinkToken, NoParameters, Works
from cronally.contract.mailed_links import PATH, UsedLink, purpose_of

mailed_links = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

_ACCOUNTS = "Accounts"
_LINK = f"{PATH}{{token:link}}/"


@mailed_links.get(_LINK, include_in_schema=False)
async def show_link(token: LinkToken) -> Response:
    """Show the page behind a link of a mail."""
    return asking_page(purpose_of(token))


@mailed_links.post(_LINK, tags=[_ACCOUNTS], dependencies=[LimitedConfirmations], responses=one(UsedLink, 409))
async def use_link(_nothing: NoParameters, token: LinkToken, request: Request, works: Works) -> Response:
    """Do what a link of a mail is for; it can be used once."""
    try:
        used = await works.operations.links.use(token)
    except (errors.NotFound, errors.Conflict) as problem:
        if not wants_page(request):
            raise
        return failed_page(problem)
    return used_page(used) if wants_page(request) else success(used)
