"""The key page of a connection: the public keys that receivers check its message signatures with.

Invariant: it is for everybody, so nothing is in it that its owner would not tell a stranger. Its form is that of a JWK
Set (RFC 7517, 5), which libraries read, without the envelope of other answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from cronally.contract.attribute import Attribute
from cronally.contract.writing import Answer

MEDIA_TYPE: Final = "application/jwk-set+json"
IF_NONE_MATCH: Final = Attribute(
    "The ETag of an answer that the client has: while that is current, the answer is 304, without a body",
    example='"0123456789abcdef0123456789abcdef"',
    max_length=4096,
)


@dataclass(frozen=True, kw_only=True)
class PublicKey(Answer):
    """A public key, as a JWK (RFC 8037, 2)."""

    kty: Annotated[Literal["OKP"], Attribute("The kind of key")] = "OKP"
    crv: Annotated[Literal["Ed25519"], Attribute("The curve")] = "Ed25519"
    x: Annotated[
        str,
        Attribute("The key: 32 bytes in base64url", example="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
    ]
    kid: Annotated[
        str,
        Attribute(
            "Its thumbprint (RFC 7638): the keyid of signatures that it fits",
            example="kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        ),
    ]
    use: Annotated[Literal["sig"], Attribute("What it is for")] = "sig"


@dataclass(frozen=True, kw_only=True)
class KeySet(Answer):
    """A JWK Set."""

    keys: Annotated[
        tuple[PublicKey, ...], Attribute("The new one, and the former one while both sign; one or two")
    ]
