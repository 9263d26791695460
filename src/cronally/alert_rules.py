"""Rules of alerts: which conditions are told, of which cron jobs, and when; and which of several rules decides.

Invariant: pure. For each condition one rule decides alone: the most specific one that says anything of it. A rule of a
cron job goes before those of its tags, and these before those of the account; of several of one kind the oldest does.
A rule that says no to a condition decides too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cronally.condition import Name
from cronally.quiet_hours import QuietHours

ANY: Final = "=*"
"""What a tag ends with that stands for any value of its key."""


MAX_RULES: Final = 50
"""So many an account may have."""


class Scope(StrEnum):
    """What a rule is for, from the least to the most specific."""

    ACCOUNT = "account"
    TAG = "tag"
    CRONJOB = "cronjob"


_ORDER: Final = (Scope.CRONJOB, Scope.TAG, Scope.ACCOUNT)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a rule says. The names are those of its parameters, and of the JSON that is stored."""

    on_failure: bool | None = None
    """None: it says nothing of it, as of what follows."""
    after_failures: int | None = None
    on_late: int | None = None
    """Microseconds."""
    on_missed: bool | None = None
    on_held: bool | None = None
    on_overdue: bool | None = None
    on_ack_failed: bool | None = None
    on_paused_by_server: bool | None = None
    on_recovery: bool = True
    quiet_hours: str | None = None
    timezone: str = "UTC"
    remind_every: int | None = None
    """Microseconds."""
    channels: tuple[str, ...] = ()
    """Their ids; none: all of the account."""

    @classmethod
    def read(cls, text: str) -> Settings:
        """What is stored; names that are not known are ignored."""
        found: dict[str, Any] = json.loads(text)
        found["channels"] = tuple(found.get("channels", ()))
        return cls(**{name: found[name] for name in cls.__dataclass_fields__ if name in found})

    def said_of(self, name: Name) -> bool | None:
        """Whether a condition is told; None where it says nothing of it. A condition has its line here alone."""
        match name:
            case Name.FAILING:
                return True if self.after_failures is not None else self.on_failure
            case Name.LATE:
                return None if self.on_late is None else True
            case Name.MISSED:
                return self.on_missed
            case Name.HELD:
                return self.on_held
            case Name.OVERDUE:
                return self.on_overdue
            case Name.ACK_FAILED:
                return self.on_ack_failed
            case Name.PAUSED_BY_SERVER:
                return self.on_paused_by_server

    @property
    def failures(self) -> int:
        """How many in a row are told."""
        return self.after_failures or 1

    def quiet_until(self, now: int) -> int | None:
        """When the quiet hours end that an instant lies in; None outside of them."""
        if self.quiet_hours is None:
            return None
        return QuietHours.parse(self.quiet_hours, self.timezone).until(now)


CONDITIONS: Final = (
    "on_failure",
    "after_failures",
    "on_late",
    "on_missed",
    "on_held",
    "on_overdue",
    "on_ack_failed",
    "on_paused_by_server",
)
"""The parameters that say which conditions are told."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule."""

    rule_id: str
    scope: Scope
    value: str | None
    """The tag, or the cron job's id."""
    settings: Settings

    def is_for(self, cronjob_id: str | None, tags: Collection[str]) -> bool:
        """Whether it is for a cron job; None: for what is the account's."""
        if self.scope is Scope.ACCOUNT:
            return True
        if self.scope is Scope.CRONJOB:
            return cronjob_id is not None and self.value == cronjob_id
        wanted = self.value or ""
        if wanted.endswith(ANY):
            return any(tag.startswith(wanted.removesuffix("*")) for tag in tags)
        return wanted in tags


def decide(rules: Sequence[Rule], name: Name, cronjob_id: str | None, tags: Collection[str]) -> Rule | None:
    """The rule by which a condition of a cron job is told; None where it is not.

    :param rules: those of its account, the oldest first
    """
    for scope in _ORDER:
        for rule in rules:
            if rule.scope is scope and rule.is_for(cronjob_id, tags):
                said = rule.settings.said_of(name)
                if said is not None:
                    return rule if said else None
    return None


def decide_for_any(
    rules: Sequence[Rule], name: Name, cronjobs: Iterable[tuple[str, Collection[str]]]
) -> Rule | None:
    """The rule by which something is told that several cron jobs have in common.

    That of the account, if one decides for it, or the one that decides for the first of them.
    """
    common = decide(rules, name, None, ())
    if common is not None:
        return common
    return next(
        (rule for of, tags in cronjobs if (rule := decide(rules, name, of, tags)) is not None),
        None,
    )
