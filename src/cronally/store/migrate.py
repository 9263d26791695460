"""Bring a database to the tables that this version works with.

Invariant: the whole upgrade is one transaction, on PostgreSQL under a lock, so that nodes that start together
upgrade once; a database from a newer version is refused untouched.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from cronally import errors

_LOCK: Final = 0x63726F6E  # "cron"


def upgrade(connection: Connection) -> None:
    """Run the migrations that this database lacks, in the caller's transaction.

    Raises `errors.StoreError` for a database that a newer version of Cronally has migrated.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    known, newest = _revisions()
    found = set(MigrationContext.configure(connection).get_current_heads())
    if found == newest:
        return
    if unknown := found - known:
        raise errors.StoreError(
            f"The database was migrated by a newer version of Cronally (revision {', '.join(sorted(unknown))})."
            " Upgrade this server."
        )
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def check(connection: Connection) -> None:
    """Raise `errors.StoreError` for a database that has other tables than this version works with."""
    _, newest = _revisions()
    if set(MigrationContext.configure(connection).get_current_heads()) != newest:
        raise errors.StoreError(
            "The database has not the tables of this version. Run `cronally migrate`, or use the version that made it."
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


@cache
def _revisions() -> tuple[frozenset[str], frozenset[str]]:
    """All revisions that this version knows, and the last of them; read once, for every file of them is run."""
    scripts = ScriptDirectory.from_config(_config())
    return frozenset(each.revision for each in scripts.walk_revisions()), frozenset(scripts.get_heads())
