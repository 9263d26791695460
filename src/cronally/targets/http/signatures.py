"""Signatures of requests, as Standard Webhooks says: `v1` (HMAC-SHA256, `whsec_`) and `v1a` (ed25519, `whsk_`).

Invariant: pure but for what it is given, and no complaint and no error repeats a secret. What is signed is the firing's
id, the second of the attempt and the body, byte for byte as it is sent.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SYMMETRIC: Final = "whsec_"
ASYMMETRIC: Final = "whsk_"
PUBLIC: Final = "whpk_"
NONE: Final = "none"
"""What stands in place of secrets where there are none."""
MAX_SECRETS: Final = 2
"""That are live at a time: the new one, and the one before."""
ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
HEADERS: Final = (ID, TIMESTAMP, SIGNATURE)

_LEAST: Final = 24
_MOST: Final = 64
_SEED: Final = 32
OWN: Final = "delivery_http_signing_secret"
_SHARED: Final = ("signing_secret", "signing_secret_previous")


def check(text: str) -> str | None:
    """What is wrong with secrets; None if they can be signed with."""
    if text == NONE:
        return None
    secrets = text.split(",")
    if len(secrets) > MAX_SECRETS:
        return f"holds {len(secrets):,} secrets; give {MAX_SECRETS} at most, with a comma between them"
    return next((problem for problem in map(check_one, secrets) if problem is not None), None)


def check_one(secret: str) -> str | None:
    """What is wrong with one secret; None if it can be signed with."""
    try:
        signer_of(secret)
    except ValueError as problem:
        return str(problem)
    return None


def secrets_of(secret: Mapping[str, str]) -> list[str]:
    """The secrets that a destination is signed with: the cron job's own, else those that it shares."""
    own = secret.get(OWN, NONE)
    if own != NONE:
        return own.split(",")
    return [secret[name] for name in _SHARED if secret.get(name)]


def sign(secrets: Iterable[str], firing_id: str, second: int, body: bytes) -> dict[str, str]:
    """The headers that sign a request; none without secrets. Raises ValueError for a secret that is none.

    :param second: of the attempt, since 1970
    """
    content = b"%s.%d.%s" % (firing_id.encode(), second, body)
    signers = [signer_of(secret) for secret in secrets]
    signatures = [f"{signer.version},{_encoded(signer.sign(content))}" for signer in signers]
    if not signatures:
        return {}
    return {ID: firing_id, TIMESTAMP: str(second), SIGNATURE: " ".join(signatures)}


def public_key(secret: str) -> str:
    """What receivers check the signatures of a `whsk_` secret with. Raises ValueError for a secret that is none."""
    return PUBLIC + _encoded(Asymmetric(_private_key(_decoded(secret, ASYMMETRIC))).public_bytes)


class Symmetric:
    """Signs with a secret that both sides have."""

    version: Final = "v1"

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, content: bytes) -> bytes:
        """The signature of a content."""
        return hmac.digest(self._key, content, hashlib.sha256)


class Asymmetric:
    """Signs with a key whose public half receivers have."""

    version: Final = "v1a"

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def sign(self, content: bytes) -> bytes:
        """The signature of a content."""
        return self._key.sign(content)

    @property
    def public_bytes(self) -> bytes:
        """What it is checked with."""
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def signer_of(secret: str) -> Symmetric | Asymmetric:
    """What signs with a secret. Raises ValueError with a complaint."""
    if secret.startswith(SYMMETRIC):
        key = _decoded(secret, SYMMETRIC)
        if not _LEAST <= len(key) <= _MOST:
            raise ValueError(f"holds {SYMMETRIC} with {len(key):,} bytes; give {_LEAST} to {_MOST} of them")
        return Symmetric(key)
    if secret.startswith(ASYMMETRIC):
        return Asymmetric(_private_key(_decoded(secret, ASYMMETRIC)))
    if secret.startswith(PUBLIC):
        raise ValueError(
            f"holds a public key ({PUBLIC}), which receivers check with; give the one that begins with {ASYMMETRIC}"
        )
    raise ValueError(f"is no signing secret; one begins with {SYMMETRIC} or {ASYMMETRIC}")


def _private_key(key: bytes) -> Ed25519PrivateKey:
    """The key of 32 bytes, or of these with the public key behind, as libsodium writes it. Raises ValueError."""
    if len(key) not in (_SEED, 2 * _SEED):
        raise ValueError(
            f"holds {ASYMMETRIC} with {len(key):,} bytes; an ed25519 key has {_SEED} or {2 * _SEED}"
        )
    private = Ed25519PrivateKey.from_private_bytes(key[:_SEED])
    if key[_SEED:] not in (b"", private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)):
        raise ValueError(f"holds {ASYMMETRIC} with a public key behind that belongs to another one")
    return private


def _decoded(secret: str, prefix: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"holds what is no base64 behind {prefix}") from None


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
