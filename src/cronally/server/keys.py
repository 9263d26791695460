"""The sealing keys of a running server: found or made, checked against the database, and renewed.

Invariant: a server whose keys cannot open what the database holds does not start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from cronally import errors
from cronally.ack_links import KEY_BYTES
from cronally.contract.targets import TARGETS, without_secrets
from cronally.server.secret_file import read_secret
from cronally.store import Store, sealing
from cronally.store.sealing import SealedSecret, StoredDestination
from cronally.vault import Purpose, SealContext, Vault, new_sealing_key, open_secret, parse_sealing_keys

_CHECK: Final = SealContext("", "sealing_check", "sealed", sealing.CHECK)
_KNOWN: Final = b"cronally"
_TOKEN_KEY: Final = SealContext("", "token_key", "sealed", sealing.TOKEN_KEY)
BATCH: Final = 200
_DESTINATIONS: Final = 50
"""How many are read at a time; one may have 256 KiB."""


async def own_keys(store: Store, path: Path) -> str:
    """The text of the sealing keys in a file, which is made only for a database that nothing was sealed for yet.

    Raises `errors.SettingsError`.
    """
    sealed = await store.transact(sealing.get_sealing_check)
    return read_or_make_keys(path, make=sealed is None)


def read_or_make_keys(path: Path, *, make: bool = True) -> str:
    """The text of the sealing keys in a file; with `make` one that is not there gets a new key and mode 0600.

    Raises `errors.SettingsError`.
    """
    try:
        if not path.exists():
            if not make:
                # A new key would open nothing, and be backed up in the place of the one that does.
                raise errors.SettingsError(
                    f"{path} is not there, and this database was sealed with the keys in it. Put it back from its"
                    " backup, or set CRONALLY_SEALING_KEYS or CRONALLY_SEALING_KEYS_FILE."
                )
            _make_keys(path)
        return read_secret(path)
    except UnicodeDecodeError:
        raise errors.SettingsError(f"{path}: the sealing keys cannot be read: it is no text") from None
    except OSError as problem:
        raise errors.SettingsError(
            f"{path}: the sealing keys cannot be read or written: {problem.strerror}"
        ) from problem


def _make_keys(path: Path) -> None:
    """Make the file whole or not at all. The process holds the database, so no other one makes it at the same time."""
    text = f"# Cronally's sealing keys. Back this file up apart from the database.\n{new_sealing_key()}\n"
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        # Secrets sealed with a key that a power cut loses are lost with it.
        os.fsync(file.fileno())
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def open_vault(text: str) -> Vault:
    """The vault of a text of sealing keys. Raises `errors.SealingError`."""
    return Vault(parse_sealing_keys(text))


async def check(store: Store, vault: Vault) -> None:
    """Make sure that these keys are those of this database. Raises `errors.SealingError` with one line."""
    sealed = await store.transact(sealing.get_sealing_check)
    if sealed is None:
        mine = vault.seal(_KNOWN, _CHECK)
        sealed = await store.transact(lambda connection: sealing.insert_sealing_check(connection, mine))
    try:
        opened = open_secret(vault, sealed, _CHECK, Purpose.CHECK)
    except errors.SealingError as problem:
        raise errors.SealingError(
            f"These sealing keys are not those of this database: {problem}. Set CRONALLY_SEALING_KEYS or"
            " CRONALLY_SEALING_KEYS_FILE to the keys that it was written with."
        ) from problem
    if opened != _KNOWN:
        raise errors.SealingError("The sealing check of this database holds something else: it was altered.")


async def with_token_key(store: Store, vault: Vault) -> Vault:
    """The vault with the key of acknowledgement URLs, which is made at the first start.

    Raises `errors.SealingError`.
    """
    sealed = await store.transact(sealing.get_token_key)
    if sealed is None:
        mine = vault.seal(os.urandom(KEY_BYTES), _TOKEN_KEY)
        sealed = await store.transact(lambda connection: sealing.insert_token_key(connection, mine))
    return vault.with_token_key(open_secret(vault, sealed, _TOKEN_KEY, Purpose.TOKENS))


async def do_chore(store: Store, vault: Vault) -> int:
    """Seal what an older version stored in the clear, if a migration left that to do; return how many cron jobs had it.

    A server that is stopped meanwhile leaves the rest to the next one that starts.
    """
    if not await store.transact(_has_chore):
        return 0
    sealed = await seal_destinations(store, vault)
    await store.transact(lambda connection: sealing.delete_chore(connection, sealing.SEAL_DESTINATIONS))
    return sealed


def _has_chore(connection: Connection) -> bool:
    return sealing.has_chore(connection, sealing.SEAL_DESTINATIONS)


async def seal_destinations(store: Store, vault: Vault) -> int:
    """Seal what stands in the clear of destinations and is secret, while servers run; return how many had it."""
    sealed, after = 0, ""
    while batch := await store.transact(partial(sealing.list_destinations, after=after, limit=_DESTINATIONS)):
        after = batch[-1].cronjob_id
        sealed += await store.transact(partial(_seal_batch, [*_hide(vault, batch)]))
    return sealed


_Hidden = tuple[StoredDestination, str, bytes | None]


def _hide(vault: Vault, batch: list[StoredDestination]) -> Iterator[_Hidden]:
    for old in batch:
        stored = json.loads(old.destination)
        # What a newer version's target is, that version knows.
        if old.target not in TARGETS:
            continue
        public, clear = without_secrets(old.target, stored)
        if not clear:
            continue
        destination = json.dumps(
            {**stored, **public}, separators=(",", ":"), ensure_ascii=False, sort_keys=True
        )
        place = SealContext(old.account_id, "cronjob", "secret", old.cronjob_id)
        if old.deleted:
            yield old, destination, None
            continue
        known = {} if old.secret is None else json.loads(_open(vault, old.secret, place))
        yield old, destination, vault.seal(json.dumps({**clear, **known}).encode(), place)


def _seal_batch(hidden: list[_Hidden], connection: Connection) -> int:
    return sum(sealing.replace_destination(connection, *one) for one in hidden)


async def rekey(store: Store, vault: Vault) -> int:
    """Seal every secret anew that is not sealed with the first key, while servers run; return how many were.

    What stands in the clear, because a server of an older version still ran, is sealed too.
    """
    renewed = 0
    for table in sealing.SEALED:
        after = ""
        while batch := await store.transact(partial(_list, table, after)):
            after = batch[-1].row_id
            renewed += await store.transact(partial(_replace, [*_renew(vault, batch)]))
    old = await store.transact(sealing.get_token_key)
    if old is not None:
        new = vault.seal(_open(vault, old, _TOKEN_KEY), _TOKEN_KEY)
        await store.transact(lambda connection: sealing.replace_token_key(connection, old, new))
    checked = vault.seal(_KNOWN, _CHECK)
    await store.transact(lambda connection: sealing.update_sealing_check(connection, checked))
    return renewed + await seal_destinations(store, vault)


def _list(table: str, after: str, connection: Connection) -> list[SealedSecret]:
    return sealing.list_sealed_secrets(connection, table, after, BATCH)


def _renew(vault: Vault, batch: list[SealedSecret]) -> Iterator[tuple[SealedSecret, bytes]]:
    for old in batch:
        if vault.key_id(old.sealed) != vault.current_id:
            place = SealContext(old.account_id, old.table, "secret", old.row_id)
            yield old, vault.seal(_open(vault, old.sealed, place), place)


def _open(vault: Vault, sealed: bytes, place: SealContext) -> bytes:
    return open_secret(vault, sealed, place, Purpose.RENEW)


def _replace(replaced: list[tuple[SealedSecret, bytes]], connection: Connection) -> int:
    return sealing.replace_sealed_secrets(connection, replaced)
