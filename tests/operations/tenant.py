"""The operations as the API uses them: parameters go in as texts, answers come out as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from cronally.contract.accounts import AccountChange, Signup
from cronally.contract.bulk import BULK, Selecting
from cronally.contract.connection_requests import ConnectionChange, ConnectionPage, NewConnection
from cronally.contract.cronjob_requests import CronjobChange, CronjobQuery, NamedCronjob, NewCronjob, Pause
from cronally.contract.dead_letters import DeadLetterQuery, Discard, DiscardMany
from cronally.contract.firings import FiringQuery, FiringsOfCronjobQuery, ManualFiring
from cronally.contract.freezes import NewFreeze
from cronally.contract.reading import Parameters, Reading
from cronally.contract.renderings import Rendered
from cronally.contract.replays import Backfill, Replay, ReplayMany
from cronally.contract.schedules import ExpressionPreview, Question, Window
from cronally.contract.writing import to_json
from cronally.operations import Caller, Health, Operations

API_KEY: Final = "00000000-0000-4000-8000-00000000000a"
"""The key of a caller who is named by the account alone."""

STANDING: Final = ("last_firing", "health", "health_since", "in_a_row", "counts_24h", "counts_7d")
"""What an answer has that shows or lists a cron job, and no other."""

Json = dict[str, Any]
Sent = Mapping[str, Any]
Unusable = dict[str, str] | None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    items: list[Json]
    next_cursor: str | None
    searched_until: int | None = None


class Tenants:
    """Operations for any account."""

    def __init__(self, operations: Operations) -> None:
        self.operations = operations

    async def count_signup(self, address: str) -> None:
        await self.operations.count_signup(address)

    async def find_caller(self, api_key: str) -> Caller | None:
        return await self.operations.find_caller(api_key)

    async def get_health(self) -> Health:
        return await self.operations.get_health()

    async def create_account(self, sent: Sent, unusable: Unusable = None) -> Json:
        return to_json(await self.operations.create_account(_read(Signup, sent, unusable)))

    async def get_account(self, caller: Caller) -> Json:
        return to_json(await self.operations.get_account(caller))

    async def update_account(self, caller: Caller, sent: Sent) -> Json:
        return to_json(await self.operations.update_account(caller, _read(AccountChange, sent)))

    async def create_cronjob(
        self, account_id: str, sent: Sent, *, unusable: Unusable = None, idempotency_key: str | None = None
    ) -> Json:
        reading = _read(NewCronjob, sent, unusable)
        made = self.operations.create_cronjob(_caller(account_id), reading, idempotency_key=idempotency_key)
        return to_json(await made)

    async def get_cronjob(self, account_id: str, cronjob_id: str, *, standing: bool = False) -> Json:
        """
        :param standing: with what no other answer has: how it stands by its firings
        """
        answer = to_json(await self.operations.get_cronjob(_caller(account_id), cronjob_id))
        return answer if standing else without_standing(answer)

    async def list_cronjobs(
        self, account_id: str, sent: Sent, *, unusable: Unusable = None, standing: bool = False
    ) -> Page:
        reading = _read(CronjobQuery, sent, unusable)
        page = await self.operations.list_cronjobs(_caller(account_id), reading)
        items = page.items
        if page.rest is not None:
            assert page.next_cursor is None
            items += [item async for part in page.rest for item in part]
        answers = [to_json(item, page.only) for item in items]
        return Page(answers if standing else [without_standing(each) for each in answers], page.next_cursor)

    async def update_cronjob(
        self, account_id: str, cronjob_id: str, sent: Sent, *, unusable: Unusable = None
    ) -> Json:
        reading = _read(CronjobChange, sent, unusable)
        return to_json(await self.operations.update_cronjob(_caller(account_id), cronjob_id, reading))

    async def verify_cronjob(self, account_id: str, cronjob_id: str) -> Json:
        return to_json(await self.operations.verify_cronjob(_caller(account_id), cronjob_id))

    async def run_cronjob(
        self,
        account_id: str,
        cronjob_id: str,
        sent: Sent = MappingProxyType({}),
        *,
        unusable: Unusable = None,
        idempotency_key: str | None = None,
    ) -> Json:
        reading = _read(ManualFiring, sent, unusable)
        runs = self.operations.runs
        asked = runs.run_cronjob(_caller(account_id), cronjob_id, reading, idempotency_key=idempotency_key)
        return to_json(await asked)

    async def pause_cronjob(
        self, account_id: str, cronjob_id: str, sent: Sent, *, unusable: Unusable = None
    ) -> Json:
        reading = _read(Pause, sent, unusable)
        return to_json(await self.operations.pausing.pause(_caller(account_id), cronjob_id, reading))

    async def resume_cronjob(self, account_id: str, cronjob_id: str) -> Json:
        return to_json(await self.operations.pausing.resume(_caller(account_id), cronjob_id))

    async def delete_cronjob(self, account_id: str, cronjob_id: str) -> Json:
        return to_json(await self.operations.delete_cronjob(_caller(account_id), cronjob_id))

    async def put_cronjob(self, account_id: str, name: str, sent: Sent, *, unusable: Unusable = None) -> Json:
        reading = _read(NamedCronjob, sent, unusable)
        return to_json(await self.operations.editing.put(_caller(account_id), name, reading))

    async def ask_many(
        self,
        account_id: str,
        action: str,
        filters: Sent,
        sent: Sent = MappingProxyType({}),
        *,
        idempotency_key: str | None = None,
    ) -> Json:
        selecting, reading = _read(Selecting, filters), _read(BULK[action], sent)
        caller, key = _caller(account_id), idempotency_key
        return to_json(
            await self.operations.bulk.ask(caller, action, selecting, reading, idempotency_key=key)
        )

    async def replay_firing(
        self, account_id: str, cronjob_id: str, scheduled_at: int, sent: Sent = MappingProxyType({})
    ) -> Json:
        replays, reading = self.operations.replays, _read(Replay, sent)
        return to_json(await replays.replay_firing(_caller(account_id), cronjob_id, scheduled_at, reading))

    async def replay_firings(
        self, account_id: str, sent: Sent, *, idempotency_key: str | None = None
    ) -> Json:
        replays, reading = self.operations.replays, _read(ReplayMany, sent)
        return to_json(await replays.ask(_caller(account_id), reading, idempotency_key=idempotency_key))

    async def backfill(
        self, account_id: str, cronjob_id: str, sent: Sent, *, idempotency_key: str | None = None
    ) -> Json:
        backfills, reading = self.operations.backfills, _read(Backfill, sent)
        caller, key = _caller(account_id), idempotency_key
        return to_json(await backfills.ask(caller, cronjob_id, reading, idempotency_key=key))

    async def get_operation(self, account_id: str, operation_id: str) -> Json:
        return to_json(await self.operations.tracking.get_operation(_caller(account_id), operation_id))

    async def freeze(
        self, account_id: str, sent: Sent, *, unusable: Unusable = None, idempotency_key: str | None = None
    ) -> Json:
        reading, freezing = _read(NewFreeze, sent, unusable), self.operations.freezing
        return to_json(await freezing.freeze(_caller(account_id), reading, idempotency_key=idempotency_key))

    async def get_freeze(self, account_id: str, freeze_id: str) -> Json:
        return to_json(await self.operations.freezing.get_freeze(_caller(account_id), freeze_id))

    async def list_freezes(self, account_id: str) -> list[Json]:
        page = await self.operations.freezing.list_freezes(_caller(account_id))
        return [to_json(item) for item in page.items]

    async def lift_freeze(self, account_id: str, freeze_id: str) -> Json:
        return to_json(await self.operations.freezing.lift(_caller(account_id), freeze_id))

    async def create_connection(
        self, account_id: str, sent: Sent, *, unusable: Unusable = None, idempotency_key: str | None = None
    ) -> Json:
        reading, connecting = _read(NewConnection, sent, unusable), self.operations.connecting
        made = connecting.create(_caller(account_id), reading, idempotency_key=idempotency_key)
        return to_json(await made)

    async def get_connection(self, account_id: str, meant: str) -> Json:
        return to_json(await self.operations.connecting.get(_caller(account_id), meant))

    async def list_connections(self, account_id: str, sent: Sent = MappingProxyType({})) -> Page:
        connecting, reading = self.operations.connecting, _read(ConnectionPage, sent)
        page = await connecting.list_connections(_caller(account_id), reading)
        return Page([to_json(item) for item in page.items], page.next_cursor)

    async def update_connection(self, account_id: str, meant: str, sent: Sent) -> Json:
        connecting, reading = self.operations.connecting, _read(ConnectionChange, sent)
        return to_json(await connecting.update(_caller(account_id), meant, reading))

    async def verify_connection(self, account_id: str, meant: str) -> Json:
        return to_json(await self.operations.trying.verify(_caller(account_id), meant))

    async def delete_connection(self, account_id: str, meant: str) -> Json:
        return to_json(await self.operations.connecting.delete(_caller(account_id), meant))

    def preview_expression(self, sent: Sent, *, unusable: Unusable = None, now: int) -> Json:
        reading = _read(ExpressionPreview, sent, unusable)
        return to_json(self.operations.preview_expression(reading, now=now))

    async def preview_cronjob(self, account_id: str, cronjob_id: str, sent: Sent) -> Json:
        reading = _read(Window, sent)
        return to_json(await self.operations.preview_cronjob(_caller(account_id), cronjob_id, reading))

    async def explain_cronjob(self, account_id: str, cronjob_id: str, sent: Sent) -> Json:
        reading = _read(Question, sent)
        return to_json(await self.operations.explain_cronjob(_caller(account_id), cronjob_id, reading))

    async def render_cronjob(
        self, account_id: str, cronjob_id: str, sent: Sent = MappingProxyType({})
    ) -> Json:
        reading = _read(Rendered, sent)
        return to_json(await self.operations.renderings.render(_caller(account_id), cronjob_id, reading))

    async def list_firings(self, account_id: str, sent: Sent) -> Page:
        page = await self.operations.list_firings(_caller(account_id), _read(FiringQuery, sent))
        return Page([to_json(item, page.only) for item in page.items], page.next_cursor, page.searched_until)

    async def list_dead_letters(self, account_id: str, sent: Sent) -> Page:
        reading = _read(DeadLetterQuery, sent)
        page = await self.operations.dead_letters.list_dead_letters(_caller(account_id), reading)
        return Page([to_json(item, page.only) for item in page.items], page.next_cursor, page.searched_until)

    async def discard_firing(self, account_id: str, cronjob_id: str, scheduled_at: int, sent: Sent) -> Json:
        letters, reading = self.operations.dead_letters, _read(Discard, sent)
        return to_json(await letters.discard_firing(_caller(account_id), cronjob_id, scheduled_at, reading))

    async def discard_firings(self, account_id: str, sent: Sent) -> Json:
        reading = _read(DiscardMany, sent)
        return to_json(await self.operations.dead_letters.discard_firings(_caller(account_id), reading))

    async def list_firings_of_cronjob(self, account_id: str, cronjob_id: str, sent: Sent) -> Page:
        reading = _read(FiringsOfCronjobQuery, sent)
        page = await self.operations.list_firings_of_cronjob(_caller(account_id), cronjob_id, reading)
        return Page([to_json(item, page.only) for item in page.items], page.next_cursor)


def without_standing(answer: Json) -> Json:
    """What every answer says of a cron job."""
    return {name: value for name, value in answer.items() if name not in STANDING}


def _read(kind: Any, sent: Sent, unusable: Unusable = None) -> Reading[Any]:
    return Reading(kind, Parameters(dict(sent), dict(unusable or {})))


def _caller(account_id: str) -> Caller:
    return Caller(account_id, API_KEY, b"")
