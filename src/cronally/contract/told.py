"""What is told of a firing that has failed: the text that the target of a `dead_letter` gets.

Invariant: pure. It is JSON as far as it goes: what is too long for the target is cut inside of it, and the text says
so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

MESSAGES: Final[Mapping[str, str]] = {
    "sns": "sns_message",
    "http": "delivery_http_body",
    "sqs": "sqs_message",
    "lambda": "lambda_payload",
    "events": "events_detail",
    "stepfunctions": "stepfunctions_input",
    "kinesis": "kinesis_data",
}
"""Of each target that can be told: the parameter that the text stands in."""
SENT: Final[Mapping[str, str]] = {**MESSAGES, "aws": "aws_input"}
"""Of each target: the parameter that is told as the message of a firing that has failed."""
MAX_BYTES: Final = 256 * 1024
"""Of the whole text, where the target takes as much."""
_LENGTHS: Final = (128 * 1024, 64 * 1024, 32 * 1024, 16 * 1024, 4 * 1024, 1024, 0)
"""Characters of the message that are tried where all of it is too long."""
_LEFT: Final = 3
"""Attempts that are told where more have no room, the last ones."""
_DETAIL: Final = 100
"""Characters of each one's `detail` then."""


def text_of(firing: Mapping[str, Any], message: str | None, fits: Callable[[str], bool]) -> str:
    """The text: of a message that is too long its beginning, and of attempts that are too many the last ones.

    :param firing: what became of it, by the names of the reference
    :param message: what it sent; None where it sent nothing, or that is not kept
    :param fits: whether the target takes a text
    """
    whole = _written(firing, message, cut=False)
    if fits(whole):
        return whole
    text, shortened = whole, {**firing, "attempts": _shortened(firing["attempts"]), "attempts_cut": True}
    for told in (firing, shortened):
        for length in _LENGTHS:
            text = _written(told, None if message is None else message[:length], cut=message is not None)
            if fits(text):
                return text
    return text


def _shortened(attempts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "detail": one["detail"][:_DETAIL]} for one in attempts[-_LEFT:]]


def _written(firing: Mapping[str, Any], message: str | None, *, cut: bool) -> str:
    told: dict[str, Any] = {"dead_letter": dict(firing), "message": message}
    if cut:
        told["message_cut"] = True
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
