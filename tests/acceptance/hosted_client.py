"""A client of the hosted original, written from its API reference alone.

Invariant: nothing of this package is used here and nothing of its API that the reference does not have: form bodies,
paths with their trailing slash, the three `X-Cron-*` headers. Where the reference is silent, it does what the
original's own client library did (base64 of the digest).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit


@dataclass
class HostedClient:
    """One account's client; without keys it can only create an account."""

    url: str
    api_key: str = ""
    api_secret: str = field(default="", repr=False)
    answers: list[bytes] = field(default_factory=list, repr=False)
    """Every body that came back, head included."""

    def create_account(self, email: str, **headers: str) -> dict[str, Any]:
        """POST /account/, unsigned; keeps the keys that come back."""
        status, answer = self.send("POST", "/account/", {"email": email}, headers)
        assert status == 200, answer
        self.api_key = answer["response"]["api_key"]
        self.api_secret = answer["response"]["api_secret"]
        return answer

    def account(self) -> dict[str, Any]:
        return self.signed("GET", "/account/")

    def add_cronjob(self, **parameters: str) -> dict[str, Any]:
        return self.signed("POST", "/cronjob/", parameters)

    def cronjobs(self) -> dict[str, Any]:
        return self.signed("GET", "/cronjobs/")

    def delete_cronjob(self, cronjob_id: str) -> dict[str, Any]:
        return self.signed("DELETE", f"/cronjob/{cronjob_id}/")

    def signed(self, method: str, path: str, parameters: dict[str, str] | None = None) -> dict[str, Any]:
        """Make a signed request that succeeds."""
        status, answer = self.send(method, path, parameters, self.signature(method, path))
        assert status == 200, answer
        assert answer["status"] == "success"
        return answer

    def signature(self, method: str, path: str) -> dict[str, str]:
        """`hmac_256(base64_decode(API_SECRET), URL_PATH+HTTP_METHOD+DATE_TIME)`"""
        date = datetime.now(UTC).strftime("%Y%m%d%H%M")
        digest = hmac.new(
            base64.b64decode(self.api_secret), (path + method + date).encode(), hashlib.sha256
        ).digest()
        return {
            "X-Cron-Key": self.api_key,
            "X-Cron-Date": date,
            "X-Cron-Signature": base64.b64encode(digest).decode(),
        }

    def send(
        self,
        method: str,
        path: str,
        parameters: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Send a request and return status and body."""
        parts = urlsplit(self.url)
        assert parts.hostname
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        try:
            body = None if parameters is None else urlencode(parameters)
            sent = dict(headers or {})
            if body is not None:
                sent["Content-Type"] = "application/x-www-form-urlencoded"
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        self.answers.append(str(answer.headers).encode() + content)
        return answer.status, json.loads(content)
