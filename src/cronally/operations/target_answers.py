"""What targets answered to the attempts of firings: read with them, and opened for the account that asks.

Invariant: an answer is opened for the account that its row belongs to, and for nothing but to be shown to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.firings import TargetAnswer
from cronally.contract.kept import unpack
from cronally.store import answers
from cronally.store.answers import Answer, answer_id
from cronally.store.ledger import Attempt, Firing, Position
from cronally.vault import Purpose, SealContext, Vault, open_secret


def id_of(one: Firing | Attempt) -> str:
    """The id of the answer to an attempt, or to the last one of a firing."""
    return answer_id((one.cronjob_id, one.scheduled_at, one.kind), one.lease_no)


def read_answers(
    connection: Connection,
    account_id: str,
    firings: Sequence[Firing],
    attempts: Mapping[Position, Sequence[Attempt]],
) -> Mapping[str, Answer]:
    """The answers to the attempts of firings, by their ids, as far as they are kept.

    :param firings: of the account, as many as a page with attempts has
    """
    tried: list[Firing | Attempt] = [firing for firing in firings if firing.lease_no]
    tried += [attempt for of_firing in attempts.values() for attempt in of_firing]
    return answers.list_answers(connection, account_id, list({id_of(one) for one in tried}))


def shown_answers(vault: Vault, account_id: str, found: Mapping[str, Answer]) -> dict[str, TargetAnswer]:
    """Answers as the account sees them. One that cannot be opened is left out as one for which there is no room."""
    return {of: _shown(vault, account_id, of, answer) for of, answer in found.items()}


def _shown(vault: Vault, account_id: str, of: str, answer: Answer) -> TargetAnswer:
    parts = {f"{name}_ms": getattr(answer, name) for name in ("dns", "connect", "tls", "first_byte", "whole")}
    durations: dict[str, Any] = {name: None if part is None else part // 1000 for name, part in parts.items()}
    if answer.secret is not None:
        place = SealContext(account_id, "answer", "secret", of)
        try:
            packed = unpack(open_secret(vault, answer.secret, place, Purpose.SHOW))
        except errors.SealingError:
            pass
        else:
            return TargetAnswer(status=answer.status, **packed, **durations)
    return TargetAnswer(status=answer.status, left_out=True, **durations)
