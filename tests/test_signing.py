"""The signature: the reference's example, an oracle that spells HMAC out, and what hostile input does."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cronally import signing
from cronally.instants import MAX_INSTANT, MINUTE

REFERENCE_API_SECRET = "h/Be+K0LvQxanvcabBL5Pjg3HL8g7CekNkG090he6rk="
REFERENCE_SECRET = base64.b64decode(REFERENCE_API_SECRET)
# What `openssl dgst -sha256 -mac HMAC` gives for the reference's secret over the reference's string to sign.
REFERENCE_SIGNATURE = "cZB+B8398Tv7rxdnYzVNxzF9fs54B5hPmFFWwWP8Oqc="
REFERENCE_REQUEST = ("/account/", "GET", "200601021504")

secrets = st.binary(min_size=1, max_size=200)
paths = st.text(alphabet=st.characters(codec="utf-8"), max_size=60).map(lambda text: "/" + text)
methods = st.sampled_from(["GET", "HEAD", "POST", "PATCH", "DELETE"])
dates = st.integers(0, MAX_INSTANT).map(signing.format_date)


def oracle_digest(secret: bytes, text: bytes) -> bytes:
    """HMAC-SHA256 as RFC 2104 defines it, without the `hmac` module."""
    key = hashlib.sha256(secret).digest() if len(secret) > 64 else secret
    key = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + text).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).digest()


def test_string_to_sign__of_the_reference() -> None:
    assert signing.string_to_sign("/account/", "GET", "200601021504") == b"/account/GET200601021504"


def test_string_to_sign__keeps_bytes_that_are_no_utf8() -> None:
    raw = b"/cronjob/\xff\xfe/"
    path = raw.decode("utf-8", "surrogateescape")
    assert signing.string_to_sign(path, "GET", "200601021504") == raw + b"GET200601021504"


def test_sign__known_vector() -> None:
    assert signing.sign(REFERENCE_SECRET, *REFERENCE_REQUEST) == REFERENCE_SIGNATURE


@given(secrets, paths, methods, dates)
def test_sign__agrees_with_the_oracle(secret: bytes, path: str, method: str, date: str) -> None:
    expected = oracle_digest(secret, path.encode() + method.encode() + date.encode())
    assert signing.sign(secret, path, method, date) == base64.b64encode(expected).decode()


@given(secrets, paths, methods, dates)
def test_verify__accepts_base64_and_hex_as_bytes_and_as_text(
    secret: bytes, path: str, method: str, date: str
) -> None:
    digest = oracle_digest(secret, f"{path}{method}{date}".encode())
    for text in (base64.b64encode(digest).decode(), digest.hex(), digest.hex().upper()):
        assert signing.verify(secret, path, method, date, text)
        assert signing.verify(secret, path, method, date, text.encode())


@given(
    st.one_of(st.text(), st.binary(), st.text(alphabet="0123456789abcdefABCDEF", min_size=64, max_size=64))
)
def test_verify__refuses_anything_else(signature: str | bytes) -> None:
    assume(signature not in (REFERENCE_SIGNATURE, REFERENCE_SIGNATURE.encode()))
    assert signing.verify(REFERENCE_SECRET, *REFERENCE_REQUEST, signature) is False


@given(st.integers(0, 43), st.characters(codec="ascii"))
def test_verify__refuses_every_change_of_one_character(position: int, character: str) -> None:
    changed = REFERENCE_SIGNATURE[:position] + character + REFERENCE_SIGNATURE[position + 1 :]
    assert signing.verify(REFERENCE_SECRET, *REFERENCE_REQUEST, changed) is (changed == REFERENCE_SIGNATURE)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        REFERENCE_SIGNATURE.rstrip("="),
        REFERENCE_SIGNATURE + "=",
        " " + REFERENCE_SIGNATURE,
        REFERENCE_SIGNATURE + "\n",
        REFERENCE_SIGNATURE.replace("+", "-"),  # base64url is another text
        REFERENCE_SIGNATURE.lower(),
        # the same 32 bytes after a lenient decoding: the unused bits of the last group differ
        REFERENCE_SIGNATURE[:-2] + "d=",
        "\ud800" * 44,
    ],
)
def test_verify__decodes_nothing(signature: str) -> None:
    assert signing.verify(REFERENCE_SECRET, *REFERENCE_REQUEST, signature) is False


@pytest.mark.parametrize(
    ("path", "method", "date"),
    [
        ("/account", "GET", "200601021504"),
        ("/account/", "HEAD", "200601021504"),
        ("/account/", "get", "200601021504"),
        ("/account/", "GET", "200601021505"),
    ],
)
def test_verify__refuses_the_signature_of_another_request(path: str, method: str, date: str) -> None:
    assert not signing.verify(REFERENCE_SECRET, path, method, date, REFERENCE_SIGNATURE)
    assert not signing.verify(b"another secret", *REFERENCE_REQUEST, REFERENCE_SIGNATURE)


@given(st.integers(0, MAX_INSTANT))
def test_date__survives_text_in_whole_minutes(instant: int) -> None:
    text = signing.format_date(instant)
    assert signing.parse_date(text) == instant - instant % MINUTE
    moment = datetime.fromtimestamp(instant // 1_000_000, UTC)
    assert text == (f"{moment.year:04}{moment.month:02}{moment.day:02}{moment.hour:02}{moment.minute:02}")


def test_parse_date__of_the_reference() -> None:
    assert signing.parse_date("200601021504") == 1_136_214_240_000_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20060102150",
        "2006010215040",
        " 20060102150",
        "20060102150\n",
        "+20060102150",
        "2006010215_4",
        "٢٠٠٦٠١٠٢١٥٠٤",  # digits, but not of ASCII
        "²00601021504",
        "200600021504",
        "200613021504",
        "200602301504",
        "200601022404",
        "200601021560",
        "000001021504",
        "196912312359",
        "999912312359",
        "0" * 100_000,
    ],
)
def test_parse_date__refuses(text: str) -> None:
    assert signing.parse_date(text) is None


@given(st.text(max_size=14))
def test_parse_date__never_raises_and_never_guesses(text: str) -> None:
    instant = signing.parse_date(text)
    assert instant is None or signing.format_date(instant) == text


@given(secrets)
def test_decode_secret__gives_the_bytes_back(secret: bytes) -> None:
    assert signing.decode_secret(base64.b64encode(secret).decode()) == secret


@pytest.mark.parametrize("api_secret", ["", "=", "canary", "h/Be+K0L vQxa", "h_Be-K0L", "ключ", "\ud800"])
def test_decode_secret__refuses_without_showing_it(api_secret: str) -> None:
    with pytest.raises(ValueError, match="the API secret is not the base64 text") as caught:
        signing.decode_secret(api_secret)
    assert len(api_secret) < 2 or api_secret not in str(caught.value)
