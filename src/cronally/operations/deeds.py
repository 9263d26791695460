"""What is done, as the audit log of an account tells it: who does what to which row, and what that changes.

Invariant: a deed writes one row of the log, in the transaction of what it tells of, or none where nothing that is told
has changed. Of a secret a digest is told, keyed and salted: it shows within a row whether a secret has changed, and
nobody but who has the sealing key can try guesses on it. Of a long text its beginning is told, and a digest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from cronally.audit_chain import Change, Entry
from cronally.contract.audit import Action
from cronally.errors import SealingError
from cronally.operations.caller import Caller
from cronally.store.audit_subjects import Subject, Told, lock_and_read, read_told
from cronally.vault import Purpose, SealContext, Vault, open_secret

LONGEST: Final = 500
"""Characters of a text that are told of it; what is longer is cut."""
_KEPT: Final = 100
_SALT_BYTES: Final = 16


class Digests:
    """Makes digests of one server's secrets."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault

    def of(self, text: bytes, salt: bytes) -> str:
        """The digest of a secret: what it was made with, and 64 bits."""
        return f"digest:{self.vault.current_id}:{salt.hex()}:{self.vault.digest(salt + text)}"

    def opened(self, sealed: bytes | None, place: SealContext) -> dict[str, str] | None:
        """What is sealed, by name; None where the server has not the key."""
        if sealed is None:
            return {}
        try:
            found: dict[str, str] = json.loads(open_secret(self.vault, sealed, place, Purpose.AUDIT))
        except SealingError:
            return None
        return found


@dataclass(frozen=True)
class Deed:
    """Something that is done to one row."""

    caller: Caller
    action: Action
    subject: Subject
    subject_id: str | None
    cronjob_id: str | None = None
    """The cron job that it concerns, where the row is none."""
    told: Callable[[Any], Mapping[str, object] | None] | None = None
    """What is told of the result, in place of the row; None: nothing was done."""
    digests: Digests | None = None
    """By which secrets are told; None: it is only told that there were some."""

    def before(self, connection: Connection) -> Told | None:
        """What is told of the row before, locked."""
        if self.told is not None or self.subject_id is None:
            return None
        return lock_and_read(connection, self.subject, self.caller.account_id, self.subject_id)

    def entry(self, connection: Connection, before: Told | None, result: object, now: int) -> Entry | None:
        """The row of the log; None where nothing has changed."""
        if self.told is not None:
            said = self.told(result)
            if said is None:
                return None
            changes = tuple(
                Change(name, None, _text(value)) for name, value in said.items() if value is not None
            )
        elif self.subject_id is None:
            return None
        else:
            after = read_told(connection, self.subject, self.caller.account_id, self.subject_id)
            if before == after:
                return None
            changes = self._changes(before, after)
            # Where it was there before, and is still: a secret that is the same was sealed anew.
            if not changes and before is not None and after is not None:
                return None
        caller = self.caller
        return Entry(
            account_id=caller.account_id,
            at=now,
            who=caller.who,
            action=self.action,
            subject=self.subject,
            subject_id=self.subject_id,
            changes=changes,
            cronjob_id=self.subject_id if self.subject == Subject.CRONJOB else self.cronjob_id,
            api_key=caller.api_key or None,
            address=caller.address,
            request_id=caller.request_id,
        )

    def _changes(self, before: Told | None, after: Told | None) -> tuple[Change, ...]:
        salt = os.urandom(_SALT_BYTES)
        was, is_now = (Told({}) if one is None else one for one in (before, after))
        texts = [
            Change(name, self._shown(was.texts.get(name), salt), self._shown(is_now.texts.get(name), salt))
            for name in sorted(was.texts.keys() | is_now.texts.keys())
            if was.texts.get(name) != is_now.texts.get(name)
        ]
        if was.secret == is_now.secret:
            return tuple(texts)
        known, new = self._opened(was.secret), self._opened(is_now.secret)
        if known is None or new is None:
            return (*texts, Change("secret", _there(was.secret), _there(is_now.secret)))
        secrets = [
            Change(name, self._digest(known.get(name), salt), self._digest(new.get(name), salt))
            for name in sorted(known.keys() | new.keys())
            if known.get(name) != new.get(name)
        ]
        return (*texts, *secrets)

    def _opened(self, sealed: bytes | None) -> dict[str, str] | None:
        if self.digests is None:
            return None
        place = SealContext(self.caller.account_id, self.subject, "secret", self.subject_id or "")
        return self.digests.opened(sealed, place)

    def _digest(self, secret: str | None, salt: bytes) -> str | None:
        if secret is None:
            return None
        if self.digests is None:
            # Told of long texts: by a salt that nobody keeps, it shows within the row whether they differ.
            return f"digest:{hashlib.sha256(salt + secret.encode()).hexdigest()[:16]}"
        return self.digests.of(secret.encode(), salt)

    def _shown(self, text: str | None, salt: bytes) -> str | None:
        if text is None or len(text) <= LONGEST:
            return text
        return f"{text[:_KEPT]}... ({len(text)} characters, {self._digest(text, salt)})"


def _there(sealed: bytes | None) -> str | None:
    """What is told of secrets that the server cannot open."""
    return None if sealed is None else "sealed"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
