"""Who may create an account.

Invariant: a token is compared in constant time.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Literal

from starlette.requests import Request

from cronally import errors
from cronally.wire import SIGNUP_TOKEN_HEADER


@dataclass(frozen=True, slots=True)
class Signup:
    """Who may create an account."""

    mode: Literal["open", "verified", "token", "closed"] = "open"
    token: str = field(default="", repr=False)
    """What the header must hold, in mode `token`."""

    @property
    def by_mail(self) -> bool:
        """Whether the account is made by a link that its address gets."""
        return self.mode == "verified"

    def admit(self, request: Request) -> None:
        """Raises Forbidden where sign-up is closed, and for a form of another site that a browser sends.

        Raises Unauthorized for a token that is missing, repeated or wrong.
        """
        refuse_another_site(request)
        if self.mode == "closed":
            raise errors.Forbidden("Sign-up is closed on this server; ask its operator for an account.")
        if self.mode == "token":
            name = SIGNUP_TOKEN_HEADER.lower().encode()
            sent = [value for key, value in request.scope["headers"] if key == name]
            token = sent[0] if len(sent) == 1 else b""
            if not (hmac.compare_digest(token, self.token.encode()) and self.token):
                raise errors.Unauthorized(
                    f"Sign-up needs the token of the server's operator; send it as {SIGNUP_TOKEN_HEADER}."
                )


def refuse_another_site(request: Request) -> None:
    """Raise Forbidden where a browser says that a page of another origin asks.

    Source: https://www.w3.org/TR/fetch-metadata/
    """
    if _is_of_another_site(request):
        raise errors.Forbidden("A browser sends this for another site; use the CLI or the API.")


def _is_of_another_site(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site", "none")
    origin = request.headers.get("origin")
    return site not in ("none", "same-origin") or (
        origin is not None and origin.partition("://")[2] != request.headers.get("host", "")
    )
