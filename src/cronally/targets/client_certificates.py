"""Certificates and keys as a tenant gives them, read and checked before they are stored.

Invariant: pure, and bounded whatever is given: a certificate takes a millisecond or two, and there are
`MAX_CERTIFICATES`. What passes is written anew, so OpenSSL reads later what was checked here. No complaint repeats
anything of what was given but a date.

A key is never checked for primes, as libraries do when they read one: of RSA 4096 that takes most of a second. That its
numbers belong together is enough: with others, signatures would be wrong, and nothing else.
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from cronally.instants import MAX_INSTANT, MINUTE, format_iso, from_datetime
from cronally.targets.contexts import make_context
from cronally.targets.own_tls import AUTHORITIES, CERTIFICATE, KEY, OwnTls

MAX_CERTIFICATES: Final = 10
"""Of a chain, and of authorities."""
MIN_RSA: Final = 2048
MAX_RSA: Final = 4096
"""Bits. Each handshake makes a signature with it, which takes eight times as long with twice as many."""
SKEW: Final = 5 * MINUTE
"""By how much the clocks of who issues certificates may be ahead."""
MAX_SHOWN: Final = 256
"""Characters of a subject."""
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_KINDS: Final = f"RSA of {MIN_RSA} to {MAX_RSA} bits, EC on P-256, P-384 or P-521, or ed25519"
_NO_CERTIFICATE: Final = (
    "holds what is no certificate in PEM (-----BEGIN CERTIFICATE-----); give it as it was issued"
)
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
# A name that is longer than X.520 allows is no matter of the operator's, and is cut.
warnings.filterwarnings("ignore", "Attribute's length must be", UserWarning)

_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class Unfit(ValueError):
    """It cannot be used. The message is a complaint about a parameter."""

    def __init__(self, parameter: str, complaint: str) -> None:
        super().__init__(complaint)
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate, its chain and its key."""

    chain: str
    """PEM: the certificate itself first."""
    key: str = field(repr=False)
    """PEM: PKCS 8."""
    subject: str
    not_after: int
    """An instant."""
    fingerprint: str
    """SHA-256, in small hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Authorities:
    """Certificates that are trusted."""

    pem: str
    subjects: Sequence[str]


def read_certificate(chain: str, key: str, now: int) -> ClientCertificate:
    """A certificate with its key. Raises Unfit.

    :param chain: PEM, in any order
    :param key: PEM
    """
    try:
        return _read(_certificates(chain, CERTIFICATE), _private_key(key), now)
    except Unfit:
        raise
    except _UNREADABLE:
        raise Unfit(CERTIFICATE, _NO_CERTIFICATE) from None


def _read(certificates: Sequence[x509.Certificate], private: _Key, now: int) -> ClientCertificate:
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    own = next((one for one in certificates if _public_bytes(one) == public), None)
    if own is None:
        raise Unfit(
            KEY, f"does not belong to the {CERTIFICATE}; give the key that the certificate was made for"
        )
    # One without an end has the year 9999 (RFC 5280, 4.1.2.5), which is beyond all instants.
    not_after = min(from_datetime(own.not_valid_after_utc), MAX_INSTANT)
    if not_after <= now:
        raise Unfit(CERTIFICATE, f"expired at {format_iso(not_after)}; give one that is valid")
    if from_datetime(own.not_valid_before_utc) > now + SKEW:
        begins = format_iso(from_datetime(own.not_valid_before_utc))
        raise Unfit(CERTIFICATE, f"is not valid before {begins}; give it then")
    made = ClientCertificate(
        _pem([own, *(one for one in certificates if one is not own)]),
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        _shown(own),
        not_after,
        own.fingerprint(hashes.SHA256()).hex(),
    )
    _try(CERTIFICATE, OwnTls("", b"", made.chain, made.key))
    return made


def read_authorities(text: str) -> Authorities:
    """Certificates to trust. Raises Unfit."""
    certificates = _certificates(text, AUTHORITIES)
    made = Authorities(_pem(certificates), [_shown(one) for one in certificates])
    _try(AUTHORITIES, OwnTls("", b"", authorities=made.pem))
    return made


def _certificates(text: str, parameter: str) -> list[x509.Certificate]:
    if "PRIVATE KEY-----" in text:
        where = (
            f"; give that as {KEY} alone"
            if parameter == CERTIFICATE
            else ", which is its owner's alone; give certificates alone"
        )
        raise Unfit(parameter, f"holds a private key{where}")
    if text.count("-----BEGIN ") > MAX_CERTIFICATES:
        raise Unfit(parameter, f"holds more than {MAX_CERTIFICATES} certificates; give fewer")
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except _UNREADABLE:
        raise Unfit(parameter, _NO_CERTIFICATE) from None


def _private_key(text: str) -> _Key:
    if "ENCRYPTED" in text:
        raise Unfit(
            KEY,
            "is encrypted; give it without a passphrase, as `openssl pkey -in key.pem` writes it: it is sealed",
        )
    try:
        found = load_pem_private_key(text.encode(), None, unsafe_skip_rsa_key_validation=True)
    except _UNREADABLE:
        raise Unfit(KEY, "is no private key in PEM (-----BEGIN PRIVATE KEY-----); give one") from None
    match found:
        case rsa.RSAPrivateKey() if MIN_RSA <= found.key_size <= MAX_RSA:
            if not _belong_together(found.private_numbers()):
                raise Unfit(KEY, "is no key of RSA: its numbers do not belong together; give another one")
            return found
        case ec.EllipticCurvePrivateKey() if isinstance(found.curve, _CURVES):
            return found
        case ed25519.Ed25519PrivateKey():
            return found
    raise Unfit(KEY, f"is of a kind, or a size, that is not taken; give {_KINDS}")


def _belong_together(numbers: rsa.RSAPrivateNumbers) -> bool:
    """Whether a signature with these takes the time that one with a key of so many bits does."""
    p, q, d, e = numbers.p, numbers.q, numbers.d, numbers.public_numbers.e
    return (
        p * q == numbers.public_numbers.n
        and p % 2 == q % 2 == e % 2 == 1
        and abs(p.bit_length() - q.bit_length()) <= 1
        and 3 <= e < 2**32
        and numbers.dmp1 == d % (p - 1)
        and numbers.dmq1 == d % (q - 1)
        and numbers.iqmp * q % p == 1
        and d < p * q
        and d * e % (p - 1) == d * e % (q - 1) == 1
    )


def _public_bytes(certificate: x509.Certificate) -> bytes | None:
    try:
        key = certificate.public_key()
    except _UNREADABLE:  # of no kind that a key here can be
        return None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _pem(certificates: Sequence[x509.Certificate]) -> str:
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)


def _shown(certificate: x509.Certificate) -> str:
    """Whom a certificate is for: its subject, or the first of its other names."""
    try:
        text = certificate.subject.rfc4514_string() or _first_name(certificate)
    except _UNREADABLE:
        text = ""
    text = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def _first_name(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    return next((str(name.value) for name in names), "")


def _try(parameter: str, tls: OwnTls) -> None:
    """Raise Unfit for what OpenSSL does not take, such as a signature with SHA-1."""
    try:
        make_context(tls, machine=False)
    except ssl.SSLError as problem:
        said = (problem.reason or "it says nothing more").lower().replace("_", " ")
        raise Unfit(parameter, f"is refused by TLS: {said}; give another one") from None
    except OSError as problem:
        why = f"has no way to read it ({problem.strerror})"
        raise Unfit(parameter, f"cannot be used by this server, which {why}; ask its operator") from None
