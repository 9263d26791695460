"""What a request of signature version 2 has still to show when it is known who signed it: a nonce that is new, and the
body that was signed.

Invariant: a request has it in its scope from the moment when its signature was found right, and not before. Every
reader of bodies asks `check_body`, also the one that takes none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, cast

from starlette.types import Scope

from cronally import errors, request_signatures

KEY: Final = "cronally.signed_once"

REPLAYED: Final = (
    "This request was received before: its nonce is used up. Sign each request anew, with a nonce of its own."
)
OTHER_BODY: Final = (
    "The body is not the one that was signed: Content-Digest, which the signature covers, is of another one. The"
    " digest is of the bytes as they are sent; a request without a body has the digest of no bytes."
)


@dataclass(frozen=True, slots=True)
class SignedOnce:
    """What was signed."""

    nonce: bytes = field(repr=False)
    """What is kept of it."""
    until: int
    """The instant until which the request could be accepted."""
    digest: bytes = field(repr=False)
    """The SHA-256 of the body."""


def signed_once(scope: Scope) -> SignedOnce | None:
    """What a request has still to show; None of one of signature version 1."""
    return cast("SignedOnce | None", scope.get(KEY))


def check_body(scope: Scope, body: bytes) -> None:
    """See that a body is what was signed, where the signature says that. Raises Unauthorized."""
    signed = signed_once(scope)
    if signed is not None and not request_signatures.is_of(body, signed.digest):
        raise errors.Unauthorized(OTHER_BODY)
