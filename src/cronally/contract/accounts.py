"""Accounts on the wire: sign-up, and the answer with an account."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.values import EXAMPLE_INSTANT, MAX_EMAIL, Uuid, check_email
from cronally.contract.writing import Answer

SIGNUP_TOKEN: Final = Attribute(
    "Where the operator has closed sign-up to those who have the token", secret=True
)


class Signup(TypedDict):
    """A new account."""

    email: Annotated[
        str,
        Attribute(
            "The address of the account; one account an address",
            "the account's email address",
            example="username@example.com",
            check=check_email,
            format="email",
            min_length=3,
            max_length=MAX_EMAIL,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class Account(Answer):
    """The tenant, with the API key that asks and its secret."""

    account_id: Uuid
    email: Annotated[str, Attribute("As it was sent")]
    api_key: Uuid
    api_secret: Annotated[str, Attribute("Base64; signs requests", format="byte")] = field(repr=False)
    cronjob_count: Annotated[int, Attribute("Cron jobs that are not deleted", minimum=0)]
    dead_letters: Annotated[
        int,
        Attribute(
            "Firings that have failed and are not discarded, among the last 1,000 that were not delivered",
            minimum=0,
        ),
    ] = 0
    created_at: Annotated[datetime, Attribute("When it was created", example=EXAMPLE_INSTANT)]
