"""What an API key may be, and what one key may make of another.

Invariant: pure. A key gives no other one more than it has itself; and of an account's keys one at least holds the
account: with it others can be made for as long as there is the account, from anywhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from cronally import errors
from cronally.contract.attribute import DEFAULT
from cronally.contract.keys import Network, Scope
from cronally.contract.reading import Reading, refusal
from cronally.operations.caller import Caller
from cronally.store.api_keys import ApiKey

_LAST: Final = (
    "It is the account's last API key with the scope keys that never expires and has neither tags nor networks: without"
    " one nobody could be sure to make a key for this account again. Make another one first, or rotate this one."
)


def holds_account(key: ApiKey, now: int) -> bool:
    """Whether others can be made with a key for as long as there is the account, from anywhere."""
    return (
        key.is_live(now)
        and key.expires_at is None
        and Scope.KEYS.value in key.scopes
        and not (key.tags or key.networks)
    )


def wanted(reading: Reading[Any], now: int) -> dict[str, Any]:
    """What was sent of a key, as it is stored; complains of an end that is none."""
    sent = reading.sent({"name", "scopes", "tags", "networks"})
    read = {name: tuple(value) if isinstance(value, list) else value for name, value in sent.items()}
    if "expires_at" in reading.values:
        read["expires_at"] = reading.check("expires_at", lambda: _expiry(reading.values["expires_at"], now))
    return read


def check_together(key: ApiKey) -> None:
    """Raise InvalidRequest for a key that is restricted to tags and is to work on keys, which have none."""
    if key.tags and Scope.KEYS.value in key.scopes:
        raise refusal(
            "tags", "do not go with the scope keys: keys are the whole account's; leave one of them out"
        )


def _expiry(sent: int | timedelta | str, now: int) -> int | None:
    if sent == DEFAULT:
        return None
    at = now + sent // timedelta(microseconds=1) if isinstance(sent, timedelta) else int(sent)
    if at <= now:
        raise ValueError("is not in the future; give a later instant, or revoke the key")
    return at


def check_no_more(caller: Caller, wanted: ApiKey, before: ApiKey | None = None) -> None:
    """Raise Forbidden where a key gets what the caller's own has not: whoever has the one could get at the other.

    :param before: the key as it is; what it has already, and keeps, is nothing that it gets
    """
    if before is not None and _narrows(before, wanted):
        return
    more = [scope for scope in wanted.scopes if scope not in caller.scopes]
    if more:
        raise errors.Forbidden(
            f"The API key that asks has not the scope {more[0]}, so it can give it to no other key; ask with one that"
            " has it."
        )
    if caller.expires_at is not None and (wanted.expires_at is None or wanted.expires_at > caller.expires_at):
        raise errors.Forbidden(
            "The API key that asks expires, so no key that it makes or changes can go on for longer; send an"
            " expires_at that is not later than its own."
        )
    if caller.networks and not (
        wanted.networks and all(_lies_in(each, caller.networks) for each in wanted.networks)
    ):
        raise errors.Forbidden(
            "The API key that asks is for some networks alone, so it can make and change no key that is for others;"
            " send networks that lie in its own."
        )


def _narrows(before: ApiKey, after: ApiKey) -> bool:
    """Whether a key may do nothing after a change that it could not before."""
    own = tuple([ipaddress.ip_network(each) for each in before.networks])
    return (
        set(after.scopes) <= set(before.scopes)
        and not later(after, before)
        and (not before.tags or bool(after.tags and set(after.tags) <= set(before.tags)))
        and (not own or bool(after.networks and all(_lies_in(each, own) for each in after.networks)))
    )


def later(after: ApiKey, before: ApiKey) -> bool:
    """Whether a key ends later than before."""
    if before.expires_at is None:
        return False
    return after.expires_at is None or after.expires_at > before.expires_at


def _lies_in(text: str, networks: tuple[Network, ...]) -> bool:
    network = ipaddress.ip_network(text)
    return any(
        network.version == each.version and network.subnet_of(each)  # type: ignore[arg-type]
        for each in networks
    )


def check_last(known: Sequence[ApiKey], after: ApiKey, now: int) -> None:
    """Raise Conflict for a change after which nobody could make a key of the account any more."""
    others = [each for each in known if each.api_key != after.api_key]
    before = next(each for each in known if each.api_key == after.api_key)
    if holds_account(before, now) and not any(holds_account(each, now) for each in [*others, after]):
        raise errors.Conflict(_LAST)


def counts(key: ApiKey, now: int) -> bool:
    """Whether a key is one of those of which an account has so many: of two that replace each other, the new one."""
    return key.is_live(now) and key.replaced_by is None


def check_name(known: Sequence[ApiKey], name: str, now: int) -> None:
    """Raise InvalidRequest for a name that another key has now."""
    if any(each.name == name and counts(each, now) for each in known):
        raise refusal("name", "is the name of another key; give another one, or rotate that key")
