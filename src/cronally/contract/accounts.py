"""Accounts on the wire: sign-up, a change, and the answer with an account."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final, TypedDict

from cronally.contract.attribute import DEFAULT, Attribute
from cronally.contract.limits import Limits
from cronally.contract.values import EXAMPLE_INSTANT, MAX_EMAIL, MAX_NAME, Uuid, check_email, check_name
from cronally.contract.writing import Answer
from cronally.cronjob import NOT_TOLD

SIGNUP_TOKEN: Final = Attribute(
    "Where the operator has closed sign-up to those who have the token", secret=True
)

Email = Annotated[
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


class Signup(TypedDict):
    """A new account."""

    email: Email


class AccountChange(TypedDict, total=False):
    """What is to be other of an account: its address, and what holds for all its cron jobs that say nothing else."""

    email: Annotated[
        str,
        Attribute(
            "Another address: the account has it once both addresses have said yes by the links that are mailed to"
            " them, or a week after the new one has. The address that it has ends a change that is under way",
            "an email address",
            example="username@example.com",
            check=check_email,
            format="email",
            min_length=3,
            max_length=MAX_EMAIL,
        ),
    ]
    dead_letter: Annotated[
        str,
        Attribute(
            "The cron job that tells of each firing that has failed of a cron job without a dead_letter of its own, by"
            f" its name or id; {NOT_TOLD} or {DEFAULT}: none does",
            f"the name or the id of a cron job, or {NOT_TOLD}",
            example="tell the owner",
            check=check_name,
            min_length=1,
            max_length=MAX_NAME,
        ),
    ]
    hide_secret: Annotated[
        bool,
        Attribute(
            "true: the API secret that the sign-up made is shown no more. It cannot be taken back", "true"
        ),
    ]
    refuse_signature_v1: Annotated[
        bool,
        Attribute(
            "Whether requests that are signed by version 1, which covers neither query nor body, are refused",
            "true or false",
            example=True,
        ),
    ]


class AccountDeletion(TypedDict):
    """The deletion of the account that asks."""

    email: Annotated[
        str,
        Attribute(
            "The address of the account, which confirms that this one is meant",
            "the account's own email address",
            example="username@example.com",
            check=check_email,
            format="email",
            min_length=3,
            max_length=MAX_EMAIL,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class DeletedAccount(Answer):
    """An account that was just deleted: nothing of it fires, and its keys are unknown."""

    account_id: Uuid
    email: Annotated[str, Attribute("As it was sent")]
    deleted_at: Annotated[datetime, Attribute("When it was deleted", example=EXAMPLE_INSTANT)]
    purge_at: Annotated[
        datetime,
        Attribute(
            "Until when the server's operator can restore it; then its secrets are destroyed, and the address is free",
            example=EXAMPLE_INSTANT,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class EmailChange(Answer):
    """Another address that an account is to have."""

    email: Annotated[str, Attribute("The new address")]
    asked_at: Annotated[datetime, Attribute("When it was asked for", example=EXAMPLE_INSTANT)]
    confirmed: Annotated[bool, Attribute("Whether the new address has said yes")]
    agreed: Annotated[bool, Attribute("Whether the old address has said yes")]
    applies_at: Annotated[
        datetime | None,
        Attribute(
            "When the account has it though the old address is silent; null: not yet", example=EXAMPLE_INSTANT
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Account(Answer):
    """The tenant, with the API key that asks."""

    account_id: Uuid
    email: Annotated[str, Attribute("As it was sent")]
    email_confirmed: Annotated[
        bool,
        Attribute(
            "Whether it was shown that the address is its owner's; mail brings back only such accounts"
        ),
    ] = False
    api_key: Uuid
    api_secret: Annotated[
        str,
        Attribute(
            "Base64; signs requests. Of the key that the sign-up made, until hide_secret is chosen; else empty",
            format="byte",
        ),
    ] = field(repr=False)
    cronjob_count: Annotated[int, Attribute("Cron jobs that are not deleted", minimum=0)]
    dead_letters: Annotated[
        int,
        Attribute(
            "Firings that have failed and are not discarded, among the last 1,000 that were not delivered",
            minimum=0,
        ),
    ] = 0
    dead_letter: Annotated[
        str | None,
        Attribute(
            "The id of the cron job that tells of what has failed of those that name none; null: none does",
            format="uuid",
        ),
    ] = None
    limits: Annotated[
        Limits | None, Attribute("How much it may have and ask for: the server's limits, or its own")
    ] = None
    refuse_signature_v1: Annotated[
        bool, Attribute("Whether requests that are signed by version 1 are refused")
    ] = False
    email_change: Annotated[
        EmailChange | None, Attribute("Another address that it is to have; null: none is under way")
    ] = None
    created_at: Annotated[datetime, Attribute("When it was created", example=EXAMPLE_INSTANT)]
