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


def recover_letter(to: str, url: str, link: str) -> Letter:
    """Of an account whose keys are lost: the link that gives a new one."""
    return Letter(
        to,
        "A new API key for your account of Cronally",
        f"Somebody has asked the Cronally server {url} for a new API key of the account with this address.\n\n"
        "If that was you, open this link within 30 minutes and press the button. The page that follows shows the key"
        " and its secret, this once, and the other keys of the account:\n\n"
        f"{link}\n\n"
        f"In a terminal: cronally account confirm {link}\n\n"
        f"{_NOT_YOU}: without the link there is no key.\n",
    )


def nothing_to_recover_letter(to: str, url: str, *, unconfirmed: bool) -> Letter:
    """Of an address that brings no account back."""
    why = (
        "Nobody has confirmed that the address of this account is its owner's, so mail to it gives no key. Ask the"
        " operator of the server, who can give the account a new one."
        if unconfirmed
        else "It has no account there. If your account has another address, ask with that one."
    )
    return Letter(
        to,
        "No API key could be made for this address",
        f"Somebody has asked the Cronally server {url} for a new API key of the account with this address.\n\n"
        f"{why}\n\n"
        f"{_NOT_YOU}: nothing has changed.\n",
    )


def confirm_letter(to: str, url: str, link: str) -> Letter:
    """Of an account: the link that shows that its address is its owner's."""
    return Letter(
        to,
        "Confirm the address of your account of Cronally",
        f"An account of the Cronally server {url} has this address. Whoever has its API key asks you to confirm"
        " that the account is yours: then mail to this address brings it back if its keys are lost.\n\n"
        "If it is yours, open this link within 24 hours and press the button:\n\n"
        f"{link}\n\n"
        f"In a terminal: cronally account confirm {link}\n\n"
        "If it is not, do nothing: nothing changes.\n",
    )


def change_letter(to: str, url: str, link: str) -> Letter:
    """To the new address of an account: the link that confirms it."""
    return Letter(
        to,
        "Confirm this address for an account of Cronally",
        f"An account of the Cronally server {url} is to have this address.\n\n"
        "If that is yours, open this link within 24 hours and press the button:\n\n"
        f"{link}\n\n"
        f"In a terminal: cronally account confirm {link}\n\n"
        f"{_NOT_YOU}: the account keeps the address that it has.\n",
    )


def change_taken_letter(to: str, url: str) -> Letter:
    """To an address that another account is to have, though it has one."""
    return Letter(
        to,
        "This address has an account of Cronally already",
        f"Another account of the Cronally server {url} is to have this address. It has an account already, and an"
        " address has one at most, so nothing changes.\n\n"
        f"{_NOT_YOU}.\n",
    )


def agree_letter(to: str, url: str, email: str, agree: str, refuse: str) -> Letter:
    """To the old address of an account: the links that agree to another one, or refuse it."""
    return Letter(
        to,
        "Your account of Cronally is to have another address",
        f"Somebody with an API key of your account of the Cronally server {url} has asked that its address"
        f" be {email}.\n\n"
        "If that was not you, refuse: open this link and press the button. Then look at your API keys: somebody has"
        " one.\n\n"
        f"{refuse}\n\n"
        "If it was you, agree:\n\n"
        f"{agree}\n\n"
        "If you do neither, the account has the new address a week after it was confirmed.\n",
    )
