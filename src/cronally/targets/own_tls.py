"""What TLS of a connection has of its own: the certificate with which it says who calls, and whom it trusts.

Invariant: a value is one account's and one connection's, and says so in its `digest`: what is kept by that (contexts of
TLS, connections to hosts) is never another's, nor that of another certificate. No key stands in a repr.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

CERTIFICATE: Final = "client_certificate"
KEY: Final = "client_key"
AUTHORITIES: Final = "ca_certificates"
PARAMETERS: Final = frozenset({CERTIFICATE, KEY, AUTHORITIES})
"""What a connection calls them; they are sealed together."""


@dataclass(frozen=True, slots=True)
class OwnTls:
    """Each is a text in PEM, or empty."""

    account_id: str
    digest: bytes
    """Of whose it is, and of all that follows."""
    certificate: str = field(default="", repr=False)
    """The certificate, and then those that lead from it to its authority."""
    key: str = field(default="", repr=False)
    """Of the certificate, without a passphrase."""
    authorities: str = field(default="", repr=False)
    """Those that the host's certificate may be signed by, in place of those that the machine trusts."""


def own_tls(account_id: str, connection_id: str, secret: Mapping[str, str]) -> OwnTls | None:
    """What is TLS's of the secrets of a connection; None where nothing is."""
    if CERTIFICATE not in secret and AUTHORITIES not in secret:
        return None
    texts = (secret.get(CERTIFICATE, ""), secret.get(KEY, ""), secret.get(AUTHORITIES, ""))
    hashed = hashlib.sha256()
    for text in (account_id, connection_id, *texts):
        data = text.encode()
        hashed.update(len(data).to_bytes(8, "big"))
        hashed.update(data)
    return OwnTls(account_id, hashed.digest(), *texts)
