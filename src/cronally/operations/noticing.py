"""The notice of the operator: set, taken back, and read.

Invariant: what is stored can stand in a header as it is: printable ASCII, of bounded length, so nobody can put a second
header, or a line, into an answer.
"""

from __future__ import annotations

import re
from typing import Final

from cronally import errors
from cronally.contract.service import MAX_NOTICE, Status
from cronally.contract.writing import make_answer
from cronally.instants import parse_duration, parse_iso
from cronally.store import Store, notices
from cronally.store.notices import Notice

_FORM: Final = re.compile(rf"(?=.*[!-~])[ -~]{{1,{MAX_NOTICE}}}")


class Noticing:
    """The notice of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self) -> Status:
        """What stands now."""
        now = await self._store.clock()
        return _status(await self._store.read(lambda connection: notices.get_notice(connection, now)))

    async def set(self, text: str, until: str | None) -> Status:
        """Say this from now on, until an instant or for a duration, if one is given. Raises InvalidRequest."""
        if not _FORM.fullmatch(text):
            raise errors.InvalidRequest(
                f"A notice has 1 to {MAX_NOTICE} characters of ASCII, without line ends, because it stands in a header."
            )
        now = await self._store.clock()
        notice = Notice(text, now, None if until is None else _until(until, now))
        await self._store.transact(lambda connection: notices.replace_notice(connection, notice))
        return _status(notice)

    async def clear(self) -> Status:
        """Take it back."""
        await self._store.transact(lambda connection: notices.replace_notice(connection, None))
        return _status(None)


def _status(notice: Notice | None) -> Status:
    if notice is None:
        return Status()
    return make_answer(Status, notice, notice=notice.text)


def _until(text: str, now: int) -> int:
    try:
        try:
            until = now + parse_duration(text)
        except ValueError:
            until = parse_iso(text)
    except ValueError:
        raise errors.InvalidRequest(
            "The end is neither a duration, such as 2h, nor an instant, such as 2026-11-24T08:00:00Z."
        ) from None
    if until <= now:
        raise errors.InvalidRequest("The end is not in the future; give a later one.")
    return until
