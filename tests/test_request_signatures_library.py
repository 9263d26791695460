"""Signatures of requests, version 2, and the library `http-message-signatures`: each takes what the other signs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, MappingKeyResolver, algorithms

from cronally.request_signatures import is_of, sign
from tests.test_request_signatures import API_KEY, AT, BODY, FORM, NONCE, SECRET, claimed, is_taken


@dataclass
class Sent:
    """What the library looks at."""

    method: str
    url: str
    headers: dict[str, str]


KEYS = MappingKeyResolver(public_keys={API_KEY: SECRET}, private_keys={API_KEY: SECRET})


@pytest.mark.parametrize("target", ["/account/", "/cronjobs/?limit=5&tag=a%20b&tag=", "/account/?"])
@pytest.mark.parametrize("body", [b"", BODY, bytes(range(256))])
def test_library__signs_and_it_is_taken(target: str, body: bytes) -> None:
    sent = Sent(
        "POST", f"https://cron.example.com{target}", {"Content-Type": FORM, "Host": "cron.example.com"}
    )
    HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=KEYS).sign(
        sent,
        key_id=API_KEY,
        created=datetime.fromtimestamp(AT, UTC),
        nonce=NONCE,
        tag="cronally-api",
        covered_component_ids=("@method", "@path", "@query", "@authority", "content-digest", "content-type"),
        body=body,
    )
    headers = {name.lower(): value for name, value in sent.headers.items()}
    assert is_taken(headers, target=target)
    assert is_of(body, claimed(headers, target=target).digest)
    assert not is_taken({**headers, "host": "other.example.com"}, target=target), "what is covered counts"


@pytest.mark.parametrize("target", ["/account/", "/cronjobs/?limit=5&tag=a%20b&tag="])
@pytest.mark.parametrize("body", [b"", BODY])
def test_library__verifies_what_is_signed_here(target: str, body: bytes) -> None:
    now = int(datetime.now(UTC).timestamp())
    headers = {"content-type": FORM}
    headers |= sign(SECRET, API_KEY, "POST", target, headers, body, second=now, nonce=NONCE)
    sent = Sent("POST", f"https://cron.example.com{target}", headers)
    (found,) = HTTPMessageVerifier(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=KEYS).verify(
        sent,
        expect_tag="cronally-api",
        require_components=("@method", "@path", "@query", "content-digest", "content-type"),
        body=body,
    )
    assert found.body == body
    assert found.parameters["nonce"] == NONCE
