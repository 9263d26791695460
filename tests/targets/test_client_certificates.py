"""What is taken as a client certificate, and what is said of what is not."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from cronally.instants import DAY, MAX_INSTANT, from_datetime
from cronally.targets import client_certificates
from cronally.targets.client_certificates import (
    MAX_CERTIFICATES,
    MAX_SHOWN,
    Unfit,
    read_authorities,
    read_certificate,
)
from cronally.targets.own_tls import OwnTls
from tests.support.certificates import Authority, Issued, Key, new_key, pem_of, rsa_key

OURS = Authority("ours")
NOW = from_datetime(datetime.now(UTC))
GOOD = OURS.issue("us")


def refused(certificate: str, key: str, now: int = NOW) -> tuple[str, str]:
    with pytest.raises(Unfit) as caught:
        read_certificate(certificate, key, now)
    assert key[40:60] not in str(caught.value)
    return caught.value.parameter, str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa_key(2048),
        rsa_key(4096),
    ],
    ids=["P-256", "P-384", "P-521", "RSA 2048", "RSA 4096"],
)
def test_kinds__of_keys(key: Key) -> None:
    issued = OURS.issue("us", key=key)
    found = read_certificate(issued.certificate, issued.key, NOW)
    assert found.subject == "CN=us"
    older = pem_of(key, PrivateFormat.TraditionalOpenSSL)
    assert older != issued.key
    assert read_certificate(issued.certificate, older, NOW) == found
    assert "PRIVATE" not in repr(found)
    certificate = x509.load_pem_x509_certificate(issued.certificate.encode())
    assert found.fingerprint == certificate.fingerprint(hashes.SHA256()).hex()
    assert found.not_after == from_datetime(certificate.not_valid_after_utc)


def test_kinds__ed25519() -> None:
    issued = OURS.issue(key=ed25519.Ed25519PrivateKey.generate())
    assert read_certificate(issued.certificate, issued.key, NOW).key == issued.key


OTHER_KEYS: dict[str, Callable[[], PrivateKeyTypes]] = {
    "DSA": lambda: dsa.generate_private_key(1024),  # noqa: S505
    "P-224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "RSA 1024": lambda: rsa.generate_private_key(65_537, 1024),  # noqa: S505
    "ed448": ed448.Ed448PrivateKey.generate,
}


@pytest.mark.parametrize("kind", OTHER_KEYS)
def test_kinds__that_are_not_taken(kind: str) -> None:
    made = OTHER_KEYS[kind]()
    assert not isinstance(made, x25519.X25519PrivateKey)
    key = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    parameter, complaint = refused(GOOD.certificate, key.decode())
    assert (parameter, "give RSA of 2048 to 4096 bits" in complaint) == ("client_key", True)


def test_kinds__rsa_beyond_what_a_handshake_may_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_certificates, "MAX_RSA", 2048)  # a longer one takes long to make
    assert "give RSA of 2048" in refused(GOOD.certificate, pem_of(rsa_key(4096)))[1]


@pytest.mark.parametrize("change", ["e", "d", "p", "dmp1", "dmq1", "iqmp"])
def test_rsa__whose_numbers_do_not_belong_together(change: str) -> None:
    old = rsa_key().private_numbers()
    numbers = {name: getattr(old, name) for name in ("p", "q", "d", "dmp1", "dmq1", "iqmp")}
    assert client_certificates._belong_together(old)
    e = old.public_numbers.e
    if change == "e":
        e = (1 << 40) + 15
    else:
        numbers[change] += 2
    wrong = rsa.RSAPrivateNumbers(**numbers, public_numbers=rsa.RSAPublicNumbers(e, old.public_numbers.n))
    assert not client_certificates._belong_together(wrong)
    if change != "p":  # with that, no library makes a key of it
        made = wrong.private_key(unsafe_skip_rsa_key_validation=True)
        issued = OURS.issue(key=rsa_key())
        assert refused(issued.certificate, pem_of(made)) == (
            "client_key",
            "is no key of RSA: its numbers do not belong together; give another one",
        )


def test_key__of_another_certificate() -> None:
    assert refused(GOOD.certificate, OURS.issue().key) == (
        "client_key",
        "does not belong to the client_certificate; give the key that the certificate was made for",
    )


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_key__that_is_encrypted(form: PrivateFormat) -> None:
    key = pem_of(new_key(), form, BestAvailableEncryption(b"secret"))
    parameter, complaint = refused(GOOD.certificate, key)
    assert parameter == "client_key"
    assert complaint.startswith("is encrypted; give it without a passphrase")


def test_texts__that_are_something_else() -> None:
    assert refused(GOOD.certificate, GOOD.certificate)[0] == "client_key"
    assert refused(GOOD.certificate + GOOD.key, GOOD.key) == (
        "client_certificate",
        "holds a private key; give that as client_key alone",
    )
    assert refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", GOOD.key)[0] == (
        "client_certificate"
    )
    request = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"
    assert "no certificate in PEM" in refused(request, GOOD.key)[1]
    assert "more than 10" in refused(GOOD.certificate * (MAX_CERTIFICATES + 1), GOOD.key)[1]
    with pytest.raises(Unfit, match="holds a private key"):
        read_authorities(OURS.certificate + GOOD.key)
    with pytest.raises(Unfit, match="no certificate in PEM"):
        read_authorities(request)


def test_chain__begins_with_the_certificate_of_the_key() -> None:
    between = Authority("between", OURS)
    issued = between.issue("us")
    own = issued.certificate.removesuffix(between.certificate)
    assert own != issued.certificate
    turned = f"Bag Attributes\n{between.certificate}\nand\n{own}\n"
    assert read_certificate(turned, issued.key, NOW).chain == issued.certificate
    assert read_certificate(issued.certificate, issued.key, NOW).chain == issued.certificate


def test_dates__expired_and_not_yet_valid() -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    begins = ends - timedelta(days=2)
    issued = OURS.issue(begins=begins, ends=ends)
    at = from_datetime(ends)
    assert refused(issued.certificate, issued.key, at) == (
        "client_certificate",
        f"expired at {ends:%Y-%m-%dT%H:%M:%SZ}; give one that is valid",
    )
    assert read_certificate(issued.certificate, issued.key, at - 1).not_after == at
    assert "is not valid before" in refused(issued.certificate, issued.key, at - 3 * DAY)[1]
    assert read_certificate(issued.certificate, issued.key, from_datetime(begins) - 60_000_000)
    endless = OURS.issue(ends=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert read_certificate(endless.certificate, endless.key, NOW).not_after == MAX_INSTANT


@pytest.mark.filterwarnings("ignore:Attribute's length must be")
def test_subject__is_bounded_and_printable() -> None:
    # X.520 has 64 characters for a common name; nobody who issues certificates for himself keeps to it.
    name = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, "a\n\x1b[31m" + "é" * 400, _validate=False)]
    )
    certificate = _certificate(name)
    shown = read_certificate(certificate.certificate, certificate.key, NOW).subject
    assert len(shown) == MAX_SHOWN
    assert shown.isprintable()
    assert shown.endswith("...")


@pytest.mark.parametrize("names", [[], [x509.UniformResourceIdentifier("spiffe://example/cronally")]])
def test_subject__that_is_empty(names: list[x509.GeneralName]) -> None:
    made = _certificate(x509.Name([]), names)
    expected = "spiffe://example/cronally" if names else ""
    assert read_certificate(made.certificate, made.key, NOW).subject == expected


def _certificate(name: x509.Name, names: list[x509.GeneralName] | None = None) -> Issued:
    key = new_key()
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1)
    )
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return Issued(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode(), pem_of(key))


def test_openssl__has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its policy refuses: SHA-1, a key that is too short for this machine, and so on."""
    wrong = Issued(GOOD.certificate, OURS.issue().key)
    monkeypatch.setattr(
        client_certificates, "_private_key", lambda _: load_pem_private_key(GOOD.key.encode(), None)
    )
    monkeypatch.setattr(client_certificates, "_public_bytes", lambda _: None)
    assert refused(wrong.certificate, wrong.key)[0] == "client_key"
    with pytest.raises(Unfit, match="is refused by TLS: key values mismatch"):
        client_certificates._try(
            "client_certificate",
            OwnTls("", b"", wrong.certificate, wrong.key),
        )


def test_authorities__are_named() -> None:
    other = Authority("other")
    found = read_authorities(f"# ours\n{OURS.certificate}\n{other.certificate}")
    assert found.pem == OURS.certificate + other.certificate
    assert list(found.subjects) == ["CN=ours", "CN=other"]


@given(st.binary(max_size=200), st.integers(0, 1000), st.booleans())
@settings(max_examples=150, deadline=None)
def test_bytes__of_any_kind_end_in_a_complaint_or_are_taken(noise: bytes, place: int, of_key: bool) -> None:
    """Bytes within a certificate or a key that are others: nothing but Unfit is raised."""
    text = GOOD.key if of_key else GOOD.certificate
    lines = text.splitlines()
    body = base64.b64decode("".join(lines[1:-1]))
    place %= len(body)
    damaged = base64.b64encode(body[:place] + noise + body[place + len(noise) :]).decode()
    whole = "\n".join([lines[0], damaged, lines[-1]])
    try:
        found = read_certificate(*((GOOD.certificate, whole) if of_key else (whole, GOOD.key)), NOW)
    except Unfit:
        return
    assert found.key == GOOD.key or not of_key
    assert found.subject.isprintable()
