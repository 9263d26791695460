"""Where cron jobs sent before: the target and its public parameters, kept of earlier versions.

Invariant: a row of `cronjob_version` has the target where it is known what that version sent. The parameters stand in
the row of the last version that had them: without them a version had those of the next one, and the current one has
those of its cron job. Of a cron job `KEPT_BYTES` are kept at most, the newest; what is dropped is dropped of a version
and of all before it. Nothing is kept of a cron job that is deleted.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Text, bindparam, null, select, text, update

from cronally.store import tables
from cronally.store.types import Id

KEPT_BYTES: Final = 256 * 1024
"""Of all earlier parameters of a cron job together."""

# `c` is the cron job. The first version from this one on that has parameters, or of which they are not known, is the
# last one that had the same.
_SENT: Final = """(SELECT {column} FROM cronjob_version v
    JOIN cronjob_version w ON w.cronjob_id = v.cronjob_id AND w.version >= v.version
    WHERE v.cronjob_id = {cronjob_id} AND v.version = {version}
      AND (w.destination IS NOT NULL OR w.target IS NULL OR w.version = c.version)
    ORDER BY w.version LIMIT 1)"""
_TIMEZONE: Final = """(SELECT v.timezone FROM cronjob_version v
    WHERE v.cronjob_id = {firing}.cronjob_id AND v.version = {firing}.sent_as)"""
_TARGET: Final = "w.target"
_DESTINATION: Final = "CASE WHEN w.target IS NOT NULL THEN coalesce(w.destination, c.destination) END"
_SIZE: Final = "w.size"


def _of(firing: str, column: str) -> str:
    return _SENT.format(column=column, cronjob_id=f"{firing}.cronjob_id", version=f"{firing}.sent_as")


def target_then(firing: str) -> str:
    """SQL: the target of the version that a firing is sent as; NULL for others, and where it is not kept.

    :param firing: the alias of its row; `c` is that of its cron job's
    """
    return f"CASE WHEN {firing}.sent_as IS NOT NULL THEN {_of(firing, _TARGET)} END"


def destination_then(firing: str) -> str:
    """SQL: the public parameters that a firing is sent by; an empty text where they are not kept."""
    then = f"coalesce({_of(firing, _DESTINATION)}, '')"
    return f"CASE WHEN {firing}.sent_as IS NULL THEN c.destination ELSE {then} END"


def timezone_then(firing: str) -> str:
    """SQL: the time zone that a firing is sent by: that of the version that it is sent as, if that is known."""
    then = _TIMEZONE.format(firing=firing)
    return f"CASE WHEN {firing}.sent_as IS NULL THEN c.timezone ELSE coalesce({then}, c.timezone) END"


def size_then(firing: str) -> str:
    """SQL: bytes of the parameters that a firing is sent by beside those of its cron job."""
    return f"CASE WHEN {firing}.sent_as IS NULL THEN 0 ELSE coalesce({_of(firing, _SIZE)}, 0) END"


_GET: Final = text(
    f"""
    SELECT {_SENT.format(column=_TARGET, cronjob_id="c.cronjob_id", version=":version")},
           {_SENT.format(column=_DESTINATION, cronjob_id="c.cronjob_id", version=":version")}
    FROM cronjob c WHERE c.cronjob_id = :cronjob_id
    """  # noqa: S608 - constants
).bindparams(bindparam("cronjob_id", type_=Id()))


def get_sent(connection: Connection, cronjob_id: str, version: int) -> tuple[str, str] | None:
    """The target of a version of a cron job, and JSON of its public parameters; None where that is not kept.

    The account is the caller's to check.
    """
    row = connection.execute(_GET, {"cronjob_id": cronjob_id, "version": version}).one_or_none()
    return None if row is None or row[0] is None else (row[0], row[1])


_table: Final = tables.cronjob_version
_OF: Final = _table.c.cronjob_id == bindparam("of", type_=Id())
_KEEP: Final = (
    update(_table)
    # Not of one that a server wrote that knows nothing of this: what comes before it may have been another.
    .where(_OF, _table.c.version == bindparam("of_version"), _table.c.target.is_not(None))
    .values(destination=bindparam("kept", type_=Text()), size=bindparam("bytes", type_=BigInteger()))
)
_SIZES: Final = (
    select(_table.c.version, _table.c.size)
    .where(_OF, _table.c.destination.is_not(None))
    .order_by(_table.c.version.desc())
)
_NOTHING: Final[dict[str, Any]] = {"target": null(), "destination": null(), "size": null()}
_DROP: Final = (
    update(_table)
    .where(_OF, _table.c.version <= bindparam("until"), _table.c.target.is_not(None))
    .values(_NOTHING)
)
_ERASE: Final = update(_table).where(_OF, _table.c.target.is_not(None)).values(_NOTHING)


def keep_destination(connection: Connection, cronjob_id: str, version: int, destination: str) -> None:
    """Keep what a version of a cron job sent, which has other parameters from the next version on.

    :param destination: JSON of the public parameters, without any secret

    The caller holds the row lock of the cron job.
    """
    size = len(destination.encode())
    kept = {"of": cronjob_id, "of_version": version, "kept": destination, "bytes": size}
    connection.execute(_KEEP, kept)
    total = 0
    for older, bytes_ in connection.execute(_SIZES, {"of": cronjob_id}).all():
        total += bytes_
        if total > KEPT_BYTES:
            connection.execute(_DROP, {"of": cronjob_id, "until": older})
            break


def erase_destinations(connection: Connection, cronjob_id: str) -> None:
    """Forget what the versions of a cron job sent, which is deleted. The caller holds its row lock."""
    connection.execute(_ERASE, {"of": cronjob_id})
