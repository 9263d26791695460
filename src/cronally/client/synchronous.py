"""`Client`: the API of Cronally in plain calls. Safe to share between threads.

Written from `asynchronous.py` by `make docs`: change that file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx2

from cronally.client import calls
from cronally.client.calls import Call, Json, Page, When
from cronally.client.connection import DEFAULT_URL, V2, Connection, Outcome, Patience, next_cursor
from cronally.client.following import Following
from cronally.contract.accounts import Account, AccountChange, DeletedAccount
from cronally.contract.alert_rules import AlertRule, AlertRuleChange, NewAlertRule
from cronally.contract.alerts import Alert, AlertPage
from cronally.contract.audit import AuditEnds, AuditFilters, AuditPage, AuditRow
from cronally.contract.bulk import Change, Selecting, Selection
from cronally.contract.calendars import Calendar
from cronally.contract.channel_requests import ChannelChange, ChannelPage, NewChannel
from cronally.contract.channels import Channel
from cronally.contract.connection_requests import ConnectionChange, ConnectionPage, NewConnection
from cronally.contract.connections import Connection as ConnectionAnswer
from cronally.contract.connections import ConnectionVerification
from cronally.contract.cronjob_requests import CronjobChange, NamedCronjob, NewCronjob, Pause
from cronally.contract.cronjobs import Cronjob
from cronally.contract.dead_letters import DeadLetterFilters, DeadLetterPage, DeadLetters, Discarded
from cronally.contract.firings import (
    Firing,
    FiringFilters,
    FiringPage,
    FiringsOfCronjob,
    ManualFiring,
    Start,
)
from cronally.contract.forecasts import DEFAULT_HOURS, Forecast
from cronally.contract.freezes import Freeze, NewFreeze
from cronally.contract.hosts import Host
from cronally.contract.keys import Key, KeyChange, NewKey, Rotation
from cronally.contract.listing import CronjobList, CronjobPage
from cronally.contract.mailed_links import MailedLink, UsedLink
from cronally.contract.operations import Operation, OperationPage
from cronally.contract.renderings import Rendering
from cronally.contract.replays import AsNowOrThen, BackfillOptions, BackfillTrial, ReplayOptions, ReplayTrial
from cronally.contract.schedules import CronjobPreview, Explanation, Preview, PreviewOptions, Window
from cronally.contract.service import Status
from cronally.contract.verification import Verification
from cronally.errors import RateLimited

T = TypeVar("T")


class Client(Connection):
    """A connection to a Cronally server for one account.

    Every verb raises the API's errors (`cronally.errors.RequestError` and below), `Unreachable` without an
    answer, and `UnexpectedAnswer` for an answer of something else. Close it, or use it in a `with` block.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        api_secret: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 3,
        backoff: float = 0.2,
        signature_version: str = V2,
    ) -> None:
        super().__init__(
            url,
            api_key,
            api_secret,
            timeout=timeout,
            retries=retries,
            backoff=backoff,
            signature_version=signature_version,
        )
        self._http = httpx2.Client(**self._http_options())

    __init__.__doc__ = Connection.__init__.__doc__

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def signup(self, email: str, token: str | None = None) -> Account:
        """Create an account; the answer holds its API key and secret. Needs no keys.

        Raises Unconfirmed where the server has mailed a link to the address, which makes the account: `use_link`.

        :param token: the token of the server's operator, if the server asks for it
        """
        return self.call(calls.signup(email, token))

    def recover_account(self, email: str) -> MailedLink:
        """Have a link mailed that gives an account whose keys are lost a new one: `use_link`. Needs no keys."""
        return self.call(calls.recover_account(email))

    def confirm_email(self) -> MailedLink:
        """Have a link mailed that confirms the address of the account."""
        return self.call(calls.confirm_email())

    def use_link(self, link: str, *, revoke_others: bool = False) -> UsedLink:
        """Do what a link of a mail is for; the answer says what was done. Needs no keys.

        :param link: as it stands in the mail, or the last part of it
        :param revoke_others: of recovery: end all other API keys of the account
        """
        return self.call(calls.use_link(link, revoke_others=revoke_others))

    def status(self) -> Status:
        """What the server's operator has to tell. Needs no keys."""
        return self.call(calls.status())

    def account(self) -> Account:
        """The account of the API key."""
        return self.call(calls.account())

    def update_account(self, **changes: Unpack[AccountChange]) -> Account:
        """Change what is sent of the account; the rest stays."""
        return self.call(calls.update_account(changes))

    def delete_account(self, email: str) -> DeletedAccount:
        """Delete the account of the API key, which is unknown afterwards.

        :param email: the address of the account, which confirms that it is meant
        """
        return self.call(calls.delete_account(email))

    def create_cronjob(
        self, *, idempotency_key: str | None = None, **parameters: Unpack[NewCronjob]
    ) -> Cronjob:
        """Create a cron job.

        :param idempotency_key: with the same key and parameters, the same cron job is answered for 24 hours;
            a random one is used by default, which makes this call's own retries safe
        """
        return self.call(calls.create_cronjob(parameters, idempotency_key))

    def cronjobs(self, **page: Unpack[CronjobPage]) -> Page[Cronjob]:
        """A page of the account's cron jobs."""
        return self.call(calls.cronjobs(page))

    def iter_cronjobs(
        self, page_size: int | None = None, **filters: Unpack[CronjobList]
    ) -> Iterator[Cronjob]:
        """All cron jobs of the account, or those with these policies, page by page."""
        return self._all(calls.cronjobs, {**filters, "limit": page_size})

    def cronjob(self, cronjob_id: str) -> Cronjob:
        """One cron job. Raises NotFound."""
        return self.call(calls.cronjob(cronjob_id))

    def update_cronjob(self, cronjob_id: str, **changes: Unpack[CronjobChange]) -> Cronjob:
        """Change what is sent; the rest stays. Raises NotFound."""
        return self.call(calls.update_cronjob(cronjob_id, changes))

    def put_cronjob(self, name: str, **parameters: Unpack[NamedCronjob]) -> Cronjob:
        """Create the cron job of this name, or change it to exactly what is sent; its `outcome` says which.

        What is not sent has its default; a secret that is not sent stays. Raises Conflict where several have the name.
        """
        return self.call(calls.put_cronjob(name, parameters))

    def verify_cronjob(self, cronjob_id: str) -> Verification:
        """Send the target of a cron job a test message, now, and say what became of it. Raises NotFound."""
        return self.call(calls.verify_cronjob(cronjob_id))

    def run_cronjob(
        self, cronjob_id: str, *, idempotency_key: str | None = None, **parameters: Unpack[ManualFiring]
    ) -> Firing:
        """Fire a cron job once, now or `at` an instant, in whichever state it is. Raises NotFound.

        :param idempotency_key: with the same key and parameters, the same firing is answered for 24 hours; a
            random one is used by default, which makes this call's own retries safe

        Raises RateLimited and Forbidden for one too many.
        """
        return self.call(calls.run_cronjob(cronjob_id, parameters, idempotency_key))

    def follow(self, firing: Firing, seconds: float | None = None) -> Iterator[Firing]:
        """A firing each time that it is found to have changed, as it stands then, until it has ended.

        It is asked for after pauses that grow from a fifth of a second to `MAX_PAUSE`.

        :param seconds: after so many it ends in any case; the last one is not `finished_at` then

        Raises NotFound when the ledger does not have it any more.
        """
        following = Following(firing, seconds)
        while (pause := following.pause()) is not None:
            time.sleep(pause)
            try:
                found = self.call(calls.same_firing(firing))
            except RateLimited as problem:
                following.slow_down(problem.retry_after)
                continue
            if following.has_changed(found):
                yield found

    def pause_cronjob(self, cronjob_id: str, **pause: Unpack[Pause]) -> Cronjob:
        """Let a cron job stand still: what falls due meanwhile is skipped. Raises NotFound.

        One that is paused gets this note and this end; what is not given is none.
        """
        return self.call(calls.pause_cronjob(cronjob_id, pause))

    def resume_cronjob(self, cronjob_id: str) -> Cronjob:
        """Let a paused cron job fire again, from its next fire time on. Raises NotFound."""
        return self.call(calls.resume_cronjob(cronjob_id))

    def delete_cronjob(self, cronjob_id: str) -> Cronjob:
        """Delete a cron job; its pending firings are skipped, its ledger stays readable. Raises NotFound."""
        return self.call(calls.delete_cronjob(cronjob_id))

    def preview(
        self,
        expression: str | Sequence[str],
        *,
        cronjob_id: str | None = None,
        **options: Unpack[PreviewOptions],
    ) -> Preview:
        """What an expression, or several, will fire, as of a cron job that is created at `after` or now. Needs no keys.

        :param cronjob_id: by which `H` is spread, as `id`

        Raises InvalidExpression.
        """
        return self.call(calls.preview({"cron": expression, "id": cronjob_id, **options}))

    def preview_cronjob(self, cronjob_id: str, **window: Unpack[Window]) -> CronjobPreview:
        """What a cron job will fire. Raises NotFound."""
        return self.call(calls.preview_cronjob(cronjob_id, window))

    def explain(self, cronjob_id: str, at: str | datetime) -> Explanation:
        """Why a cron job, deleted or not, did or did not fire at an instant. Raises NotFound."""
        return self.call(calls.explain(cronjob_id, at))

    def render(self, cronjob_id: str, at: str | datetime | None = None) -> Rendering:
        """What a cron job would send at a fire time: its next one, unless another instant is given. Raises NotFound."""
        return self.call(calls.render(cronjob_id, at))

    def forecast(self, hours: int = DEFAULT_HOURS) -> Forecast:
        """What lies ahead, for up to 168 hours: firings by minute and host, the busiest seconds, and what to spread."""
        return self.call(calls.forecast(hours))

    def firings(self, cronjob_id: str, **page: Unpack[FiringsOfCronjob]) -> Page[Firing]:
        """A page of a cron job's ledger, newest first or `order="oldest"`. Raises NotFound.

        Where it has a `next_cursor`, it may hold fewer than `limit`, or none.
        """
        return self.call(calls.firings(cronjob_id, page))

    def iter_firings(
        self, cronjob_id: str, page_size: int | None = None, **filters: Unpack[FiringFilters]
    ) -> Iterator[Firing]:
        """A cron job's ledger, or what of it is chosen, page by page."""
        return self._all(lambda page: calls.firings(cronjob_id, page), {**filters, "limit": page_size})

    def account_firings(self, **page: Unpack[FiringPage]) -> Page[Firing]:
        """A page of the account's ledger, as `firings`; with `cronjob_id` or `name`, that of some cron jobs, deleted or
        not."""
        return self.call(calls.account_firings(page))

    def iter_account_firings(
        self,
        cronjob_id: str | None = None,
        page_size: int | None = None,
        *,
        name: str | None = None,
        tag: Sequence[str] | None = None,
        **filters: Unpack[FiringFilters],
    ) -> Iterator[Firing]:
        """The account's ledger, or what of it is chosen, page by page.

        :param name: what the cron jobs are called whose firings are wanted
        """
        whose = {"cronjob_id": cronjob_id, "name": name, "tag": tag, "limit": page_size}
        return self._all(calls.account_firings, {**filters, **whose})

    def dead_letters(self, **page: Unpack[DeadLetterPage]) -> Page[Firing]:
        """A page of the firings that have failed and are not discarded, as `account_firings`."""
        return self.call(calls.dead_letters(page))

    def iter_dead_letters(
        self, page_size: int | None = None, **filters: Unpack[DeadLetters]
    ) -> Iterator[Firing]:
        """The dead letters of the account, or what of them is chosen, page by page."""
        return self._all(calls.dead_letters, {**filters, "limit": page_size})

    def discard_firing(self, firing: Firing, note: str) -> Firing:
        """Discard a dead letter: it leaves the list, and stays in the ledger. A replay takes that back.

        Raises NotFound, Conflict for a firing that is on its way, and InvalidRequest for one that has not failed.
        """
        return self.call(calls.discard_firing(firing, note))

    def discard_firings(
        self, note: str, *, dry_run: bool = False, **filters: Unpack[DeadLetterFilters]
    ) -> Discarded:
        """Discard the dead letters that the filters select, or with `all` every one; where there is `more`, call again.

        :param dry_run: whether nothing is changed, and they are only counted
        """
        return self.call(calls.discard_firings(filters, note, dry_run=dry_run))

    def calendars(self) -> Page[Calendar]:
        """All calendars of the account, without their dates."""
        return self.call(calls.calendars())

    def calendar(self, name: str) -> Calendar:
        """One calendar. Raises NotFound."""
        return self.call(calls.calendar(name))

    def put_calendar(self, name: str, dates: Iterable[str]) -> Calendar:
        """Create a calendar, or replace the dates in it: each `2026-12-24` or `2026-12-24/2026-12-26`."""
        return self.call(calls.put_calendar(name, dates))

    def delete_calendar(self, name: str) -> Calendar:
        """Delete a calendar that no cron job excludes. Raises NotFound, and InvalidRequest for one that is used."""
        return self.call(calls.delete_calendar(name))

    def pause_cronjobs(
        self, filters: Selecting, *, idempotency_key: str | None = None, **pause: Unpack[Pause]
    ) -> Operation:
        """Let the cron jobs stand still that the filters select; `{"all": True}` selects every one.

        Up to 100 of them are done when this returns; of more the operation is running: see `follow_operation`.

        :param idempotency_key: with the same key and parameters, the same operation is answered for 24 hours; a
            random one is used by default, which makes this call's own retries safe

        Raises RateLimited while too many operations run.
        """
        return self.call(calls.many("pause", filters, pause, idempotency_key))

    def resume_cronjobs(self, filters: Selecting, *, idempotency_key: str | None = None) -> Operation:
        """Let the paused ones of the cron jobs fire again that the filters select, as `pause_cronjobs` does."""
        return self.call(calls.many("resume", filters, {}, idempotency_key))

    def run_cronjobs(
        self, filters: Selecting, *, idempotency_key: str | None = None, **start: Unpack[Start]
    ) -> Operation:
        """Fire each of the cron jobs once that the filters select, as `pause_cronjobs` does."""
        return self.call(calls.many("run", filters, start, idempotency_key))

    def delete_cronjobs(self, filters: Selecting, *, idempotency_key: str | None = None) -> Operation:
        """Delete the cron jobs that the filters select, as `pause_cronjobs` does."""
        return self.call(calls.many("delete", filters, {}, idempotency_key))

    def change_cronjobs(
        self, filters: Selecting, *, idempotency_key: str | None = None, **changes: Unpack[Change]
    ) -> Operation:
        """Change policies, or the time zone, of the cron jobs that the filters select, as `pause_cronjobs` does."""
        return self.call(calls.many("change", filters, changes, idempotency_key))

    def try_cronjobs(self, action: str, filters: Selecting, **parameters: Any) -> Selection:
        """Which cron jobs one of these calls would be for; changes nothing.

        :param action: `pause`, `resume`, `run`, `delete` or `change`
        """
        return self.call(calls.try_many(action, filters, parameters))

    def replay_firing(self, firing: Firing, as_: AsNowOrThen | None = None) -> Firing:
        """Let a firing that has ended go once more. Raises Conflict while it is on its way, NotFound.

        :param as_: `then`: with message and address as it was sent; otherwise those that the cron job has now
        """
        return self.call(calls.replay_firing(firing, as_))

    def replay_firings(self, as_: AsNowOrThen | None = None, **filters: Unpack[ReplayOptions]) -> Operation:
        """Let the firings go once more that the filters select, those that failed by default.

        :param as_: as in `replay_firing`
        """
        return self.call(calls.replay_firings(filters, as_))

    def try_replay(self, as_: AsNowOrThen | None = None, **filters: Unpack[ReplayOptions]) -> ReplayTrial:
        """Which firings that would be; changes nothing."""
        return self.call(calls.try_replay(filters, as_))

    def backfill_cronjob(
        self, cronjob_id: str, since: When, until: When | None = None, **options: Unpack[BackfillOptions]
    ) -> Operation:
        """Make up for the fire times from `since` to `until`, or now. Raises NotFound."""
        return self.call(calls.backfill_cronjob(cronjob_id, {"from": since, "to": until, **options}))

    def try_backfill(
        self, cronjob_id: str, since: When, until: When | None = None, **options: Unpack[BackfillOptions]
    ) -> BackfillTrial:
        """What became of these fire times, and what that would make up for; changes nothing."""
        return self.call(calls.try_backfill(cronjob_id, {"from": since, "to": until, **options}))

    def get_operation(self, operation_id: str) -> Operation:
        """An operation as it stands. Raises NotFound."""
        return self.call(calls.get_operation(operation_id))

    def list_operations(self, **page: Unpack[OperationPage]) -> Page[Operation]:
        """A page of the account's operations, newest first."""
        return self.call(calls.list_operations(page))

    def cancel_operation(self, operation_id: str) -> Operation:
        """Cancel an operation; what is done stays done. One that has ended stays as it is. Raises NotFound."""
        return self.call(calls.cancel_operation(operation_id))

    def follow_operation(self, operation: Operation, seconds: float | None = None) -> Iterator[Operation]:
        """An operation each time that it is found to have changed, as it stands then, until it has ended.

        It is asked for after pauses that grow from a fifth of a second to `MAX_PAUSE`.

        :param seconds: after so many it ends in any case; the last one is not `finished_at` then

        Raises NotFound when it is not kept any more.
        """
        following = Following(operation, seconds)
        while (pause := following.pause()) is not None:
            time.sleep(pause)
            try:
                found = self.call(calls.get_operation(operation.operation_id))
            except RateLimited as problem:
                following.slow_down(problem.retry_after)
                continue
            if following.has_changed(found):
                yield found

    def freeze(self, *, idempotency_key: str | None = None, **new: Unpack[NewFreeze]) -> Freeze:
        """Let a tag, a host or `all` of the account stand still. Raises Forbidden where it would be one too many."""
        return self.call(calls.freeze(new, idempotency_key))

    def get_freeze(self, freeze_id: str) -> Freeze:
        """A freeze. Raises NotFound."""
        return self.call(calls.get_freeze(freeze_id))

    def list_freezes(self) -> Page[Freeze]:
        """The account's freezes, those in force first."""
        return self.call(calls.list_freezes())

    def lift_freeze(self, freeze_id: str) -> Freeze:
        """End a freeze: what it holds goes out at once. One that has ended stays as it is. Raises NotFound."""
        return self.call(calls.lift_freeze(freeze_id))

    def create_rule(self, *, idempotency_key: str | None = None, **new: Unpack[NewAlertRule]) -> AlertRule:
        """Make a rule of what is told. Raises Forbidden where it would be one too many."""
        return self.call(calls.create_rule(new, idempotency_key))

    def get_rule(self, rule_id: str) -> AlertRule:
        """A rule. Raises NotFound."""
        return self.call(calls.get_rule(rule_id))

    def list_rules(self) -> Page[AlertRule]:
        """The account's rules, the oldest first."""
        return self.call(calls.list_rules())

    def update_rule(self, rule_id: str, **changes: Unpack[AlertRuleChange]) -> AlertRule:
        """Change what a rule says; what is not given stays. Raises NotFound."""
        return self.call(calls.update_rule(rule_id, changes))

    def delete_rule(self, rule_id: str) -> AlertRule:
        """Delete a rule: what stands by it is told no more. Raises NotFound."""
        return self.call(calls.delete_rule(rule_id))

    def create_connection(
        self, *, idempotency_key: str | None = None, **new: Unpack[NewConnection]
    ) -> ConnectionAnswer:
        """Create a connection: credentials that many cron jobs may use. Raises Forbidden where it would be one too
        many."""
        return self.call(calls.create_connection(new, idempotency_key))

    def get_connection(self, connection: str) -> ConnectionAnswer:
        """A connection, by its id or its name. Raises NotFound."""
        return self.call(calls.get_connection(connection))

    def list_connections(self, **page: Unpack[ConnectionPage]) -> Page[ConnectionAnswer]:
        """A page of the account's connections, by name."""
        return self.call(calls.list_connections(page))

    def update_connection(self, connection: str, **changes: Unpack[ConnectionChange]) -> ConnectionAnswer:
        """Change a connection; what is not given stays. With `overlap` former secrets go on beside the new ones."""
        return self.call(calls.update_connection(connection, changes))

    def verify_connection(self, connection: str) -> ConnectionVerification:
        """Try out the credentials of a connection, and say what is said to them. Raises NotFound and RateLimited."""
        return self.call(calls.verify_connection(connection))

    def delete_connection(self, connection: str) -> ConnectionAnswer:
        """Delete a connection that no cron job uses. Raises Conflict, which names some of them, and NotFound."""
        return self.call(calls.delete_connection(connection))

    def create_channel(self, *, idempotency_key: str | None = None, **new: Unpack[NewChannel]) -> Channel:
        """Create a channel, to which alerts go. An address of email gets a mail with a link to confirm it first."""
        return self.call(calls.create_channel(new, idempotency_key))

    def get_channel(self, channel: str) -> Channel:
        """A channel, by its id or its name. Raises NotFound."""
        return self.call(calls.get_channel(channel))

    def list_channels(self, **page: Unpack[ChannelPage]) -> Page[Channel]:
        """A page of the account's channels, by name."""
        return self.call(calls.list_channels(page))

    def update_channel(self, channel: str, **changes: Unpack[ChannelChange]) -> Channel:
        """Change a channel; what is not given stays. Another address is to be confirmed first."""
        return self.call(calls.update_channel(channel, changes))

    def test_channel(self, channel: str) -> Alert:
        """Send an alert that says that it is a test. Raises Conflict for a channel that is not confirmed."""
        return self.call(calls.test_channel(channel))

    def confirm_channel(self, channel: str) -> Channel:
        """Send the mail with the link that confirms an address once more. Raises Conflict and RateLimited."""
        return self.call(calls.confirm_channel(channel))

    def delete_channel(self, channel: str) -> Channel:
        """Delete a channel; what was to be sent to it is skipped. Raises NotFound."""
        return self.call(calls.delete_channel(channel))

    def list_alerts(self, **page: Unpack[AlertPage]) -> Page[Alert]:
        """A page of what the account was told, the newest first."""
        return self.call(calls.list_alerts(page))

    def get_alert(self, alert_id: str) -> Alert:
        """An alert, with what became of it with each channel. Raises NotFound."""
        return self.call(calls.get_alert(alert_id))

    def add_host(self, host: str) -> Host:
        """Add a host, and say what it is to show to be proven the account's own. Raises Forbidden where it would be one
        too many."""
        return self.call(calls.add_host(host))

    def list_hosts(self) -> Page[Host]:
        """All hosts of the account by name, proven or not."""
        return self.call(calls.list_hosts())

    def verify_host(self, host: str) -> Host:
        """Look now whether a host shows what it is to show: `proven` says so. Raises NotFound and RateLimited."""
        return self.call(calls.verify_host(host))

    def remove_host(self, host: str) -> Host:
        """Remove a host; its proof ends. Raises NotFound."""
        return self.call(calls.remove_host(host))

    def audit(self, **page: Unpack[AuditPage]) -> Page[AuditRow]:
        """A page of what was done in the account, newest first; it may have fewer rows than were asked for."""
        return self.call(calls.list_audit(page))

    def iter_audit(self, page_size: int | None = None, **filters: Unpack[AuditFilters]) -> Iterator[AuditRow]:
        """The account's audit log, or what of it is chosen, page by page."""
        return self._all(calls.list_audit, {**filters, "limit": page_size})

    def audit_ends(self) -> AuditEnds:
        """Where the audit log begins and ends, to check that it is whole."""
        return self.call(calls.get_audit_ends())

    def create_key(self, **new: Unpack[NewKey]) -> Key:
        """Make an API key: its `api_secret` is in this answer alone. Raises Forbidden where it would be one too many,
        or may do more than the client's own."""
        return self.call(calls.create_key(new))

    def list_keys(self) -> Page[Key]:
        """All API keys of the account, those that ended lately as well."""
        return self.call(calls.list_keys())

    def get_key(self, key: str) -> Key:
        """An API key, by its id or its name. Raises NotFound."""
        return self.call(calls.get_key(key))

    def update_key(self, key: str, **changes: Unpack[KeyChange]) -> Key:
        """Change what is given of an API key, at once. Raises NotFound, Forbidden, and Conflict for one that has ended
        or is the last that could make others."""
        return self.call(calls.update_key(key, changes))

    def rotate_key(self, key: str, **how: Unpack[Rotation]) -> Key:
        """Make an API key that replaces one: its `api_secret` is in this answer alone, and the replaced one goes on for
        the `overlap`. Raises NotFound, Forbidden and Conflict."""
        return self.call(calls.rotate_key(key, how))

    def revoke_key(self, key: str) -> Key:
        """End an API key, everywhere within a second. Raises NotFound, and Conflict for the last that could make
        others."""
        return self.call(calls.revoke_key(key))

    def call(self, call: Call[T]) -> T:
        """Send a call of `cronally.client.calls` and read its answer."""
        return call.read(self.exchange(call))

    def exchange(self, call: Call[Any]) -> Json:
        """Send a call and return the envelope of its success as it came: `response` and what is beside it."""
        tries = 1
        while True:
            outcome = self._send(call)
            wait = self._wait(call, outcome, tries)
            if wait is None:
                return self._envelope(call, outcome)
            time.sleep(wait)
            tries += 1

    def _patient_call(self, call: Call[T]) -> T:
        """As `call`, and again after the pause that the server asks for."""
        patience = Patience()
        while True:
            try:
                return self.call(call)
            except RateLimited as problem:
                pause = patience.pause(problem)
            time.sleep(pause)

    def _send(self, call: Call[Any]) -> Outcome:
        try:
            request = self._http.build_request(**self._request_parts(call))
            return self._http.send(self._signed(call, request))
        except httpx2.RequestError as error:
            return error

    def _all(
        self, call_for: Callable[[Mapping[str, Any]], Call[Page[T]]], first: Mapping[str, Any]
    ) -> Iterator[T]:
        cursor: str | None = None
        while True:
            call = call_for({**first, "cursor": cursor})
            page = self.call(call) if cursor is None else self._patient_call(call)
            yield from page
            cursor = next_cursor(page, cursor)
            if cursor is None:
                return
