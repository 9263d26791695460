"""Ed25519 against the vectors of its RFC, and against a library that knows it."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from cronally.ed25519 import verify
from tests.support.examples import examples

# RFC 8032, 7.1: TEST 1, 2 and 3.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe"
        "24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302a"
        "eeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed2"
        "8dc027beceea1ec40a",
    ),
]
ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_verify__vectors_of_the_rfc(key: str, message: str, signature: str) -> None:
    assert verify(bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature))


@examples(20)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.integers(0, 8 * 64 - 1))
def test_verify__agrees_with_the_library(seed: bytes, message: bytes, flipped: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert verify(public, message, signature)
    assert not verify(public, message + b"x", signature)
    wrong = bytearray(signature)
    wrong[flipped // 8] ^= 1 << flipped % 8
    assert not verify(public, message, bytes(wrong))


def test_verify__the_same_signature_in_another_encoding_is_none() -> None:
    key, message, signature = (bytes.fromhex(text) for text in VECTORS[1])
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    assert not verify(key, message, signature[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize("key", [(1).to_bytes(32, "little"), bytes(32), (2**255 - 20).to_bytes(32, "little")])
def test_verify__a_key_that_fits_every_message_is_none(key: bytes) -> None:
    neutral = (1).to_bytes(32, "little")
    assert not verify(key, b"anything", neutral + bytes(32))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_verify__what_has_another_size_is_none(size: int) -> None:
    key, message, signature = (bytes.fromhex(text) for text in VECTORS[0])
    assert not verify(bytes(size), message, signature)
    assert not verify(key, message, signature[:size])
