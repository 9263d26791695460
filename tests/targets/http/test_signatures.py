"""Signatures of requests: checked by the public library of Standard Webhooks and by `cryptography`, over a socket."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from cronally.targets.egress import Egress
from cronally.targets.http import signatures
from cronally.targets.http.target import HttpTarget
from cronally.targets.target import Delivered, Destination, Refused
from tests.support.examples import examples
from tests.support.scripted import Request, ScriptedServer, answer
from tests.targets.conftest import make_message

NEW, OLD, OTHER = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in range(3))
_KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
_RAW = _KEY.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
_PUBLIC = _KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
ASYMMETRIC = f"whsk_{base64.b64encode(_RAW).decode()}"


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(answer(200)) as scripted:
        yield scripted


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    """With the machine's clock: the library refuses what is older than five minutes."""
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), connections=4)
    yield target
    await target.close()


async def call(target: HttpTarget, server: ScriptedServer, method: str = "post", **secret: str) -> Request:
    public = {"delivery_http_method": method, "delivery_http_url": server.url}
    assert isinstance(await target.send(Destination("http", public, secret), make_message()), Delivered)
    return server.requests[-1]


def verify(request: Request, secret: str) -> None:
    """As a receiver does: raises WebhookVerificationError."""
    Webhook(secret).verify(request.body, dict(request.headers), json_parse=False)


def verify_asymmetric(request: Request, public: str) -> None:
    """By the text of the specification: raises InvalidSignature."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    id_, second, found = (request.headers[name] for name in names)
    for one in found.split(" "):
        version, _, encoded = one.partition(",")
        if version == "v1a":
            key.verify(base64.b64decode(encoded), f"{id_}.{second}.".encode() + request.body)
            return
    raise InvalidSignature


@pytest.mark.parametrize("method", ["post", "get"])
@pytest.mark.parametrize("name", ["delivery_http_signing_secret", "signing_secret"])
async def test_request__is_signed(target: HttpTarget, server: ScriptedServer, method: str, name: str) -> None:
    request = await call(target, server, method, **{name: NEW})
    verify(request, NEW)
    assert request.headers["webhook-id"] == request.headers["cronally-firing-id"]
    assert request.headers["idempotency-key"] == request.headers["webhook-id"]
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 300
    with pytest.raises(WebhookVerificationError):
        verify(request, OTHER)
    forged = Request(request.method, request.path, request.headers, request.body + b" ")
    with pytest.raises(WebhookVerificationError):
        verify(forged, NEW)


async def test_request__two_secrets_are_both_good(target: HttpTarget, server: ScriptedServer) -> None:
    own = await call(target, server, delivery_http_signing_secret=f"{NEW},{OLD}")
    shared = await call(target, server, signing_secret=NEW, signing_secret_previous=OLD)
    for request in (own, shared):
        verify(request, NEW)
        verify(request, OLD)
        with pytest.raises(WebhookVerificationError):
            verify(request, OTHER)


async def test_request__the_own_secret_comes_before_that_of_others(
    target: HttpTarget, server: ScriptedServer
) -> None:
    request = await call(target, server, delivery_http_signing_secret=NEW, signing_secret=OLD)
    verify(request, NEW)
    with pytest.raises(WebhookVerificationError):
        verify(request, OLD)
    request = await call(target, server, delivery_http_signing_secret="none", signing_secret=OLD)
    verify(request, OLD)


async def test_request__asymmetric(target: HttpTarget, server: ScriptedServer) -> None:
    request = await call(target, server, delivery_http_signing_secret=f"{ASYMMETRIC},{OLD}")
    public = signatures.public_key(ASYMMETRIC)
    assert public == f"whpk_{base64.b64encode(_PUBLIC).decode()}"
    verify_asymmetric(request, public)
    verify(request, OLD)
    with pytest.raises(InvalidSignature):
        verify_asymmetric(request, f"whpk_{base64.b64encode(b'x' * 32).decode()}")
    whole = f"whsk_{base64.b64encode(_RAW + _PUBLIC).decode()}"
    verify_asymmetric(await call(target, server, signing_secret=whole), public)


async def test_request__without_a_secret_is_as_it_was(target: HttpTarget, server: ScriptedServer) -> None:
    for secret in ({}, {"delivery_http_signing_secret": "none"}, {"signing_secret": ""}):
        request = await call(target, server, **secret)
        assert not request.headers.keys() & set(signatures.HEADERS)


async def test_request__with_what_is_no_secret_is_refused_and_not_repeated(
    target: HttpTarget, server: ScriptedServer
) -> None:
    public = {"delivery_http_method": "post", "delivery_http_url": server.url}
    outcome = await target.send(Destination("http", public, {"signing_secret": "canary"}), make_message())
    assert isinstance(outcome, Refused)
    assert "canary" not in outcome.detail
    assert not server.requests


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("canary", "is no signing secret"),
        ("whsec_", "with 0 bytes; give 24 to 64"),
        ("whsec_canary=", "no base64 behind whsec_"),
        (f"whsec_{base64.b64encode(b'canary').decode()}", "with 6 bytes"),
        (f"whsec_{base64.b64encode(b'c' * 65).decode()}", "with 65 bytes"),
        (f"{NEW} {OLD}", "no base64"),
        (f"{NEW},{OLD},{OTHER}", "holds 3 secrets"),
        (f"{NEW},", "is no signing secret"),
        (f"{NEW},none", "is no signing secret"),
        (f"whpk_{base64.b64encode(_PUBLIC).decode()}", "holds a public key"),
        (f"whsk_{base64.b64encode(b'c' * 33).decode()}", "with 33 bytes"),
        (f"whsk_{base64.b64encode(b'c' * 64).decode()}", "belongs to another one"),
    ],
)
def test_check__complains_without_the_secret(text: str, said: str) -> None:
    complaint = signatures.check(text)
    assert complaint is not None
    assert said in complaint
    assert "canary" not in complaint
    assert text == "whsec_" or text not in complaint


@examples(50)
@given(st.integers(24, 64), st.uuids(), st.integers(0, 4_000_000_000), st.binary(max_size=200))
def test_sign__agrees_with_the_library(size: int, id_: object, second: int, body: bytes) -> None:
    """Whatever is sent that is a text; the library reads no other."""
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(size)).decode()}"
    text = body.decode("latin-1")
    signed = signatures.sign([secret], str(id_), second, text.encode())
    expected = Webhook(secret).sign(str(id_), datetime.fromtimestamp(second, UTC), text)
    assert signed["webhook-signature"] == expected
