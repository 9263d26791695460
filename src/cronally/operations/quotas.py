"""How much an account may store, and how quickly it may change it.

Invariant: every row that a request adds is counted by one of these bounds until it is gone. What is deleted counts as
long as it is kept: a loop that creates and deletes, or changes, fills no database.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.firings import MAX_AHEAD
from cronally.instants import DAY, SECOND, format_duration, format_iso
from cronally.operations.limits import LimitsInForce
from cronally.store import accounts, calendars, connections, manual, versions
from cronally.store.cronjobs import Cronjob
from cronally.wire import Limit

MAX_VERSIONS: Final = 100
"""So many versions of a cron job are kept at most, the last ones; and so many changes of it may come in a burst."""


MAX_RUNS: Final = 60
"""So many firings of a cron job may be asked for in a burst; in the long run one for each time that it could fire."""
MAX_OPEN_RUNS: Final = 100
"""So many of them may be open of a cron job: their target may be down for days."""
MAX_OPEN_RUNS_OF_ACCOUNT: Final = 1000
MAX_CALENDARS: Final = 100
"""So many calendars an account may have."""


class Quotas:
    """Checks what an account stores. Every method runs inside the caller's transaction."""

    def __init__(
        self,
        limits: LimitsInForce,
        *,
        retention: int,
        min_interval: int,
    ) -> None:
        """
        :param limits: how many cron jobs and connections accounts may have, and how many bytes these may hold
        :param retention: how long the ledger is kept, and with it what it speaks of, in microseconds
        :param min_interval: how often a cron job may fire, and on average be changed, in microseconds
        """
        self._limits = limits
        self.retention = retention
        # A change may bring one fire time nearer: in the long run there are no more than the interval allows.
        self._burst = MAX_VERSIONS * min_interval
        self._runs = MAX_RUNS * min_interval

    def check_one_more(self, connection: Connection, account_id: str, now: int) -> int:
        """How many cron jobs the account has. Raises Forbidden when it may have no more.

        The caller has locked the account.
        """
        most = self._limits.read(connection, account_id).max_cronjobs
        count = accounts.count_cronjobs(connection, account_id)
        if count >= most:
            raise errors.Forbidden(
                f"The account has {count:,} cron jobs, and {most:,} are as many as it may have; delete one first."
            )
        deleted, purge_at = accounts.count_deleted(connection, account_id)
        if deleted >= self.max_deleted(most) and purge_at is not None:
            raise errors.Forbidden(
                f"The account has {deleted:,} deleted cron jobs that are still kept, as many as this server allows, the"
                f" first of them until {format_iso(max(purge_at, now) // SECOND * SECOND)}; change cron jobs instead of"
                " deleting them and creating others."
            )
        return count

    def max_deleted(self, max_cronjobs: int) -> int:
        """How many deleted cron jobs may be kept of an account that may have so many.

        Who makes all of his cron jobs anew each day leaves that many behind, with two days to spare.
        """
        return max_cronjobs * (self.retention // DAY + 2)

    def check_one_more_calendar(self, connection: Connection, account_id: str) -> None:
        """Raises Forbidden when the account may have no more calendars. The caller has locked the account."""
        if len(calendars.list_names(connection, account_id)) >= MAX_CALENDARS:
            raise errors.Forbidden(
                f"The account has {MAX_CALENDARS} calendars, as many as it may have; delete one first."
            )

    def check_one_more_connection(self, connection: Connection, account_id: str) -> None:
        """Raises Forbidden when the account may have no more connections. The caller has locked the account."""
        most = self._limits.read(connection, account_id).max_connections
        if connections.count_connections(connection, account_id) >= most:
            raise errors.Forbidden(
                f"The account has {most:,} connections, as many as this server allows; delete one first."
            )

    def weigh(self, connection: Connection, account_id: str) -> None:
        """Raises Forbidden, which undoes the change, when the account's cron jobs, messages and calendars take too much
        room."""
        held = accounts.count_bytes(connection, account_id) + manual.count_bytes(connection, account_id)
        held += calendars.count_bytes(connection, account_id) + connections.count_bytes(
            connection, account_id
        )
        most = self._limits.read(connection, account_id).max_bytes
        if held > most:
            raise errors.Forbidden(
                f"The account's cron jobs and calendars would hold more than {most:,} bytes, messages"
                " included, as many as this server allows; send less in a message, or delete a cron job or a calendar"
                " first."
            )

    def check_change(self, connection: Connection, cronjob: Cronjob, now: int) -> None:
        """Raises RateLimited when a cron job is changed too often. The caller holds its row lock."""
        since = versions.get_changed_at(connection, cronjob.cronjob_id, cronjob.version - MAX_VERSIONS + 1)
        # What seems to lie in the future was changed while a clock was ahead: it says nothing.
        if since is not None and now - self._burst < since <= now:
            raise errors.RateLimited(
                f"The cron job was changed {MAX_VERSIONS} times in the last {format_duration(self._burst)}, as often as"
                " this server allows; try again after the number of seconds in Retry-After.",
                retry_after=(since + self._burst - now) // SECOND + 1,
                limit=Limit("changes", MAX_VERSIONS, self._burst // SECOND),
            )

    def check_run(self, connection: Connection, cronjob: Cronjob, now: int) -> None:
        """Raises Forbidden when too many manual firings are open, RateLimited when too many were asked for.

        Those that are asked for ahead count until then, and for as long after as the others: so there are never more
        in any span of time. The caller has locked the cron job and the account.
        """
        for cronjob_id, most, whose in (
            (cronjob.cronjob_id, MAX_OPEN_RUNS, "cron job"),
            (None, MAX_OPEN_RUNS_OF_ACCOUNT, "account"),
        ):
            if manual.count_open(connection, cronjob.account_id, cronjob_id, most) >= most:
                raise errors.Forbidden(
                    f"The {whose} has {most:,} manual firings that are not finished, as many as this server allows;"
                    " wait for them."
                )
        since, limit = now - self._runs + 1, MAX_RUNS + MAX_OPEN_RUNS
        # What lies further ahead than may be asked for was asked for while a clock was ahead: it says nothing.
        asked = [
            at
            for at in manual.list_fire_times(connection, cronjob.cronjob_id, since, limit)
            if at <= now + MAX_AHEAD
        ]
        if len(asked) >= MAX_RUNS:
            raise errors.RateLimited(
                f"The cron job was asked to fire {MAX_RUNS} times in the last {format_duration(self._runs)} or ahead,"
                " as often as this server allows; try again after the number of seconds in Retry-After.",
                retry_after=(asked[-MAX_RUNS] + self._runs - now) // SECOND + 1,
                limit=Limit("runs", MAX_RUNS, self._runs // SECOND),
            )
