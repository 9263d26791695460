"""Message signatures of requests: checked by the public library `http-message-signatures`, over a socket, with the keys
of a key page."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import http_sf
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageVerifier,
    InvalidSignature,
    MappingKeyResolver,
    VerificationKey,
    VerifyResult,
    algorithms,
)
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from cronally.message_signatures import TAG
from cronally.message_signatures import Request as Signed
from cronally.message_signatures import verify as own_verify
from cronally.targets.connected import Held, connect
from cronally.targets.egress import Egress
from cronally.targets.http import signatures
from cronally.targets.http.signing import signed
from cronally.targets.http.signing_keys import key_of, thumbprint
from cronally.targets.http.target import HttpTarget
from cronally.targets.target import Delivered, Destination
from cronally.targets.url import parse_url
from cronally.webhook_signatures import read_key
from tests.support.examples import examples
from tests.support.scripted import Request, ScriptedServer, answer
from tests.targets.conftest import make_message

NEW, OLD, OTHER = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in range(3))
ASYMMETRIC, FORMER = (f"whsk_{base64.b64encode(letter * 32).decode()}" for letter in (b"k", b"l"))
ALL = ["@method", "@authority", "@path", "@query", "content-digest", "content-type", "idempotency-key"]
BODILESS = [name for name in ALL if name != "content-type"]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(answer(200)) as scripted:
        yield scripted


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    """With the machine's clock: the library refuses what is too old."""
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), connections=4)
    yield target
    await target.close()


def held(server: ScriptedServer, secret: str, form: str = "message-signatures", former: str = "") -> Held:
    """A connection, as it is stored."""
    keys = [key_of(one) for one in (secret, former) if one]
    public = {
        "base_url": f"{server.url}/",
        "signature_format": form,
        "signing_keys": keys,
        "connection_id": "c",
    }
    previous = {"signing_secret": former} if former else {}
    return Held("http", public, {"signing_secret": secret}, previous)


async def call(
    target: HttpTarget,
    server: ScriptedServer,
    used: Held,
    own: Mapping[str, str] | None = None,
    path: str = "/in?b=%2F&a=1",
    **public: Any,
) -> Request:
    public = {"delivery_http_method": "post", "delivery_http_url": f"{server.url}{path}", **public}
    destination = connect(Destination("http", public, own or {}), used)
    assert isinstance(await target.send(destination, make_message()), Delivered)
    return server.requests[-1]


@dataclass
class Arrived:
    """What the library looks at."""

    method: str
    url: str
    headers: dict[str, str]


def arrived(request: Request) -> Arrived:
    return Arrived(request.method, f"http://{request.headers['host']}{request.path}", dict(request.headers))


ALGORITHMS = {"ed25519": algorithms.ED25519, "hmac-sha256": algorithms.HMAC_SHA256}


def verify(
    request: Request,
    keys: Mapping[str, VerificationKey],
    algorithm: str,
    label: str | None = "cronally",
    components: Sequence[str] = ALL,
) -> list[VerifyResult]:
    """As a receiver does: raises InvalidSignature."""
    verifier = HTTPMessageVerifier(
        signature_algorithm=ALGORITHMS[algorithm],
        key_resolver=MappingKeyResolver(public_keys=keys, private_keys={}),
    )
    return verifier.verify(
        arrived(request),
        expect_tag=TAG,
        expect_label=label,
        require_components=components,
        body=request.body,
    )


def shared(used: Held) -> dict[str, VerificationKey]:
    """What a receiver has of shared secrets, by their ids."""
    texts = (used.secret["signing_secret"], used.previous.get("signing_secret", ""))
    return {
        key["kid"]: base64.b64decode(text.removeprefix("whsec_"))
        for key, text in zip(used.public["signing_keys"], texts, strict=False)
    }


def public(used: Held) -> dict[str, VerificationKey]:
    """What a receiver makes of a key page."""
    return {
        key["kid"]: Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
        for key in used.public["signing_keys"]
        if "x" in key
    }


def test_key__has_the_thumbprint_of_the_rfc() -> None:
    """RFC 8037, A.1 to A.3."""
    seed = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    assert key_of(f"whsk_{base64.b64encode(seed).decode()}") == {
        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }
    assert thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").startswith("kPrK")


def test_key__of_a_shared_secret_says_nothing_of_it() -> None:
    assert key_of(NEW).keys() == {"kid"}
    assert key_of(NEW) != key_of(NEW)


@pytest.mark.parametrize("method", ["post", "get", "delete"])
@pytest.mark.parametrize("secret", [NEW, ASYMMETRIC])
async def test_request__is_signed(
    target: HttpTarget, server: ScriptedServer, secret: str, method: str
) -> None:
    used = held(server, secret)
    request = await call(target, server, used, delivery_http_method=method)
    symmetric = secret == NEW
    keys = shared(used) if symmetric else public(used)
    algorithm = "hmac-sha256" if symmetric else "ed25519"
    components = ALL if method == "post" else BODILESS
    (found,) = verify(request, keys, algorithm, components=components)
    assert [name.strip('"') for name in found.covered_components][:-1] == components
    assert found.body == request.body
    assert abs(int(found.parameters["created"]) - time.time()) < 300
    assert {name: found.parameters[name] for name in ("alg", "keyid", "tag")} == {
        "alg": algorithm,
        "keyid": used.public["signing_keys"][0]["kid"],
        "tag": "cronally",
    }
    assert not request.headers.keys() & set(signatures.HEADERS)
    for changed in (
        {"body": request.body + b" "},
        {"path": "/other"},
        {"method": "PUT"},
        {"headers": {**request.headers, "idempotency-key": "other"}},
    ):
        whole = {name: getattr(request, name) for name in ("method", "path", "headers", "body")}
        with pytest.raises(InvalidSignature):
            verify(Request(**{**whole, **changed}), keys, algorithm, components=components)


async def test_request__two_keys_are_both_good(target: HttpTarget, server: ScriptedServer) -> None:
    for secret, former in ((NEW, OLD), (ASYMMETRIC, FORMER)):
        used = held(server, secret, former=former)
        request = await call(target, server, used)
        keys = shared(used) if secret == NEW else public(used)
        algorithm = "hmac-sha256" if secret == NEW else "ed25519"
        assert len(keys) == 2
        both = verify(request, keys, algorithm, label=None)
        assert [one.label for one in both] == ["cronally", "cronally-previous"]
        assert [one.parameters["keyid"] for one in both] == list(keys)
        # Who has one of them alone.
        for label, key_id in zip(("cronally", "cronally-previous"), keys, strict=True):
            verify(request, {key_id: keys[key_id]}, algorithm, label=label)
    mixed = held(server, ASYMMETRIC, former=NEW)
    request = await call(target, server, mixed)
    verify(request, public(mixed), "ed25519", label="cronally")
    raw = base64.b64decode(NEW.removeprefix("whsec_"))
    key_id = mixed.public["signing_keys"][1]["kid"]
    verify(request, {key_id: raw}, "hmac-sha256", label="cronally-previous")


async def test_request__a_former_secret_that_has_no_id_signed_nothing_of_the_kind(
    target: HttpTarget, server: ScriptedServer
) -> None:
    used = held(server, NEW, "both", former=OLD)
    used = Held(
        "http", {**used.public, "signing_keys": used.public["signing_keys"][:1]}, used.secret, used.previous
    )
    request = await call(target, server, used)
    assert len(verify(request, shared(used), "hmac-sha256", label=None)) == 1
    Webhook(OLD).verify(request.body, dict(request.headers), json_parse=False)


async def test_request__is_signed_both_ways(target: HttpTarget, server: ScriptedServer) -> None:
    used = held(server, NEW, "both")
    request = await call(target, server, used)
    verify(request, shared(used), "hmac-sha256")
    Webhook(NEW).verify(request.body, dict(request.headers), json_parse=False)
    assert request.headers["webhook-id"] == request.headers["idempotency-key"]


async def test_request__with_a_secret_of_its_own_is_signed_as_standard_webhooks_says(
    target: HttpTarget, server: ScriptedServer
) -> None:
    used = held(server, NEW)
    request = await call(target, server, used, {signatures.OWN: OTHER})
    Webhook(OTHER).verify(request.body, dict(request.headers), json_parse=False)
    assert "signature-input" not in request.headers
    assert "content-digest" not in request.headers
    request = await call(target, server, used, {signatures.OWN: "none"})
    verify(request, shared(used), "hmac-sha256")


async def test_request__headers_of_the_tenant_do_not_stand_in_for_signatures(
    target: HttpTarget, server: ScriptedServer
) -> None:
    own = {"signature": "x=:AA==:", "SIGNATURE-INPUT": "x=()", "Content-digest": "sha-256=:AA==:"}
    used = held(server, ASYMMETRIC)
    request = await call(target, server, used, delivery_http_headers=own)
    verify(request, public(used), "ed25519", label=None)
    unsigned = Held("http", {"base_url": f"{server.url}/"}, {})
    request = await call(target, server, unsigned, delivery_http_headers=own)
    assert request.headers["signature"] == "x=:AA==:", "who signs otherwise goes on doing so"


async def test_request__as_a_cloud_event(target: HttpTarget, server: ScriptedServer) -> None:
    used = held(server, ASYMMETRIC)
    request = await call(target, server, used, delivery_http_format="cloudevents-structured")
    assert request.headers["content-type"] == "application/cloudevents+json"
    verify(request, public(used), "ed25519")


async def test_credentials__are_tried_out_with_a_signature(
    target: HttpTarget, server: ScriptedServer
) -> None:
    used = held(server, ASYMMETRIC)
    tried = await target.try_credentials(used.public, used.secret, "a")
    assert tried.accepted
    components = [name for name in BODILESS if name != "idempotency-key"]
    verify(server.requests[-1], public(used), "ed25519", components=components)


HOSTS = st.sampled_from(["Example.com", "a.example:8443", "example.com:443", "[2001:DB8::1]:80", "1.1.1.1"])
PATHS = st.from_regex(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]{0,6}|/%2[0-9A-Fa-f]){0,3}", fullmatch=True)
QUERIES = st.one_of(st.just(""), st.from_regex(r"\?[A-Za-z0-9=&%/?+-]{0,3}", fullmatch=True))


@examples(60)
@given(
    st.tuples(st.sampled_from(["http", "https", "HTTPS"]), HOSTS, PATHS, QUERIES),
    st.binary(max_size=60),
    st.integers(24, 64),
    st.booleans(),
    st.sampled_from(["application/json", 'text/plain; charset="utf-8"', "a/b"]),
)
def test_signed__agrees_with_the_library_whatever_is_sent(
    parts: tuple[str, str, str, str], body: bytes, size: int, symmetric: bool, content_type: str
) -> None:
    scheme, host, path, query = parts
    try:
        url = parse_url(f"{scheme}://{host}{path}{query}")
    except ValueError:
        return  # half a percent-encoding
    verifier: VerificationKey
    if symmetric:
        verifier = secrets.token_bytes(size)
        secret = f"whsec_{base64.b64encode(verifier).decode()}"
    else:
        private = Ed25519PrivateKey.generate()
        secret = f"whsk_{base64.b64encode(private.private_bytes_raw()).decode()}"
        verifier = private.public_key()
    key = key_of(secret)
    now = int(time.time())
    headers = signed(
        {"Content-Type": content_type, "Idempotency-Key": "i"},
        public={"signature_format": "message-signatures", "signing_keys": [key]},
        secrets=[secret],
        method="POST",
        url=url,
        body=body,
        message_id="i",
        second=now,
    )
    lower = {name.lower(): value for name, value in headers.items()}
    request = Request("POST", url.target, {**lower, "host": url.authority}, body)
    message = Arrived("POST", f"{scheme}://{host}{path}{query}", dict(headers))
    algorithm = "hmac-sha256" if symmetric else "ed25519"
    (found,) = HTTPMessageVerifier(
        signature_algorithm=ALGORITHMS[algorithm],
        key_resolver=MappingKeyResolver(public_keys={key["kid"]: verifier}, private_keys={}),
    ).verify(message, expect_tag=TAG, require_components=ALL, body=body)
    assert found.parameters["created"] == now
    for name in ("Signature-Input", "Signature", "Content-Digest"):
        value = headers[name].encode()
        assert http_sf.ser(http_sf.parse(value, tltype="dictionary")).encode() == value
    text = secret if symmetric else signatures.public_key(secret)
    own = Signed(request.method, url.authority, request.path, request.headers)
    assert own_verify([read_key(text)], own, body, now * 1_000_000) == algorithm
