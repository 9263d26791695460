"""The endpoints of acknowledgement URLs: receivers say there how the work of a firing went.

Invariant: strangers call them, so they wait in the strangers' line, are bounded by address before anything is read, and
by firing before the database is asked. Whatever is not a token of this server gets the answer of a path that does not
exist. A GET does the same as a POST: crontabs and scripts call these with whatever is at hand.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path
from starlette.requests import Request

from cronally import errors
from cronally.ack_links import TOKEN_FORM
from cronally.acknowledgement import Word
from cronally.api.answers import JsonAnswer, success
from cronally.api.limits import read_body
from cronally.api.openapi import DocumentedRoute, one
from cronally.api.requests import LimitedAcks, Works, in_query
from cronally.api.turns import take_turn
from cronally.contract.acknowledgements import Ended, Plain, Received
from cronally.contract.reading import Reading
from cronally.firing import firing_id

acknowledging = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

FORGED: Final = "ack_token"
"""What a call with a token that nobody made is refused for."""
MAX_SENT: Final = 64 * 1024
"""Bytes that are read of what a receiver sends."""
_TOO_LARGE: Final = (
    f"The body is larger than {MAX_SENT // 1024} KiB; send its end, such as with tail -c 10000."
)
_TAG: Final = "Acknowledgements"
_PATH: Final = "/ack/{token:acktoken}/"

Token = Annotated[str, Path(description="The token of the firing", pattern=f"^{TOKEN_FORM}$")]


class _Said:
    """Reads what a receiver sent: any bytes, of any type."""

    async def __call__(self, request: Request) -> bytes:
        body = await read_body(request.receive, MAX_SENT, errors.PayloadTooLarge(_TOO_LARGE))
        await take_turn(request.scope)
        return body

    def document(self, operation: dict[str, object], _statuses: set[int]) -> None:
        operation["requestBody"] = {
            "required": False,
            "description": "Anything, such as the last lines of a log; the last 10 KiB are kept",
            "content": {"*/*": {"schema": {"type": "string"}}},
        }


Said = Annotated[bytes, Depends(_Said())]
NoQuery = Annotated[Reading[Plain], in_query(Plain, with_body=True)]
HowItEnded = Annotated[Reading[Ended], in_query(Ended, with_body=True)]


async def _hear(
    request: Request, works: Works, token: str, word: Word, body: bytes, said: Reading[Any]
) -> JsonAnswer:
    said.raise_complaints()
    operations = works.operations.acknowledging
    try:
        meant = operations.meant(token)
    except errors.NotFound:
        works.refusals.note(FORGED, works.addresses.limited(request.scope))
        raise
    works.acks_of_firing.count(firing_id(*meant.key))
    return success(await operations.hear(meant, word, said.values.get("exit_code"), body))


@acknowledging.post(_PATH, tags=[_TAG], dependencies=[LimitedAcks], responses=one(Received))
async def acknowledge(
    request: Request, ended: HowItEnded, body: Said, token: Token, works: Works
) -> JsonAnswer:
    """Say that the work of a firing is done; with another exit code than 0, that it failed."""
    return await _hear(request, works, token, Word.DONE, body, ended)


@acknowledging.post(f"{_PATH}start/", tags=[_TAG], dependencies=[LimitedAcks], responses=one(Received))
async def acknowledge_start(
    request: Request, plain: NoQuery, body: Said, token: Token, works: Works
) -> JsonAnswer:
    """Say that the work of a firing has begun."""
    return await _hear(request, works, token, Word.START, body, plain)


@acknowledging.post(f"{_PATH}fail/", tags=[_TAG], dependencies=[LimitedAcks], responses=one(Received))
async def acknowledge_failure(
    request: Request, ended: HowItEnded, body: Said, token: Token, works: Works
) -> JsonAnswer:
    """Say that the work of a firing failed; with the exit code 0, that it is done."""
    return await _hear(request, works, token, Word.FAIL, body, ended)


@acknowledging.post(f"{_PATH}log/", tags=[_TAG], dependencies=[LimitedAcks], responses=one(Received))
async def acknowledge_log(
    request: Request, plain: NoQuery, body: Said, token: Token, works: Works
) -> JsonAnswer:
    """Keep something with a firing, which says nothing of how its work ended."""
    return await _hear(request, works, token, Word.LOG, body, plain)


for _path, _endpoint in (
    (_PATH, acknowledge),
    (f"{_PATH}start/", acknowledge_start),
    (f"{_PATH}fail/", acknowledge_failure),
    (f"{_PATH}log/", acknowledge_log),
):
    acknowledging.get(_path, tags=[_TAG], dependencies=[LimitedAcks], responses=one(Received))(_endpoint)
for _route in acknowledging.routes:
    if isinstance(_route, DocumentedRoute) and _route.methods == {"GET"} and _route.openapi_extra:
        # It is read all the same, but nobody should be told to send one.
        _route.openapi_extra.pop("requestBody", None)
