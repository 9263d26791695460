"""Links that are sent by mail, on the wire: what is said when one was sent, and when it was used.

Invariant: what anybody may ask for says nothing of whether an address has an account: only who reads its mail learns
that. Of a link nothing but its token is known before it is used, and that says what it is for, and no more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, TypedDict

from cronally.contract.accounts import Email
from cronally.contract.attribute import Attribute
from cronally.contract.keys import Key
from cronally.contract.values import EXAMPLE_INSTANT
from cronally.contract.writing import Answer

PATH: Final = "/account/confirm/"
"""Behind it comes the token."""
TOKEN_FORM: Final = "[0-9A-Za-z_-]{1,100}"  # noqa: S105 - a form
"""What may stand in a path where a token belongs. Whether it is one is not decided by its form."""
REVOKE_OTHERS: Final = "revoke_others"
_TOKEN: Final = re.compile(rf"(?:.*{PATH})?({TOKEN_FORM})/?")


class LinkPurpose(StrEnum):
    """What a link is for: the beginning of its token."""

    SIGNUP = "signup"
    """To create the account that was asked for."""
    RECOVER = "recover"
    """To give an account whose keys are lost a new one."""
    CONFIRM = "confirm"
    """To show that the address of an account is its owner's."""
    CHANGE = "change"
    """To show that the new address of an account is its owner's."""
    AGREE = "agree"
    """To agree, as the old address of an account, to a new one."""
    REFUSE = "refuse"
    """To refuse it."""


class Recovery(TypedDict):
    """An account whose API keys are lost."""

    email: Email


class LinkUse(TypedDict, total=False):
    """What a link is to do besides."""

    revoke_others: Annotated[
        bool,
        Attribute(
            "Of recovery: true ends all other API keys of the account, as where they were stolen, and a change of its"
            " address that is under way",
            "true",
        ),
    ]


def token_of(link: str) -> str:
    """The token of a link, or a token as it is. Raises ValueError with a complaint."""
    found = _TOKEN.fullmatch(link.strip())
    if found is None:
        raise ValueError("is no link of a mail; give it whole, as it stands in the mail")
    return found[1]


def purpose_of(token: str) -> LinkPurpose | None:
    """What a token says that its link is for; None for a text that is no token."""
    try:
        return LinkPurpose(token.partition("-")[0])
    except ValueError:
        return None


@dataclass(frozen=True, kw_only=True)
class MailedLink(Answer):
    """A mail with a link was sent. The answer is the same whether the address has an account or not."""

    email: Annotated[str, Attribute("The address that it went to", example="username@example.com")]
    purpose: Annotated[str | LinkPurpose, Attribute("What the link is for")]
    until: Annotated[datetime, Attribute("When the link ends", example=EXAMPLE_INSTANT)]
    message: Annotated[str, Attribute("What to do now, as a sentence")]


@dataclass(frozen=True, kw_only=True)
class UsedLink(Answer):
    """What a link of a mail has done."""

    purpose: Annotated[str | LinkPurpose, Attribute("What the link was for")]
    email: Annotated[str, Attribute("The address that it went to", example="username@example.com")]
    message: Annotated[str, Attribute("What was done, as a sentence")]
    account_id: Annotated[str | None, Attribute("The account", format="uuid")] = None
    api_key: Annotated[
        str | None, Attribute("The API key that was made, if one was", format="uuid", absent=True)
    ] = None
    api_secret: Annotated[
        str | None,
        Attribute(
            "Its secret, in base64; signs requests. It is in no other answer", format="byte", absent=True
        ),
    ] = field(default=None, repr=False)
    keys: Annotated[
        tuple[Key, ...] | None,
        Attribute("Of recovery: all API keys of the account, this one among them", absent=True),
    ] = None
