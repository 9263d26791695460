"""The signature of a request, version 2: an HTTP Message Signature (RFC 9421) under the API secret.

Invariant: pure, and the same for client and server. It covers method, path, query, the digest of the body, and each
header that the API reads of a signed request; none that covers less is one. What a request claims is read whole before
anything is known of its key, and decides nothing until `fits` has compared it in constant time. A nonce stands for one
request of its key, for as long as that could be accepted.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cronally.instants import SECOND
from cronally.message_signatures import (
    DIGEST_HEADER,
    HMAC,
    INPUT_HEADER,
    SIGNATURE_HEADER,
    Request,
    base_of,
    check_coverage,
    components_of,
    digest_of,
    parameters_of,
    read_digest,
    signatures_with,
)
from cronally.structured_fields import InnerList, write, write_dictionary
from cronally.webhook_signatures import NotSigned
from cronally.wire import NIL_UUID, UUID

TAG: Final = "cronally-api"
"""Not that of webhooks: what Cronally sends to a receiver can never be a request to its own API."""
LABEL: Final = "cronally"
MIN_NONCE: Final = 16
MAX_NONCE: Final = 64
"""Characters."""
MAX_FIELD: Final = 1024
"""Bytes of each header that is read before it is known who asks."""

_OF_REQUEST: Final = ("@method", "@path", "@query")
"""Not the authority: a proxy may send the server its own name for it, and the API secret is of one server alone."""
_MARK: Final = f'"{TAG}"'.encode()
_INPUT: Final = INPUT_HEADER.encode()
_READ: Final = frozenset({INPUT_HEADER, SIGNATURE_HEADER, DIGEST_HEADER})
_ACCEPTED: Final = parameters_of([*_OF_REQUEST, DIGEST_HEADER], {"alg": HMAC, "tag": TAG})
ACCEPTED: Final = f"{LABEL}={_ACCEPTED};created"
"""The value of `Accept-Signature`."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of itself."""

    api_key: str
    created: int
    """A second since 1970."""
    expires: int | None
    """The last second in which it is to be accepted, where it says one."""
    nonce: str = field(repr=False)
    digest: bytes = field(repr=False)
    """The SHA-256 of the body."""
    base: bytes = field(repr=False)
    """What is signed."""
    signature: bytes = field(repr=False)

    @property
    def nonce_id(self) -> bytes:
        """What is kept of the nonce: 16 bytes, of its key and of no other."""
        return hashlib.sha256(f"{self.api_key}\n{self.nonce}".encode()).digest()[:16]


NOTHING: Final = Claim(NIL_UUID, 0, None, "", b"", b"", b"")
"""Of a request whose headers claim nothing that could be so: it fits no secret."""


def sign(
    secret: bytes,
    api_key: str,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    second: int,
    nonce: str,
) -> dict[str, str]:
    """The three headers that sign a request.

    :param secret: the API secret, decoded
    :param target: path and query, as in the request line
    :param headers: those that it has, by their names in lower case
    :param second: now, since 1970
    :param nonce: of 16 to 64 characters, made by chance for this request alone
    """
    digest = digest_of(body)
    request = Request(method, "", target, {**headers, DIGEST_HEADER: digest})
    values: dict[str, str | int] = {
        "created": second,
        "nonce": nonce,
        "keyid": api_key,
        "alg": HMAC,
        "tag": TAG,
    }
    parameters = parameters_of(components_of(request, _OF_REQUEST), values)
    signature = hmac.digest(secret, base_of(request, parameters), "sha256")
    return {
        "Content-Digest": digest,
        "Signature-Input": write_dictionary({LABEL: parameters}),
        "Signature": write_dictionary({LABEL: write(signature)}),
    }


def is_meant(name: bytes, value: bytes) -> bool:
    """Whether a header says that the request is signed so. Others, such as proxies, may sign for others."""
    return name == _INPUT and _MARK in value


def read(method: str, target: str, headers: Iterable[tuple[bytes, bytes]]) -> Claim:
    """What a request claims; `NOTHING` for what is malformed, repeated, too long, or covers less than all.

    :param target: path and query, as in the request line, their bytes as Latin-1 reads them
    :param headers: their names in lower case
    """
    fields: dict[str, str] = {}
    repeated = set()
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1")
        if name in fields:
            repeated.add(name)
        elif name in _READ and len(raw_value) > MAX_FIELD:
            return NOTHING
        fields[name] = raw_value.decode("latin-1")
    try:
        ours = signatures_with(TAG, fields)
        digest = read_digest(fields)
    except NotSigned:
        return NOTHING
    parameters, signature = ours[0]
    covered = {item.value for item in parameters.items}
    if len(ours) > 1 or not repeated.isdisjoint({*_READ, *covered, "host"}):
        return NOTHING
    request = Request(method, fields.get("host", ""), target, fields)
    if check_coverage(request, parameters, components_of(request, _OF_REQUEST)):
        return NOTHING
    return _claim(parameters, digest, base_of(request, parameters), signature)


def _claim(parameters: InnerList, digest: bytes, base: bytes, signature: bytes) -> Claim:
    said = {name: item.value for name, item in parameters.parameters.items()}
    api_key, nonce, created = said.get("keyid"), said.get("nonce"), said.get("created")
    expires = said.get("expires")
    if (
        not isinstance(api_key, str)
        or not UUID.fullmatch(api_key)
        or not isinstance(nonce, str)
        or not MIN_NONCE <= len(nonce) <= MAX_NONCE
        or type(created) is not int
        or ("expires" in said and type(expires) is not int)
        or said.get("alg", HMAC) != HMAC
    ):
        return NOTHING
    until = expires if isinstance(expires, int) else None
    return Claim(api_key, created, until, nonce, digest, base, signature)


def fits(secret: bytes, claim: Claim) -> bool:
    """Whether a claim was signed with a secret. Takes the same time for every secret."""
    return hmac.compare_digest(hmac.digest(secret, claim.base, "sha256"), claim.signature)


def is_current(claim: Claim, now: int, skew: int) -> bool:
    """Whether a claim was made within `skew` microseconds of now, and has not expired."""
    in_time = abs(now - claim.created * SECOND) <= skew
    return in_time and (claim.expires is None or now < (claim.expires + 1) * SECOND)


def is_of(body: bytes, digest: bytes) -> bool:
    """Whether a body is the one that a digest was made of."""
    return hmac.compare_digest(hashlib.sha256(body).digest(), digest)
