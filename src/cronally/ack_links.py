"""Acknowledgement URLs: made of the key of a firing when it is sent, and read again when somebody calls one.

Invariant: nothing is stored for a URL. Its token is the key, sealed with AES-SIV (RFC 5297): the same firing has the
same token in every attempt, a token that nobody made does not open, and one that does says nothing to who holds it.
The key that seals tokens stands sealed in the database, so they outlive every rotation of sealing keys.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from cronally.firing import Key, Kind
from cronally.wire import NIL_UUID

KEY_BYTES: Final = 64
TOKEN_FORM: Final = "[A-Za-z0-9_-]{60}"  # noqa: S105 - a form
_TOKEN: Final = re.compile(TOKEN_FORM)
_PURPOSE: Final = [b"cronally ack 1"]
_KEY: Final = struct.Struct(">16sqBI")
_KINDS: Final = (Kind.SCHEDULED, Kind.MANUAL, Kind.DEAD_LETTER)
"""By the number that a token has for each. A new one comes at the end."""
_NOTHING: Final[Key] = (NIL_UUID, 0, Kind.SCHEDULED.value)


class AckLinks:
    """Makes and reads URLs of one server. Safe to share between threads."""

    def __init__(self, key: bytes, public_url: str | None) -> None:
        """
        :param key: `KEY_BYTES` bytes
        :param public_url: under which receivers reach the API; None: no URL can be made
        """
        self._cipher = AESSIV(key)
        self._base = None if public_url is None else f"{public_url.rstrip('/')}/ack/"

    @property
    def may_ask(self) -> bool:
        """Whether a URL can be made."""
        return self._base is not None

    @property
    def masked(self) -> str | None:
        """A URL with what stands for its token."""
        return None if self._base is None else f"{self._base}***/"

    @property
    def longest(self) -> str:
        """A URL as long as every one is."""
        return f"{self._base or ''}{'x' * 60}/"

    @property
    def of_nothing(self) -> str | None:
        """A URL for a test message: nothing is acknowledged with it."""
        return self.url(_NOTHING, 0)

    def url(self, key: Key, attempts_before: int) -> str | None:
        """The URL of a firing.

        :param attempts_before: how many attempts it had when it was last replayed: a replay has a URL of its own
        """
        if self._base is None:
            return None
        cronjob_id, scheduled_at, kind = key
        packed = _KEY.pack(UUID(cronjob_id).bytes, scheduled_at, _KINDS.index(Kind(kind)), attempts_before)
        sealed = self._cipher.encrypt(packed, _PURPOSE)
        return f"{self._base}{base64.urlsafe_b64encode(sealed).decode('ascii')}/"

    def is_test(self, key: Key) -> bool:
        """Whether a key that was read is a test message's."""
        return key == _NOTHING

    def read(self, token: str) -> tuple[Key, int] | None:
        """The key in a token, and the attempts before; None for what is none."""
        if not _TOKEN.fullmatch(token):
            return None
        try:
            packed = self._cipher.decrypt(base64.urlsafe_b64decode(token), _PURPOSE)
            cronjob_id, scheduled_at, kind, attempts_before = _KEY.unpack(packed)
        except (InvalidTag, binascii.Error):
            return None
        if kind >= len(_KINDS):  # of a newer version
            return None
        return (str(UUID(bytes=cronjob_id)), scheduled_at, _KINDS[kind].value), attempts_before
