"""A test message on the wire: that one is wanted, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.writing import Answer

VERIFY: Final = "verify"


class Verified(TypedDict, total=False):
    """What is checked before a cron job is written. It is not stored."""

    verify: Annotated[
        bool,
        Attribute(
            "Whether a test message is sent to the target first; if it does not take that, nothing is stored",
            "true or false",
            default=False,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class Verification(Answer):
    """What became of a test message."""

    delivered: Annotated[bool, Attribute("Whether the target took it")]
    outcome: Annotated[
        str,
        Attribute(
            "As of an attempt: delivered, retry, unauthorized, refused or unknown", example="unauthorized"
        ),
    ]
    detail: Annotated[
        str | None,
        Attribute(
            "What the target said, or what went wrong, as a text; null if it was delivered",
            example="InvalidClientTokenId: The security token included in the request is invalid.",
        ),
    ] = None
    message_id: Annotated[str | None, Attribute("The id that the target gave")] = None
    duration_ms: Annotated[int, Attribute("How long it took", minimum=0)]
    test_id: Annotated[
        str, Attribute("What the message had as its firing's id, which is that of no firing", format="uuid")
    ]
