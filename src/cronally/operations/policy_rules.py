"""Rules about the policies of a cron job: the order of its firings, the calendars it excludes, and their defaults.

Invariant: pure, as `rules`. A policy that was not sent is what it was, or follows its default; none is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cronally.clock.dates import names_in
from cronally.contract.attribute import declared
from cronally.contract.calendars import unknown_calendars
from cronally.contract.order import FIFO
from cronally.contract.policies import Policies
from cronally.contract.reading import Reading
from cronally.contract.stored_policies import stored_value


def policies_of(reading: Reading[Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The policies that a cron job is to have, as they are stored.

    :param base: those of them that were not sent
    """
    sent = reading.sent(declared(Policies))
    return {**base, **{name: stored_value(name, value) for name, value in sent.items()}}


def check_order(reading: Reading[Any], public: Mapping[str, Any]) -> None:
    """Complain where a request does not want the order that its topic or queue keeps.

    :param public: the public parameters that the cron job is to have
    """
    fifo = any(public.get(name, "").endswith(FIFO) for name in ("sns_topic", "sqs_queue"))
    if reading.values.get("ordered") is False and fifo:
        reading.complain(
            "ordered",
            ValueError(
                "cannot be false on a FIFO topic or queue, which is there for the order; leave it out"
            ),
        )


def check_calendars(reading: Reading[Any], calendars: Sequence[str]) -> None:
    """Complain where a request names a calendar that there is not.

    :param calendars: the names of those that the account has
    """
    if not set(names_in(reading.values.get("exclude"))) <= set(calendars):
        reading.complain("exclude", ValueError(unknown_calendars(calendars)))
