"""Channels: where the alerts of an account go.

Invariant: under the account's lock. A channel whose address nobody has confirmed gets nothing, and one that gets
another address is to be confirmed again. Secrets are sealed on their way in; they are opened here only to keep beside
new ones what a change does not replace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection

from cronally import errors
from cronally.alert import TEST, Alert, Event, alert_id
from cronally.contract import alerts as alert_contract
from cronally.contract import channels as contract
from cronally.contract.channel_requests import ChannelChange, ChannelPage, NewChannel
from cronally.contract.channels import ChannelHealth, Kind
from cronally.contract.reading import Reading
from cronally.contract.values import DEFAULT_LIMIT
from cronally.contract.writing import make_answer
from cronally.instants import MINUTE, to_datetime
from cronally.operations import cursor as cursors
from cronally.operations.alerted import shown_alerts
from cronally.operations.caller import Caller
from cronally.operations.channel_rules import ADDRESS, check_contents, find_used, with_keys
from cronally.operations.confirming import Asked, Confirming
from cronally.operations.connection_rules import NOTHING, Contents
from cronally.operations.lists import Page, read_cursor
from cronally.operations.parts import change
from cronally.operations.repeats import Repeats, check_key, other_request
from cronally.operations.stored_parameters import encode, opened, seal
from cronally.store import Store, accounts, alerts, channels
from cronally.store.channels import StoredChannel
from cronally.targets.channels.destination import URL
from cronally.targets.connected import URL_PARAMETER
from cronally.targets.target import Target
from cronally.vault import Purpose, SealContext, Vault
from cronally.wire import Limit

NO_CHANNEL: Final = "There is no such channel; GET /channels/ lists those of the account."
TESTS: Final = 5
"""Tests of channels in a minute of an account."""
_NEW: Final = "a new channel"
_LISTED: Final = "channels"
_WEBHOOKS: Final = (Kind.HTTP, Kind.SLACK)


@dataclass(frozen=True, slots=True)
class _Done:
    stored: StoredChannel
    asked: Asked | None = None
    """The mail that is to be sent, if one is."""


class Channels:
    """The channels of one store."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        targets: Mapping[str, Target],
        repeats: Repeats,
        confirming: Confirming,
        most: int,
    ) -> None:
        """
        :param most: channels that an account may have
        """
        self._store = store
        self._vault = vault
        self._targets = targets
        self._repeats = repeats
        self._confirming = confirming
        self._most = most

    async def create(
        self, caller: Caller, reading: Reading[NewChannel], *, idempotency_key: str | None = None
    ) -> contract.Channel:
        """Create a channel, or answer with the one that the same idempotency key made in the last 24 h.

        An address of email gets a mail with a link. Raises InvalidRequest (also for a name that another one has, and
        for email where this server sends none), Forbidden when the account has as many as it may, and RateLimited.
        """
        check_key(reading, idempotency_key)
        now = await self._store.clock()
        kind, contents = reading.values.get("kind"), NOTHING
        if kind is not None:
            contents = check_contents(reading, kind, NOTHING, self._targets)
        await self._look(caller, reading)
        if kind == Kind.EMAIL and not reading.complaints:
            self._confirming.require_mail()
        wanted = StoredChannel(
            channel_id=str(uuid4()),
            account_id=caller.account_id,
            name=reading.values.get("name", ""),
            kind=kind or "",
            parameters="{}",
            connection_id=None,
            version=1,
            created_at=now,
            updated_at=now,
            updated_by=caller.api_key,
            confirmed_at=None if kind == Kind.EMAIL else now,
        )
        create = partial(
            self._create, wanted=wanted, contents=contents, reading=reading, idempotency_key=idempotency_key
        )
        return await self._finish(await change(self._store, create))

    def _create(
        self,
        connection: Connection,
        *,
        wanted: StoredChannel,
        contents: Contents,
        reading: Reading[Any],
        idempotency_key: str | None,
    ) -> _Done:
        account_id, now = wanted.account_id, wanted.created_at
        accounts.lock_account(connection, account_id)
        known_by = {"channel": True, **reading.parameters}
        if idempotency_key is not None and not reading.complaints:
            used = self._repeats.find(connection, account_id, idempotency_key, known_by, now, _NEW)
            if used is not None:
                made = channels.get_channel(connection, account_id, used.cronjob_id)
                if made is None:
                    raise other_request(_NEW)
                return _Done(made)
        stored, contents = self._connected(connection, wanted, contents, reading)
        if channels.count_channels(connection, account_id) >= self._most:
            raise errors.Forbidden(
                f"The account has {self._most:,} channels, as many as this server allows; delete one first."
            )
        _check_name(connection, account_id, stored.name)
        channels.insert_channel(connection, stored, self._seal(stored, contents.secret))
        if idempotency_key is not None:
            self._repeats.record(connection, account_id, idempotency_key, known_by, now, stored.channel_id)
        return self._asked(connection, stored, contents, now)

    def _connected(
        self, connection: Connection, stored: StoredChannel, contents: Contents, reading: Reading[Any]
    ) -> tuple[StoredChannel, Contents]:
        """A channel with what it holds, and the connection that it uses. Raises InvalidRequest."""
        if stored.kind:
            used = find_used(connection, stored.account_id, reading, stored.kind, stored.connection_id)
            contents = with_keys(reading, stored.kind, contents, used=used is not None)
            stored = replace(stored, connection_id=None if used is None else used.connection_id)
        reading.raise_complaints()
        return replace(stored, parameters=encode(contents.public)), contents

    def _asked(self, connection: Connection, stored: StoredChannel, contents: Contents, now: int) -> _Done:
        if stored.confirmed_at is not None:
            return _Done(stored)
        asked = self._confirming.ask(connection, stored, contents.public[ADDRESS], now)
        return _Done(existing(connection, stored.account_id, stored.channel_id), asked)

    async def _finish(self, done: _Done) -> contract.Channel:
        """Send the mail that is to be sent, and answer with the channel as it is then."""
        if done.asked is None:
            return _answer(done.stored)
        await self._confirming.send(done.stored, done.asked)
        get = partial(existing, account_id=done.stored.account_id, meant=done.stored.channel_id)
        return _answer(await self._store.transact(get))

    async def get(self, caller: Caller, meant: str) -> contract.Channel:
        """A channel, by its id or its name. Raises NotFound."""
        return _answer(
            await self._store.transact(partial(existing, account_id=caller.account_id, meant=meant))
        )

    async def list_channels(self, caller: Caller, reading: Reading[ChannelPage]) -> Page[contract.Channel]:
        """The account's channels by name: the part that `limit` and `cursor` name."""
        position = read_cursor(reading, _LISTED, 0, cursors.is_text)
        reading.raise_complaints()
        limit = reading.values.get("limit", DEFAULT_LIMIT)
        after = "" if position is None else position[0]
        found = await self._store.transact(
            lambda connection: channels.list_channels(connection, caller.account_id, after, limit + 1)
        )
        items = [_answer(one) for one in found[:limit]]
        cursor = cursors.encode(_LISTED, (items[-1].name,)) if len(found) > limit else None
        return Page(items, cursor)

    async def update(self, caller: Caller, meant: str, reading: Reading[ChannelChange]) -> contract.Channel:
        """Change what was sent of a channel. The next attempt of each alert is made with it.

        Raises NotFound, InvalidRequest, RateLimited, and Unavailable if the server has not the key that its secrets are
        sealed with.
        """
        now = await self._store.clock()
        await self._look(caller, reading)
        update = partial(self._update, caller=caller, meant=meant, reading=reading, now=now)
        return await self._finish(await change(self._store, update))

    def _update(
        self,
        connection: Connection,
        *,
        caller: Caller,
        meant: str,
        reading: Reading[ChannelChange],
        now: int,
    ) -> _Done:
        account_id = caller.account_id
        accounts.lock_account(connection, account_id)
        before = existing(connection, account_id, meant)
        if reading.is_empty:
            return _Done(before)
        held = Contents(json.loads(before.parameters), self._open(connection, before))
        contents = check_contents(reading, before.kind, held, self._targets)
        after, contents = self._connected(connection, before, contents, reading)
        name = reading.values.get("name", before.name)
        if name != before.name:
            _check_name(connection, account_id, name)
        moves = contents.public.get(ADDRESS) != held.public.get(ADDRESS)
        if moves:
            self._confirming.require_mail()
        after = replace(
            after,
            name=name,
            version=before.version + 1,
            updated_at=now,
            updated_by=caller.api_key,
            confirmed_at=None if moves else before.confirmed_at,
        )
        channels.replace_channel(connection, after, self._seal(after, contents.secret))
        return self._asked(connection, after, contents, now) if moves else _Done(after)

    async def ask_again(self, caller: Caller, meant: str) -> contract.Channel:
        """Send the mail with the link once more; the links before end. Raises NotFound, Conflict and RateLimited."""
        now = await self._store.clock()

        def work(connection: Connection) -> _Done:
            accounts.lock_account(connection, caller.account_id)
            found = existing(connection, caller.account_id, meant)
            if found.confirmed_at is not None:
                raise errors.Conflict("The channel gets alerts already; there is nothing to confirm.")
            self._confirming.require_mail()
            return self._asked(connection, found, Contents(json.loads(found.parameters)), now)

        return await self._finish(await change(self._store, work))

    async def test(self, caller: Caller, meant: str) -> alert_contract.Alert:
        """Have an alert sent that says that it is a test. Raises NotFound, Conflict for a channel that is not
        confirmed, and RateLimited."""
        now = await self._store.clock()

        def work(connection: Connection) -> alert_contract.Alert:
            account_id = caller.account_id
            accounts.lock_account(connection, account_id)
            found = existing(connection, account_id, meant)
            if found.confirmed_at is None:
                raise errors.Conflict(
                    "Nobody has confirmed the address of the channel yet; open the link in the mail that went there."
                )
            if alerts.count_tests(connection, account_id, now - MINUTE, TESTS) >= TESTS:
                raise errors.RateLimited(
                    f"The account has tested channels {TESTS} times in the last minute, as often as this server"
                    " allows.",
                    retry_after=60,
                    limit=Limit("tests", TESTS, 60),
                )
            made = _test_of(found, now)
            alerts.insert_alert(connection, made, [found.channel_id])
            (answer,) = shown_alerts(connection, account_id, [made])
            return answer

        return await change(self._store, work)

    async def delete(self, caller: Caller, meant: str) -> contract.Channel:
        """Delete a channel, erase its secrets, and skip what was to be sent to it. Raises NotFound."""
        now = await self._store.clock()

        def work(connection: Connection) -> StoredChannel:
            accounts.lock_account(connection, caller.account_id)
            found = existing(connection, caller.account_id, meant)
            channels.delete_channel(connection, found, now)
            return found

        return _answer(await change(self._store, work))

    async def _look(self, caller: Caller, reading: Reading[Any]) -> None:
        """Complain of a URL that can never be called."""
        url = reading.values.get(URL)
        if url is None:
            return
        found = await self._targets["http"].look({URL_PARAMETER: url}, caller.account_id)
        for complaint in found.complaints.values():
            reading.complain(URL, ValueError(complaint))

    def _seal(self, stored: StoredChannel, secret: Mapping[str, str]) -> bytes | None:
        return seal(self._vault, secret, place_of(stored))

    def _open(self, connection: Connection, stored: StoredChannel) -> dict[str, str]:
        sealed = channels.get_secret(connection, stored.account_id, stored.channel_id)
        return opened(self._vault, sealed, place_of(stored), Purpose.AMEND)


def existing(connection: Connection, account_id: str, meant: str) -> StoredChannel:
    """The account's channel with this id or of this name. Raises NotFound."""
    found = channels.get_channel(connection, account_id, meant)
    if found is None:
        raise errors.NotFound(NO_CHANNEL)
    return found


def place_of(stored: StoredChannel) -> SealContext:
    """The place that a sealed secret of a channel belongs to."""
    return SealContext(stored.account_id, "channel", "secret", stored.channel_id)


def _check_name(connection: Connection, account_id: str, name: str) -> None:
    if channels.get_channel(connection, account_id, name) is not None:
        complaint = "is the name of another channel; give another one"
        raise errors.InvalidRequest(f"name: {complaint}", fields={"name": complaint})


def _test_of(stored: StoredChannel, now: int) -> Alert:
    return Alert(
        alert_id=alert_id(stored.account_id, TEST, "channel", stored.channel_id, Event.TEST, now),
        account_id=stored.account_id,
        condition=TEST,
        event=Event.TEST,
        subject_kind="channel",
        subject_id=stored.channel_id,
        title=f"Test of the channel {stored.name}",
        lines=("Alerts of Cronally reach this channel. Nothing has happened.",),
        created_at=now,
    )


def _answer(stored: StoredChannel) -> contract.Channel:
    return make_answer(
        contract.Channel,
        stored,
        confirmed=stored.confirmed_at is not None,
        confirm_until=None if stored.token_until is None else to_datetime(stored.token_until),
        health=ChannelHealth.OK if stored.unhealthy_since is None else ChannelHealth.UNHEALTHY,
        **json.loads(stored.parameters),
    )
