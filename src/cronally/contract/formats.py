"""How an instant is written where a placeholder asks for it: `iso`, `unix`, or a format of strftime's codes.

Invariant: pure, and the same on every machine: names are English whatever its locale. What a format gives has no
characters but those of printable ASCII without quotes, `<`, `>` and a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from cronally.instants import SECOND, format_iso, from_datetime

ISO: Final = "iso"
UNIX: Final = "unix"

_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _offset(moment: datetime, between: str) -> str:
    """The offset from UTC, such as `+0100`, with seconds if it has any."""
    offset = moment.utcoffset()
    seconds = 0 if offset is None else offset.days * 86_400 + offset.seconds
    sign, seconds = ("-" if seconds < 0 else "+"), abs(seconds)
    parts = [seconds // 3600, seconds // 60 % 60, *([seconds % 60] if seconds % 60 else [])]
    return sign + between.join(f"{part:02}" for part in parts)


def _unix(moment: datetime) -> str:
    return str(from_datetime(moment) // SECOND)


_CODES: Final[Mapping[str, Callable[[datetime], str]]] = {
    "%Y": lambda moment: f"{moment.year:04}",
    "%y": lambda moment: f"{moment.year % 100:02}",
    "%m": lambda moment: f"{moment.month:02}",
    "%d": lambda moment: f"{moment.day:02}",
    "%H": lambda moment: f"{moment.hour:02}",
    "%I": lambda moment: f"{(moment.hour - 1) % 12 + 1:02}",
    "%M": lambda moment: f"{moment.minute:02}",
    "%S": lambda moment: f"{moment.second:02}",
    "%f": lambda moment: f"{moment.microsecond:06}",
    "%p": lambda moment: "AM" if moment.hour < 12 else "PM",
    "%F": lambda moment: moment.date().isoformat(),
    "%T": lambda moment: moment.time().isoformat("seconds"),
    "%j": lambda moment: f"{moment.timetuple().tm_yday:03}",
    "%u": lambda moment: str(moment.isoweekday()),
    "%G": lambda moment: f"{moment.isocalendar().year:04}",
    "%V": lambda moment: f"{moment.isocalendar().week:02}",
    "%a": lambda moment: _DAYS[moment.weekday()][:3],
    "%A": lambda moment: _DAYS[moment.weekday()],
    "%b": lambda moment: _MONTHS[moment.month - 1][:3],
    "%B": lambda moment: _MONTHS[moment.month - 1],
    "%z": lambda moment: _offset(moment, ""),
    "%:z": lambda moment: _offset(moment, ":"),
    "%s": _unix,
    "%%": lambda moment: "%",
}
CODES: Final = tuple(_CODES)
"""What a format may have, beside what stands for itself."""
_CODE: Final = re.compile(r"%:?.")
_FORMAT: Final = re.compile(
    rf"(?:[^%\"'<>\\\x00-\x1f\x7f-\U0010ffff]|{'|'.join(re.escape(code) for code in CODES)})+"
)


def check_format(text: str) -> str:
    """A format. Raises ValueError with the end of a sentence that says what it may be."""
    if text not in (ISO, UNIX) and not ("%" in text and _FORMAT.fullmatch(text)):
        raise ValueError(f"is {ISO}, {UNIX}, or plain text with the codes {' '.join(CODES)}")
    return text


def formatted(moment: datetime, wanted: str, *, local: bool) -> str:
    """An aware datetime as a checked format writes it.

    :param local: whether `iso` has its offset, also where that is none; else it is in UTC, and has `Z`
    """
    if wanted == ISO:
        return moment.isoformat() if local else format_iso(from_datetime(moment))
    if wanted == UNIX:
        return _unix(moment)
    return _CODE.sub(lambda code: _CODES[code[0]](moment), wanted)
