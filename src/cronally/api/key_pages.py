"""The endpoint of key pages: public keys for receivers, as a JWK Set.

Invariant: it asks for no signature, so it is bounded by address, and what it costs is one row by its primary key. What
it answers may be kept by anybody for `KEPT_FOR`; what it refuses is never kept.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Final

from fastapi import APIRouter
from starlette.responses import Response

from cronally.api.openapi import DocumentedRoute, one_to_keep
from cronally.api.requests import ConnectionId, LimitedKeys, NoParameters, Works, in_header
from cronally.contract.key_pages import IF_NONE_MATCH, MEDIA_TYPE, KeySet
from cronally.contract.writing import to_json

key_pages = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

KEPT_FOR: Final = 300
"""Seconds. So long a key that was replaced at once may still be taken for good."""
_HEADERS: Final = (
    (b"content-type", MEDIA_TYPE.encode()),
    (b"cache-control", b"public, max-age=%d" % KEPT_FOR),
    (b"x-content-type-options", b"nosniff"),
)


class KeptAnswer(Response):
    """A JWK Set with its ETag; without its body for a client that has it."""

    def __init__(self, answer: KeySet, known: str | None) -> None:
        """
        :param known: the ETags that the client has
        """
        body = json.dumps(to_json(answer), separators=(",", ":")).encode()
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        tags = [] if known is None else [one.strip().removeprefix("W/") for one in known.split(",")]
        has_it = tag in tags or tags == ["*"]
        self.status_code = 304 if has_it else 200
        self.background = None
        self.body = b"" if has_it else body
        self.raw_headers = [*_HEADERS, (b"etag", tag.encode())]
        if not has_it:
            self.raw_headers.append((b"content-length", b"%d" % len(body)))


@key_pages.get(
    "/keys/{connection_id:identifier}/",
    tags=["Connections"],
    dependencies=[LimitedKeys],
    response_class=Response,
    responses=one_to_keep(KeySet, MEDIA_TYPE),
)
async def get_keys(
    _nothing: NoParameters,
    known: Annotated[str | None, in_header("If-None-Match", IF_NONE_MATCH)],
    connection_id: ConnectionId,
    works: Works,
) -> Response:
    """Show the public keys that a connection signs with, to anybody who knows its id."""
    return KeptAnswer(await works.operations.key_pages.read(connection_id, works.clock()), known)
