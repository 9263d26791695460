"""The operations themselves, one method each.

Invariant: what an operation changes is one transaction; a change or a deletion that finds a backlog is several, each of
them bounded. No secret is sealed or opened here: each part has its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection

from cronally.ack_links import AckLinks
from cronally.audit_chain import Who
from cronally.contract import accounts as account_contract
from cronally.contract import cronjobs as cronjob_contract
from cronally.contract.accounts import AccountChange, Signup
from cronally.contract.audit import Action as AuditAction
from cronally.contract.cronjob_requests import CronjobChange, CronjobQuery, NewCronjob
from cronally.contract.firings import Firing as FiringAnswer
from cronally.contract.firings import FiringQuery, FiringsOfCronjobQuery
from cronally.contract.limits import SERVERS, Limits
from cronally.contract.mailed_links import LinkPurpose
from cronally.contract.reading import Reading
from cronally.contract.schedules import (
    CronjobPreview,
    Explanation,
    ExpressionPreview,
    Preview,
    Question,
    Window,
)
from cronally.contract.verification import Verification
from cronally.instants import DAY, MINUTE
from cronally.operations import backfilling, replaying
from cronally.operations.accounts import Accounts
from cronally.operations.acknowledgement_answers import shown_acknowledgements
from cronally.operations.acknowledging import Acknowledging
from cronally.operations.alert_rules import AlertRules
from cronally.operations.alerted import Alerted
from cronally.operations.around import Around, read_around
from cronally.operations.auditing import Auditing
from cronally.operations.background import Action, Running
from cronally.operations.bulk import Bulk
from cronally.operations.calendars import Calendars
from cronally.operations.caller import Caller
from cronally.operations.changes import Changes
from cronally.operations.channels import Channels
from cronally.operations.closing import Closing
from cronally.operations.completing import Completing
from cronally.operations.confirming import Confirming
from cronally.operations.connecting import Connecting
from cronally.operations.creating import Creating
from cronally.operations.cronjob_secrets import CronjobSecrets
from cronally.operations.cronjob_verifying import CronjobVerifying
from cronally.operations.dead_letters import DeadLetters
from cronally.operations.deeds import Deed
from cronally.operations.editing import Editing
from cronally.operations.email_changes import EmailChanges
from cronally.operations.existing import existing, existing_or_deleted
from cronally.operations.explain import explain_answer, moment
from cronally.operations.forecasts import Forecasts
from cronally.operations.freezing import Freezing
from cronally.operations.health import Health, read_health
from cronally.operations.key_pages import KeyPages
from cronally.operations.keys import Keys
from cronally.operations.limits import LimitsInForce
from cronally.operations.lists import Lists, Page
from cronally.operations.looking import look
from cronally.operations.mailing import Mailing
from cronally.operations.nonces import Nonces
from cronally.operations.noticing import Noticing
from cronally.operations.overseeing import Overseeing
from cronally.operations.parts import change, in_parts
from cronally.operations.pausing import Pausing
from cronally.operations.previews import preview_cronjob, preview_expression
from cronally.operations.proving import Proving
from cronally.operations.quotas import Quotas
from cronally.operations.recovering import Recovering
from cronally.operations.rendering import Renderings
from cronally.operations.repeats import Repeats
from cronally.operations.restricting import Restricting
from cronally.operations.rules import Rules
from cronally.operations.running import Runs
from cronally.operations.shown import show_cronjob
from cronally.operations.standings import Shown, read_counts, read_standings
from cronally.operations.target_answers import shown_answers
from cronally.operations.tracking import Tracking
from cronally.operations.trying import Trying
from cronally.operations.using_links import UsingLinks
from cronally.operations.verified_signup import VerifiedSignup
from cronally.operations.verifying import Verifier
from cronally.store import Store, removal
from cronally.store.audit_subjects import Subject
from cronally.store.cronjobs import Cronjob
from cronally.targets.host import host_of
from cronally.targets.mail.mail import Mail
from cronally.targets.target import Target
from cronally.vault import Vault


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
        requests_per_minute: int = SERVERS["requests_per_minute"],
        request_seconds_per_minute: int = SERVERS["request_seconds_per_minute"],
        in_flight: int = SERVERS["in_flight"],
        signups_per_minute: int = 20,
        min_interval: int = MINUTE,
        retention: int = 30 * DAY,
        account_grace: int = 7 * DAY,
        links: AckLinks | None = None,
        max_channels: int = 20,
        mail: Mail | None = None,
        public_url: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param max_cronjobs: how many an account may have
        :param max_bytes: how many they may hold together, messages included
        :param max_connections: how many an account may have
        :param requests_per_minute: how many an account may make to one process
        :param request_seconds_per_minute: how much of its time they may use
        :param in_flight: firings of an account that one process sends at once
        :param signups_per_minute: how many one address may ask for
        :param min_interval: how close to each other fire times may be, in microseconds
        :param retention: how long finished firings are kept, in microseconds
        :param account_grace: how long a deleted account can be restored, in microseconds
        :param links: what makes and reads acknowledgement URLs
        :param max_channels: how many an account may have
        :param mail: what sends mail; None where the operator has set up none
        :param public_url: what links in mails begin with
        """
        self._store = store
        self._vault = vault
        self._targets = targets
        self.limits = LimitsInForce(
            Limits(
                max_cronjobs=max_cronjobs,
                max_bytes=max_bytes,
                max_connections=max_connections,
                requests_per_minute=requests_per_minute,
                request_seconds_per_minute=request_seconds_per_minute,
                in_flight=in_flight,
            )
        )
        self._accounts = Accounts(store, vault, signups_per_minute, targets, monotonic, self.limits)
        self.overseeing = Overseeing(store, vault, self.limits)
        self.closing = Closing(store, account_grace, self.overseeing)
        self.noticing = Noticing(store)
        self._retention = retention
        self._rules = Rules(targets, min_interval, links)
        quotas = Quotas(self.limits, retention=retention, min_interval=min_interval)
        repeats = Repeats(vault)
        self._changes = Changes(CronjobSecrets(vault), targets, self._rules, quotas, repeats)
        completing, verifier = Completing(vault), Verifier(targets, links=links)
        self._verifying = CronjobVerifying(store, self._changes, quotas, completing, verifier)
        self.runs = Runs(store, vault, self._rules.destination, quotas, repeats)
        self._lists = Lists(store, vault, targets)
        self.dead_letters = DeadLetters(store, self._lists)
        self.pausing = Pausing(store, quotas)
        self.forecasts = Forecasts(store, targets)
        self.calendars = Calendars(store, quotas)
        self.restricting = Restricting(store)
        self._creating = Creating(
            store,
            targets,
            self._rules,
            self._changes,
            self.calendars,
            self._verifying,
            self.restricting,
        )
        self.renderings = Renderings(store, targets, links)
        self.connecting = Connecting(store, vault, targets, quotas, repeats)
        self.key_pages = KeyPages(store)
        self.nonces = Nonces(store)
        self.acknowledging = Acknowledging(store, vault, links)
        self.trying = Trying(store, targets, completing, verifier)
        self.keys = Keys(store, vault, self.limits)
        self.proving = Proving(store, targets, verifier)
        self.confirming = Confirming(store, verifier, mail, public_url)
        self.channels = Channels(store, vault, targets, repeats, self.confirming, max_channels)
        self.alerted = Alerted(store)
        self.tracking = Tracking(store, repeats)
        self.freezing = Freezing(store, targets, repeats)
        self.alert_rules = AlertRules(store, repeats)
        self.editing = Editing(store, self._changes, self._verifying, self)
        self.bulk = Bulk(store, self, _in_the_background)
        self.backfills = backfilling.Backfills(store, self.tracking, targets, retention)
        self.replays = replaying.Replays(store, self.tracking, targets)
        self.auditing = Auditing(store)
        mailing = Mailing(store, mail, public_url)
        self.verified_signup = VerifiedSignup(mailing, self._accounts)
        self.recovering = Recovering(mailing, vault)
        self._email_changes = EmailChanges(mailing)
        self.links = UsingLinks(
            store,
            {
                LinkPurpose.SIGNUP: self.verified_signup.use,
                LinkPurpose.RECOVER: self.recovering.use,
                LinkPurpose.CONFIRM: self.recovering.use_confirmation,
                LinkPurpose.CHANGE: self._email_changes.use_new,
                LinkPurpose.AGREE: self._email_changes.use_agree,
                LinkPurpose.REFUSE: self._email_changes.use_refuse,
            },
        )
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
        await self._accounts.count_signup(address)

    async def create_account(
        self, reading: Reading[Signup], *, address: str | None = None, request_id: str | None = None
    ) -> account_contract.Account:
        """Create an account for `email`. Raises InvalidRequest, also for an email address that has one.

        :param address: where the request came from, as for `count_signup`: who tries email addresses is slowed down
        """
        return await self._accounts.create(reading, address, request_id)

    async def find_caller(self, api_key: str) -> Caller | None:
        """Whose API key this is; None for one that is unknown or has ended. For authentication alone."""
        return await self.keys.find_caller(api_key)

    async def get_account(self, caller: Caller) -> account_contract.Account:
        """The caller's account."""
        return await self._accounts.get(caller)

    async def update_account(
        self, caller: Caller, reading: Reading[AccountChange]
    ) -> account_contract.Account:
        """Change what is sent of the caller's account; of another address the owners are asked by mail.

        Raises InvalidRequest, and of an address Forbidden, RateLimited and Unavailable.
        """
        reading.raise_complaints()
        if "email" in reading.values:
            await self._email_changes.ask(caller, reading.values["email"])
        return await self._accounts.update(caller, reading)

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
        return await self._creating.create(
            caller, reading, idempotency_key=idempotency_key, only_name=only_name
        )

    async def look(self, caller: Caller, reading: Reading[Any]) -> list[str]:
        """Complain of a target that can never be sent to; return what may be wrong with it."""
        return await look(self._targets, caller, reading)

    async def get_cronjob(self, caller: Caller, cronjob_id: str) -> cronjob_contract.Cronjob:
        """A cron job. Raises NotFound for one that is deleted, another's, or was never there."""
        now = await self._store.clock()

        def work(connection: Connection) -> tuple[Cronjob, Shown]:
            cronjob = existing(connection, caller.account_id, cronjob_id)
            (shown,) = read_standings(connection, caller.account_id, [cronjob], now, self._targets)
            return cronjob, shown | read_counts(connection, cronjob, now)

        cronjob, shown = await self._store.transact(work)
        return await show_cronjob(self._store, cronjob, standing=shown)

    async def _get_cronjob(self, caller: Caller, cronjob_id: str) -> Cronjob:
        return await self._store.transact(
            lambda connection: existing(connection, caller.account_id, cronjob_id)
        )

    async def list_cronjobs(
        self, caller: Caller, reading: Reading[CronjobQuery]
    ) -> Page[cronjob_contract.Cronjob]:
        """The account's cron jobs: the part that `limit` and `cursor` name; or a page and the rest."""
        return await self._lists.list_cronjobs(caller, reading)

    async def update_cronjob(
        self, caller: Caller, cronjob_id: str, reading: Reading[CronjobChange]
    ) -> cronjob_contract.Cronjob:
        """Change what was sent of a cron job; what was not sent stays. Raises InvalidRequest and NotFound."""
        answer, _ = await self.editing.change(caller, cronjob_id, reading)
        return answer

    async def verify_cronjob(self, caller: Caller, cronjob_id: str) -> Verification:
        """Send the target of a cron job a test message. Raises NotFound and RateLimited."""
        return await self._verifying.verify(caller, cronjob_id)

    async def delete_cronjob(self, caller: Caller, cronjob_id: str) -> cronjob_contract.Cronjob:
        """Delete a cron job, erase its secret and skip what it still owes. Raises NotFound."""
        now = await self._store.clock()
        delete = partial(
            self._changes.delete,
            account_id=caller.account_id,
            cronjob_id=cronjob_id,
            changed_by=caller.api_key,
            now=now,
        )
        deed = Deed(
            caller, AuditAction.CRONJOB_DELETE, Subject.CRONJOB, cronjob_id, digests=self._changes.digests
        )
        cronjob, over = await change(self._store, deed, now, delete)
        rest = partial(removal.skip_rest, cronjob_id=cronjob_id, now=cronjob.updated_at)
        if not over:
            await in_parts(self._store, None, lambda connection, _now: rest(connection) or None)
        return await show_cronjob(self._store, cronjob)

    # Previews and explanations

    def preview_expression(self, reading: Reading[ExpressionPreview], *, now: int) -> Preview:
        """What an expression will fire, for anybody; asks no database. Raises InvalidRequest.

        :param now: the instant after which it fires unless `after` was sent
        """
        return preview_expression(self._rules.timing, reading, now)

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
            cronjob = existing_or_deleted(connection, caller.account_id, cronjob_id)
            reading.raise_complaints()
            at = moment(cronjob, reading.values["at"])
            host = host_of(self._targets, cronjob.target, cronjob.destination)
            return cronjob, read_around(connection, cronjob, at, now, host), at

        cronjob, around, at = await self._store.transact(work)
        answers = shown_answers(self._vault, caller.account_id, around.answers)
        acknowledged = shown_acknowledgements(self._vault, caller.account_id, around.acks)
        return explain_answer(cronjob, around, at, now, now - self._retention, answers, acknowledged)

    # The ledger

    async def list_firings(self, caller: Caller, reading: Reading[FiringQuery]) -> Page[FiringAnswer]:
        """The account's firings; with `cronjob_id` or `name` those of some cron jobs, which may be deleted.

        Raises NotFound for a cron job that is another's or was never there, and for a name that none has.
        """
        return await self._lists.list_firings(caller, reading, None)

    async def list_firings_of_cronjob(
        self, caller: Caller, cronjob_id: str, reading: Reading[FiringsOfCronjobQuery]
    ) -> Page[FiringAnswer]:
        """The firings of a cron job that is not deleted. Raises NotFound."""
        return await self._lists.list_firings(caller, reading, cronjob_id)

    # The engine

    async def get_health(self) -> Health:
        """How the engine stands. Raises Unavailable when the database does not answer or was not writable lately."""
        return await read_health(self._store)


def _in_the_background(running: Running) -> Caller:
    """Who does what an operation does to one cron job."""
    return Caller(
        running.account_id, running.created_by, b"", who=Who.SERVER, request_id=running.operation_id
    )
