"""The check of Standard Webhooks signatures, against signatures that are made here by the specification."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from cronally.instants import MINUTE, SECOND
from cronally.webhook_signatures import MAX_SIGNATURES, TOLERANCE, NotSigned, read_key, verify
from tests.support.examples import examples

# As the specification's own libraries have it in their tests.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NOW = TIMESTAMP * SECOND
OTHER = "whsec_" + base64.b64encode(bytes(range(24))).decode()
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = "whpk_" + base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()


def headers(signature: str, timestamp: int = TIMESTAMP) -> dict[str, str]:
    return {"webhook-id": ID, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


def symmetric(secret: str, timestamp: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{ID}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def asymmetric(timestamp: int, body: bytes) -> str:
    return "v1a," + base64.b64encode(PRIVATE.sign(f"{ID}.{timestamp}.".encode() + body)).decode()


def test_verify__the_vector_of_the_specifications_libraries() -> None:
    assert verify([read_key(SECRET)], headers(SIGNATURE), BODY, NOW) == "v1"


@examples(30)
@given(st.binary(max_size=200), st.sampled_from(["v1", "v1a"]), st.integers(-TOLERANCE, TOLERANCE))
def test_verify__what_was_signed_by_the_specification(body: bytes, version: str, off: int) -> None:
    keys = [read_key(OTHER), read_key(SECRET), read_key(PUBLIC)]
    made = asymmetric(TIMESTAMP, body) if version == "v1a" else symmetric(SECRET, TIMESTAMP, body)
    assert verify(keys, headers(made), body, NOW + off) == version
    with pytest.raises(NotSigned, match="no signature fits"):
        verify(keys, headers(made), body + b" ", NOW + off)


def test_verify__one_of_several_signatures_is_enough() -> None:
    both = f"v1,AAAA {symmetric(OTHER, TIMESTAMP, BODY)} v9,x {SIGNATURE}"
    assert verify([read_key(SECRET)], headers(both), BODY, NOW) == "v1"


def test_verify__looks_at_a_few_signatures() -> None:
    many = " ".join(["v1,AAAA"] * MAX_SIGNATURES + [SIGNATURE])
    with pytest.raises(NotSigned, match="no signature fits"):
        verify([read_key(SECRET)], headers(many), BODY, NOW)


def test_verify__a_signature_counts_for_its_own_kind_of_key() -> None:
    as_other = SIGNATURE.replace("v1,", "v1a,")
    with pytest.raises(NotSigned, match=r"no signature is of the version v1$"):
        verify([read_key(SECRET)], headers(as_other), BODY, NOW)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"webhook-id": "msg_other"}, "no signature fits"),
        ({"webhook-id": "\xff\u1234"}, "no signature fits"),
        ({"webhook-timestamp": "0x10"}, "no number of seconds"),
        ({"webhook-timestamp": "9" * 400}, "no number of seconds"),
        ({"webhook-timestamp": "²"}, "no number of seconds"),
        ({"webhook-signature": ""}, "no signature is of the version v1$"),
        ({"webhook-signature": "v1," + "é" * 10}, "no signature fits"),
    ],
)
def test_verify__refuses(changed: dict[str, str], why: str) -> None:
    with pytest.raises(NotSigned, match=why):
        verify([read_key(SECRET)], headers(SIGNATURE) | changed, BODY, NOW)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_verify__needs_each_header(name: str) -> None:
    sent = headers(SIGNATURE)
    del sent[name]
    with pytest.raises(NotSigned, match=f"there is no header {name}"):
        verify([read_key(SECRET)], sent, BODY, NOW)


@pytest.mark.parametrize(
    ("off", "said"), [(TOLERANCE + SECOND, "301 s old"), (-TOLERANCE - MINUTE, "360 s ahead")]
)
def test_verify__refuses_another_time(off: int, said: str) -> None:
    with pytest.raises(NotSigned, match=f"webhook-timestamp is {said}; 300 s are tolerated"):
        verify([read_key(SECRET)], headers(SIGNATURE), BODY, NOW + off)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with whsec_"),
        ("whsec_canary!", "is not base64"),
        ("whsec_Y2FuYXJ5", "a secret has 24 to 64 bytes in base64, this has 6"),
        ("whsk_Y2FuYXJ5", "give its public key, which begins with whpk_"),
        ("whpk_Y2FuYXJ5", "a public key has 32 bytes in base64, this has 6"),
    ],
)
def test_read_key__refuses_without_repeating(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        read_key(text)
    assert "canary" not in str(refused.value)
    assert "Y2Fu" not in str(refused.value)


def test_key__is_not_in_its_repr() -> None:
    assert repr(read_key(SECRET)) == "Key(version='v1')"
