"""The vault: seals secrets for the database and opens them again, with AES-256-GCM.

Invariant: a sealed secret opens only with the key it was sealed with and only in the place it was sealed for
(account, table, column, row): bytes that are altered or moved to another row do not open. No secret and no
key ever stands in a repr or in an error. The rest of Cronally opens secrets with `open_secret` alone, and says there
what for.

A sealed secret is::

    version (1 byte, 1) | length of the key id (1 byte) | key id | nonce (12 bytes) | ciphertext and tag

The nonce is random, so a sealing key seals at most 2**32 secrets (NIST SP 800-38D, 8.3): rotate it before.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cronally.errors import SealingError

FORMAT_VERSION: Final = 1

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
# Shorter than any notation of a key, so that a line written the wrong way round never shows a key as an id.
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_MAX_KEYS_TEXT: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A key that seals and opens secrets. Raises SealingError for an unusable id or other than 32 bytes."""

    id: str
    """Names the key in sealed secrets and in errors; up to 32 letters, digits, `_`, `.`, `-`. No secret."""
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _KEY_ID.fullmatch(self.id):
            raise SealingError("the id of a sealing key is 1 to 32 letters, digits, `_`, `.` or `-`")
        if len(self.key) != _KEY_BYTES:
            raise SealingError(f"the sealing key {self.id} has {len(self.key)} bytes; 32 are needed")


@dataclass(frozen=True, slots=True)
class SealContext:
    """The place that a sealed secret belongs to; it opens nowhere else."""

    account_id: str
    table: str
    column: str
    row_id: str

    def associated_data(self) -> bytes:
        """The four names, each behind its length, so that no two places give the same bytes."""
        account, row = self.account_id.encode(), self.row_id.encode()
        column = _column(self.table, self.column)
        return b"%b%b%b%b%b" % (_length(len(account)), account, column, _length(len(row)), row)


def _length(length: int) -> bytes:
    return length.to_bytes(4, "big")


@cache
def _column(table: str, column: str) -> bytes:
    """The names of a column, each behind its length. There are as many as columns of secrets."""
    return b"".join(_length(len(name)) + name for name in (table.encode(), column.encode()))


def parse_sealing_keys(text: str) -> tuple[SealingKey, ...]:
    """The sealing keys in a text of lines `id:base64`; blank lines and lines that begin with `#` are ignored.

    Raises SealingError, which names the line and never its content: for what is no key, an id that is there
    twice, no key at all, a text over 64 KiB.
    """
    if len(text) > _MAX_KEYS_TEXT:
        raise SealingError("the sealing keys are longer than 64 KiB; this is not a list of `id:base64` lines")
    keys: dict[str, SealingKey] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            key = _parse_sealing_key(line)
        except SealingError as error:
            raise SealingError(f"sealing keys, line {number}: {error.message}") from None
        if key.id in keys:
            raise SealingError(f"sealing keys, line {number}: the id {key.id} is there twice")
        keys[key.id] = key
    if not keys:
        raise SealingError("there is no sealing key; give at least one line of `id:base64`")
    return tuple(keys.values())


def new_sealing_key() -> str:
    """A new line `id:base64` for the list of sealing keys; the id is random and reveals nothing."""
    return f"k{os.urandom(5).hex()}:{base64.b64encode(os.urandom(_KEY_BYTES)).decode('ascii')}"


class Vault:
    """Seals with the first of its keys and opens with all of them. Safe to share between threads."""

    def __init__(self, keys: Iterable[SealingKey]) -> None:
        """Raises SealingError for no key, and for two keys with one id."""
        keys = tuple(keys)
        if not keys:
            raise SealingError("there is no sealing key; give at least one line of `id:base64`")
        self._current_id = keys[0].id
        # One cipher object per key, made once: expanding a key costs more than opening a secret.
        self._ciphers = {key.id.encode("ascii"): AESGCM(key.key) for key in keys}
        if len(self._ciphers) != len(keys):
            raise SealingError("two sealing keys have the same id")
        current = self._current_id.encode("ascii")
        self._header = bytes((FORMAT_VERSION, len(current))) + current
        self._cipher = self._ciphers[current]

    def __repr__(self) -> str:
        return f"Vault(current_id={self._current_id!r}, keys={len(self._ciphers)})"

    @property
    def current_id(self) -> str:
        """The id of the key that seals; a secret sealed under another one is due for `rekey`."""
        return self._current_id

    def seal(self, plaintext: bytes, context: SealContext) -> bytes:
        """Seal a secret for its place. The same secret is sealed to other bytes every time."""
        nonce = os.urandom(_NONCE_BYTES)
        associated = self._header + context.associated_data()
        return self._header + nonce + self._cipher.encrypt(nonce, plaintext, associated)

    def open(self, sealed: bytes, context: SealContext) -> bytes:
        """The secret that was sealed. For `open_secret` alone.

        Raises SealingError if it was sealed for another place, was altered, or its key is missing.
        """
        id_end = _id_end(sealed)
        key_id = sealed[2:id_end]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SealingError(
                f"the sealing key {_readable_id(key_id)} is missing;"
                " add its line to the sealing keys of this server"
            )
        nonce_end = id_end + _NONCE_BYTES
        associated = sealed[:id_end] + context.associated_data()
        try:
            return cipher.decrypt(sealed[id_end:nonce_end], sealed[nonce_end:], associated)
        except InvalidTag:
            raise SealingError(
                f"a secret in {context.table}.{context.column} does not open with the sealing key"
                f" {_readable_id(key_id)}: the key is another one of the same id, or the row was altered"
            ) from None

    def key_id(self, sealed: bytes) -> str:
        """The id of the key that sealed a secret. Raises SealingError for what is no sealed secret."""
        return _readable_id(sealed[2 : _id_end(sealed)])


class Purpose(StrEnum):
    """What a sealed secret is opened for. SECURITY.md lists the same."""

    AUTHENTICATE = "authenticate"
    """To check the signature of a request, and to show the account its own API secret."""
    SEND = "send"
    """To call a target with the credentials of the cron job or its connection, and with the message of a firing of its
    own."""
    VERIFY = "verify"
    """To call a target with these credentials once, because the account asks for it."""
    COMPARE = "compare"
    """To compare a repeated request with the first one of the same idempotency key."""
    MATCH = "match"
    """To see whether a cron job that is put by its name has the credentials that were sent."""
    KEEP = "keep"
    """To leave one secret of a cron job as it is where another one changes."""
    CHECK = "check"
    """To make sure at the start that the sealing keys are those of the database."""
    SHOW = "show"
    """To show the account what its targets answered."""
    CHANGE = "change"
    """To keep of a connection what a change does not replace."""
    ALERT = "alert"
    """To send an alert to a channel with its secrets, or those of the connection that it uses."""
    AMEND = "amend"
    """To keep of a channel what a change does not replace."""
    RENEW = "renew"
    """To seal a secret again with the first sealing key."""


_CONNECTIONS: Final = (("connection", "secret"), ("connection_previous", "secret"))
_PLACES: Final[Mapping[Purpose, frozenset[tuple[str, str]]]] = {
    Purpose.AUTHENTICATE: frozenset({("api_key", "secret")}),
    Purpose.SEND: frozenset({("cronjob", "secret"), ("firing_message", "secret"), *_CONNECTIONS}),
    Purpose.VERIFY: frozenset({("cronjob", "secret"), ("connection", "secret")}),
    Purpose.COMPARE: frozenset({("idempotency_key", "digest")}),
    Purpose.MATCH: frozenset({("cronjob", "secret")}),
    Purpose.KEEP: frozenset({("cronjob", "secret")}),
    Purpose.CHECK: frozenset({("sealing_check", "sealed")}),
    Purpose.SHOW: frozenset({("answer", "secret")}),
    Purpose.CHANGE: frozenset({("connection", "secret")}),
    Purpose.ALERT: frozenset({("channel", "secret"), ("connection", "secret")}),
    Purpose.AMEND: frozenset({("channel", "secret")}),
    Purpose.RENEW: frozenset(
        {
            ("api_key", "secret"),
            ("cronjob", "secret"),
            ("firing_message", "secret"),
            ("answer", "secret"),
            *_CONNECTIONS,
            ("channel", "secret"),
        }
    ),
}
"""The tables and columns that each purpose may open."""


def open_secret(vault: Vault, sealed: bytes, place: SealContext, purpose: Purpose) -> bytes:
    """Open a sealed secret. This is the only function that does.

    Raises SealingError if it was sealed for another place, was altered, or its key is missing; ValueError for a place
    that the purpose has no business with.
    """
    if (place.table, place.column) not in _PLACES[purpose]:
        raise ValueError(f"nothing in {place.table}.{place.column} is opened to {purpose}")
    return vault.open(sealed, place)


def _parse_sealing_key(line: str) -> SealingKey:
    key_id, separator, encoded = line.partition(":")
    if not separator:
        raise SealingError("a sealing key is written `id:base64`")
    try:
        key = base64.b64decode(encoded.strip(), validate=True)
    except ValueError:
        raise SealingError("what stands behind the colon is not base64") from None
    return SealingKey(key_id.strip(), key)


def _id_end(sealed: bytes) -> int:
    """Where the header ends, in bytes that are long enough to be a sealed secret of a known version."""
    if len(sealed) < 2 or sealed[0] != FORMAT_VERSION:
        raise SealingError("these bytes are not a sealed secret of this version of Cronally")
    end = 2 + sealed[1]
    if len(sealed) < end + _NONCE_BYTES + _TAG_BYTES:
        raise SealingError("a sealed secret was cut short")
    return end


def _readable_id(key_id: bytes) -> str:
    """A key id out of stored bytes, which may be anything."""
    text = key_id.decode("ascii", "replace")
    if not _KEY_ID.fullmatch(text):
        raise SealingError("a sealed secret names a sealing key whose id is unreadable; it was altered")
    return text
