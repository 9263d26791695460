"""Migrations: what they make is what `tables` says, once, whoever starts meanwhile; a newer version's is refused."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from cronally import errors
from cronally.contract.keys import SIGNUP_NAME, Scope
from cronally.store import Store, api_keys, former, migrate, open_store, tables
from cronally.store.versions import PAUSE
from tests.support.factories import (
    NOON,
    insert_rows,
    make_account,
    make_cronjob,
    make_firing,
    read,
    read_cronjob,
)

OF_KEYS = (
    *("name", "scopes", "tags", "networks", "by_signup", "created_by", "expires_at", "last_used_at"),
    "replaced_by",
)
"""The columns of API keys that 0031 adds."""


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True}
    )
    return list(compare_metadata(context, tables.metadata))


async def test_fresh_database__is_what_the_tables_say(database_url: str) -> None:
    store = await open_store(database_url)
    try:
        assert await store.transact(differences) == []
    finally:
        await store.close()


async def test_fresh_database__has_the_checks_and_partial_indexes(database_url: str) -> None:
    """What `compare_metadata` does not compare."""
    store = await open_store(database_url)

    def made(connection: Connection) -> tuple[set[str | None], dict[str | None, bool], str]:
        inspector = inspect(connection)
        checks = {
            check["name"]
            for table in ("firing", "cronjob", "freeze")
            for check in inspector.get_check_constraints(table)
        }
        partial = {
            index["name"]: bool(
                index["dialect_options"].get("sqlite_where") is not None
                or index["dialect_options"].get("postgresql_where") is not None
            )
            for table in ("firing", "cronjob", "freeze")
            for index in inspector.get_indexes(table)
        }
        return checks, partial, connection.dialect.name

    try:
        checks, partial, _ = await store.transact(made)
    finally:
        await store.close()
    assert checks == {
        "ck_firing_due_is_open",
        "ck_cronjob_policies_are_json",
        "ck_cronjob_deleted_is_purged",
        "ck_freeze_account_has_no_value",
    }
    assert partial == {
        "ix_firing_due": True,
        "ix_firing_held": True,
        "ix_firing_listed": False,
        "ix_firing_manual": True,
        "ix_firing_undelivered": True,
        "ix_firing_undelivered_of": True,
        "ix_firing_unhealthy": True,
        "ix_cronjob_connection": True,
        "ix_cronjob_deleted": True,
        "ix_cronjob_due": True,
        "ix_cronjob_listed": True,
        "ix_cronjob_purged": True,
        "ix_cronjob_wake_at": True,
        "ix_freeze_in_force": True,
        "ix_freeze_lifted": True,
        "ix_freeze_listed": False,
    }


@pytest.mark.parametrize(("state", "due_at"), [("pending", None), ("sending", None), ("delivered", NOON)])
async def test_check__open_rows_have_a_due_time_and_finished_ones_none(
    store: Store, state: str, due_at: int | None
) -> None:
    job = await make_cronjob(store)
    with pytest.raises(IntegrityError, match="ck_firing_due_is_open"):
        await make_firing(store, job, state=state, due_at=due_at)


async def test_check__policies_are_json(store: Store) -> None:
    with pytest.raises(DBAPIError, match=r"policies_are_json|type json"):
        await make_cronjob(store, policies='{"catch_up"')


async def test_upgrade__second_start_changes_nothing(database_url: str) -> None:
    store = await open_store(database_url)
    job = await make_cronjob(store)
    await store.close()
    store = await open_store(database_url)
    try:
        assert (await read_cronjob(store, job["cronjob_id"])).cron == job["cron"]
    finally:
        await store.close()


@pytest.mark.parametrize("cronjobs", [0, 1])
async def test_upgrade__leaves_it_to_a_server_to_seal_what_is_stored(store: Store, cronjobs: int) -> None:
    """From 0001, which knew no secret in a URL."""
    for _ in range(cronjobs):
        await make_cronjob(store)

    def downgrade(connection: Connection) -> None:
        _as_of_0018(connection)
        connection.execute(text("DROP TABLE chore"))
        connection.execute(text('DROP TABLE "freeze"'))
        connection.execute(text("DROP INDEX ix_firing_held"))
        for name in (
            "refusals",
            "place_at",
            "behind_at",
            "owed_at",
            "attempts_before",
            "own_message",
            "sent_as",
        ):
            connection.execute(text(f"ALTER TABLE firing DROP COLUMN {name}"))
        connection.execute(text("ALTER TABLE account DROP COLUMN paced_at"))
        connection.execute(text("DROP TABLE horizon"))
        connection.execute(text("ALTER TABLE cronjob DROP COLUMN settled_at"))
        connection.execute(text("DROP TABLE calendar"))
        connection.execute(text("ALTER TABLE firing DROP COLUMN cause"))
        connection.execute(text("DROP TABLE firing_message"))
        connection.execute(text("DROP INDEX ix_firing_manual"))
        connection.execute(text("DROP INDEX ix_firing_undelivered"))
        connection.execute(text("DROP INDEX ix_cronjob_deleted"))
        connection.execute(text("ALTER TABLE idempotency_key DROP COLUMN scheduled_at"))
        connection.execute(text("DROP TABLE standing"))
        connection.execute(text("DROP INDEX ix_firing_undelivered_of"))
        connection.execute(text("DROP INDEX ix_cronjob_wake_at"))
        for name in (*PAUSE, "wake_at", "fired", "tags"):
            connection.execute(text(f"ALTER TABLE cronjob DROP COLUMN {name}"))
        for name in (*PAUSE, "target", "size", "destination"):
            connection.execute(text(f"ALTER TABLE cronjob_version DROP COLUMN {name}"))
        connection.execute(text("DROP TABLE operation"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        migrate.upgrade(connection)

    await store.transact(downgrade)
    assert await store.transact(differences) == []
    assert await read(store, select(tables.chore.c.chore)) == [("seal_destinations",)] * cronjobs
    settled = select(tables.cronjob.c.settled_at == tables.cronjob.c.updated_at)
    assert await read(store, settled) == [(True,)] * cronjobs


async def test_upgrade__knows_what_current_versions_send_and_no_other(store: Store) -> None:
    """From 0017, which kept nothing of what versions sent."""
    live = await make_cronjob(store, version=2)
    gone = await make_cronjob(store, state="deleted", next_fire_at=None, secret=None)
    same = {"cron": "* * * * *", "timezone": "UTC", "policies": "{}", "state": "active", "changed_at": NOON}
    keys = [(live, 1), (live, 2), (gone, 1)]
    rows = [{**same, "cronjob_id": job["cronjob_id"], "version": version} for job, version in keys]
    await insert_rows(store, "cronjob_version", rows)

    def again(connection: Connection) -> None:
        _as_of_0018(connection)
        connection.execute(text("ALTER TABLE firing DROP COLUMN sent_as"))
        for name in ("target", "size", "destination"):
            connection.execute(text(f"ALTER TABLE cronjob_version DROP COLUMN {name}"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0017'"))
        migrate.upgrade(connection)

    await store.transact(again)
    assert await store.transact(differences) == []
    get = [partial(former.get_sent, cronjob_id=job["cronjob_id"], version=version) for job, version in keys]
    sent = [await store.transact(one) for one in get]
    assert sent == [None, (live["target"], live["destination"]), None]


def _as_of_0018(connection: Connection) -> None:
    """Take out what later migrations add."""
    connection.execute(text("DROP TABLE email_change"))
    connection.execute(text("DROP TABLE mailed_link"))
    connection.execute(text("ALTER TABLE account DROP COLUMN email_confirmed_at"))
    for name in ("rule", "watch", "happening", "condition", "told", "outage"):
        connection.execute(text(f"DROP TABLE {name}"))
    for name in ("alert_delivery", "alert", "channel", "mail_count"):
        connection.execute(text(f"DROP TABLE {name}"))
    connection.execute(text("DROP INDEX ix_firing_unhealthy"))
    for name in tables.DISCARDED:
        connection.execute(text(f"ALTER TABLE firing DROP COLUMN {name}"))
    for name in (
        *("answer", "answer_count", "dead_letter", "host_proof", "audit", "audit_chain", "notice", "nonce"),
    ):
        connection.execute(text(f"DROP TABLE {name}"))
    for name in ("acknowledgement", "acknowledgement_body", "token_key"):
        connection.execute(text(f"DROP TABLE {name}"))
    connection.execute(text("DROP INDEX ix_cronjob_connection"))
    connection.execute(text("ALTER TABLE cronjob DROP COLUMN connection_id"))
    connection.execute(text("DROP TABLE connection_previous"))
    connection.execute(text("DROP TABLE connection"))
    connection.execute(text("ALTER TABLE account DROP COLUMN dead_letter"))
    for name in ("stopped", "purge_at", "limits"):
        connection.execute(text(f"DROP INDEX ix_account_{name}"))
    for name in ("stopped", "suspended_at", "suspended_note", "deleted_at", "purge_at", "limits"):
        connection.execute(text(f"ALTER TABLE account DROP COLUMN {name}"))
    for name in ("secret_hidden_at", "signature_v1_refused_at"):
        connection.execute(text(f"ALTER TABLE account DROP COLUMN {name}"))
    connection.execute(text("ALTER TABLE operation DROP COLUMN within"))
    for name in OF_KEYS:
        connection.execute(text(f"ALTER TABLE api_key DROP COLUMN {name}"))


async def test_upgrade__of_what_is_there_uses_no_connection(store: Store) -> None:
    """From 0018, which knew none."""
    job = await make_cronjob(store)

    def again(connection: Connection) -> None:
        _as_of_0018(connection)
        connection.execute(text("UPDATE alembic_version SET version_num = '0018'"))
        migrate.upgrade(connection)

    await store.transact(again)
    assert await store.transact(differences) == []
    kept = await read_cronjob(store, job["cronjob_id"])
    assert (kept.connection_id, kept.secret) == (None, job["secret"])


async def test_upgrade__the_keys_that_are_there_may_do_all_that_there_is(store: Store) -> None:
    """From 0018, whose keys were all made by sign-ups; one that was revoked has no secret any more."""
    account_id = await make_account(store)

    def again(connection: Connection) -> None:
        _as_of_0018(connection)
        for key, revoked_at in (("a", None), ("b", NOON)):
            values = {
                "key": key,
                "account": account_id,
                "secret": b"sealed",
                "now": NOON,
                "revoked": revoked_at,
            }
            connection.execute(
                text(
                    "INSERT INTO api_key (api_key, account_id, secret, created_at, revoked_at)"
                    " VALUES (:key, :account, :secret, :now, :revoked)"
                ),
                values,
            )
        connection.execute(text("UPDATE alembic_version SET version_num = '0018'"))
        migrate.upgrade(connection)

    await store.transact(again)
    assert await store.transact(differences) == []
    live = await store.transact(lambda connection: api_keys.get_live(connection, "a"))
    assert live is not None
    kept = live.key
    assert (kept.name, kept.scopes, kept.tags, kept.networks) == (SIGNUP_NAME, tuple(Scope), (), ())
    assert (kept.by_signup, kept.secret, kept.expires_at) == (True, b"sealed", None)
    secrets = select(tables.api_key.c.secret).where(tables.api_key.c.api_key == "b")
    assert await read(store, secrets) == [(None,)]


async def test_upgrade__database_of_a_newer_version_is_refused_untouched(database_url: str) -> None:
    store = await open_store(database_url)
    await store.transact(
        lambda connection: (
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'")) and None
        )
    )
    await store.close()
    with pytest.raises(errors.StoreError) as caught:
        await open_store(database_url)
    assert "newer version" in str(caught.value)
    assert "9999" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_upgrade__that_fails_leaves_nothing(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade = migrate.upgrade

    class Broken(Exception):
        pass

    def broken(connection: Connection) -> None:
        upgrade(connection)
        raise Broken

    monkeypatch.setattr(migrate, "upgrade", broken)
    with pytest.raises(Broken):
        await open_store(database_url)
    monkeypatch.undo()
    store = await open_store(database_url)
    try:
        assert await store.transact(differences) == []
    finally:
        await store.close()


async def test_upgrade__two_nodes_at_once(postgres_url: str) -> None:
    """Processes of their own, as Alembic's context belongs to a process."""
    program = (
        "import asyncio, sys\n"
        "from cronally.store import open_store\n"
        "async def main(): await (await open_store(sys.argv[1])).close()\n"
        "asyncio.run(main())\n"
    )
    nodes = await asyncio.gather(
        *[
            asyncio.create_subprocess_exec(
                sys.executable, "-c", program, postgres_url, stderr=asyncio.subprocess.PIPE
            )
            for _ in range(3)
        ]
    )
    outputs = await asyncio.gather(*[node.communicate() for node in nodes])
    assert [node.returncode for node in nodes] == [0, 0, 0], outputs
    store = await open_store(postgres_url)
    try:
        assert await store.transact(differences) == []
        versions = await store.transact(
            lambda connection: connection.execute(text("SELECT count(*) FROM alembic_version")).scalar()
        )
        assert versions == 1
    finally:
        await store.close()


async def test_migrated_template__is_empty(store: Store) -> None:
    """The tests' own footing: the template they copy holds no rows."""
    for table in tables.metadata.sorted_tables:
        assert await read(store, select(func.count()).select_from(table)) == [(0,)]
    await make_account(store)
