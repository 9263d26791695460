"""How a connection signs, and the page of its public keys, on both databases."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from cronally import errors
from cronally.contract.writing import to_json
from cronally.instants import DAY, HOUR
from cronally.operations import Caller
from cronally.store import Store, tables
from cronally.targets.build import build_targets
from cronally.targets.egress import Egress
from cronally.targets.http.signing_keys import thumbprint
from cronally.targets.target import Target
from tests.operations.parameters import WEB
from tests.operations.tenant import Tenants
from tests.support.factories import Clock, read
from tests.support.scripted import ScriptedServer, answer

SYMMETRIC = f"whsec_{base64.b64encode(b's' * 32).decode()}"
SEEDS = {letter: letter.encode() * 32 for letter in "abc"}


def secret(letter: str) -> str:
    return f"whsk_{base64.b64encode(SEEDS[letter]).decode()}"


def jwk(letter: str) -> dict[str, str]:
    """The public key, made by another library."""
    raw = Ed25519PrivateKey.from_private_bytes(SEEDS[letter]).public_key().public_bytes_raw()
    x = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": thumbprint(x), "use": "sig"}


MESSAGE = {"signature_format": "message-signatures"}


@pytest.fixture
def me(caller: Caller) -> str:
    return caller.account_id


async def page(operations: Tenants, connection_id: str, clock: Clock) -> list[Any]:
    """The keys on a page; none where there is no page, of which the same is said whatever it is."""
    try:
        found = await operations.operations.key_pages.read(connection_id, clock.now)
    except errors.NotFound as missing:
        said = str(missing)
    else:
        said = ""
    if said:
        assert said == str(errors.NotFound())
        return []
    keys: list[Any] = to_json(found)["keys"]
    return keys


async def test_page__has_the_key_of_who_signs_with_it(
    operations: Tenants, me: str, clock: Clock, store: Store
) -> None:
    made = await operations.create_connection(me, {**WEB, "signing_secret": secret("a"), **MESSAGE})
    own = made["connection_id"]
    assert made["keys_path"] == f"/keys/{own}/"
    assert made["signing_key_ids"] == (jwk("a")["kid"],)
    assert made["signature_format"] == "message-signatures"
    assert await page(operations, own, clock) == [jwk("a")]
    (row,) = await read(store, select(tables.connection.c.parameters))
    assert secret("a") not in row.parameters
    assert made == await operations.get_connection(me, "hooks")
    await operations.delete_connection(me, "hooks")
    assert await page(operations, own, clock) == []


async def test_page__has_both_keys_while_both_sign(operations: Tenants, me: str, clock: Clock) -> None:
    made = await operations.create_connection(me, {**WEB, "signing_secret": secret("a"), **MESSAGE})
    own = made["connection_id"]
    changed = await operations.update_connection(
        me, "hooks", {"signing_secret": secret("b"), "overlap": "24h"}
    )
    assert changed["signing_key_ids"] == (jwk("b")["kid"], jwk("a")["kid"])
    assert await page(operations, own, clock) == [jwk("b"), jwk("a")]
    # What replaces no secret leaves them alone; what replaces another one ends them, as it ends the secret.
    await operations.update_connection(me, "hooks", {"timeout": "5s"})
    assert await page(operations, own, clock) == [jwk("b"), jwk("a")]
    clock.forward(DAY)
    assert await page(operations, own, clock) == [jwk("b")]
    assert (await operations.get_connection(me, "hooks"))["signing_key_ids"] == (jwk("b")["kid"],)
    await operations.update_connection(me, "hooks", {"signing_secret": secret("c"), "overlap": "1h"})
    assert await page(operations, own, clock) == [jwk("c"), jwk("b")]
    await operations.update_connection(me, "hooks", {"token": "new", "overlap": "1h"})
    assert await page(operations, own, clock) == [jwk("c")]
    await operations.update_connection(me, "hooks", {"signing_secret": secret("a"), "overlap": "1h"})
    await operations.update_connection(me, "hooks", {"overlap": "0s"})
    assert await page(operations, own, clock) == [jwk("a")]
    await operations.update_connection(me, "hooks", {"signing_secret": secret("b")})
    assert await page(operations, own, clock) == [jwk("b")]


async def test_page__has_no_shared_secret_and_nothing_of_one(
    operations: Tenants, me: str, clock: Clock
) -> None:
    made = await operations.create_connection(me, {**WEB, "signing_secret": SYMMETRIC, **MESSAGE})
    own = made["connection_id"]
    assert "keys_path" not in made
    (key_id,) = made["signing_key_ids"]
    assert await page(operations, own, clock) == []
    # The id is the secret's own, for as long as that stays.
    assert (await operations.update_connection(me, "hooks", {"timeout": "5s"}))["signing_key_ids"] == (
        key_id,
    )
    changed = await operations.update_connection(
        me, "hooks", {"signing_secret": secret("a"), "overlap": "1h"}
    )
    assert changed["signing_key_ids"] == (jwk("a")["kid"], key_id)
    assert await page(operations, own, clock) == [jwk("a")]
    changed = await operations.update_connection(me, "hooks", {"signing_secret": SYMMETRIC, "overlap": "1h"})
    assert changed["keys_path"] == made.get("keys_path", f"/keys/{own}/")
    assert key_id not in changed["signing_key_ids"]
    assert await page(operations, own, clock) == [jwk("a")]
    clock.forward(HOUR)
    assert "keys_path" not in await operations.get_connection(me, "hooks")
    assert await page(operations, own, clock) == []


async def test_page__is_there_for_message_signatures_alone(
    operations: Tenants, me: str, clock: Clock
) -> None:
    made = await operations.create_connection(me, {**WEB, "signing_secret": secret("a")})
    own = made["connection_id"]
    assert made["signature_format"] == "standard-webhooks"
    assert not made.keys() & {"keys_path", "signing_key_ids", "signing_keys"}
    assert await page(operations, own, clock) == []
    assert (await operations.update_connection(me, "hooks", {"signature_format": "both"}))["keys_path"]
    assert await page(operations, own, clock) == [jwk("a")]
    # The format goes with the secret.
    changed = await operations.update_connection(me, "hooks", {"signing_secret": "default"})
    assert not changed.keys() & {"keys_path", "signing_key_ids", "signature_format"}
    assert await page(operations, own, clock) == []
    changed = await operations.update_connection(me, "hooks", {"signing_secret": secret("a")})
    assert changed["signature_format"] == "standard-webhooks"
    with pytest.raises(errors.InvalidRequest, match="goes with a signing_secret"):
        await operations.update_connection(
            me, "hooks", {"signing_secret": "default", "signature_format": "both"}
        )


async def test_format__needs_its_headers_for_itself(operations: Tenants, me: str) -> None:
    web = {**WEB, "signing_secret": secret("a"), "headers": {"content-digest": "x"}}
    await operations.create_connection(me, web)
    with pytest.raises(errors.InvalidRequest, match="itself, which headers hold") as caught:
        await operations.update_connection(me, "hooks", MESSAGE)
    assert caught.value.fields.keys() == {"signature_format"}
    await operations.update_connection(me, "hooks", {**MESSAGE, "headers": {}})


async def test_page__a_former_secret_of_before_the_format_was_chosen_is_not_on_it(
    operations: Tenants, me: str, clock: Clock
) -> None:
    """It makes no message signatures."""
    made = await operations.create_connection(me, {**WEB, "signing_secret": secret("a")})
    changed = {"signing_secret": secret("b"), "overlap": "1h", **MESSAGE}
    await operations.update_connection(me, "hooks", changed)
    assert await page(operations, made["connection_id"], clock) == [jwk("b")]


@pytest.mark.parametrize(
    "asked", ["", "hooks", "00000000-0000-4000-8000-000000000000", "{own}x", "{OWN}", "%"]
)
async def test_page__is_found_by_its_id_alone(operations: Tenants, me: str, clock: Clock, asked: str) -> None:
    made = await operations.create_connection(me, {**WEB, "signing_secret": secret("a"), **MESSAGE})
    own = made["connection_id"]
    assert await page(operations, asked.replace("{own}", own).replace("{OWN}", own.upper()), clock) == []


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(answer(200)) as scripted:
        yield scripted


async def test_verify__signs_as_the_connection_says(
    operations: Tenants, me: str, server: ScriptedServer, targets: dict[str, Target]
) -> None:
    local = build_targets(egress=Egress(["127.0.0.0/8"]))
    targets.update(local)
    web = {**WEB, "base_url": server.url, "signing_secret": secret("a"), **MESSAGE}
    await operations.create_connection(me, web)
    assert (await operations.verify_connection(me, "hooks"))["accepted"]
    headers = server.requests[0].headers
    assert json.dumps(jwk("a")["kid"]) in headers["signature-input"]
    assert "webhook-signature" not in headers
