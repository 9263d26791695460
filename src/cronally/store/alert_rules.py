"""The rules of alerts: inserted, changed, deleted, listed.

Invariant: every verb of a tenant takes the account and touches no other's rows. Who makes or changes one has locked
the account, and counted them. What stands by a rule that is gone is forgotten by who looks at it next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Integer, bindparam, delete, func, insert, select, update

from cronally.alert_rules import Rule, Scope, Settings
from cronally.store import conditions, tables
from cronally.store.types import Id


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule's row. The names are those of the table's columns."""

    rule_id: str
    account_id: str
    scope: str
    value: str | None
    """The tag, or the cron job's id."""
    settings: str
    """JSON."""
    created_at: int
    updated_at: int
    updated_by: str


_table: Final = tables.rule
_channel: Final = tables.channel
_COLUMNS: Final = tuple(_table.c[name] for name in StoredRule.__dataclass_fields__)
_OF_ACCOUNT: Final = _table.c.account_id == bindparam("account", type_=Id())
_LIST: Final = (
    select(*_COLUMNS)
    .where(_OF_ACCOUNT)
    .order_by(_table.c.created_at, _table.c.rule_id)
    .limit(bindparam("limit", type_=Integer()))
)
_GET: Final = select(*_COLUMNS).where(_OF_ACCOUNT, _table.c.rule_id == bindparam("wanted_id", type_=Id()))


def insert_rule(connection: Connection, rule: StoredRule) -> None:
    """Add a rule to its account: from now on it is noted what happens to that."""
    connection.execute(
        insert(_table), {name: getattr(rule, name) for name in StoredRule.__dataclass_fields__}
    )
    conditions.ensure_watch(connection, rule.account_id)


def get_rule(connection: Connection, account_id: str, rule_id: str) -> StoredRule | None:
    """The account's rule."""
    row = connection.execute(_GET, {"account": account_id, "wanted_id": rule_id}).one_or_none()
    return None if row is None else StoredRule(*row)


def list_rules(connection: Connection, account_id: str, limit: int) -> list[StoredRule]:
    """The account's rules, the oldest first; at most `limit`."""
    rows = connection.execute(_LIST, {"account": account_id, "limit": limit})
    return [StoredRule(*row) for row in rows]


def read_rules(connection: Connection, account_id: str, limit: int) -> list[Rule]:
    """The same, as it is decided by them."""
    return [
        Rule(one.rule_id, Scope(one.scope), one.value, Settings.read(one.settings))
        for one in list_rules(connection, account_id, limit)
    ]


def count_rules(connection: Connection, account_id: str) -> int:
    """How many rules the account has."""
    count: int = connection.execute(
        select(func.count()).select_from(_table).where(_table.c.account_id == account_id)
    ).scalar_one()
    return count


def replace_rule(connection: Connection, rule: StoredRule) -> None:
    """Change what a rule says."""
    changed: dict[str, Any] = {name: getattr(rule, name) for name in ("settings", "updated_at", "updated_by")}
    connection.execute(
        update(_table)
        .where(_table.c.account_id == rule.account_id, _table.c.rule_id == rule.rule_id)
        .values(changed)
    )


def delete_rule(connection: Connection, account_id: str, rule_id: str) -> None:
    """Delete a rule of the account."""
    connection.execute(delete(_table).where(_table.c.account_id == account_id, _table.c.rule_id == rule_id))


def delete_rules_of(connection: Connection, account_id: str, cronjob_id: str) -> None:
    """Delete the rules of a cron job, which is deleted."""
    of_it = (_table.c.scope == Scope.CRONJOB, _table.c.value == cronjob_id)
    connection.execute(delete(_table).where(_table.c.account_id == account_id, *of_it))


def list_channels(connection: Connection, account_id: str) -> dict[str, str]:
    """The names of the account's channels, by id."""
    rows = connection.execute(
        select(_channel.c.channel_id, _channel.c.name).where(_channel.c.account_id == account_id)
    )
    return {row[0]: row[1] for row in rows}
