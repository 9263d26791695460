"""AWS Signature Version 4 for the one kind of request that Cronally sends: `POST /` to SNS or STS, with a form as its
body.

Invariant: no secret outlives the call that brought it. What is kept is the day's signing key, which signs for
one access key, one region, one service and one day, in a cache that is bounded, dropped at midnight UTC and keyed by a
hash of the secret: a rotated secret never meets the key of the old one.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

from hashlib import sha256
from hmac import digest
from typing import Final

CONTENT_TYPE: Final = "application/x-www-form-urlencoded; charset=utf-8"
"""The content type that is signed; the request has to carry this very text."""

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SERVICE: Final = "sns"
_SIGNED_HEADERS: Final = "content-type;host;x-amz-date"


class Signer:
    """Signs, and remembers the signing keys of the day."""

    def __init__(self, capacity: int = 4096) -> None:
        """
        :param capacity: signing keys to keep (about 400 bytes each); the oldest goes first
        """
        self._capacity = capacity
        self._date = ""
        self._keys: dict[tuple[str, str, str, bytes], bytes] = {}

    def authorization(
        self,
        *,
        access_key_id: str,
        secret_access_key: str,
        region: str,
        host: str,
        timestamp: str,
        body: bytes,
        session_token: str | None = None,
        service: str = _SERVICE,
    ) -> str:
        """The value of the Authorization header.

        The request needs the headers Host, Content-Type (`CONTENT_TYPE`) and X-Amz-Date (`timestamp`).

        :param host: as it stands in the Host header, with the port unless that is the scheme's own
        :param session_token: of temporary credentials; it is sent as X-Amz-Security-Token
        :param timestamp: the instant of signing in UTC, `20261124T080000Z`
        """
        date = timestamp[:8]
        signed, token = _SIGNED_HEADERS, ""
        if session_token is not None:
            signed, token = f"{signed};x-amz-security-token", f"x-amz-security-token:{session_token}\n"
        canonical_request = (
            f"POST\n/\n\ncontent-type:{CONTENT_TYPE}\nhost:{host}\nx-amz-date:{timestamp}\n{token}\n"
            f"{signed}\n{sha256(body).hexdigest()}"
        )
        scope = f"{date}/{region}/{service}/aws4_request"
        string_to_sign = (
            f"{_ALGORITHM}\n{timestamp}\n{scope}\n{sha256(canonical_request.encode()).hexdigest()}"
        )
        key = self._signing_key(access_key_id, secret_access_key, region, date, service)
        signature = digest(key, string_to_sign.encode(), "sha256").hex()
        return (
            f"{_ALGORITHM} Credential={access_key_id}/{scope}, SignedHeaders={signed}, Signature={signature}"
        )

    def _signing_key(
        self, access_key_id: str, secret_access_key: str, region: str, date: str, service: str
    ) -> bytes:
        if date != self._date:
            self._keys.clear()
            self._date = date
        secret = secret_access_key.encode()
        entry = (access_key_id, region, service, sha256(secret).digest())
        key = self._keys.get(entry)
        if key is None:
            key = b"AWS4" + secret
            for part in (date, region, service, "aws4_request"):
                key = digest(key, part.encode(), "sha256")
            if len(self._keys) >= self._capacity:
                del self._keys[next(iter(self._keys))]
            self._keys[entry] = key
        return key

    def __repr__(self) -> str:
        return f"<Signer of {len(self._keys)} keys>"
