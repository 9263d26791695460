"""The endpoints for API keys.

Invariant: as in `routes`. The path takes a key's id or its name: a name is never an id.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.convertors import register_url_convertor
from starlette.responses import Response

from cronally.api.answers import JsonAnswer, success, success_page
from cronally.api.openapi import DocumentedRoute, a_list_of, one
from cronally.api.requests import Identifier, NoParameters, Signed, Works, in_body
from cronally.contract.connections import NAME_FORM
from cronally.contract.keys import Key, KeyChange, NewKey, Rotation, check_meant_key
from cronally.contract.reading import Reading

keys = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

_KEYS = "API keys"
_KEY = "/key/{key_id:key}/"


class _Meant(Identifier):
    """What may stand in a path where the id or the name of a key belongs."""

    regex = NAME_FORM.pattern

    def convert(self, value: str) -> str:
        return check_meant_key(value)


register_url_convertor("key", _Meant())

MeantKey = Annotated[str, Path(description="The key's id or its name", pattern=f"^{NAME_FORM.pattern}$")]


@keys.post("/key/", tags=[_KEYS], responses=one(Key, 403))
async def create_key(
    caller: Signed, new: Annotated[Reading[NewKey], in_body(NewKey)], works: Works
) -> JsonAnswer:
    """Make an API key; its secret is in this answer alone."""
    return success(await works.operations.keys.create(caller, new))


@keys.get("/account/keys/", tags=[_KEYS], responses=a_list_of(Key))
async def list_keys(caller: Signed, _nothing: NoParameters, works: Works) -> Response:
    """List the account's API keys, those that ended lately as well."""
    return success_page(await works.operations.keys.list_keys(caller))


@keys.get(_KEY, tags=[_KEYS], responses=one(Key))
async def get_key(caller: Signed, _nothing: NoParameters, key_id: MeantKey, works: Works) -> JsonAnswer:
    """Show an API key, without its secret."""
    return success(await works.operations.keys.get(caller, key_id))


@keys.patch(_KEY, tags=[_KEYS], responses=one(Key, 409))
async def update_key(
    caller: Signed,
    change: Annotated[Reading[KeyChange], in_body(KeyChange, changes=True)],
    key_id: MeantKey,
    works: Works,
) -> JsonAnswer:
    """Change what an API key may do, from where and until when; what is not sent stays. It holds at once."""
    return success(await works.operations.keys.update(caller, key_id, change))


@keys.post(f"{_KEY}rotate/", tags=[_KEYS], responses=one(Key, 409))
async def rotate_key(
    caller: Signed, sent: Annotated[Reading[Rotation], in_body(Rotation)], key_id: MeantKey, works: Works
) -> JsonAnswer:
    """Make an API key that replaces one, which goes on for an overlap; the new secret is in this answer alone."""
    return success(await works.operations.keys.rotate(caller, key_id, sent))


@keys.delete(_KEY, tags=[_KEYS], responses=one(Key, 409))
async def revoke_key(caller: Signed, _nothing: NoParameters, key_id: MeantKey, works: Works) -> JsonAnswer:
    """Revoke an API key: it is refused from now on, and its secret is erased."""
    return success(await works.operations.keys.revoke(caller, key_id))
