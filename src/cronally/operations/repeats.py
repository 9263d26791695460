"""Repeated requests: what an idempotency key made stands for the same request for a day.

Invariant: a key that is found came with the same parameters, whoever asks; with others it is refused. Parameters hold
secrets: a digest of them is kept, and that sealed. Every method runs inside the caller's transaction.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.reading import Reading, refusal
from cronally.contract.values import check_idempotency_key
from cronally.instants import format_duration
from cronally.store import idempotency
from cronally.store.idempotency import Used
from cronally.vault import Purpose, SealContext, Vault, open_secret
from cronally.wire import IDEMPOTENCY_KEY_HEADER


class Repeats:
    """Knows the idempotency keys of accounts."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def find(
        self,
        connection: Connection,
        account_id: str,
        key: str,
        parameters: Mapping[str, Any],
        now: int,
        new: str,
    ) -> Used | None:
        """What a key made in the last 24 h; None if nothing. Raises InvalidRequest if it came with other parameters.

        :param parameters: those that were sent, and what else tells one request from another
        :param new: what another key would make
        """
        used = idempotency.get_used(connection, account_id, key, now - idempotency.KEPT)
        if used is None:
            return None
        same = b""
        # A digest whose sealing key is gone cannot be compared: then the parameters count as others.
        with contextlib.suppress(errors.SealingError):
            same = open_secret(
                self._vault, base64.b64decode(used.digest), _place(account_id, key), Purpose.COMPARE
            )
        if not hmac.compare_digest(same, _digest(parameters)):
            raise other_request(new)
        return used

    def record(
        self,
        connection: Connection,
        account_id: str,
        key: str,
        parameters: Mapping[str, Any],
        now: int,
        cronjob_id: str,
        scheduled_at: int | None = None,
    ) -> None:
        """Say that a key made a cron job or, with `scheduled_at`, a manual firing of it."""
        sealed = self._vault.seal(_digest(parameters), _place(account_id, key))
        used = Used(cronjob_id, base64.b64encode(sealed).decode("ascii"), scheduled_at)
        idempotency.record_used(connection, account_id, key, used, now)


def check_key(reading: Reading[Any], key: str | None) -> None:
    """Complain of what is no idempotency key."""
    if key is None:
        return
    try:
        check_idempotency_key(key)
    except ValueError as problem:
        reading.complain(IDEMPOTENCY_KEY_HEADER, problem)


def other_request(new: str) -> errors.InvalidRequest:
    """The error about a key that was used for something else.

    :param new: what another key would make
    """
    return refusal(
        IDEMPOTENCY_KEY_HEADER,
        f"was used with other parameters in the last {format_duration(idempotency.KEPT)};"
        f" take a new key for {new}",
    )


def _digest(parameters: Mapping[str, Any]) -> bytes:
    """Which parameters these are."""
    text = json.dumps(dict(parameters), separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).digest()


def _place(account_id: str, key: str) -> SealContext:
    return SealContext(account_id, "idempotency_key", "digest", key)
