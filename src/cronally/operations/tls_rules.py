"""The rules of a connection's client certificate, and of the authorities that it trusts.

Invariant: pure. A certificate and its key are stored together, as they were checked together. What is sent to a server
is given anew where other authorities may say who that server is.
"""

from __future__ import annotations

from typing import Any, Final

from cronally.contract.attribute import DEFAULT
from cronally.contract.reading import Reading
from cronally.targets.client_certificates import Unfit, read_authorities, read_certificate
from cronally.targets.own_tls import AUTHORITIES, CERTIFICATE, KEY

SUBJECT: Final = "client_certificate_subject"
NOT_AFTER: Final = "client_certificate_not_after"
FINGERPRINT: Final = "client_certificate_fingerprint"
SUBJECTS: Final = "ca_subjects"
_SHOWN: Final = (SUBJECT, NOT_AFTER, FINGERPRINT)


def check_tls(
    reading: Reading[Any], public: dict[str, Any], secret: dict[str, str], *, moves: bool, now: int
) -> bool:
    """Put to what a connection holds what is sent of its TLS. Returns whether it is to trust others than before.

    :param public: with the base_url that it is to have
    :param moves: whether that is another one than before
    :param now: an instant; what is expired by then is refused
    """
    before = secret.get(AUTHORITIES)
    _certificate(reading, public, secret, moves=moves, now=now)
    _authorities(reading, public, secret)
    for name in (CERTIFICATE, AUTHORITIES):
        if name in secret and not public.get("base_url", "https:").lower().startswith("https:"):
            if name in reading.values:
                _complain(reading, name, "goes with a base_url that begins with https://; give such a one")
            else:
                _complain(
                    reading,
                    "base_url",
                    f"has to begin with https://, for the sake of {name}; give such a one, or {name}={DEFAULT}",
                )
    return secret.get(AUTHORITIES) != before


def _certificate(
    reading: Reading[Any], public: dict[str, Any], secret: dict[str, str], *, moves: bool, now: int
) -> None:
    sent: dict[str, str] = {
        name: reading.values[name] for name in (CERTIFICATE, KEY) if name in reading.values
    }
    if DEFAULT in sent.values():
        for name in sent:
            if sent[name] != DEFAULT:
                _complain(
                    reading, name, f"goes with {CERTIFICATE} and {KEY} both, and the other is {DEFAULT}"
                )
        for name in _SHOWN:
            public.pop(name, None)
        for name in (CERTIFICATE, KEY):
            secret.pop(name, None)
        return
    if moves and CERTIFICATE in secret:
        for name in (CERTIFICATE, KEY):
            _require(reading, name, f"is needed with a new base_url; give it, or {DEFAULT} for none")
    elif sent:
        for name, other in ((CERTIFICATE, KEY), (KEY, CERTIFICATE)):
            if name not in secret:
                _require(reading, name, f"is needed with {other}; give the one that belongs to it")
    if not sent or {CERTIFICATE, KEY} & reading.complaints.keys():
        return
    given = {**secret, **sent}
    try:
        found = read_certificate(given[CERTIFICATE], given[KEY], now)
    except Unfit as unfit:
        if unfit.parameter in sent:
            _complain(reading, unfit.parameter, str(unfit))
        else:
            # What is stored was right: what is wrong is what was sent beside it.
            (named,) = sent
            _complain(reading, named, f"goes with the {unfit.parameter} that is kept, which {unfit}")
        return
    secret |= {CERTIFICATE: found.chain, KEY: found.key}
    public |= {SUBJECT: found.subject, NOT_AFTER: found.not_after, FINGERPRINT: found.fingerprint}


def _authorities(reading: Reading[Any], public: dict[str, Any], secret: dict[str, str]) -> None:
    sent = reading.values.get(AUTHORITIES)
    if sent is None:
        return
    if sent == DEFAULT:
        public.pop(SUBJECTS, None)
        secret.pop(AUTHORITIES, None)
        return
    try:
        found = read_authorities(sent)
    except Unfit as unfit:
        _complain(reading, AUTHORITIES, str(unfit))
        return
    secret[AUTHORITIES] = found.pem
    public[SUBJECTS] = list(found.subjects)


def _require(reading: Reading[Any], name: str, complaint: str) -> None:
    if name not in reading.values:
        _complain(reading, name, complaint)


def _complain(reading: Reading[Any], name: str, complaint: str) -> None:
    if name not in reading.complaints:
        reading.complain(name, ValueError(complaint))
