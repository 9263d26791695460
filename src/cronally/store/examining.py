"""What the database says of itself: for `cronally doctor`.

Invariant: it only reads, each question is one short statement, and what a role may not see is left out.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, text

from cronally.store import heartbeats

_POSTGRES: Final = text(
    """
    SELECT current_setting('server_version') AS version,
           current_setting('fsync') AS fsync,
           current_setting('synchronous_commit') AS synchronous_commit,
           current_setting('full_page_writes') AS full_page_writes,
           pg_is_in_recovery() AS is_standby,
           pg_database_size(current_database()) AS bytes,
           CAST(current_setting('max_connections') AS integer) AS max_connections,
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
           (SELECT CAST(coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) AS double precision)
            FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend')
               AS longest_transaction,
           (SELECT count(*) FROM pg_stat_replication) AS standbys,
           (SELECT CAST(coalesce(max(extract(epoch FROM replay_lag)), 0) AS double precision)
            FROM pg_stat_replication) AS replay_lag
    """
)
_BLOAT: Final = text(
    """
    SELECT relname, n_dead_tup, n_live_tup FROM pg_stat_user_tables
    WHERE n_dead_tup > 100000 AND n_dead_tup > n_live_tup ORDER BY n_dead_tup DESC LIMIT 1
    """
)


def examine(connection: Connection) -> dict[str, Any]:
    """Version, settings, size and what waits; as values of JSON."""
    health = heartbeats.get_health(connection)
    found: dict[str, Any] = {
        "kind": connection.dialect.name,
        "ticked_at": health.ticked_at,
        "oldest_due_at": health.oldest_due_at,
    }
    if connection.dialect.name == "sqlite":
        found["version"] = connection.execute(text("SELECT sqlite_version()")).scalar_one()
        found["journal_mode"] = connection.execute(text("PRAGMA journal_mode")).scalar_one()
        found["synchronous"] = connection.execute(text("PRAGMA synchronous")).scalar_one()
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        free = connection.execute(text("PRAGMA freelist_count")).scalar_one()
        size = connection.execute(text("PRAGMA page_size")).scalar_one()
        return found | {"bytes": pages * size, "free_bytes": free * size}
    found |= connection.execute(_POSTGRES).one()._asdict()
    bloated = connection.execute(_BLOAT).one_or_none()
    return found | {"bloated": None if bloated is None else list(bloated)}
