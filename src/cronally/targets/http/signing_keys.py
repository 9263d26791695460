"""The keys that message signatures are made with, as they may be known: their ids, and the public halves.

Invariant: nothing here leads back to a secret. The id of an ed25519 key is the thumbprint of its public half (RFC 7638,
RFC 8037), so it is the same wherever that is known. The id of a shared secret is made by chance: whatever is computed
of a secret lets those try out guesses who see the id alone, in a log or a table, and of a weak secret they find it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Final

from cronally.targets.http.signatures import Asymmetric, signer_of

FORMAT: Final = "signature_format"
"""Under which a connection has the format of its signatures, where it makes message signatures."""
KEYS: Final = "signing_keys"
"""Under which it has its keys then: the new one, and the former one if that went on beside it."""
ID: Final = "kid"
PUBLIC_HALF: Final = "x"
"""Of an ed25519 key: what a JWK has as `x` (RFC 8037, 2)."""

_ID_BYTES: Final = 12


def key_of(secret: str) -> dict[str, str]:
    """What may be known of a secret. Raises ValueError for one that is none."""
    signer = signer_of(secret)
    if not isinstance(signer, Asymmetric):
        return {ID: secrets.token_urlsafe(_ID_BYTES)}
    half = _encoded(signer.public_bytes)
    return {ID: thumbprint(half), PUBLIC_HALF: half}


def thumbprint(half: str) -> str:
    """The thumbprint of an ed25519 key (RFC 7638, 3), by what its JWK has as `x`."""
    return _encoded(hashlib.sha256(_canonical({"crv": "Ed25519", "kty": "OKP", "x": half})).digest())


def _canonical(members: Mapping[str, str]) -> bytes:
    return json.dumps(members, separators=(",", ":"), sort_keys=True).encode()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
