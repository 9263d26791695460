"""What people see of channels and of alerts: tables, by Rich.

Invariant: as in `layout`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronally.cli.layout import Column, instant, joined, print_page, print_pairs, stacked

if TYPE_CHECKING:
    from cronally.client import Alert, AlertDelivery, Channel, Page


def print_channels(page: Page[Channel], *, wide: bool = False) -> None:
    """Print a table of channels, and how to get the next page."""
    names = Column("Name", [each.name for each in page], 24)
    kinds = Column("Kind", [each.kind for each in page])
    where = Column("To", [_where(each) for each in page], 24)
    confirmed = Column("Confirmed", ["yes" if each.confirmed else "no" for each in page])
    health = Column("Health", [each.health for each in page])
    last = Column("Last reached (UTC)", [instant(each.delivered_at, seconds=True) for each in page])
    layouts = (
        [names, kinds, where, confirmed, health, last],
        [names, kinds, where, confirmed, health],
        [names, kinds, confirmed, health],
    )
    none = "There are no channels; `cronally channel add --help` says how to create one."
    print_page(page, layouts, none, wide=wide)


def print_channel(channel: Channel) -> None:
    """Print a channel, without its secrets."""
    print_pairs(
        [
            ("Channel", channel.channel_id),
            ("Name", channel.name),
            ("Kind", channel.kind),
            ("To", _where(channel)),
            ("Format", channel.format),
            ("Access key", channel.sns_access_key_id),
            ("Connection", channel.connection_id),
            ("Confirmed", instant(channel.confirmed_at, seconds=True) or "no"),
            ("... by (UTC)", instant(channel.confirm_until, seconds=True)),
            ("Health", channel.health),
            ("Since (UTC)", instant(channel.unhealthy_since, seconds=True)),
            ("Last reached (UTC)", instant(channel.delivered_at, seconds=True)),
            ("Version", channel.version),
        ]
    )


def _where(channel: Channel) -> str | None:
    return channel.address or channel.webhook_url or channel.sns_topic


def print_alerts(page: Page[Alert], *, wide: bool = False) -> None:
    """Print a table of alerts, and how to get the next page."""
    ids = Column("Id", [each.alert_id for each in page])
    made = Column("Made (UTC)", [instant(each.created_at, seconds=True) for each in page])
    what = Column("Condition", [f"{each.condition} {each.event}" for each in page])
    titles = Column("Title", [each.title for each in page], 24)
    channels = Column("Channels", [_summary(each) for each in page], 16)
    both = Column("Made, title", [stacked(instant(each.created_at), each.title) for each in page])
    layouts = (
        [ids, made, what, titles, channels],
        [ids, made, titles, channels],
        [ids, titles, channels],
        [ids, both],
    )
    print_page(page, layouts, "There are no alerts.", wide=wide)


def _summary(alert: Alert) -> str | None:
    return joined(*(f"{each.name}: {each.state}" for each in alert.deliveries))


def print_alert(alert: Alert) -> None:
    """Print an alert, with what became of it with each channel."""
    jobs = [("Cron job", f"{each.name} ({each.cronjob_id})") for each in alert.cronjobs]
    more = alert.cronjob_count - len(alert.cronjobs)
    print_pairs(
        [
            ("Alert", alert.alert_id),
            ("Made (UTC)", instant(alert.created_at, seconds=True)),
            ("Condition", f"{alert.condition} {alert.event}"),
            ("Of", f"{alert.subject_kind} {alert.subject_id}"),
            ("Title", alert.title),
            *(("", line) for line in alert.lines),
            *jobs,
            ("", f"and {more:,} more" if more > 0 else None),
            *((f"To {each.name}", _delivery(each)) for each in alert.deliveries),
        ]
    )


def _delivery(each: AlertDelivery) -> str:
    parts = [each.state, *(text for text in (each.reason_text or each.reason, each.detail) if text)]
    tried = f"{each.attempts} attempt{'' if each.attempts == 1 else 's'}"
    again = instant(each.next_attempt_at, seconds=True)
    return ", ".join([*parts, tried, *([f"next at {again}"] if again else [])])
