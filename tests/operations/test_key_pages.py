"""How a connection signs, and the page of its public keys, on both databases."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from cronally import errors
from cronally.contract.writing import to_json
from cronally.instants import DAY, HOUR, SECOND
from cronally.message_signatures import Request, verify
from cronally.operations import Caller
from cronally.store import Store, tables
from cronally.targets.http.signing_keys import thumbprint
from cronally.targets.target import Target
from cronally.webhook_signatures import Key
from tests.operations.parameters import HTTP, WEB
from tests.operations.receivers import server, targets
from tests.operations.runs import deliver
from tests.operations.tenant import Tenants
from tests.support.factories import Clock, read
from tests.support.scripted import ScriptedServer

__all__ = ["server", "targets"]

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


async def test_firing__fits_each_key_of_the_page(
    operations: Tenants,
    me: str,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
) -> None:
    web = {**WEB, "base_url": server.url, "signing_secret": secret("a"), **MESSAGE}
    own = (await operations.create_connection(me, web))["connection_id"]
    assert (await operations.verify_connection(me, "hooks"))["accepted"]
    job = await operations.create_cronjob(me, {**HTTP, "delivery_http_url": "/in?x", "connection": "hooks"})

    async def fitting() -> list[str]:
        """The ids of the keys of the page that fit a firing, each alone."""
        clock.forward(SECOND)
        await operations.run_cronjob(me, job["cronjob_id"], {})
        await deliver(store, targets)
        request = server.requests[-1]
        assert "webhook-signature" not in request.headers
        signed = Request(request.method, request.headers["host"], request.path, request.headers)
        found = []
        for key in await page(operations, own, clock):
            public = [Key("v1a", base64.urlsafe_b64decode(key["x"] + "="))]
            verify(public, signed, request.body, time.time_ns() // 1000)
            found.append(key["kid"])
        assert f'keyid="{found[0]}"' in request.headers["signature-input"]
        assert request.headers["signature-input"].count("keyid=") == len(found)
        return found

    assert await fitting() == [jwk("a")["kid"]]
    await operations.update_connection(me, "hooks", {"signing_secret": secret("b"), "overlap": "1h"})
    assert await fitting() == [jwk("b")["kid"], jwk("a")["kid"]]
    clock.forward(HOUR)
    assert await fitting() == [jwk("b")["kid"]]
    assert len(server.requests) == 4
