"""The API keys of an account: made, shown, changed, replaced, revoked; and whose a key is.

Invariant: under the account's lock, by the rules of `key_rules`. A secret is sealed on its way in, opened
for authentication alone, and erased with its key.
"""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection

from cronally import errors
from cronally.contract import keys as contract
from cronally.contract.audit import Action
from cronally.contract.keys import MAX_KEYS, OVERLAP, KeyChange, KeyState, NewKey, Rotation
from cronally.contract.reading import Reading
from cronally.contract.values import is_uuid
from cronally.contract.writing import make_answer
from cronally.operations.caller import Caller
from cronally.operations.deeds import Deed
from cronally.operations.key_rules import (
    check_last,
    check_name,
    check_no_more,
    check_together,
    counts,
    later,
    wanted,
)
from cronally.operations.limits import LimitsInForce
from cronally.operations.lists import Page
from cronally.operations.parts import change
from cronally.store import Store, accounts, api_keys
from cronally.store.api_keys import ApiKey
from cronally.store.audit_subjects import Subject
from cronally.vault import Purpose, SealContext, Vault, open_secret

SECRET_BYTES: Final = 32
MAX_ENDED: Final = 100
"""So many keys that have ended are kept to be shown, the newest ones."""
NO_KEY: Final = "There is no such API key; GET /account/keys/ lists those of the account."


class Keys:
    """The API keys of one store."""

    def __init__(self, store: Store, vault: Vault, limits: LimitsInForce) -> None:
        self._store = store
        self._vault = vault
        self._limits = limits

    # Authentication

    async def find_caller(self, api_key: str) -> Caller | None:
        """Whose API key this is; None for one that is unknown, revoked or of a deleted account. It may have expired."""
        live = await self._store.read(lambda connection: api_keys.get_live(connection, api_key))
        if live is None or live.key.secret is None:
            return None
        key = live.key
        secret = open_secret(
            self._vault, live.key.secret, secret_place(key.account_id, api_key), Purpose.AUTHENTICATE
        )
        return Caller(
            account_id=key.account_id,
            api_key=api_key,
            secret=secret,
            name=key.name,
            scopes=frozenset(key.scopes),
            tags=key.tags,
            networks=tuple([ipaddress.ip_network(each) for each in key.networks]),
            expires_at=key.expires_at,
            by_signup=key.by_signup,
            refuses_v1=live.refuses_v1,
            suspended=live.suspended,
            limits=None if live.limits is None else self._limits.of(live.limits),
        )

    async def record_uses(self, uses: Mapping[str, int]) -> None:
        """Say when keys were used last."""
        await self._store.transact(lambda connection: api_keys.record_uses(connection, uses))

    # What an account does with its keys

    async def create(self, caller: Caller, reading: Reading[NewKey]) -> contract.Key:
        """Make a key. Its secret is in this answer alone.

        Raises InvalidRequest, also for a name that another one has; Forbidden where it would be one too many, or have
        more than the caller's.
        """
        now = await self._store.clock()
        asked = ApiKey(
            api_key=str(uuid4()),
            account_id=caller.account_id,
            secret=None,
            created_at=now,
            created_by=caller.api_key,
            **wanted(reading, now),
        )
        reading.raise_complaints()
        check_together(asked)
        check_no_more(caller, asked)
        made, secret = self._with_secret(asked)

        def work(connection: Connection) -> ApiKey:
            known = _lock(connection, caller, now)
            check_name(known, made.name, now)
            if sum(counts(each, now) for each in known) >= MAX_KEYS:
                raise errors.Forbidden(
                    f"The account has {MAX_KEYS} API keys, as many as it may have; revoke one first."
                )
            api_keys.insert_api_key(connection, made)
            return made

        deed = Deed(caller, Action.KEY_CREATE, Subject.API_KEY, made.api_key)
        return _answer(await change(self._store, deed, now, work), now, secret=secret)

    async def list_keys(self, caller: Caller) -> Page[contract.Key]:
        """All keys of the account, those that ended lately as well, in the order in which they were made."""
        now = await self._store.clock()
        found = await self._store.transact(
            lambda connection: api_keys.list_keys(connection, caller.account_id)
        )
        return Page([_answer(each, now, found) for each in found], None)

    async def get(self, caller: Caller, meant: str) -> contract.Key:
        """A key, by its id or its name. Raises NotFound."""
        now = await self._store.clock()
        found = await self._store.transact(
            lambda connection: api_keys.list_keys(connection, caller.account_id)
        )
        return _answer(_meant(found, meant, now), now, found)

    async def update(self, caller: Caller, meant: str, reading: Reading[KeyChange]) -> contract.Key:
        """Change what was sent of a key, at once.

        Raises NotFound, InvalidRequest, Forbidden where it would get more than the caller's key has, and Conflict for
        one that has ended, and for a change after which no key of the account could make others.
        """
        now = await self._store.clock()
        changes = wanted(reading, now)
        reading.raise_complaints()

        def work(connection: Connection) -> tuple[ApiKey, list[ApiKey]]:
            known = _lock(connection, caller, now)
            before = _live(known, meant, now)
            after = replace(before, **changes)
            if after == before:
                return before, known
            check_together(after)
            if after.name != before.name:
                check_name(known, after.name, now)
            if "expires_at" in changes and before.replaced_by is not None and later(after, before):
                raise errors.Conflict(
                    "The API key was rotated, and ends when its overlap does; that cannot be put off. Make a new key."
                )
            check_no_more(caller, after, before)
            check_last(known, after, now)
            api_keys.update_key(connection, after)
            return after, known

        return _answered(await self._change(caller, Action.KEY_UPDATE, meant, now, work), now)

    async def rotate(self, caller: Caller, meant: str, reading: Reading[Rotation]) -> contract.Key:
        """Make a key that replaces one: with its name and all that it may do. Its secret is in this answer alone.

        The one that is replaced goes on for the overlap; the one that it has replaced itself ends now. Raises NotFound,
        InvalidRequest, Forbidden where it has more than the caller's key, Conflict for one that has ended or was
        rotated before.
        """
        reading.raise_complaints()
        now = await self._store.clock()
        until = now + reading.values.get("overlap", OVERLAP)

        def work(connection: Connection) -> tuple[ApiKey, list[ApiKey]]:
            known = _lock(connection, caller, now)
            before = _live(known, meant, now)
            if before.replaced_by is not None:
                raise errors.Conflict(
                    f"The API key was rotated before: {before.replaced_by} has replaced it. Rotate that one."
                )
            check_no_more(caller, before)
            for each in known:
                if each.replaced_by == before.api_key and each.is_live(now):
                    api_keys.revoke_key(connection, each, now)
            after = replace(
                before,
                api_key=new.api_key,
                secret=self._seal(new, secret),
                created_at=now,
                created_by=caller.api_key,
                by_signup=False,
                last_used_at=None,
            )
            api_keys.insert_api_key(connection, after)
            ends = until if before.expires_at is None else min(until, before.expires_at)
            former = replace(before, expires_at=ends, replaced_by=after.api_key)
            api_keys.update_key(connection, former)
            if ends <= now:
                api_keys.revoke_key(connection, former, now)
            return after, [*known, former]

        new, secret = ApiKey(str(uuid4()), caller.account_id, None, now), os.urandom(SECRET_BYTES)
        return _answered(await self._change(caller, Action.KEY_ROTATE, meant, now, work), now, secret)

    async def revoke(self, caller: Caller, meant: str) -> contract.Key:
        """End a key and erase its secret. One that is revoked stays as it is.

        Raises NotFound, and Conflict for the last one that could make others.
        """
        now = await self._store.clock()

        def work(connection: Connection) -> tuple[ApiKey, list[ApiKey]]:
            known = _lock(connection, caller, now)
            before = _meant(known, meant, now)
            if before.revoked_at is not None:
                return before, known
            check_last(known, replace(before, revoked_at=now), now)
            return api_keys.revoke_key(connection, before, now), known

        return _answered(await self._change(caller, Action.KEY_REVOKE, meant, now, work), now)

    async def _change(
        self,
        caller: Caller,
        action: Action,
        meant: str,
        now: int,
        work: Callable[[Connection], tuple[ApiKey, list[ApiKey]]],
    ) -> tuple[ApiKey, list[ApiKey]]:
        """Change a key, which the audit log tells of by its id, however it is meant. Raises NotFound."""
        found = await self._store.transact(
            lambda connection: api_keys.list_keys(connection, caller.account_id)
        )
        deed = Deed(caller, action, Subject.API_KEY, _meant(found, meant, now).api_key)
        return await change(self._store, deed, now, work)

    def _with_secret(self, key: ApiKey) -> tuple[ApiKey, bytes]:
        """A key with a new secret, which is sealed in it."""
        secret = os.urandom(SECRET_BYTES)
        return replace(key, secret=self._seal(key, secret)), secret

    def _seal(self, key: ApiKey, secret: bytes) -> bytes:
        return self._vault.seal(secret, secret_place(key.account_id, key.api_key))


def secret_place(account_id: str, api_key: str) -> SealContext:
    """The place that the sealed secret of a key belongs to."""
    return SealContext(account_id, "api_key", "secret", api_key)


def _lock(connection: Connection, caller: Caller, now: int) -> list[ApiKey]:
    """All keys of the account, which nobody else changes until the transaction ends. What has ended loses its secret,
    and the oldest of it is forgotten."""
    accounts.lock_account(connection, caller.account_id)
    known = [
        each
        if each.revoked_at is not None or each.is_live(now)
        else api_keys.revoke_key(connection, each, each.expires_at or now)
        for each in api_keys.list_keys(connection, caller.account_id)
    ]
    ended = sorted([each for each in known if each.revoked_at is not None], key=_ended_at)
    for each in ended[: max(0, len(ended) - MAX_ENDED)]:
        api_keys.delete_key(connection, each)
        known.remove(each)
    return known


def _ended_at(key: ApiKey) -> int:
    return key.revoked_at or 0


def _meant(known: list[ApiKey], meant: str, now: int) -> ApiKey:
    """The key with an id, or that has a name now. Raises NotFound."""
    by_id = is_uuid(meant)
    for each in known:
        if each.api_key == meant if by_id else each.name == meant and counts(each, now):
            return each
    raise errors.NotFound(NO_KEY)


def _live(known: list[ApiKey], meant: str, now: int) -> ApiKey:
    """The key that is meant, if it can be used. Raises NotFound and Conflict."""
    found = _meant(known, meant, now)
    if not found.is_live(now):
        raise errors.Conflict("The API key has ended, and nothing brings it back; make a new one.")
    return found


def _answered(found: tuple[ApiKey, list[ApiKey]], now: int, secret: bytes | None = None) -> contract.Key:
    return _answer(found[0], now, found[1], secret)


def shown_keys(known: list[ApiKey], now: int) -> tuple[contract.Key, ...]:
    """All keys of an account as they are shown."""
    return tuple([_answer(each, now, known) for each in known])


def _answer(
    key: ApiKey, now: int, known: list[ApiKey] | None = None, secret: bytes | None = None
) -> contract.Key:
    """A key as it is shown.

    :param known: those of the account
    :param secret: of a key that is made by this very request
    """
    expired = key.expires_at is not None and key.expires_at <= (key.revoked_at or now)
    ended = KeyState.EXPIRED if expired else KeyState.REVOKED
    return make_answer(
        contract.Key,
        key,
        api_secret=None if secret is None else base64.b64encode(secret).decode("ascii"),
        state=KeyState.LIVE if key.is_live(now) else ended,
        replaces=next((each.api_key for each in known or () if each.replaced_by == key.api_key), None),
    )
