"""What a firing would send, on the wire: the instant that is asked about, and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.schedules import check_moment
from cronally.contract.values import AN_INSTANT, EXAMPLE_INSTANT, EXAMPLE_LOCAL, LocalTime, Uuid
from cronally.contract.writing import Answer


class Rendered(TypedDict, total=False):
    """Which firing is shown."""

    at: Annotated[
        datetime | str,
        Attribute(
            "The fire time, which need not be one of the cron job's; without `Z` or an offset, as"
            f" {EXAMPLE_LOCAL}, a local time in its time zone. By default its next fire time, or now",
            f"{AN_INSTANT}, or a local time, such as {EXAMPLE_LOCAL}",
            example=EXAMPLE_INSTANT,
            check=check_moment,
            max_length=32,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class Rendering(Answer):
    """What a firing would send, with its placeholders filled in. What is secret is shown as `***`."""

    cronjob_id: Uuid
    firing_id: Annotated[str, Attribute("The id that the firing has, or would have", format="uuid")]
    scheduled_at: Annotated[datetime, Attribute("The fire time", example=EXAMPLE_INSTANT)]
    local: LocalTime
    attempt: Annotated[int, Attribute("The attempt that is shown: the first", minimum=1)]
    delivery_type: Annotated[str, Attribute("Where it goes", example="sns")]
    method: Annotated[str | None, Attribute("How the URL is called", example="POST", absent=True)] = None
    url: Annotated[
        str | None,
        Attribute("The URL that is called", example="https://example.com/hook?day=2026-11-24", absent=True),
    ] = None
    headers: Annotated[
        dict[str, str] | None, Attribute("The headers of the request, by name", absent=True)
    ] = None
    body: Annotated[str | None, Attribute("The body of the request", absent=True)] = None
    message: Annotated[
        str | None, Attribute("The text that is published", example="good morning", absent=True)
    ] = None
    attributes: Annotated[
        dict[str, str] | None,
        Attribute("The attributes that are published with it, by name", absent=True),
    ] = None
    parameters: Annotated[
        dict[str, str] | None,
        Attribute("Of a target that shows no more: its parameters, filled in", absent=True),
    ] = None
