"""What is sent of a firing: its destination with the placeholders filled in.

Invariant: everything that goes to a target has passed here, so that no target knows of placeholders.
"""

from __future__ import annotations

from dataclasses import replace

from cronally.contract import templates
from cronally.contract.templates import MARK, Values
from cronally.targets.target import Destination, Message


def filled(destination: Destination, message: Message, timezone: str) -> Destination:
    """A destination as it is for one attempt. Raises `templates.NotFilled`.

    :param timezone: the IANA name of the cron job's time zone
    """
    marked = destination.public.get(MARK)
    if marked is None:
        return destination
    values = Values(
        firing_id=message.firing_id,
        cronjob_id=message.cronjob_id,
        cronjob_name=message.cronjob_name,
        scheduled_at=message.scheduled_at,
        attempt=message.attempt,
        timezone=timezone,
        ack_url=message.ack_url,
    )
    public = templates.filled(destination.public, marked, values)
    del public[MARK]
    return replace(destination, public=public, secret=templates.filled(destination.secret, marked, values))
