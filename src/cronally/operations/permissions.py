"""What a key may ask for: the one rule, of a scope and of what a request is about.

Invariant: pure. What a request needs is declared once for its route (`api.permissions`), and is looked at before its
parameters are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cronally import errors
from cronally.contract.keys import Scope
from cronally.contract.tags import ANY
from cronally.operations.caller import Caller


class Reach(Enum):
    """What of an account a request is about."""

    CRONJOB = "one cron job, which is in the path"
    CHOSEN = (
        "cron jobs that it makes, names or filters, or what belongs to those: the operation keeps to the tags"
    )
    SHARED = "what holds for all cron jobs alike, and is only shown"
    ACCOUNT = "what is the account's"


@dataclass(frozen=True, slots=True)
class Access:
    """What a route needs."""

    scope: Scope
    reach: Reach


def check(caller: Caller, access: Access) -> None:
    """Raise Forbidden, which says what is missing, where a key may not ask for this."""
    if access.scope not in caller.scopes:
        has = ", ".join(scope for scope in Scope if scope in caller.scopes) or "none"
        raise errors.Forbidden(
            f"This needs the scope {access.scope}, which the API key has not (it has: {has}); ask with another key, or"
            " let one with the scope keys change it."
        )
    if caller.tags and access.reach is Reach.ACCOUNT:
        raise errors.Forbidden(
            f"The API key is restricted to the tags {', '.join(caller.tags)}, and this is about the whole account; ask"
            " with a key without tags."
        )


def has_one(own: tuple[str, ...], tags: tuple[str, ...] | list[str]) -> bool:
    """Whether a cron job with these tags is one that a key with the tags `own` is for."""
    return not own or any(covers(each, tag) for each in own for tag in tags)


def covers(own: str, tag: str) -> bool:
    """Whether all cron jobs that have a tag, or one that it stands for, are those of another one."""
    return own == tag or (own.endswith(ANY) and tag.startswith(own.removesuffix("*")))
