"""`/account/`: sign-up and the caller's account."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from cronally import errors
from cronally.api.addresses import Addresses
from cronally.api.answers import success
from cronally.api.authenticate import Authenticator
from cronally.api.parameters import read_form_or_json, read_nothing
from cronally.operations import Operations
from cronally.wire import SIGNUP_TOKEN_HEADER


@dataclass(frozen=True, slots=True)
class Signup:
    """Who may create an account."""

    mode: Literal["open", "token", "closed"] = "open"
    token: str = field(default="", repr=False)
    """What `X-Cronally-Signup-Token` must hold, in mode `token`."""

    def admit(self, request: Request) -> None:
        """Raises Forbidden where nobody may, Unauthorized for a token that is missing, repeated or wrong."""
        if self.mode == "closed":
            raise errors.Forbidden("Sign-up is closed on this server; ask its operator for an account.")
        if self.mode == "token":
            name = SIGNUP_TOKEN_HEADER.lower().encode()
            sent = [value for key, value in request.scope["headers"] if key == name]
            token = sent[0] if len(sent) == 1 else b""
            if not (hmac.compare_digest(token, self.token.encode()) and self.token):
                raise errors.Unauthorized(
                    f"Sign-up needs the token that the server's operator gives out; send it as {SIGNUP_TOKEN_HEADER}."
                )


class Accounts:
    """The endpoints."""

    def __init__(
        self, operations: Operations, authenticate: Authenticator, signup: Signup, addresses: Addresses
    ) -> None:
        self._operations = operations
        self._authenticate = authenticate
        self._signup = signup
        self._addresses = addresses

    async def create(self, request: Request) -> Response:
        """`POST /account/`"""
        self._signup.admit(request)
        await self._operations.count_signup(self._addresses.limited(request.scope))
        given = await read_form_or_json(request)
        return success(await self._operations.create_account(given.values, unusable=given.unusable))

    async def get(self, request: Request) -> Response:
        """`GET /account/`"""
        caller = await self._authenticate(request)
        await read_nothing(request)
        return success(await self._operations.get_account(caller))
