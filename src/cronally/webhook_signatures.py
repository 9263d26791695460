"""Signatures of Standard Webhooks, as a receiver checks them: who sent a body, when, and under which id.

Invariant: pure; `now` comes in. A signature counts for its key's kind alone, is compared in constant time, and never
decides anything before the timestamp has been read. Source of every rule: the specification,
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cronally import ed25519
from cronally.instants import MINUTE, SECOND

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

TOLERANCE: Final = 5 * MINUTE
"""How far a timestamp may be from now, in microseconds: what is older may be a replay."""
MAX_SIGNATURES: Final = 16
"""So many of one header are looked at: two keys of each kind while they are replaced are four."""

_SYMMETRIC: Final = "whsec_"
_PUBLIC: Final = "whpk_"
_PRIVATE: Final = "whsk_"
_LEAST_SECRET, _MOST_SECRET = 24, 64  # bytes: "Signature scheme" in the specification
_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Key:
    """What signatures are checked with."""

    version: str
    """`v1`: HMAC-SHA256; `v1a`: Ed25519."""
    raw: bytes = field(repr=False)

    def fits(self, signed: bytes, signature: bytes) -> bool:
        """Whether a signature was made of what is signed with this key, or with its other half."""
        if self.version == "v1":
            return hmac.compare_digest(hmac.digest(self.raw, signed, "sha256"), signature)
        return ed25519.verify(self.raw, signed, signature)


class NotSigned(Exception):
    """Why a request is not taken for what it says it is."""


def read_key(text: str) -> Key:
    """The key in a text that begins with `whsec_` (a shared secret) or `whpk_` (a public key).

    Raises ValueError with a sentence that does not hold the text.
    """
    for prefix, version in ((_SYMMETRIC, "v1"), (_PUBLIC, "v1a")):
        if text.startswith(prefix):
            raw = _decoded(text[len(prefix) :])
            if raw is None:
                raise ValueError(f"what follows {prefix} is not base64")
            if version == "v1" and not _LEAST_SECRET <= len(raw) <= _MOST_SECRET:
                raise ValueError(
                    f"a secret has {_LEAST_SECRET} to {_MOST_SECRET} bytes in base64, this has {len(raw)}"
                )
            if version == "v1a" and len(raw) != ed25519.KEY_BYTES:
                raise ValueError(f"a public key has {ed25519.KEY_BYTES} bytes in base64, this has {len(raw)}")
            return Key(version, raw)
    if text.startswith(_PRIVATE):
        raise ValueError(
            f"what begins with {_PRIVATE} signs; give its public key, which begins with {_PUBLIC}"
        )
    raise ValueError(
        f"a signing secret begins with {_SYMMETRIC}, the public key of an asymmetric one with {_PUBLIC}"
    )


def verify(keys: Sequence[Key], headers: Mapping[str, str], body: bytes, now: int) -> str:
    """The version of the signature that fits one of the keys. Raises NotSigned, which says why none does.

    :param headers: by their names in lower case, their bytes as Latin-1 reads them
    :param body: as it came, byte for byte
    """
    try:
        message_id, timestamp = headers[ID_HEADER], headers[TIMESTAMP_HEADER]
        signatures = headers[SIGNATURE_HEADER].split(" ")
    except KeyError as missing:
        raise NotSigned(f"there is no header {missing.args[0]}") from None
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _DIGITS):
        raise NotSigned(f"{TIMESTAMP_HEADER} is no number of seconds")
    distance = now - int(timestamp) * SECOND
    if abs(distance) > TOLERANCE:
        raise NotSigned(
            f"{TIMESTAMP_HEADER} is {abs(distance) // SECOND} s {'old' if distance > 0 else 'ahead'};"
            f" {TOLERANCE // SECOND} s are tolerated"
        )
    signed = f"{message_id}.{timestamp}.".encode("latin-1", "replace") + body
    for text in signatures[:MAX_SIGNATURES]:
        version, _, encoded = text.partition(",")
        signature = _decoded(encoded)
        if signature is not None and any(
            key.version == version and key.fits(signed, signature) for key in keys
        ):
            return version
    raise NotSigned(
        "no signature fits: another secret, or the body was changed"
        if any(text.partition(",")[0] in {key.version for key in keys} for text in signatures)
        else f"no signature is of the version {' or '.join(sorted({key.version for key in keys}))}"
    )


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None
