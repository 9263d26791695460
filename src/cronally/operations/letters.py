"""What the mails say that people get because of an account.

Invariant: pure. A mail holds nothing that whoever asked for it has written but the address that it goes to, so nobody
can have this server send their words to a stranger; it says what to do for who has asked, and for who has not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail that is to be sent."""

    to: str
    subject: str
    text: str = field(repr=False)
    """It may hold a link."""


_NOT_YOU: Final = "If you have not asked for this, do nothing"


def signup_letter(to: str, url: str, link: str) -> Letter:
    """Of a sign-up: the link that makes the account."""
    return Letter(
        to,
        "Confirm your address to create an account of Cronally",
        f"Somebody has asked the Cronally server {url} for an account with this address.\n\n"
        "If that was you, open this link within 24 hours and press the button. The page that follows shows the API key"
        " and its secret, this once:\n\n"
        f"{link}\n\n"
        f"In a terminal: cronally account confirm {link}\n\n"
        f"{_NOT_YOU}: without the link there is no account.\n",
    )


def taken_letter(to: str, url: str, *, confirmed: bool) -> Letter:
    """Of a sign-up with an address that has an account."""
    way = (
        f"If you have lost its API keys, this gets you back in: cronally account recover {to} --url {url}"
        if confirmed
        else "Nobody has confirmed yet that the address of that account is its owner's: who has its API key does that"
        " with `cronally account confirm`. If you have lost its keys, or if the account is not yours, ask the operator"
        " of the server."
    )
    return Letter(
        to,
        "This address has an account of Cronally already",
        f"Somebody has asked the Cronally server {url} for an account with this address. It has one already, so no"
        " other was made.\n\n"
        f"{way}\n\n"
        f"{_NOT_YOU}: nothing has changed.\n",
    )
