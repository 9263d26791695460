"""The page behind the link that confirms an address.

Invariant: to look at it changes nothing and asks no database, whatever the token: programs that look for harm in mails
open every link. What confirms is the POST of its button. It asks for no signature, so it is bounded by address; the
page loads nothing and names its own address to nobody.
"""

from __future__ import annotations

import html
from typing import Annotated, Final

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from cronally import errors
from cronally.api.answers import success
from cronally.api.openapi import DocumentedRoute, one
from cronally.api.requests import LimitedConfirmations, NoParameters, RequestId, Works
from cronally.contract.channels import TOKEN_FORM, Confirmed

confirming = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

_HTML: Final = "text/html"
_PATH: Final = "/channel/confirm/{token:token}/"
_Token = Annotated[str, Path(description="What stands in the link", pattern=f"^{TOKEN_FORM}$")]
_HEADERS: Final = {
    "Content-Type": f"{_HTML}; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def _page(title: str, text: str, status: int = 200) -> Response:
    body = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Cronally</title></head>'
        f"<body><h1>{html.escape(title)}</h1>{text}</body></html>"
    )
    return Response(body, status, headers=_HEADERS)


_QUESTION: Final = (
    "<p>Alerts of a Cronally server are to go to your address. If you want that, press the button; if not, close this"
    ' page.</p><form method="post"><button>Confirm</button></form>'
)


@confirming.get(
    _PATH,
    tags=["Channels"],
    dependencies=[LimitedConfirmations],
    response_class=Response,
    responses={200: {"description": "A page with a button that confirms", "content": {_HTML: {}}}},
)
async def show_confirmation(_nothing: NoParameters, token: _Token) -> Response:
    """Show the owner of an address, who has the token, a page with a button that confirms it. It changes nothing."""
    return _page("Alerts of Cronally", _QUESTION)


@confirming.post(_PATH, tags=["Channels"], dependencies=[LimitedConfirmations], responses=one(Confirmed))
async def confirm_address(
    _nothing: NoParameters, request: Request, request_id: RequestId, token: _Token, works: Works
) -> Response:
    """Confirm an address, as whoever has the token: once. Answers a browser with a page."""
    wants_page = _HTML in request.headers.get("accept", "")
    try:
        client = works.addresses.client(request.scope)
        address = None if client is None else str(client)
        answer = await works.operations.confirming.confirm(token, address, request_id)
    except errors.NotFound as problem:
        if not wants_page:
            raise
        return _page("This link confirms nothing", f"<p>{html.escape(str(problem))}</p>", problem.status)
    if not wants_page:
        return success(answer)
    return _page("Confirmed", f"<p>The channel {html.escape(answer.channel)} gets alerts now.</p>")
