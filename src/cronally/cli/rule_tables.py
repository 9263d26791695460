"""What people see of rules of alerts: tables, by Rich.

Invariant: as in `layout`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cronally.alert_rules import CONDITIONS
from cronally.cli.layout import Column, print_page, print_pairs

if TYPE_CHECKING:
    from cronally.client import AlertRule, Page


def print_rules(page: Page[AlertRule], *, wide: bool = False) -> None:
    """Print a table of rules."""
    ids = Column("Id", [each.rule_id for each in page])
    scope = Column("For", [_scope(each) for each in page], 16)
    told = Column("Tells of", [", ".join(_told(each)) for each in page], 16)
    quiet = Column("Quiet", [_quiet(each) for each in page])
    remind = Column("Reminds", [each.remind_every for each in page])
    layouts = ([ids, scope, told, quiet, remind], [ids, scope, told], [ids, told])
    none = "There are no rules; `cronally rule add --help` says how to make one."
    print_page(page, layouts, none, wide=wide)


def print_rule(rule: AlertRule) -> None:
    """Print a rule."""
    print_pairs(
        [
            ("Rule", rule.rule_id),
            ("For", _scope(rule)),
            ("Tells of", ", ".join(_told(rule))),
            ("Of recovery", "yes" if rule.on_recovery else "no"),
            ("Quiet hours", _quiet(rule)),
            ("Reminds every", rule.remind_every),
            ("Channels", ", ".join(rule.channels) or "all"),
        ]
    )


def _scope(rule: AlertRule) -> str:
    if rule.tag is not None:
        return f"tag {rule.tag}"
    return "the account" if rule.cronjob_id is None else f"cron job {rule.cronjob_id}"


def _told(rule: AlertRule) -> Iterator[str]:
    """What it says of each condition that it says anything of."""
    for name in CONDITIONS:
        value = getattr(rule, name)
        if isinstance(value, bool):
            yield name if value else f"not {name}"
        elif value is not None:
            yield f"{name}={value}"


def _quiet(rule: AlertRule) -> str | None:
    return None if rule.quiet_hours is None else f"{rule.quiet_hours} {rule.timezone}"
