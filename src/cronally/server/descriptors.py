"""File descriptors: as many as the settings may need, or a start that says what to do.

Invariant: a server that has started does not run out of them by what its settings allow.
"""

from __future__ import annotations

import resource
from typing import Final

from cronally import errors
from cronally.server.acceptor import HELD

OTHERS: Final = 200
"""For the database, logs, names that are looked up, and connections that are being closed."""


def raise_limit(connections: int, in_flight: int, pool: int) -> None:
    """Raise the process's limit to what is needed. Raises `errors.SettingsError` if it may not be raised so far.

    :param connections: of clients
    :param in_flight: firings that are sent at once; each target may keep as many connections
    :param pool: connections to the database
    """
    needed = connections + HELD + 3 * in_flight + pool + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise errors.SettingsError(
            f"The process may open {hard:,} files, and these settings need {needed:,}: raise the limit (ulimit -n,"
            " LimitNOFILE), or lower CRONALLY_CONNECTIONS or CRONALLY_IN_FLIGHT."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
