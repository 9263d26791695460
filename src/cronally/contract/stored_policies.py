"""How the policies of a cron job are stored: what a value that was sent becomes, and how what is stored is shown.

Invariant: one rule for all policies, by the type that each is declared with in `Policies`. What is stored is JSON:
instants and durations are microseconds, and a policy that follows a rule without a value (`default`) is left out.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, get_origin

from cronally.contract.attribute import DEFAULT, Declared, declared
from cronally.contract.policies import Policies
from cronally.contract.writing import shown
from cronally.cronjob import read_object

_STORED_TYPES: Final[Mapping[Any, type]] = {datetime: int, timedelta: int, int: int, bool: bool}


def stored_value(name: str, value: Any) -> Any:
    """A value of a policy as it is stored: None for `default`, where the policy has that value, and for no items."""
    follows = declared(Policies)[name].attribute.default == DEFAULT
    return None if (follows and value == DEFAULT) or value == [] else value


def default_policies() -> dict[str, Any]:
    """The policies of a cron job for which nothing was chosen, as they are stored."""
    return {name: stored_value(name, one.attribute.default) for name, one in declared(Policies).items()}


def stored_policies(text: str) -> dict[str, Any]:
    """The policies in a text of JSON, with the defaults of those that are not there or have another type.

    A cron job with such a policy is set aside by the scheduler, and a change repairs it.
    """
    stored = read_object(text) or {}
    return {
        name: stored[name] if _has_type(declared(Policies)[name], stored.get(name)) else default
        for name, default in default_policies().items()
    }


def _has_type(one: Declared, value: Any) -> bool:
    kind = get_origin(one.type) if isinstance(one.type, types.GenericAlias) else one.type
    stored = _STORED_TYPES.get(kind, kind if kind in (list, dict) else str)
    if type(value) is not stored or (one.choices and value not in one.choices):
        return False
    try:
        shown(one, value)
    except (ValueError, OverflowError):
        return False
    return True


@lru_cache(maxsize=4096)
def shown_policies(text: str) -> Mapping[str, Any]:
    """The policies in a text of JSON, as an answer shows them. Most cron jobs have the same few."""
    policies = stored_policies(text)
    return {
        name: shown(one, policies[name])
        for name, one in declared(Policies).items()
        if policies[name] is not None
    }
