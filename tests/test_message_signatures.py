"""Message signatures: the vectors of RFC 9421, and what a check takes and refuses, signed here by the RFC's text."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cronally.instants import SECOND
from cronally.message_signatures import Request, base_of, digest_of, verify
from cronally.structured_fields import InnerList, Item, read_dictionary
from cronally.webhook_signatures import MAX_SIGNATURES, Key, NotSigned, read_key

# RFC 9421, B.2: the request, the keys (B.1.4, B.1.5), and the signatures of B.2.5 and B.2.6.
OF_RFC = Request(
    "POST",
    "example.com",
    "/foo?param=Value&Pet=dog",
    {
        "host": "example.com",
        "date": "Tue, 20 Apr 2021 02:07:55 GMT",
        "content-type": "application/json",
        "content-length": "18",
    },
)
SHARED = base64.b64decode(
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
)
PUBLIC = base64.urlsafe_b64decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs=")
VECTORS = [
    (
        Key("v1", SHARED),
        '("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"',
        "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
    ),
    (
        Key("v1a", PUBLIC),
        '("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473'
        ';keyid="test-key-ed25519"',
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
    ),
]


@pytest.mark.parametrize(("key", "inputs", "signature"), VECTORS, ids=["hmac-sha256", "ed25519"])
def test_base__fits_the_signatures_of_the_rfc(key: Key, inputs: str, signature: str) -> None:
    parameters = read_dictionary(f"sig={inputs}")["sig"]
    assert isinstance(parameters, InnerList)
    assert str(parameters) == inputs
    base = base_of(OF_RFC, parameters)
    assert key.fits(base, base64.b64decode(signature))
    assert not key.fits(
        base.replace(b"POST", b"GET").replace(b"example", b"sample"), base64.b64decode(signature)
    )


def test_digest__is_that_of_the_rfc() -> None:
    """RFC 9530, B.1 and B.2, the latter of no content."""
    assert digest_of(b'{"hello": "world"}\n') == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
    assert digest_of(b"") == "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"


SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_TEXT = "whpk_" + base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()
KEYS = [read_key(SECRET), read_key(PUBLIC_TEXT)]
BODY, AT = b'{"a": 1}', 1_800_000_000
DIGEST = f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:"
LINES = {
    "@method": "POST",
    "@authority": "hooks.example.com:8443",
    "@path": "/in/x",
    "@query": "?",
    "content-digest": DIGEST,
    "content-type": "application/json",
    "idempotency-key": "5f0c4d8a",
}
FIELDS = {name: value for name, value in LINES.items() if not name.startswith("@")}
VALUES: Mapping[str, str] = {
    "created": str(AT),
    "keyid": '"k"',
    "alg": '"ed25519"',
    "tag": '"cronally"',
}


def signed(
    lines: Mapping[str, str] = LINES, values: Mapping[str, str] = VALUES, label: str = "cronally"
) -> Request:
    """A request that is signed by the text of RFC 9421, 2.5, character by character."""
    covered = " ".join(f'"{name}"' for name in lines)
    parameters = f"({covered})" + "".join(f";{name}={value}" for name, value in values.items())
    base = "".join(f'"{name}": {value}\n' for name, value in lines.items())
    base += f'"@signature-params": {parameters}'
    made = PRIVATE.sign(base.encode())
    if values.get("alg") == '"hmac-sha256"':
        made = hmac.new(bytes(range(32)), base.encode(), hashlib.sha256).digest()
    added = {
        "signature-input": f"{label}={parameters}",
        "signature": f"{label}=:{base64.b64encode(made).decode()}:",
    }
    return Request("POST", "Hooks.Example.com:8443", "/in/x", {**FIELDS, **added})


def joined(*requests: Request) -> Request:
    """One request with the signatures of all."""
    names = ("signature-input", "signature")
    several = {name: ", ".join(one.headers[name] for one in requests) for name in names}
    return replace(requests[0], headers={**requests[0].headers, **several})


@pytest.mark.parametrize("algorithm", ["ed25519", "hmac-sha256"])
def test_verify__takes_what_is_signed(algorithm: str) -> None:
    request = signed(values={**VALUES, "alg": f'"{algorithm}"'})
    assert verify(KEYS, request, BODY, AT * SECOND) == algorithm


def test_verify__one_of_ours_is_enough_and_those_of_others_are_not_looked_at() -> None:
    others = signed(label="proxy", values={**VALUES, "tag": '"proxy"'})
    unknown = signed(label="former", values={**VALUES, "alg": '"hmac-sha256"'})
    request = joined(others, unknown, signed())
    assert verify([read_key(PUBLIC_TEXT)], request, BODY, AT * SECOND) == "ed25519"
    with pytest.raises(NotSigned, match="no signature has the tag"):
        verify(KEYS, others, BODY, AT * SECOND)


def test_verify__looks_at_a_few_signatures() -> None:
    wrong = [signed(label=f"s{n}", values={**VALUES, "tag": '"x"'}) for n in range(MAX_SIGNATURES)]
    with pytest.raises(NotSigned, match="no signature has the tag"):
        verify(KEYS, joined(*wrong, signed()), BODY, AT * SECOND)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("method", "PUT"),
        ("authority", "hooks.example.com"),
        ("target", "/in/y"),
        ("target", "/in/x?a"),
        ("target", "/in/%78"),
        ("content-type", "text/plain"),
        ("idempotency-key", "other"),
    ],
)
def test_verify__refuses_what_was_changed(part: str, value: str) -> None:
    request = signed()
    if part in FIELDS:
        request = replace(request, headers={**request.headers, part: value})
    else:
        changed: dict[str, Any] = {part: value}
        request = replace(request, **changed)
    with pytest.raises(NotSigned, match="no signature fits"):
        verify(KEYS, request, BODY, AT * SECOND)


def test_verify__refuses_another_body() -> None:
    with pytest.raises(NotSigned, match="content-digest is of another body"):
        verify(KEYS, signed(), BODY + b" ", AT * SECOND)
    other = f"sha-256=:{base64.b64encode(hashlib.sha256(b'x').digest()).decode()}:"
    request = signed()
    request = replace(request, headers={**request.headers, "content-digest": other})
    with pytest.raises(NotSigned, match="no signature fits"):
        verify(KEYS, request, b"x", AT * SECOND)


@pytest.mark.parametrize("name", LINES)
def test_verify__refuses_what_does_not_cover_all(name: str) -> None:
    request = signed({one: value for one, value in LINES.items() if one != name})
    with pytest.raises(NotSigned, match=f"does not cover {name}"):
        verify(KEYS, request, BODY, AT * SECOND)


@pytest.mark.parametrize(
    ("values", "off", "why"),
    [
        ({}, 301, "301 s old; 300 s are tolerated"),
        ({}, -301, "301 s ahead"),
        ({"created": f'"{AT}"'}, 0, "does not say when"),
        ({"created": "?1"}, 0, "does not say when"),
        ({"expires": str(AT + 1)}, 2, "has expired"),
        ({"alg": '"rsa-pss-sha512"'}, 0, "no signature is of the algorithm ed25519 or hmac-sha256"),
        ({"alg": '"hmac-sha256"', "keyid": "1"}, 400, "400 s old"),
        ({"tag": "cronally"}, 0, "no signature has the tag"),
    ],
)
def test_verify__refuses_parameters(values: Mapping[str, str], off: int, why: str) -> None:
    with pytest.raises(NotSigned, match=why):
        verify(KEYS, signed(values={**VALUES, **values}), BODY, (AT + off) * SECOND)


def test_verify__a_key_is_of_one_algorithm() -> None:
    """Who has the public key cannot use it as a secret."""
    as_secret = Key("v1", PRIVATE.public_key().public_bytes_raw())
    request = signed()
    inputs = request.headers["signature-input"].replace("ed25519", "hmac-sha256")
    parameters = read_dictionary(inputs)["cronally"]
    assert isinstance(parameters, InnerList)
    made = hmac.new(as_secret.raw, base_of(request, parameters), hashlib.sha256).digest()
    forged = {"signature-input": inputs, "signature": f"cronally=:{base64.b64encode(made).decode()}:"}
    request = replace(request, headers={**request.headers, **forged})
    with pytest.raises(NotSigned, match="no signature is of the algorithm ed25519"):
        verify([read_key(PUBLIC_TEXT)], request, BODY, AT * SECOND)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("signature-input", None, "there is no header signature-input"),
        ("signature", None, "there is no header signature"),
        ("signature-input", "cronally=(", "signature-input is no dictionary"),
        ("signature-input", "cronally=1", "no signature has the tag"),
        ("signature", "cronally=x", "no signature has the tag"),
        ("signature", "other=:AA==:", "no signature has the tag"),
        ("content-digest", None, "content-digest has no sha-256"),
        ("content-digest", "sha-512=:AA==:", "content-digest has no sha-256"),
        ("content-digest", "sha-256=AA", "content-digest has no sha-256"),
        ("content-digest", "(", "content-digest has no sha-256"),
    ],
)
def test_verify__needs_each_header(name: str, value: str | None, why: str) -> None:
    request = signed()
    headers = {one: text for one, text in {**request.headers, name: value}.items() if text is not None}
    with pytest.raises(NotSigned, match=why):
        verify(KEYS, replace(request, headers=headers), BODY, AT * SECOND)


@pytest.mark.parametrize(
    "more", ['"@scheme"', '"@target-uri"', '"x-none"', '"@method"', '"content-type";sf', "a"]
)
def test_verify__refuses_to_cover_what_it_does_not_know(more: str) -> None:
    request = signed()
    inputs = request.headers["signature-input"].replace('"idempotency-key"', f'"idempotency-key" {more}')
    with pytest.raises(NotSigned, match="covers what is not known here"):
        verify(
            KEYS, replace(request, headers={**request.headers, "signature-input": inputs}), BODY, AT * SECOND
        )


def test_base__has_no_component_with_parameters() -> None:
    with pytest.raises(KeyError):
        base_of(OF_RFC, InnerList([Item("date", '"date"', {"sf": Item(True, "?1")})]))
