"""The key page at the wire: who gets it, how it is kept, and what strangers learn."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest

from cronally.targets.http.signing_keys import key_of
from tests.api.serving import Api, Client, serving, sign_up
from tests.operations.parameters import WEB

SECRET = f"whsk_{base64.b64encode(b'k' * 32).decode()}"
OTHER = f"whsk_{base64.b64encode(b'l' * 32).decode()}"
NOBODY = "/keys/00000000-0000-4000-8000-000000000000/"
SIGNED = {**WEB, "signing_secret": SECRET, "signature_format": "message-signatures"}


@pytest.fixture
def path(client: Client) -> str:
    """The page of a connection."""
    found: str = client.ask("POST", "/connection/", SIGNED).response["keys_path"]
    return found


def test_page__is_a_jwk_set_for_everybody(stranger: Client, path: str) -> None:
    page = stranger.ask("GET", path, signed=False)
    assert page.status == 200
    key = key_of(SECRET)
    assert page.json == {
        "keys": [{"kty": "OKP", "crv": "Ed25519", "x": key["x"], "kid": key["kid"], "use": "sig"}]
    }
    assert page.headers["Content-Type"] == "application/jwk-set+json"
    assert page.headers["Cache-Control"] == "public, max-age=300"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    head = stranger.ask("HEAD", path, signed=False)
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", page.headers["ETag"])
    assert stranger.ask("GET", path.removesuffix("/"), signed=False).body == page.body


def test_page__is_not_sent_again_to_who_has_it(client: Client, stranger: Client, path: str) -> None:
    tag = stranger.ask("GET", path, signed=False).headers["ETag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        again = stranger.ask("GET", path, signed=False, headers={"If-None-Match": known})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
        assert again.headers["Cache-Control"] == "public, max-age=300"
    assert stranger.ask("GET", path, signed=False, headers={"If-None-Match": '"x"'}).status == 200
    client.ask("PATCH", f"/connection/{WEB['name']}/", {"signing_secret": OTHER, "overlap": "1h"})
    changed = stranger.ask("GET", path, signed=False, headers={"If-None-Match": tag})
    assert [one["kid"] for one in changed.json["keys"]] == [key_of(one)["kid"] for one in (OTHER, SECRET)]


def test_page__of_what_is_not_there_is_the_same_whatever_it_is(
    client: Client, stranger: Client, path: str
) -> None:
    shared = {**SIGNED, "name": "shared", "signing_secret": f"whsec_{base64.b64encode(b'k' * 32).decode()}"}
    unsigned = {**WEB, "name": "unsigned"}
    own = [client.ask("POST", "/connection/", one).response["connection_id"] for one in (shared, unsigned)]
    bodies = set()
    for asked in (NOBODY, *(f"/keys/{one}/" for one in own), path.upper().lower()[:-2], "/keys/hooks/"):
        answer = stranger.ask("GET", asked, signed=False)
        assert answer.status == 404, asked
        assert answer.headers["Cache-Control"] == "no-store"
        assert "ETag" not in answer.headers
        bodies.add(answer.body)
    assert bodies == {stranger.ask("GET", "/nothing/", signed=False).body}


def test_page__takes_no_parameters(stranger: Client, path: str) -> None:
    """So nobody gets past what keeps it by adding some."""
    assert stranger.ask("GET", f"{path}?x=1", signed=False).status == 400
    assert stranger.ask("POST", path, {}, signed=False).status == 405


def test_page__is_limited_by_address(migrated_sqlite: Path, tmp_path: Path) -> None:
    path = tmp_path / "cronally.db"
    shutil.copy(migrated_sqlite, path)
    with serving(f"sqlite:///{path}", key_pages_per_minute=2) as api:
        stranger = Client(api)
        assert [stranger.ask("GET", NOBODY, signed=False).status for _ in range(3)] == [404, 404, 429]
        assert stranger.ask("GET", NOBODY, signed=False).headers["RateLimit-Policy"] == '"key-pages";q=2;w=60'


def test_page__says_nothing_of_whose_it_is(api: Api, client: Client, path: str) -> None:
    page = sign_up(api, "another@example.com").ask("GET", path).body.decode()
    assert json.loads(page)["keys"][0].keys() == {"kty", "crv", "x", "kid", "use"}
    for known in (client.account_id, WEB["name"], "1.1.1.1", path.split("/")[2]):
        assert known not in page
