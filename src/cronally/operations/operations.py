"""The operations themselves, one method each.

Invariant: what an operation changes is one transaction; a change or a deletion that finds a backlog is several, each of
them bounded. Secrets are sealed here on their way in; they are opened here only for authentication, for the account's
own answer and for test messages.
"""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection

from cronally import errors
from cronally.contract import accounts as account_contract
from cronally.contract import cronjobs as cronjob_contract
from cronally.contract.accounts import Signup
from cronally.contract.cronjob_requests import CronjobChange, CronjobQuery, NewCronjob
from cronally.contract.firings import Firing as FiringAnswer
from cronally.contract.firings import FiringQuery, FiringsOfCronjobQuery
from cronally.contract.reading import Reading, refusal
from cronally.contract.schedules import (
    CronjobPreview,
    Explanation,
    ExpressionPreview,
    Preview,
    Question,
    Window,
)
from cronally.contract.targets import TARGETS, parameters_of, targets_of
from cronally.contract.verification import VERIFY, Verification
from cronally.cronjob import State
from cronally.instants import DAY, MINUTE
from cronally.operations import backfilling, replaying, template_rules
from cronally.operations.answers import account_answer
from cronally.operations.around import Around, read_around
from cronally.operations.background import Action
from cronally.operations.bulk import Bulk
from cronally.operations.calendars import Calendars
from cronally.operations.caller import Caller
from cronally.operations.changes import NO_CRONJOB, Changes
from cronally.operations.completing import Completing
from cronally.operations.connecting import Connecting
from cronally.operations.dead_letters import DeadLetters
from cronally.operations.editing import Editing
from cronally.operations.explain import explain_answer, moment
from cronally.operations.forecasts import Forecasts
from cronally.operations.freezing import Freezing
from cronally.operations.health import Health, read_health
from cronally.operations.lists import Lists, Page
from cronally.operations.parts import change, in_parts
from cronally.operations.pausing import Pausing
from cronally.operations.previews import preview_cronjob, preview_expression
from cronally.operations.quotas import Quotas
from cronally.operations.rendering import Renderings
from cronally.operations.repeats import Repeats, check_key
from cronally.operations.rules import Rules
from cronally.operations.running import Runs
from cronally.operations.shown import show_cronjob
from cronally.operations.signing_up import SignupLimit
from cronally.operations.standings import Shown, read_counts, read_standings
from cronally.operations.target_answers import shown_answers
from cronally.operations.telling import find_telling
from cronally.operations.tracking import Tracking
from cronally.operations.trying import Trying
from cronally.operations.using import find_used
from cronally.operations.verifying import Verifier
from cronally.store import Signal, Store, accounts, cronjobs, discards, removal, signups
from cronally.store.accounts import ApiKey
from cronally.store.cronjobs import Cronjob
from cronally.targets.host import host_of
from cronally.targets.target import Target
from cronally.vault import Purpose, SealContext, Vault, open_secret

_SECRET_BYTES: Final = 32
_TAKEN: Final = 5
"""How many sign-ups one with an email address counts for that has an account."""


class Operations:
    """What a tenant can do."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        targets: Mapping[str, Target],
        *,
        max_cronjobs: int = 1000,
        max_bytes: int = 16 * 1024 * 1024,
        max_connections: int = 100,
        signups_per_minute: int = 20,
        min_interval: int = MINUTE,
        retention: int = 30 * DAY,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param max_cronjobs: how many an account may have
        :param max_bytes: how many they may hold together, messages included
        :param max_connections: how many an account may have
        :param signups_per_minute: how many one address may ask for
        :param min_interval: how close to each other fire times may be, in microseconds
        :param retention: how long finished firings are kept, in microseconds
        """
        self._store = store
        self._vault = vault
        self._targets = targets
        self._signups = SignupLimit(store, signups_per_minute, monotonic)
        self._retention = retention
        self._verifier = Verifier(targets)
        self._rules = Rules(targets, min_interval)
        quotas = Quotas(
            max_cronjobs,
            max_bytes,
            retention=retention,
            min_interval=min_interval,
            max_connections=max_connections,
        )
        repeats = Repeats(vault)
        self._completing = Completing(vault)
        self._changes = Changes(vault, self._rules, quotas, repeats, self._completing)
        self.runs = Runs(store, vault, self._rules, quotas, repeats)
        self._lists = Lists(store, vault, targets)
        self.dead_letters = DeadLetters(store, self._lists)
        self.pausing = Pausing(store, quotas)
        self.forecasts = Forecasts(store, targets)
        self.calendars = Calendars(store, quotas)
        self.renderings = Renderings(store, targets)
        self.connecting = Connecting(store, vault, targets, quotas, repeats)
        self.trying = Trying(store, targets, self._completing, self._verifier)
        self.tracking = Tracking(store, repeats)
        self.freezing = Freezing(store, targets, repeats)
        self.editing = Editing(store, self._changes, self._verifier, self)
        self.bulk = Bulk(store, self, lambda account_id, api_key: Caller(account_id, api_key, b""))
        self.backfills = backfilling.Backfills(store, self.tracking, targets, retention)
        self.replays = replaying.Replays(store, self.tracking, targets)
        self.actions: Mapping[str, Action] = {
            **self.bulk.actions,
            backfilling.ACTION: self.backfills,
            replaying.ACTION: self.replays,
        }
        """What operations can do, by name."""

    # Accounts

    async def count_signup(self, address: str) -> None:
        """Count that an address asks for an account. Raises RateLimited when it asks too often.

        :param address: an IPv4 address or an IPv6 /64, as text
        """
        await self._signups.count(address)

    async def create_account(
        self, reading: Reading[Signup], *, address: str | None = None
    ) -> account_contract.Account:
        """Create an account for `email`. Raises InvalidRequest, also for an email address that has one.

        :param address: where the request came from, as for `count_signup`: who tries email addresses is slowed down
        """
        reading.raise_complaints()
        email: str = reading.values["email"]
        now = await self._store.clock()
        account_id, api_key = str(uuid4()), str(uuid4())
        secret = os.urandom(_SECRET_BYTES)
        sealed = self._vault.seal(secret, _secret_place(account_id, api_key))

        def work(connection: Connection) -> bool:
            if accounts.insert_account(connection, account_id, email, _email_key(email), now):
                accounts.insert_api_key(connection, ApiKey(api_key, account_id, sealed), now)
                return True
            # A row is written in both cases: what takes time is to make it last.
            if address is not None:
                signups.count_signup(connection, address, now - now % MINUTE, _TAKEN - 1)
            return False

        if not await self._store.transact(work):
            raise refusal("email", "has an account already; use its API key, or give another address")
        account = accounts.Account(account_id, email, now, cronjob_count=0)
        return account_answer(account, api_key, secret)

    async def find_caller(self, api_key: str) -> Caller | None:
        """Whose API key this is; None for one that is unknown or revoked. For authentication alone."""
        key = await self._store.transact(lambda connection: accounts.get_api_key(connection, api_key))
        if key is None:
            return None
        secret = open_secret(
            self._vault, key.secret, _secret_place(key.account_id, api_key), Purpose.AUTHENTICATE
        )
        return Caller(key.account_id, api_key, secret)

    async def get_account(self, caller: Caller) -> account_contract.Account:
        """The caller's account."""
        account, count = await self._store.transact(
            lambda connection: (
                accounts.get_account(connection, caller.account_id),
                discards.count(connection, caller.account_id),
            )
        )
        if account is None:
            raise errors.NotFound("There is no such account.")
        return account_answer(account, caller.api_key, caller.secret, count)

    # Cron jobs

    async def create_cronjob(
        self,
        caller: Caller,
        reading: Reading[NewCronjob],
        *,
        idempotency_key: str | None = None,
        only_name: bool = False,
    ) -> cronjob_contract.Cronjob:
        """Create a cron job, or answer with the one that the same idempotency key made in the last 24 h.

        Raises InvalidRequest (also for an idempotency key that came with other parameters), and Forbidden when the
        account has as many cron jobs as it may; with `only_name`, Conflict when one has this name.
        """
        cronjob_id, now = str(uuid4()), await self._store.clock()
        check_key(reading, idempotency_key)
        used = await self._store.transact(partial(find_used, account_id=caller.account_id, reading=reading))
        find = partial(
            find_telling,
            account_id=caller.account_id,
            reading=reading,
            cronjob_id=None,
            targets=self._targets,
        )
        await self._store.transact(find)
        warnings, verification = await self.look(caller, reading), None
        known = await self.calendars.names_for(caller, reading)
        specification = self._rules.check_new(
            reading, cronjob_id=cronjob_id, now=now, calendars=known, used=used
        )
        wanted: dict[str, Any] = {
            "account_id": caller.account_id,
            "cronjob_id": cronjob_id,
            "specification": specification,
            "parameters": reading.parameters,
            "idempotency_key": idempotency_key,
        }
        if reading.values.get(VERIFY) and specification.destination is not None:
            # Not for what is there already, or would be refused.
            made, _ = await self._store.transact(partial(self._changes.check_create, **wanted, now=now))
            if made is not None:
                return await show_cronjob(self._store, made, warnings)
            complete = partial(
                self._completing.complete,
                account_id=caller.account_id,
                destination=specification.destination,
                used=used,
                name=specification.name,
                timezone=specification.timing.timezone,
            )
            verification = await self._verifier.require(
                await self._store.transact(complete),
                cronjob_id=cronjob_id,
                cronjob_name=specification.name,
                timezone=specification.timing.timezone,
                now=now,
            )
            now = await self._store.clock()
        wanted |= {"changed_by": caller.api_key, "only_name": only_name}
        create = partial(self._changes.create, **wanted, now=now)
        cronjob = await change(self._store, create)
        await self._store.announce(Signal.CRONJOBS)
        verification = verification if cronjob.cronjob_id == cronjob_id else None
        return await show_cronjob(self._store, cronjob, warnings, verification)

    async def look(self, caller: Caller, reading: Reading[Any]) -> list[str]:
        """Complain of a target that can never be sent to; return what may be wrong with it."""
        warnings: list[str] = []
        for name in TARGETS:
            sent = reading.sent(parameters_of(name))
            if any(targets_of(each) == (name,) for each in sent):
                marked = template_rules.marked(name, sent, {}, {})
                filled, _ = template_rules.filled(name, marked, "")
                look = await self._targets[name].look(filled, caller.account_id)
                warnings += look.warnings
                for parameter, complaint in look.complaints.items():
                    reading.complain(parameter, ValueError(complaint))
        return warnings

    async def get_cronjob(self, caller: Caller, cronjob_id: str) -> cronjob_contract.Cronjob:
        """A cron job. Raises NotFound for one that is deleted, another's, or was never there."""
        now = await self._store.clock()

        def work(connection: Connection) -> tuple[Cronjob, Shown]:
            cronjob = _existing(connection, caller, cronjob_id)
            (shown,) = read_standings(connection, caller.account_id, [cronjob], now, self._targets)
            return cronjob, shown | read_counts(connection, cronjob, now)

        cronjob, shown = await self._store.transact(work)
        return await show_cronjob(self._store, cronjob, standing=shown)

    async def _get_cronjob(self, caller: Caller, cronjob_id: str) -> Cronjob:
        return await self._store.transact(lambda connection: _existing(connection, caller, cronjob_id))

    async def list_cronjobs(
        self, caller: Caller, reading: Reading[CronjobQuery]
    ) -> Page[cronjob_contract.Cronjob]:
        """The account's cron jobs: the part that `limit` and `cursor` name; or a page and the rest."""
        return await self._lists.list_cronjobs(caller.account_id, reading)

    async def update_cronjob(
        self, caller: Caller, cronjob_id: str, reading: Reading[CronjobChange]
    ) -> cronjob_contract.Cronjob:
        """Change what was sent of a cron job; what was not sent stays. Raises InvalidRequest and NotFound."""
        answer, _ = await self.editing.change(caller, cronjob_id, reading)
        return answer

    async def verify_cronjob(self, caller: Caller, cronjob_id: str) -> Verification:
        """Send the target of a cron job a test message. Raises NotFound and RateLimited."""
        return await self.verify(caller, cronjob_id, None, self._verifier.verify)

    async def verify(
        self,
        caller: Caller,
        cronjob_id: str,
        change: Reading[CronjobChange] | None,
        verify: Callable[..., Awaitable[Verification]],
        whole: bool = False,
    ) -> Verification:
        """Send a test message to where a cron job's firings go, or would go after a change.

        :param whole: whether what was not sent of the change gets its default
        """
        now = await self._store.clock()
        read = partial(
            self._changes.read_destination,
            account_id=caller.account_id,
            cronjob_id=cronjob_id,
            change=change,
            whole=whole,
            now=now,
        )
        destination, name, timezone = await self._store.transact(read)
        return await verify(destination, cronjob_id=cronjob_id, cronjob_name=name, timezone=timezone, now=now)

    async def delete_cronjob(self, caller: Caller, cronjob_id: str) -> cronjob_contract.Cronjob:
        """Delete a cron job, erase its secret and skip what it still owes. Raises NotFound."""
        delete = partial(
            self._changes.delete,
            account_id=caller.account_id,
            cronjob_id=cronjob_id,
            changed_by=caller.api_key,
            now=await self._store.clock(),
        )
        cronjob, over = await change(self._store, delete)
        rest = partial(removal.skip_rest, cronjob_id=cronjob_id, now=cronjob.updated_at)
        if not over:
            await in_parts(self._store, lambda connection, _now: rest(connection) or None)
        return await show_cronjob(self._store, cronjob)

    # Previews and explanations

    def preview_expression(self, reading: Reading[ExpressionPreview], *, now: int) -> Preview:
        """What an expression will fire, for anybody; asks no database. Raises InvalidRequest.

        :param now: the instant after which it fires unless `after` was sent
        """
        return preview_expression(self._rules, reading, now)

    async def preview_cronjob(
        self, caller: Caller, cronjob_id: str, reading: Reading[Window]
    ) -> CronjobPreview:
        """What a cron job will fire. Raises InvalidRequest and NotFound."""
        now = await self._store.clock()
        cronjob = await self._get_cronjob(caller, cronjob_id)
        return preview_cronjob(cronjob, await self.calendars.read_exclusion(cronjob), reading, now)

    async def explain_cronjob(
        self, caller: Caller, cronjob_id: str, reading: Reading[Question]
    ) -> Explanation:
        """Why a cron job, deleted or not, did or did not fire at an instant, `at`.

        Raises InvalidRequest, and NotFound for one that is another's or was never there.
        """
        now = await self._store.clock()

        def work(connection: Connection) -> tuple[Cronjob, Around, int]:
            cronjob = cronjobs.get_cronjob(connection, caller.account_id, cronjob_id)
            if cronjob is None:
                raise errors.NotFound(NO_CRONJOB)
            reading.raise_complaints()
            at = moment(cronjob, reading.values["at"])
            host = host_of(self._targets, cronjob.target, cronjob.destination)
            return cronjob, read_around(connection, cronjob, at, now, host), at

        cronjob, around, at = await self._store.transact(work)
        answers = shown_answers(self._vault, caller.account_id, around.answers)
        return explain_answer(cronjob, around, at, now, now - self._retention, answers)

    # The ledger

    async def list_firings(self, caller: Caller, reading: Reading[FiringQuery]) -> Page[FiringAnswer]:
        """The account's firings; with `cronjob_id` or `name` those of some cron jobs, which may be deleted.

        Raises NotFound for a cron job that is another's or was never there, and for a name that none has.
        """
        return await self._lists.list_firings(caller.account_id, reading, None)

    async def list_firings_of_cronjob(
        self, caller: Caller, cronjob_id: str, reading: Reading[FiringsOfCronjobQuery]
    ) -> Page[FiringAnswer]:
        """The firings of a cron job that is not deleted. Raises NotFound."""
        return await self._lists.list_firings(caller.account_id, reading, cronjob_id)

    # The engine

    async def get_health(self) -> Health:
        """How the engine stands. Raises Unavailable when the database does not answer or was not writable lately."""
        return await read_health(self._store)


def _existing(connection: Connection, caller: Caller, cronjob_id: str) -> Cronjob:
    cronjob = cronjobs.get_cronjob(connection, caller.account_id, cronjob_id)
    if cronjob is None or cronjob.state == State.DELETED:
        raise errors.NotFound(NO_CRONJOB)
    return cronjob


def _secret_place(account_id: str, api_key: str) -> SealContext:
    return SealContext(account_id, "api_key", "secret", api_key)


def _email_key(email: str) -> str:
    """The address without case, which is what belongs to one account."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", email).casefold())
