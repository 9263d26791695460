"""Values that several requests and answers have, and the checks of their form.

Invariant: pure. A check raises ValueError with a complaint that never repeats the value.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Annotated, Final

from cronally.clock import zones
from cronally.contract.attribute import DEFAULT, Attribute
from cronally.cronjob import MAX_EXPRESSIONS
from cronally.wire import IDEMPOTENCY_KEY_FORM, NIL_UUID, UUID

MAX_EMAIL: Final = 254  # RFC 5321, 4.5.3.1.3: a path of 256 octets with its angle brackets
MAX_LOCAL_PART: Final = 64  # RFC 5321, 4.5.3.1.1
MAX_NAME: Final = 256
MAX_LIMIT: Final = 100
DEFAULT_LIMIT: Final = 100
MAX_COUNT: Final = 100
DEFAULT_COUNT: Final = 10
EXAMPLE_INSTANT: Final = "2026-11-24T08:00:00Z"
EXAMPLE_LOCAL: Final = "2026-11-24T08:00"
AN_INSTANT: Final = f"an instant, such as {EXAMPLE_INSTANT}"

# XML 1.0 cannot write these two, and SNS refuses them for that; a name travels with every message.
_NONCHARACTERS: Final = frozenset("\ufffe\uffff")
_ATOM: Final = re.compile(r"[^\s\x00-\x20\x7f()<>\[\]:;@\\,.\"]+")
_LABEL: Final = re.compile(r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?")
_IDENTIFIER: Final = re.compile(r"[0-9A-Za-z-]{1,100}")


def check_name(text: str) -> str:
    """The name of a cron job."""
    return _check_line(text, "a name")


def check_note(text: str) -> str:
    """Why something is done, for people."""
    return _check_line(text, "a reason, or leave it out")


def _check_line(text: str, expected: str) -> str:
    if len(text) > MAX_NAME:
        raise ValueError(f"has {len(text):,} characters; give {MAX_NAME} at most")
    if not text.strip():
        raise ValueError(f"holds nothing but spaces; give {expected}")
    if any(unicodedata.category(character) == "Cc" or character in _NONCHARACTERS for character in text):
        raise ValueError("holds a control character, such as a line end; remove it")
    return text


def check_email(text: str) -> str:
    """An email address, by its form alone: no quoted local part, no address literal, a domain of two labels."""
    local, _, domain = text.rpartition("@")
    labels = domain.split(".")
    if (
        len(text.encode()) <= MAX_EMAIL
        and len(local.encode()) <= MAX_LOCAL_PART
        and all(_ATOM.fullmatch(atom) and atom.isprintable() for atom in local.split("."))
        and len(labels) > 1
        and all(_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdigit()
    ):
        return text
    raise ValueError("is no email address; give one like username@example.com")


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID in lower case."""
    return UUID.fullmatch(text) is not None


def check_cronjob_id(text: str) -> str:
    """The id of a cron job, by its form alone."""
    if not is_uuid(text):
        raise ValueError("is no cron job's id, which is a UUID in lower case; GET /cronjobs/ lists them")
    return text


ID_PREFIX: Final = "[0-9a-f-]{1,36}"


def check_id_prefix(text: str) -> str:
    """The beginning of an id, by its form alone."""
    if not re.fullmatch(ID_PREFIX, text) or not is_uuid(text + NIL_UUID[len(text) :]):
        raise ValueError("begins no cron job's id, which is a UUID in lower case, such as 0b7e1d52-…")
    return text


def check_spread_id(text: str) -> str:
    """The id by which `H` is spread: of a cron job on this server or another."""
    if not _IDENTIFIER.fullmatch(text):
        raise ValueError("is no cron job's id, which is a UUID; GET /cronjobs/ lists them")
    return text


def check_idempotency_key(text: str) -> str:
    """An idempotency key."""
    if not IDEMPOTENCY_KEY_FORM.fullmatch(text):
        raise ValueError("has other than 1 to 255 visible ASCII characters; a UUID does well")
    return text


def check_timezone(text: str) -> str:
    """The name of a time zone, as the zone data write it."""
    return zones.zone(text).name


Uuid = Annotated[str, Attribute("", format="uuid")]
IDEMPOTENCY_KEY: Final = Attribute(
    "The same key with the same parameters makes one cron job, or one firing, however often it is sent in 24 hours",
    check=check_idempotency_key,
    pattern=f"^{IDEMPOTENCY_KEY_FORM.pattern}$",
)
ZoneData = Annotated[str, Attribute("The version of the zone data that was used", example="2026f")]
LocalTime = Annotated[
    str, Attribute("The local time, with the offset where it exists", example="2026-03-08T03:00:00-04:00")
]
Sentence = Annotated[
    str | None,
    Attribute("The expression as a sentence in English; null where there is none that says it all"),
]
Timezone = Annotated[
    str,
    Attribute(
        "The IANA name of its time zone",
        "an IANA name, such as Europe/Berlin",
        example="Europe/Berlin",
        default=zones.UTC,
        check=check_timezone,
        min_length=1,
        max_length=64,
    ),
]
_EXPRESSION: Final = Attribute(
    "An expression",
    "when to fire, such as 0 8 * * *",
    check=str,  # the parser refuses one that is too long, as any other that it cannot read
    min_length=1,
    max_length=256,
)
Expression = Annotated[
    str | list[Annotated[str, _EXPRESSION]],
    Attribute(
        "When it fires: five fields, minute hour day-of-month month day-of-week; or cron(), at() and rate() as AWS"
        f" writes them; or @every; or up to {MAX_EXPRESSIONS} of these, and it fires whenever one of them does",
        "when to fire, such as 0 8 * * *",
        example="0 8 * * *",
        also="expression",
        one_or_more=True,
        min_length=1,
        max_length=MAX_EXPRESSIONS,
    ),
]
StartsAt = Annotated[
    str | datetime,
    Attribute(
        "The first instant at which it may fire, and the one that rate() and @every are counted from: they fire first"
        " at this very instant; by default its creation, which they do not fire at",
        f"{AN_INSTANT}, or default",
        example="2026-12-01T00:00:00Z",
        default=DEFAULT,
    ),
]
EndsAt = Annotated[
    str | datetime,
    Attribute(
        "The last instant at which it may fire; by default there is no end",
        f"{AN_INSTANT}, or default",
        example="2026-12-31T23:59:59Z",
        default=DEFAULT,
    ),
]
Limit = Annotated[
    int,
    Attribute(
        f"How many to answer with, {DEFAULT_LIMIT} if only a cursor is sent",
        "how many to list",
        minimum=1,
        maximum=MAX_LIMIT,
    ),
]
Cursor = Annotated[
    str,
    Attribute("The `next_cursor` of the answer before", "the next_cursor of the last answer", min_length=1),
]
