"""What is shown of a cron job that calls AWS beside SNS.

Invariant: every parameter that an answer has is shown, as it was given, in the order in which they are declared.
"""

from __future__ import annotations

from typing import Final

from cronally.cli.layout import joined
from cronally.contract.attribute import declared
from cronally.contract.aws import AWS_TARGETS, NAMING
from cronally.contract.cronjobs import Cronjob

_LETTERS: Final = frozenset({"aws", "ecs", "sqs"})
"""What is written in capitals."""


def aws_target(cronjob: Cronjob) -> str | None:
    """What it calls, in short: a queue by its name, an operation by its service and its own."""
    named = [getattr(cronjob, name) for name in NAMING[cronjob.delivery_type]]
    return joined(cronjob.delivery_type, *(text.rpartition(":")[2] for text in named if text is not None))


def aws_rows(cronjob: Cronjob) -> list[tuple[str, object]]:
    """A row for each parameter; none for a cron job with another target."""
    kind = AWS_TARGETS.get(cronjob.delivery_type)
    if kind is None:
        return []
    found = {name: getattr(cronjob, name, None) for name in declared(kind)}
    return [
        (_label(name), joined(*value) if isinstance(value, tuple) else value) for name, value in found.items()
    ]


def _label(name: str) -> str:
    words = name.replace("_", " ")
    first, _, rest = words.partition(" ")
    return f"{first.upper()} {rest}" if first in _LETTERS else words.capitalize()
