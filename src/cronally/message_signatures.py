"""Message signatures of HTTP: what is signed of a request, and whether a signature fits it.

Invariant: pure; `now` comes in. What a signature covers is decided by what Cronally signs, never by the request alone:
one that covers less is none. The key decides the algorithm, signatures are compared in constant time, and none decides
anything before its time has been read.

Sources: RFC 9421, https://www.rfc-editor.org/rfc/rfc9421, and RFC 9530 for `Content-Digest`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cronally.instants import SECOND
from cronally.structured_fields import InnerList, Item, Malformed, read_dictionary, write, write_dictionary
from cronally.webhook_signatures import MAX_SIGNATURES, TOLERANCE, Key, NotSigned
from cronally.wire import IDEMPOTENCY_KEY_HEADER

INPUT_HEADER: Final = "signature-input"
SIGNATURE_HEADER: Final = "signature"
DIGEST_HEADER: Final = "content-digest"
TAG: Final = "cronally"
"""Says whose signatures these are: others may sign the same request on its way."""
HMAC: Final = "hmac-sha256"
ED25519: Final = "ed25519"
ALGORITHMS: Final[Mapping[str, str]] = {"v1": HMAC, "v1a": ED25519}
"""By the version of a key."""
_DIGEST: Final = "sha-256"
_OF_REQUEST: Final = ("@method", "@authority", "@path", "@query")
_FIELDS: Final = (DIGEST_HEADER, "content-type", IDEMPOTENCY_KEY_HEADER.lower())


@dataclass(frozen=True, slots=True)
class Request:
    """What there is to sign of a request."""

    method: str
    authority: str
    """The Host header."""
    target: str
    """Path and query, as in the request line."""
    headers: Mapping[str, str]
    """By their names in lower case."""


def digest_of(body: bytes) -> str:
    """The value of `Content-Digest`; there is one of no body, too, so that none can be added on the way."""
    return write_dictionary({_DIGEST: write(hashlib.sha256(body).digest())})


def components_of(request: Request, of_request: Sequence[str] = _OF_REQUEST) -> list[str]:
    """The names of what is signed of a request. Of the fields those that it has: one that is not there cannot be
    covered (RFC 9421, 2.1). The scheme is not among them: behind a proxy that ends TLS no receiver knows it.

    :param of_request: what is signed of it besides fields
    """
    return [*of_request, *(name for name in _FIELDS if name in request.headers)]


def parameters_of(components: Iterable[str], values: Mapping[str, str | int]) -> InnerList:
    """What is covered, with its parameters, as `Signature-Input` has it of one signature."""
    return InnerList(
        [write(name) for name in components], {name: write(value) for name, value in values.items()}
    )


def base_of(request: Request, parameters: InnerList) -> bytes:
    """The text that is signed (RFC 9421, 2.5). Raises KeyError for a component that the request has not."""
    path, _, query = request.target.partition("?")
    values = {
        "@method": request.method,
        "@authority": request.authority.lower(),
        "@path": path,
        "@query": f"?{query}",
    }
    lines = []
    for item in parameters.items:
        name = item.value
        if not isinstance(name, str) or item.parameters:
            raise KeyError(name)
        value = values[name] if name.startswith("@") else request.headers[name].strip(" \t")
        lines.append(f"{item.written}: {value}")
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode("latin-1", "replace")


def verify(keys: Sequence[Key], request: Request, body: bytes, now: int) -> str:
    """The algorithm of the signature that fits one of the keys. Raises NotSigned, which says why none does.

    :param request: as it came, its headers as Latin-1 reads them
    :param body: as it came, byte for byte
    """
    ours = signatures_with(TAG, request.headers)
    _check_digest(request.headers, body)
    known = sorted({ALGORITHMS[key.version] for key in keys})
    problem = f"no signature is of the algorithm {' or '.join(known)}"
    for parameters, signature in ours:
        algorithm = _text(parameters, "alg")
        fitting = [key for key in keys if ALGORITHMS[key.version] == algorithm]
        if not fitting:
            continue
        problem = _unusable(request, parameters, now)
        if problem:
            continue
        base = base_of(request, parameters)
        if any(key.fits(base, signature) for key in fitting):
            return algorithm
        problem = "no signature fits: another secret, or the request was changed"
    raise NotSigned(problem)


def signatures_with(tag: str, headers: Mapping[str, str]) -> list[tuple[InnerList, bytes]]:
    """The signatures with a tag, each with what it says that it covers. Raises NotSigned where there is none."""
    fields = []
    for name in (INPUT_HEADER, SIGNATURE_HEADER):
        if name not in headers:
            raise NotSigned(f"there is no header {name}")
        try:
            fields.append(read_dictionary(headers[name]))
        except Malformed as problem:
            raise NotSigned(f"{name} is no dictionary of structured fields: it {problem}") from None
    inputs, signatures = fields
    found = []
    for label, parameters in list(inputs.items())[:MAX_SIGNATURES]:
        signature = signatures.get(label)
        if (
            isinstance(parameters, InnerList)
            and _text(parameters, "tag") == tag
            and isinstance(signature, Item)
            and isinstance(signature.value, bytes)
        ):
            found.append((parameters, signature.value))
    if not found:
        raise NotSigned(f'no signature has the tag "{tag}"')
    return found


def read_digest(headers: Mapping[str, str]) -> bytes:
    """The SHA-256 that `Content-Digest` holds. Raises NotSigned where it holds none."""
    try:
        digest = read_dictionary(headers.get(DIGEST_HEADER, "")).get(_DIGEST)
    except Malformed:
        digest = None
    if not isinstance(digest, Item) or not isinstance(digest.value, bytes):
        raise NotSigned(f"{DIGEST_HEADER} has no {_DIGEST}")
    return digest.value


def _check_digest(headers: Mapping[str, str], body: bytes) -> None:
    if not hmac.compare_digest(read_digest(headers), hashlib.sha256(body).digest()):
        raise NotSigned(f"{DIGEST_HEADER} is of another body")


def check_coverage(request: Request, parameters: InnerList, wanted: Sequence[str]) -> str:
    """What is wrong with what a signature covers; empty if that is all that is wanted, and nothing unknown.

    :param wanted: of `components_of`
    """
    names = [item.value for item in parameters.items if not item.parameters]
    missing = [name for name in wanted if name not in names]
    if missing:
        return f"the signature does not cover {', '.join(missing)}"
    known = {*_OF_REQUEST, *request.headers}
    if len(names) < len(parameters.items) or len({*names}) < len(names) or not known.issuperset(names):
        return "the signature covers what is not known here"
    return ""


def _unusable(request: Request, parameters: InnerList, now: int) -> str:
    """Why a signature says nothing, whoever made it; empty if it does."""
    if problem := check_coverage(request, parameters, components_of(request)):
        return problem
    created = parameters.parameters.get("created", _NOTHING).value
    if not isinstance(created, int) or isinstance(created, bool):
        return "the signature does not say when it was created"
    distance = now - created * SECOND
    if abs(distance) > TOLERANCE:
        return (
            f"the signature is {abs(distance) // SECOND} s {'old' if distance > 0 else 'ahead'};"
            f" {TOLERANCE // SECOND} s are tolerated"
        )
    expires = parameters.parameters.get("expires", _NOTHING).value
    return "the signature has expired" if isinstance(expires, int) and now > expires * SECOND else ""


_NOTHING: Final = Item(None, "")


def _text(parameters: InnerList, name: str) -> str:
    value = parameters.parameters.get(name, _NOTHING).value
    return value if isinstance(value, str) else ""
