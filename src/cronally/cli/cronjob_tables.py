"""What people see of cron jobs: everything about one, and a table of several.

Invariant: ids and fire times are never cut, whatever the width; instants are UTC. A policy that is declared is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rich.text import Text

from cronally.cli.aws_cells import aws_rows, aws_target
from cronally.cli.columns import chosen_columns
from cronally.cli.layout import (
    Column,
    cell,
    instant,
    joined,
    print_page,
    print_pairs,
    stacked,
)
from cronally.cli.standing import (
    coloured,
    counts_of,
    in_one_line,
    short_health,
    short_last_firing,
    standing_columns,
    whole_health,
    whole_last_firing,
)
from cronally.contract.attribute import declared
from cronally.contract.aws import NAMING
from cronally.contract.connections import Health
from cronally.contract.policies import Policies
from cronally.cronjob import State

if TYPE_CHECKING:
    from cronally.client import Cronjob, Page

_ID_WIDTH: Final = 36
_SECOND_WIDTH: Final = len("2026-11-24 08:00:00")
_NAME_WIDTH: Final = 24
_EXPRESSION_WIDTH: Final = 13
_TARGET_WIDTH: Final = 20
"""What these columns may be wrapped to before a table is laid out otherwise."""

_USER: Final = re.compile("^[^/?#]*@")
"""What stands before the host of a URL without its scheme."""

_WITH_OTHERS: Final = frozenset({"dst_gap", "dst_overlap", "catch_up", "misfire_grace"})
"""Policies that share a line with others, or have one with another name."""


def print_cronjob(cronjob: Cronjob) -> None:
    """Print everything about one cron job."""
    print_pairs(
        [
            ("Cron job", cronjob.cronjob_id),
            ("Name", cronjob.name),
            ("Tags", joined(*cronjob.tags)),
            ("Expression", _expressions(cronjob)),
            ("Time zone", cronjob.timezone),
            ("Schedule", cronjob.schedule),
            ("Changes of the clock", joined(*_policies(cronjob))),
            ("State", coloured(cronjob.state)),
            ("Reason", cronjob.state_reason),
            ("Paused", instant(cronjob.paused_at, seconds=True)),
            ("Until", instant(cronjob.paused_until, seconds=True)),
            ("By API key", cronjob.paused_by),
            ("Note", cronjob.paused_note),
            ("Frozen until", instant(cronjob.frozen_until, seconds=True)),
            ("By freeze", cronjob.frozen_by),
            ("Next fire time (UTC)", instant(cronjob.next_fire_at, seconds=True)),
            ("Last firing (UTC)", whole_last_firing(cronjob)),
            ("Health", whole_health(cronjob)),
            *counts_of(cronjob),
            ("Target", _target(cronjob)),
            ("Secret parts", joined(*(cronjob.delivery_http_secret_parts or ()))),
            ("Headers", _headers(cronjob.delivery_http_headers)),
            ("Body", cronjob.delivery_http_body),
            ("Content type", cronjob.delivery_http_content_type),
            ("Success", _value(cronjob.delivery_http_success)),
            ("Keeps answers", cronjob.delivery_http_keep_answer),
            ("Request timeout", cronjob.delivery_http_timeout),
            ("Retry statuses", _value(cronjob.delivery_http_retry_statuses)),
            ("Refused statuses", _value(cronjob.delivery_http_refused_statuses)),
            ("Message", cronjob.sns_message),
            ("Connection", _connection(cronjob)),
            ("Subject", cronjob.sns_subject),
            ("Message structure", cronjob.sns_message_structure),
            ("Message attributes", cronjob.sns_attributes),
            ("Message group", cronjob.sns_group_id),
            ("Deduplication id", cronjob.sns_deduplication_id),
            ("AWS access key", cronjob.sns_access_key_id),
            *aws_rows(cronjob),
            ("Catch-up", joined(cronjob.catch_up, cronjob.misfire_grace)),
            *(
                (_label(name), _value(getattr(cronjob, name)))
                for name in declared(Policies)
                if name not in _WITH_OTHERS
            ),
            ("Retries", cronjob.retries),
            ("Fired", cronjob.fired),
            ("Created", instant(cronjob.created_at, seconds=True)),
            ("Changed", instant(cronjob.updated_at, seconds=True)),
            ("Test message", None if cronjob.verification is None else "delivered"),
        ]
    )


def print_cronjobs(
    page: Page[Cronjob], *, wide: bool = False, filtered: bool = False, chosen: Sequence[str] = ()
) -> None:
    """Print a table of cron jobs, and how to get the next page.

    :param wide: a line for each, however long
    :param filtered: whether there may be others
    :param chosen: the keys whose columns are wanted; none: those that fit
    """
    names = [cronjob.name for cronjob in page]
    ids = [cronjob.cronjob_id for cronjob in page]
    expressions = [_expressions(cronjob) for cronjob in page]
    # Where there is no next fire time, the state says why.
    fires = [instant(each.next_fire_at) if each.state == State.ACTIVE else _standing(each) for each in page]
    whose = Column("Name, id", [stacked(*both) for both in zip(names, ids, strict=True)], _ID_WIDTH)
    expression = Column("Expression", expressions, _EXPRESSION_WIDTH)
    next_fire = Column("Next fire (UTC)", fires)
    target = Column("Target", [_short_target(each) for each in page], _TARGET_WIDTH)
    lasts = [short_last_firing(each) for each in page]
    healths = [short_health(each) for each in page]
    times = [stacked(*both) for both in zip(fires, lasts, strict=True)]
    all_ = [stacked(*each) for each in zip(expressions, fires, lasts, healths, strict=True)]
    last, health = standing_columns(lasts, healths)
    whole = [Column("Id", ids), Column("Name", names, _NAME_WIDTH), expression, next_fire]
    layouts: Sequence[Sequence[Column]] = (
        [*whole, *in_one_line([*last, *health]), target],
        [whose, expression, next_fire, *last, *health, target],
        [whose, expression, next_fire, *last, *health],
        [whose, expression, Column("Next, last (UTC)", times), *health],
        [whose, Column("Expression, next, last (UTC), health", all_, _SECOND_WIDTH)],
    )
    if chosen:
        layouts = [chosen_columns(chosen, page.items)]
    beneath = None if chosen else [counts_of(each) for each in page]
    none = "There are no cron jobs; `cronally add --help` says how to create one."
    when_empty = "No cron job is like that." if filtered else none
    print_page(page, layouts, when_empty, beneath, wide=wide)


def _value(value: object) -> object:
    """The value of a policy; a list in one line, an empty one as none."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or None
    return instant(value, seconds=True) if isinstance(value, datetime) else value


def _expressions(cronjob: Cronjob) -> Text:
    """The expressions of a cron job, one a line."""
    several = [cronjob.cron] if isinstance(cronjob.cron, str) else cronjob.cron
    return Text("\n").join([cell(one) for one in several])


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _policies(cronjob: Cronjob) -> list[str]:
    """What was chosen for changes of the clock."""
    chosen = (("dst_gap", cronjob.dst_gap), ("dst_overlap", cronjob.dst_overlap))
    return [f"{name}={policy}" for name, policy in chosen if policy is not None]


def _connection(cronjob: Cronjob) -> str | None:
    """The name of the connection that it uses, and how that is where its credentials are refused."""
    used = cronjob.connection
    if used is None:
        return None
    return used.name if used.health == Health.OK else f"{used.name} ({used.health})"


def _headers(headers: Mapping[str, str] | None) -> str | None:
    return "\n".join(f"{name}: {value}" for name, value in (headers or {}).items()) or None


def _standing(cronjob: Cronjob) -> Text:
    """The state, and how long it lasts."""
    state, until = coloured(cronjob.state), instant(cronjob.paused_until)
    return state if until is None else state.append(f" until\n{until}")


def _target(cronjob: Cronjob) -> str | None:
    if cronjob.delivery_type in NAMING:
        return aws_target(cronjob)
    if cronjob.delivery_http_url is not None:
        return joined((cronjob.delivery_http_method or "").upper() or None, cronjob.delivery_http_url)
    return cronjob.sns_topic


def _short_target(cronjob: Cronjob) -> str | None:
    """The topic's name, or the URL without its scheme and user, as the server shows it: secrets are hidden."""
    if cronjob.delivery_type in NAMING:
        return aws_target(cronjob)
    if cronjob.delivery_http_url is not None:
        rest = cronjob.delivery_http_url.partition("://")[2] or cronjob.delivery_http_url
        return _USER.sub("", rest)
    return None if cronjob.sns_topic is None else cronjob.sns_topic.rpartition(":")[2]
