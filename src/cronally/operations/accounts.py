"""Accounts: who may ask for one, how it is made and changed, and what is shown of it.

Invariant: an email address has one account, whatever its case. The API secret that an account is made with is sealed on
its way in, and shown to who asks with this very key, until the account has it hidden; no other one is shown.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection

from cronally import errors
from cronally.contract import accounts as contract
from cronally.contract.accounts import AccountChange, Signup
from cronally.contract.attribute import DEFAULT
from cronally.contract.audit import Action
from cronally.contract.reading import Reading, refusal
from cronally.cronjob import NOT_TOLD
from cronally.instants import MINUTE
from cronally.operations.answers import account_answer
from cronally.operations.caller import Caller
from cronally.operations.deeds import Deed
from cronally.operations.keys import SECRET_BYTES, secret_place
from cronally.operations.limits import LimitsInForce
from cronally.operations.parts import change
from cronally.operations.signing_up import SignupLimit
from cronally.operations.telling import TELLS, find_telling
from cronally.store import Store, accounts, api_keys, signups
from cronally.store.api_keys import ApiKey
from cronally.store.audit_subjects import Subject
from cronally.targets.target import Target
from cronally.vault import Vault

REFUSES_V1: Final = "refuse_signature_v1"
_TAKEN: Final = 5
"""How many sign-ups one with an email address counts for that has an account."""


class Accounts:
    """The accounts of one store."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        signups_per_minute: int,
        targets: Mapping[str, Target],
        monotonic: Callable[[], float],
        limits: LimitsInForce,
    ) -> None:
        """
        :param signups_per_minute: how many one address may ask for
        """
        self._store = store
        self._vault = vault
        self._targets = targets
        self._limits = limits
        self._limit = SignupLimit(store, signups_per_minute, monotonic)

    async def count_signup(self, address: str) -> None:
        """Count that an address asks for an account. Raises RateLimited when it asks too often.

        :param address: an IPv4 address or an IPv6 /64, as text
        """
        await self._limit.count(address)

    async def create(
        self, reading: Reading[Signup], address: str | None, request_id: str | None
    ) -> contract.Account:
        """Create an account for `email`. Raises InvalidRequest, also for an email address that has one.

        :param address: where the request came from, as for `count_signup`: who tries email addresses is slowed down
        """
        reading.raise_complaints()
        email: str = reading.values["email"]
        now = await self._store.clock()

        caller = Caller(str(uuid4()), str(uuid4()), b"", address=address, request_id=request_id)

        def work(connection: Connection) -> contract.Account | None:
            made = self.insert(connection, caller, email, now)
            # A row is written in both cases: what takes time is to make it last.
            if made is None and address is not None:
                signups.count_signup(connection, address, now - now % MINUTE, _TAKEN - 1)
            return made

        deed = Deed(caller, Action.ACCOUNT_CREATE, Subject.ACCOUNT, caller.account_id)
        made = await change(self._store, deed, now, work)
        if made is None:
            raise refusal("email", "has an account already; use its API key, or give another address")
        return made

    def insert(
        self, connection: Connection, caller: Caller, email: str, now: int, *, confirmed_at: int | None = None
    ) -> contract.Account | None:
        """Make an account with its API key; None where the address has one.

        :param caller: has the ids of both
        :param confirmed_at: when its owner has shown that the address is theirs
        """
        account_id, api_key = caller.account_id, caller.api_key
        if not accounts.insert_account(connection, account_id, email, email_key(email), now, confirmed_at):
            return None
        secret = os.urandom(SECRET_BYTES)
        sealed = self._vault.seal(secret, secret_place(account_id, api_key))
        api_keys.insert_api_key(connection, ApiKey(api_key, account_id, sealed, now, by_signup=True))
        account = accounts.Account(account_id, email, now, cronjob_count=0, email_confirmed_at=confirmed_at)
        return account_answer(account, api_key, secret, self._limits.of(None))

    async def get(self, caller: Caller) -> contract.Account:
        """The caller's account."""
        work = partial(accounts.get_account, account_id=caller.account_id)
        return self._shown(await self._store.read(work), caller)

    async def update(self, caller: Caller, reading: Reading[AccountChange]) -> contract.Account:
        """Change what is sent of the caller's account. Raises InvalidRequest."""
        if reading.values.get("hide_secret") is False:
            reading.complain("hide_secret", ValueError("cannot be taken back; send true, or leave it out"))
        reading.raise_complaints()
        now = await self._store.clock()
        refuses = reading.values.get(REFUSES_V1)

        def work(connection: Connection) -> accounts.Account | None:
            find_telling(connection, caller.account_id, reading, None, self._targets)
            reading.raise_complaints()
            if TELLS in reading.values:
                meant = reading.values[TELLS]
                told_by = None if meant in (DEFAULT, NOT_TOLD) else meant
                accounts.record_dead_letter(connection, caller.account_id, told_by)
            if reading.values.get("hide_secret"):
                accounts.hide_secret(connection, caller.account_id, now)
            if refuses is not None:
                accounts.record_signature_v1(connection, caller.account_id, now if refuses else None)
            return accounts.get_account(connection, caller.account_id)

        deed = Deed(caller, Action.ACCOUNT_UPDATE, Subject.ACCOUNT, caller.account_id)
        return self._shown(await change(self._store, deed, await self._store.clock(), work), caller)

    def _shown(self, account: accounts.Account | None, caller: Caller) -> contract.Account:
        if account is None:
            raise errors.NotFound("There is no such account.")
        is_shown = caller.by_signup and account.secret_hidden_at is None
        secret = caller.secret if is_shown else b""
        return account_answer(account, caller.api_key, secret, self._limits.of(account.limits))


def email_key(email: str) -> str:
    """The address without case, which is what belongs to one account."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", email).casefold())
