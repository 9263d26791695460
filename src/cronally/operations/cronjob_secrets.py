"""What is sealed of a cron job: the secret parameters of its target.

Invariant: every method runs inside the caller's transaction. A secret that stays is opened here to be sealed anew
beside what is new, or to be compared, and for nothing else.
"""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Collection, Mapping

from sqlalchemy import Connection

from cronally import errors
from cronally.operations.deeds import Digests
from cronally.operations.stored_parameters import encode, opened, seal
from cronally.store import cronjobs
from cronally.store.cronjobs import Cronjob
from cronally.targets.target import Destination
from cronally.vault import Purpose, SealContext, Vault


class CronjobSecrets:
    """Seals the secrets of cron jobs."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.digests = Digests(vault)

    def seal(self, cronjob: Cronjob, secret: Mapping[str, str]) -> bytes | None:
        """The secret parameters of a cron job, sealed; None where it has none."""
        return seal(self._vault, secret, place_of(cronjob))

    def replace(
        self,
        connection: Connection,
        before: Cronjob,
        after: Cronjob,
        kept: Collection[str],
        destination: Destination,
    ) -> None:
        """Store what is sealed of a changed cron job. Raises Unavailable if what stays cannot be opened.

        :param kept: what stays of what is sealed, by name
        :param destination: what is new
        """
        stays = self._opened(connection, before, Purpose.KEEP) if kept else {}
        cronjobs.replace_secret(connection, after, self.seal(after, merged(stays, kept, destination)))

    def is_same(
        self, connection: Connection, cronjob: Cronjob, kept: Collection[str], destination: Destination
    ) -> bool:
        """Whether `replace` would store what is stored. What cannot be opened is not the same: it is sealed anew."""
        with contextlib.suppress(errors.Unavailable):
            stored = self._opened(connection, cronjob, Purpose.MATCH)
            wanted = merged(stored, kept, destination)
            return hmac.compare_digest(encode(stored).encode(), encode(wanted).encode())
        return False

    def _opened(self, connection: Connection, cronjob: Cronjob, purpose: Purpose) -> dict[str, str]:
        return opened(self._vault, cronjobs.get_secret(connection, cronjob), place_of(cronjob), purpose)


def merged(stored: Mapping[str, str], kept: Collection[str], destination: Destination) -> dict[str, str]:
    """What is to be sealed: of what is stored what is kept, and what is new."""
    return {name: value for name, value in stored.items() if name in kept} | dict(destination.secret)


def place_of(cronjob: Cronjob) -> SealContext:
    """The place that the sealed secrets of a cron job belong to."""
    return SealContext(cronjob.account_id, "cronjob", "secret", cronjob.cronjob_id)
