"""What is said of TLS that failed: by a host's alert, that it refuses a client certificate, say, or asks for one; or by
OpenSSL of the host's own certificate.

Invariant: pure. Nothing but OpenSSL's own words gets into a text, none of the host's.

Alerts: https://datatracker.ietf.org/doc/html/rfc8446#section-6.2. In TLS 1.3 the client's handshake is over before the
server has looked at its certificate, so the alert is what is read in place of an answer.
"""

from __future__ import annotations

import ssl
from typing import Final

_OF_CERTIFICATES: Final = frozenset(
    {
        "ACCESS_DENIED",
        "BAD_CERTIFICATE",
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_REQUIRED",
        "CERTIFICATE_REVOKED",
        "CERTIFICATE_UNKNOWN",
        "UNKNOWN_CA",
        "UNSUPPORTED_CERTIFICATE",
    }
)
"""What only a certificate is refused with: the client's, for the server has sent its own. A server of TLS 1.2 that gets
none may say `bad_certificate` too."""
_NOT_AGREED: Final = "HANDSHAKE_FAILURE"


def refusal(error: Exception, *, presented: bool) -> str | None:
    """What a host said of the client certificate that it refuses, or misses; None if it did not.

    :param presented: whether it was shown one
    """
    alert = _alert(error)
    if alert not in _OF_CERTIFICATES:
        return None
    if presented and alert != "CERTIFICATE_REQUIRED":
        return f"the host refuses the client certificate (TLS alert: {_words(alert)})"
    if presented:
        # A client whose key is of no kind that the server names shows it no certificate.
        return f"the host takes no client certificate of this kind (TLS alert: {_words(alert)})"
    return f"the host asks for a client certificate (TLS alert: {_words(alert)})"


def why(error: ssl.SSLError) -> str:
    """What went wrong with TLS, for the account to read."""
    alert = _alert(error)
    if alert is None:
        return "TLS failed"
    # Of OpenSSL's servers, up to TLS 1.2, also where they miss a certificate.
    hint = "; it may ask for a client certificate" if alert == _NOT_AGREED else ""
    return f"TLS failed: the host ended it (TLS alert: {_words(alert)}){hint}"


def why_not_valid(error: ssl.SSLCertVerificationError) -> str:
    """What is wrong with a host's own certificate. The only name in it is that which the host was called by."""
    said = str(getattr(error, "verify_message", "") or "").rstrip(".")
    return (
        f"the host's TLS certificate is not valid ({said})"
        if said
        else "the host's TLS certificate is not valid"
    )


def _alert(error: Exception) -> str | None:
    """The name of the alert that ended TLS, if one did."""
    reason = getattr(error, "reason", None) if isinstance(error, ssl.SSLError) else None
    # Such as TLSV1_ALERT_UNKNOWN_CA and SSLV3_ALERT_BAD_CERTIFICATE: the version is not that of the connection.
    _, found, name = (reason or "").partition("_ALERT_")
    return name if found else None


def _words(alert: str) -> str:
    return alert.lower().replace("_", " ").replace(" ca", " CA")
