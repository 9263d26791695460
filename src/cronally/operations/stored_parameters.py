"""Parameters of cron jobs and connections as they are stored: JSON, and what is secret of them sealed.

Invariant: the same values are the same text. What is sealed for a place opens at that place alone; of what does not
open nothing is said but that the server has not the key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cronally import errors
from cronally.vault import Purpose, SealContext, Vault, open_secret


def encode(values: Mapping[str, Any]) -> str:
    """Parameters as one text."""
    return json.dumps(dict(values), separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def seal(vault: Vault, secret: Mapping[str, str], place: SealContext) -> bytes | None:
    """Secret parameters, sealed; None where there are none."""
    return vault.seal(encode(secret).encode(), place) if secret else None


def opened(vault: Vault, sealed: bytes | None, place: SealContext, purpose: Purpose) -> dict[str, str]:
    """The secret parameters of a row, if any are sealed. Raises Unavailable if the server has not the key."""
    if sealed is None:
        return {}
    try:
        found: dict[str, str] = json.loads(open_secret(vault, sealed, place, purpose))
    except errors.SealingError as problem:
        raise errors.Unavailable(str(problem)) from None
    return found
