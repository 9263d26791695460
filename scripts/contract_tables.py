"""The tables of docs/reference/api.md, made of the declarations in `cronally.contract`.

A page has places for them: `<!-- table NewCronjob, written by make docs -->`, and `<!-- end of table -->`.

Invariant: a table has every attribute of its declaration, except those that another table of the page has: the
parameters of the targets, and what a preview of a cron job has of a preview.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cronally.contract import (
    accounts,
    acknowledgements,
    alert_rules,
    alerts,
    audit,
    bulk,
    calendars,
    channel_requests,
    channels,
    connection_requests,
    connections,
    cronjob_requests,
    cronjobs,
    dead_letters,
    firings,
    forecasts,
    freezes,
    hosts,
    key_pages,
    keys,
    limits,
    mailed_links,
    operations,
    renderings,
    replays,
    schedules,
    service,
    standings,
    targets,
    verification,
)
from cronally.contract.attribute import Declared, declared
from cronally.instants import format_duration

PLACE: Final = re.compile(
    r"(<!-- table (\w+), written by make docs -->\n).*?(<!-- end of table -->)", re.DOTALL
)
REQUESTS: Final = (
    accounts.Signup,
    accounts.AccountChange,
    accounts.AccountDeletion,
    cronjob_requests.NewCronjob,
    cronjob_requests.CronjobChange,
    cronjob_requests.Pause,
    cronjob_requests.CronjobQuery,
    calendars.CalendarDates,
    *targets.TARGETS.values(),
    firings.ManualFiring,
    firings.FiringsOfCronjobQuery,
    firings.FiringQuery,
    schedules.ExpressionPreview,
    schedules.Window,
    schedules.Question,
    renderings.Rendered,
    forecasts.ForecastRange,
    bulk.Selecting,
    bulk.Trial,
    operations.OperationPage,
    freezes.NewFreeze,
    connection_requests.NewConnection,
    connection_requests.ConnectionPage,
    hosts.NewHost,
    channel_requests.NewChannel,
    channel_requests.ChannelPage,
    alerts.AlertPage,
    mailed_links.Recovery,
    mailed_links.LinkUse,
    keys.NewKey,
    keys.Rotation,
    replays.Replay,
    replays.ReplayMany,
    replays.Backfill,
    dead_letters.DeadLetterQuery,
    dead_letters.DiscardMany,
    dead_letters.Discard,
    alert_rules.NewAlertRule,
    acknowledgements.Ended,
    audit.AuditPage,
)
ANSWERS: Final = (
    accounts.Account,
    accounts.DeletedAccount,
    limits.Limits,
    accounts.EmailChange,
    cronjobs.Cronjob,
    verification.Verification,
    calendars.Calendar,
    standings.LastFiring,
    standings.Counts,
    firings.Firing,
    firings.Attempt,
    firings.TargetAnswer,
    schedules.Preview,
    schedules.CronjobPreview,
    renderings.Rendering,
    schedules.FireTime,
    schedules.Suppressed,
    schedules.Excluded,
    schedules.Explanation,
    forecasts.Forecast,
    forecasts.ForecastHost,
    forecasts.ForecastStep,
    forecasts.BusySecond,
    forecasts.SpreadGain,
    forecasts.SpreadCronjob,
    bulk.Selection,
    bulk.Selected,
    operations.Operation,
    operations.Problem,
    freezes.Freeze,
    alert_rules.AlertRule,
    connections.Connection,
    connections.ConnectionVerification,
    key_pages.KeySet,
    key_pages.PublicKey,
    acknowledgements.Received,
    hosts.Host,
    channels.Channel,
    channels.Confirmed,
    alerts.Alert,
    alerts.AlertedCronjob,
    alerts.AlertDelivery,
    mailed_links.MailedLink,
    mailed_links.UsedLink,
    keys.Key,
    replays.ReplayTrial,
    replays.BackfillTrial,
    dead_letters.Discarded,
    audit.AuditRow,
    audit.AuditChange,
    audit.AuditEnds,
    service.Failure,
    service.Health,
    service.Readiness,
    service.Status,
)


def filled(page: str) -> str:
    """The page with its tables current. Raises KeyError for a table that there is not."""
    made = tables()
    return PLACE.sub(lambda match: f"{match[1]}\n{made[match[2]]()}\n{match[3]}", page)


def tables() -> Mapping[str, Callable[[], str]]:
    """What makes each table, by the name of the declaration."""
    requests = {kind.__name__: lambda kind=kind: _request(kind) for kind in REQUESTS}
    answers = {kind.__name__: lambda kind=kind: _answer(kind) for kind in ANSWERS}
    changes = {
        kind.__name__: lambda kind=kind: _names(kind)
        for kind in (
            cronjob_requests.CronjobChange,
            connection_requests.ConnectionChange,
            channel_requests.ChannelChange,
            keys.KeyChange,
        )
    }
    return {**requests, **changes, **answers}


def _request(kind: type) -> str:
    lines = ["| parameter | type | default | |", "| --- | --- | --- | --- |"]
    own = next((target for target, each in targets.TARGETS.items() if each is kind), None)
    for name, one in declared(kind).items():
        owner = own or targets.target_of(name)
        if own or owner is None:
            cells = (f"`{name}`", _bounded(one), _default(one, owner), one.attribute.description)
            lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def _names(kind: type) -> str:
    return ",\n".join(_wrapped([f"`{name}`" for name in declared(kind)])) + ".\n"


def _wrapped(names: list[str]) -> Iterator[str]:
    """The names with commas, six a line."""
    for start in range(0, len(names), 6):
        yield ", ".join(names[start : start + 6])


def _answer(kind: type) -> str:
    base = declared(kind.__base__) if kind.__base__ is schedules.Preview else {}
    lines = ["| key | type | |", "| --- | --- | --- |"]
    for name, one in declared(kind).items():
        if name not in base:
            lines.append(_row((f"`{name}`", _shown(one), one.attribute.description)))
    return "\n".join(lines) + "\n"


def _row(cells: tuple[str, ...]) -> str:
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |".replace("|  |", "| |")


def _bounded(one: Declared) -> str:
    """What a request may send."""
    about = one.attribute
    if one.item is not None and about.one_or_more:
        return f"{_bounded(one.item)}, or a list of up to {about.max_length} of these"
    if one.type is int and about.minimum is not None and about.maximum is not None:
        return f"{about.minimum:,} to {about.maximum:,}"
    if one.type is timedelta and about.minimum is not None and about.maximum is not None:
        return f"`{format_duration(about.minimum)}` to `{format_duration(about.maximum)}`"
    if one.type is str and about.min_length is not None and (about.max_length or about.max_bytes):
        unit = "characters" if about.max_length else "bytes in UTF-8"
        return f"{about.min_length:,} to {about.max_length or about.max_bytes:,} {unit}"
    return _type(one)


def _shown(one: Declared) -> str:
    """What an answer holds."""
    if one.attribute.absent:
        return f"{_type(one)}; may be absent"
    return f"{_type(one)}, or `null`" if one.nullable else _type(one)


def _type(one: Declared) -> str:
    names: dict[Any, str] = {
        int: "whole number",
        bool: "`true`, `false`",
        datetime: "instant",
        timedelta: "duration",
        dict[str, str]: "map",
    }
    if one.item is not None and one.attribute.one_or_more:
        return f"{_type(one.item)}, or list of {_type(one.item)}s"
    if one.item is not None:
        return f"list of {_type(one.item)}" + ("" if one.item.choices else "s")
    if is_dataclass(one.type):
        return "object"
    if one.choices:
        return ", ".join(f"`{choice}`" for choice in one.choices)
    return "id" if one.attribute.format == "uuid" else names.get(one.type, "text")


def _default(one: Declared, owner: str | None) -> str:
    if one.required:
        return "required"
    if one.default_text is not None:
        return f"`{one.default_text}`"
    return f"required for `{owner}`" if owner is not None and not one.attribute.optional else ""
