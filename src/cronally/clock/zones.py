"""Time zones by their IANA name, read from the pinned `tzdata` package only.

Invariant: the same release of Cronally knows the same zones with the same rules on every machine. The files of the
system, which are often older, are never read. A zone is read at its first use and kept. A server calls `hold` when it
starts, so that an upgrade of the package while it runs does not mix two releases.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, NoReturn

import tzdata

from cronally.clock.tzif import Zone

UTC: Final = "UTC"
"""The zone of a cron job that names none."""

_NOT_ZONES: Final = frozenset({"Factory", "localtime", "posixrules"})
_SHAPE: Final = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
_OFFSET: Final = re.compile(r"(?:UTC|GMT)?[+-][0-9]{1,2}(?::?[0-9]{2})?", re.IGNORECASE)
# Abbreviations that people write for a zone. None is a zone itself, as each names the offset of half a year.
_ABBREVIATIONS: Final = {
    **dict.fromkeys(["z", "zulu time", "utc time"], "UTC"),
    **dict.fromkeys(["pst", "pdt", "pt"], "America/Los_Angeles"),
    **dict.fromkeys(["mdt", "mt"], "America/Denver"),
    **dict.fromkeys(["cdt", "ct"], "America/Chicago"),
    **dict.fromkeys(["edt", "et"], "America/New_York"),
    "bst": "Europe/London",
    "cest": "Europe/Paris",
    "eest": "Europe/Athens",
    "msk": "Europe/Moscow",
    "jst": "Asia/Tokyo",
    **dict.fromkeys(["aest", "aedt"], "Australia/Sydney"),
    **dict.fromkeys(["nzst", "nzdt"], "Pacific/Auckland"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Release:
    """One release of the IANA database."""

    version: str
    """Such as `2026f`. A later one compares greater."""
    list_names: Callable[[], list[str]]
    read: Callable[[str], bytes]
    """A zone's TZif file."""


def _list_packaged() -> list[str]:
    return files(tzdata).joinpath("zones").read_text(encoding="ascii").split()


def _read_packaged(name: str) -> bytes:
    return files(tzdata).joinpath("zoneinfo", *name.split("/")).read_bytes()


_release = Release(str(tzdata.IANA_VERSION), _list_packaged, _read_packaged)


def use(release: Release) -> Release:
    """Use another release from now on, as a restart with an upgraded package does. Returns the one before."""
    global _release
    before, _release = _release, release
    for remembered in (names, zone, _known, _spellings):
        remembered.cache_clear()
    return before


def hold() -> None:
    """Read the files of all zones now, and no file later."""
    held = {name: _release.read(name) for name in names()}
    use(Release(_release.version, lambda: list(held), held.__getitem__))


def version() -> str:
    """The release of the IANA database that is in use, such as `2026f`."""
    return _release.version


@cache
def names() -> tuple[str, ...]:
    """All names that `zone` knows, sorted."""
    return tuple(sorted(set(_release.list_names()) - _NOT_ZONES))


@lru_cache(maxsize=1024)
def zone(name: str) -> Zone:
    """The zone of an IANA name, spelled as IANA spells it.

    Raises ValueError for any other text, with a sentence that offers the nearest name.
    """
    if name not in _known():
        _refuse(name)
    return Zone(name, _release.read(name))


@cache
def _known() -> frozenset[str]:
    return frozenset(names())


def _refuse(name: str) -> NoReturn:
    if not name:
        raise ValueError('the time zone is empty; write an IANA name such as "Europe/Berlin", or "UTC"')
    if name in _NOT_ZONES:
        raise ValueError(
            f'"{name}" is not the name of a place; write an IANA name such as "Europe/Berlin", or "UTC"'
        )
    shown = f'"{name}"' if len(name) <= 40 else f'"{name[:37]}..."'
    if not shown.isascii() or not shown.isprintable():
        shown = ascii(name[:37])
    if _OFFSET.fullmatch(name):
        raise ValueError(
            f'{shown} is an offset, which no daylight-saving change moves; write an IANA name such as "Europe/Berlin"'
        )
    nearest = _nearest(name)
    instead = f'write "{nearest}"' if nearest else 'write an IANA name such as "Europe/Berlin", or "UTC"'
    raise ValueError(f"{shown} is not a time zone of the IANA database ({version()}); {instead}")


def _nearest(name: str) -> str | None:
    """The name that was probably meant; None for no guess. Only short texts are compared."""
    plain = name.strip().replace(" ", "_")
    if not _SHAPE.fullmatch(plain):
        return None
    plain = re.sub(r"^(?:posix|right)/", "", plain).lower()
    by_name, by_city = _spellings()
    if exact := by_name.get(plain) or _ABBREVIATIONS.get(plain) or by_city.get(plain.split("/")[-1]):
        return exact
    close = get_close_matches(plain, by_name, n=1, cutoff=0.75)
    if close:
        return by_name[close[0]]
    close = get_close_matches(plain.split("/")[-1], by_city, n=1, cutoff=0.75)
    return by_city[close[0]] if close else None


@cache
def _spellings() -> tuple[dict[str, str], dict[str, str]]:
    """The names by their lower case, and the names by their last part alone, in lower case."""
    by_name = {name.lower(): name for name in names()}
    by_city: dict[str, str] = {}
    for name in names():
        if "/" in name and not name.startswith("Etc/"):
            for spelled in (name.split("/")[-1], name.split("/")[-1].replace("_", "")):
                by_city.setdefault(spelled.lower(), name)
    return by_name, by_city
