"""Rules about the policies of a cron job: the order of its firings, the calendars it excludes, its acknowledgements,
and their defaults.

Invariant: pure, as `rules`. A policy that was not sent is what it was, or follows its default; none is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cronally.ack_links import AckLinks
from cronally.clock.dates import names_in
from cronally.contract.attribute import declared
from cronally.contract.calendars import unknown_calendars
from cronally.contract.order import FIFO
from cronally.contract.policies import Policies
from cronally.contract.reading import Reading
from cronally.contract.stored_policies import stored_value
from cronally.contract.templates import MARK, asks_for_ack


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


def check_ack(
    reading: Reading[Any],
    policies: Mapping[str, Any],
    public: Mapping[str, Any],
    links: AckLinks | None,
) -> None:
    """Complain of an acknowledgement that cannot be asked for, and of what needs one where none is.

    :param policies: that the cron job is to have, as they are stored
    :param public: the parameters of the target that it is to have, with the mark of those with placeholders
    """
    within = policies["ack_within"]
    if within:
        if "ack_within" in reading.values and (links is None or not links.may_ask):
            reading.complain(
                "ack_within",
                ValueError(
                    "needs a URL that receivers can call, and this server has none: its operator sets"
                    " CRONALLY_PUBLIC_URL"
                ),
            )
        if policies["min_duration"] >= within:
            name = "min_duration" if "min_duration" in reading.values else "ack_within"
            other = "ack_within" if name == "min_duration" else "min_duration"
            than = "not less than" if name == "min_duration" else "not more than"
            reading.complain(
                name,
                ValueError(f"is {than} {other}: nothing could be acknowledged in time; change one of them"),
            )
        return
    for name in ("ack_retry", "min_duration"):
        if policies[name]:
            at = name if name in reading.values else "ack_within"
            what = "needs ack_within; give both" if at == name else f"is needed by {name}; set {name}=0 too"
            reading.complain(at, ValueError(what))
    for name in asking(public):
        at = name if name in reading.values else "ack_within"
        reading.complain(
            at, ValueError(NOT_ASKED if at == name else f"is needed by <cronally.ack-url> in {name}")
        )


NOT_ASKED: Final = "holds <cronally.ack-url>, and there is none without ack_within; give ack_within too"


def asking(public: Mapping[str, Any]) -> list[str]:
    """The parameters of a target that hold the acknowledgement URL."""
    found = []
    for name in public.get(MARK, {}):
        value = public.get(name, "")
        texts = value.values() if isinstance(value, Mapping) else [value]
        if any(asks_for_ack(text) for text in texts if isinstance(text, str)):
            found.append(name)
    return found
