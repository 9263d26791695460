"""Rules of alerts: what an account is told of, made, changed, listed and deleted.

Invariant: an account has at most `MAX_RULES`, counted under its lock. A rule is for a cron job of its own account, and
names channels of it alone; another account's is one that there is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection

from cronally import errors
from cronally.alert_rules import CONDITIONS, MAX_RULES, Scope
from cronally.contract import alert_rules as contract
from cronally.contract.alert_rules import AlertRuleChange, NewAlertRule, RuleSettings
from cronally.contract.attribute import DEFAULT, declared
from cronally.contract.audit import Action
from cronally.contract.reading import Reading
from cronally.contract.values import is_uuid
from cronally.contract.writing import make_answer
from cronally.cronjob import State
from cronally.instants import format_duration
from cronally.operations.caller import Caller
from cronally.operations.deeds import Deed
from cronally.operations.existing import named
from cronally.operations.lists import Page
from cronally.operations.parts import change
from cronally.operations.repeats import Repeats, check_key, other_request
from cronally.store import Store, accounts, alert_rules, cronjobs
from cronally.store.alert_rules import StoredRule
from cronally.store.audit_subjects import Subject

NO_RULE: Final = "There is no such rule; GET /rules/ lists those of the account."
_NEW: Final = "a new rule"
_DURATIONS: Final = ("on_late", "remind_every")


class AlertRules:
    """The rules of one store."""

    def __init__(self, store: Store, repeats: Repeats) -> None:
        self._store = store
        self._repeats = repeats

    async def create(
        self, caller: Caller, reading: Reading[NewAlertRule], *, idempotency_key: str | None = None
    ) -> contract.AlertRule:
        """Make a rule, or answer with the one that the same idempotency key made in the last 24 h.

        Raises InvalidRequest (also for one that says nothing), and Forbidden when the account has as many as it may.
        """
        check_key(reading, idempotency_key)
        if "tag" in reading.parameters and "cronjob" in reading.parameters:
            reading.complain("tag", ValueError("was sent with cronjob; send one of them, or neither"))
        now, rule_id = await self._store.clock(), str(uuid4())
        create = partial(
            self._create,
            caller=caller,
            rule_id=rule_id,
            reading=reading,
            idempotency_key=idempotency_key,
            now=now,
        )
        deed = Deed(caller, Action.RULE_CREATE, Subject.RULE, rule_id)
        return _answer(await change(self._store, deed, now, create))

    def _create(
        self,
        connection: Connection,
        *,
        caller: Caller,
        rule_id: str,
        reading: Reading[NewAlertRule],
        idempotency_key: str | None,
        now: int,
    ) -> StoredRule:
        account_id = caller.account_id
        accounts.lock_account(connection, account_id)
        known_by = {"rule": True, **reading.parameters}
        if idempotency_key is not None:
            used = self._repeats.find(connection, account_id, idempotency_key, known_by, now, _NEW)
            if used is not None:
                made = alert_rules.get_rule(connection, account_id, used.cronjob_id)
                if made is None:
                    raise other_request(_NEW)
                return made
        scope, value = _scope(connection, account_id, reading)
        settings = _settings(connection, account_id, reading, {})
        reading.raise_complaints()
        if alert_rules.count_rules(connection, account_id) >= MAX_RULES:
            raise errors.Forbidden(
                f"The account has {MAX_RULES} rules, as many as it may have; delete one first."
            )
        rule = StoredRule(
            rule_id=rule_id,
            account_id=account_id,
            scope=scope,
            value=value,
            settings=_encode(settings),
            created_at=now,
            updated_at=now,
            updated_by=caller.api_key,
        )
        alert_rules.insert_rule(connection, rule)
        if idempotency_key is not None:
            self._repeats.record(connection, account_id, idempotency_key, known_by, now, rule.rule_id)
        return rule

    async def get(self, caller: Caller, rule_id: str) -> contract.AlertRule:
        """A rule. Raises NotFound."""
        return _answer(
            await self._store.transact(lambda connection: _existing(connection, caller.account_id, rule_id))
        )

    async def list_rules(self, caller: Caller) -> Page[contract.AlertRule]:
        """The account's rules, the oldest first."""
        found = await self._store.transact(
            lambda connection: alert_rules.list_rules(connection, caller.account_id, MAX_RULES)
        )
        return Page([_answer(one) for one in found], None)

    async def update(
        self, caller: Caller, rule_id: str, reading: Reading[AlertRuleChange]
    ) -> contract.AlertRule:
        """Change what was sent of a rule. Raises NotFound, and InvalidRequest, also for one that says nothing then."""
        now = await self._store.clock()
        update = partial(self._update, caller=caller, rule_id=rule_id, reading=reading, now=now)
        deed = Deed(caller, Action.RULE_UPDATE, Subject.RULE, rule_id)
        return _answer(await change(self._store, deed, now, update))

    def _update(
        self,
        connection: Connection,
        *,
        caller: Caller,
        rule_id: str,
        reading: Reading[AlertRuleChange],
        now: int,
    ) -> StoredRule:
        account_id = caller.account_id
        accounts.lock_account(connection, account_id)
        before = _existing(connection, account_id, rule_id)
        settings = _settings(connection, account_id, reading, json.loads(before.settings))
        reading.raise_complaints()
        if reading.is_empty:
            return before
        after = replace(before, settings=_encode(settings), updated_at=now, updated_by=caller.api_key)
        alert_rules.replace_rule(connection, after)
        return after

    async def delete(self, caller: Caller, rule_id: str) -> contract.AlertRule:
        """Delete a rule: what stands by it is told no more. Raises NotFound."""

        def work(connection: Connection) -> StoredRule:
            accounts.lock_account(connection, caller.account_id)
            found = _existing(connection, caller.account_id, rule_id)
            alert_rules.delete_rule(connection, caller.account_id, rule_id)
            return found

        deed = Deed(caller, Action.RULE_DELETE, Subject.RULE, rule_id)
        return _answer(await change(self._store, deed, await self._store.clock(), work))


def _existing(connection: Connection, account_id: str, rule_id: str) -> StoredRule:
    found = alert_rules.get_rule(connection, account_id, rule_id)
    if found is None:
        raise errors.NotFound(NO_RULE)
    return found


def _scope(
    connection: Connection, account_id: str, reading: Reading[NewAlertRule]
) -> tuple[Scope, str | None]:
    """What a rule is for; complains of a cron job that there is not."""
    meant = reading.values.get("cronjob")
    if meant is not None:
        return Scope.CRONJOB, reading.check("cronjob", lambda: _find_cronjob(connection, account_id, meant))
    if "tag" in reading.values:
        return Scope.TAG, reading.values["tag"]
    return Scope.ACCOUNT, None


def _find_cronjob(connection: Connection, account_id: str, meant: str) -> str:
    if is_uuid(meant.lower()):
        job = cronjobs.get_cronjob(connection, account_id, meant.lower())
        if job is not None and job.state != State.DELETED:
            return job.cronjob_id
    found = named(connection, account_id, meant)
    if not found:
        raise ValueError("names a cron job that there is not; GET /cronjobs/ lists those of the account")
    if len(found) > 1:
        raise ValueError("is the name of several cron jobs; give the id of the one that is meant")
    return found[0].cronjob_id


def _settings(
    connection: Connection, account_id: str, reading: Reading[Any], before: Mapping[str, Any]
) -> dict[str, Any]:
    """What a rule is to say, as it is stored: without what it says nothing of."""
    if reading.values.get("channels"):
        reading.check("channels", lambda: _find_channels(connection, account_id, reading.values["channels"]))
    sent = reading.sent(declared(RuleSettings))
    settings = {**before, **sent}
    if sent.get("on_failure") is not None and sent.get("after_failures", DEFAULT) != DEFAULT:
        if sent["on_failure"] is False:
            problem = "was sent with after_failures, and says that nothing is told; send one of them"
            reading.complain("on_failure", ValueError(problem))
    elif sent.get("on_failure", DEFAULT) != DEFAULT:
        # The last word is the newer one.
        settings.pop("after_failures", None)
    settings = {name: value for name, value in settings.items() if value not in (DEFAULT, [])}
    if not settings.keys() & set(CONDITIONS) and not reading.complaints:
        reading.complain(
            "on_failure",
            ValueError(f"is needed where nothing else is told; send one of {', '.join(CONDITIONS)}"),
        )
    return settings


def _find_channels(connection: Connection, account_id: str, meant: list[str]) -> list[str]:
    """The ids of channels, each once. Raises ValueError with a complaint."""
    known = alert_rules.list_channels(connection, account_id)
    ids = {name: channel_id for channel_id, name in known.items()} | {one: one for one in known}
    if not all(one in ids for one in meant):
        raise ValueError("holds a channel that there is not; give names or ids of the account's channels")
    return list(dict.fromkeys(ids[one] for one in meant))


def _encode(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))


def _answer(stored: StoredRule) -> contract.AlertRule:
    shown: dict[str, Any] = json.loads(stored.settings)
    shown |= {name: format_duration(shown[name]) for name in _DURATIONS if name in shown}
    shown["channels"] = tuple(shown.get("channels", ()))
    return make_answer(
        contract.AlertRule,
        stored,
        tag=stored.value if stored.scope == Scope.TAG else None,
        cronjob_id=stored.value if stored.scope == Scope.CRONJOB else None,
        **shown,
    )
