"""AWS Signature Version 4, for any request to any service that takes it.

Invariant: no secret outlives the call that brought it. What is kept is the day's signing key, which signs for
one access key, one region, one service and one day, in a cache that is bounded, dropped at midnight UTC and keyed by a
hash of the secret: a rotated secret never meets the key of the old one.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from hmac import digest
from typing import Final
from urllib.parse import quote

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


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
        service: str,
        headers: Mapping[str, str],
        body: bytes,
        method: str = "POST",
        target: str = "/",
        escape_path: bool = True,
    ) -> str:
        """The value of the Authorization header.

        :param service: the name that the service is signed for
        :param headers: those that are signed, by their names in small letters, sorted: `host` as it is sent,
            `x-amz-date` with the instant of signing in UTC, `20261124T080000Z`, and others as they are sent
        :param target: path and query as they are sent
        :param escape_path: whether the path is escaped once more, which all services want but S3
        """
        timestamp = headers["x-amz-date"]
        date = timestamp[:8]
        signed = ";".join(headers)
        lines = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in headers.items())
        path, _, query = target.partition("?")
        canonical_request = (
            f"{method}\n{_canonical_path(path) if escape_path else path}\n{_canonical_query(query)}\n"
            f"{lines}\n{signed}\n{sha256(body).hexdigest()}"
        )
        scope = f"{date}/{region}/{service}/aws4_request"
        string_to_sign = (
            f"{_ALGORITHM}\n{timestamp}\n{scope}\n{sha256(canonical_request.encode()).hexdigest()}"
        )
        key = self._signing_key(access_key_id, secret_access_key, region, service, date)
        signature = digest(key, string_to_sign.encode(), "sha256").hex()
        return (
            f"{_ALGORITHM} Credential={access_key_id}/{scope}, SignedHeaders={signed}, Signature={signature}"
        )

    def _signing_key(
        self, access_key_id: str, secret_access_key: str, region: str, service: str, date: str
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


def _canonical_path(path: str) -> str:
    """A path, escaped already, as it is signed. It has no dot segments."""
    if path == "/":
        return path
    segments = [segment for segment in path.split("/") if segment]
    last = "/" if path.endswith("/") and segments else ""
    return quote(f"/{'/'.join(segments)}{last}", safe="/~")


def _canonical_query(query: str) -> str:
    if not query:
        return query
    pairs = sorted(tuple(part.partition("=")[::2]) for part in query.split("&"))
    return "&".join(f"{name}={value}" for name, value in pairs)
