"""Signed requests, written from docs/reference/api.md alone: an independent reading of what is documented.

Invariant: nothing of this package is used here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit


def signature(api_secret: str, path: str, method: str, date: str) -> bytes:
    """The digest that both encodings of `X-Cron-Signature` are of."""
    return hmac.digest(base64.b64decode(api_secret), f"{path}{method}{date}".encode(), hashlib.sha256)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Account:
    """One account at a server; without keys, a stranger."""

    url: str
    api_key: str = ""
    api_secret: str = ""

    def sign_up(self, email: str, **headers: str) -> Answer:
        return self.sign_up_with(urlencode({"email": email}), **headers)

    def sign_up_with(self, body: str, **headers: str) -> Answer:
        """Sign up with a form as it is to be sent; keeps the keys that come back."""
        answer = self.ask("POST", "/account/", body, headers=headers, signed=False)
        if answer.status == 200:
            account = answer.json["response"]
            self.api_key, self.api_secret = account["api_key"], account["api_secret"]
        return answer

    def ask(
        self,
        method: str,
        path: str,
        form: Mapping[str, str] | str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        signed: bool = True,
    ) -> Answer:
        """Make a request.

        :param path: may have a query
        :param form: a text is sent as it is
        """
        sent = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        if signed:
            date = datetime.now(UTC).strftime("%Y%m%d%H%M")
            digest = signature(self.api_secret, path.partition("?")[0], method, date)
            sent |= {
                "X-Cron-Key": self.api_key,
                "X-Cron-Date": date,
                "X-Cron-Signature": base64.b64encode(digest).decode(),
            }
        body = None
        if form is not None:
            body = form if isinstance(form, str) else urlencode(form)
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()
