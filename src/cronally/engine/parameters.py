"""The public parameters of what is claimed, as they are stored: read once by those who ask whether it may go out now,
those who send it, and those who send the next firing of its cron job.

Invariant: no secret passes here, and nobody changes what he gets. What is kept is bounded, in texts and in bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

KEPT: Final = 2048
"""Texts; as many as a node may have in flight, several times."""
SHORT: Final = 2048
"""Characters of a text that is kept: a message may have 256 KiB."""


def read_parameters(text: str) -> Mapping[str, Any]:
    """The parameters in a JSON object. Raises ValueError for what is none."""
    return _kept(text) if len(text) <= SHORT else _read(text)


def _read(text: str) -> Mapping[str, Any]:
    read: dict[str, Any] = json.loads(text)
    return read


_kept: Final = lru_cache(KEPT)(_read)
