"""An alert as a text for people, and as JSON for programs.

Invariant: pure, and bounded, as an alert is. The JSON has the names that the API has for the same alert.
"""

from __future__ import annotations

import json
from typing import Final

from cronally.alert import Alert
from cronally.instants import SECOND, format_iso

SHOWN: Final = 20
"""Cron jobs that a text lists."""


def text_of(alert: Alert, shown: int = SHOWN) -> str:
    """What an alert says below its title.

    :param shown: how many cron jobs are listed
    """
    parts = ["\n".join(alert.lines)] if alert.lines else []
    if alert.affected:
        listed = [f"- {one.name} ({one.cronjob_id})" for one in alert.affected[:shown]]
        more = alert.affected_total - len(listed)
        if more > 0:
            listed.append(f"and {more:,} more")
        parts.append("\n".join(listed))
    made = format_iso(alert.created_at - alert.created_at % SECOND)
    parts.append(f"Alert {alert.alert_id} of {made}")
    return "\n\n".join(parts)


def json_of(alert: Alert) -> str:
    """An alert as JSON."""
    return json.dumps(
        {
            "alert_id": alert.alert_id,
            "condition": alert.condition,
            "event": str(alert.event),
            "subject_kind": alert.subject_kind,
            "subject_id": alert.subject_id,
            "title": alert.title,
            "lines": list(alert.lines),
            "cronjobs": [{"cronjob_id": one.cronjob_id, "name": one.name} for one in alert.affected],
            "cronjob_count": alert.affected_total,
            "created_at": format_iso(alert.created_at),
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
