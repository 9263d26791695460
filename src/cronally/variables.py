"""Environment variables of Cronally: which there are besides the server's settings, and what a misspelt one means."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

PREFIX: Final = "CRONALLY_"

URL: Final = "CRONALLY_URL"
API_KEY: Final = "CRONALLY_API_KEY"
API_SECRET: Final = "CRONALLY_API_SECRET"  # noqa: S105 - the name of a variable
PROFILE: Final = "CRONALLY_PROFILE"
SIGNATURE_VERSION: Final = "CRONALLY_SIGNATURE_VERSION"
OF_CLIENTS: Final = frozenset({URL, API_KEY, API_SECRET, PROFILE, SIGNATURE_VERSION})
"""What the CLI reads: where the server is and who asks."""

FAILPOINT: Final = "CRONALLY_CRASH_AT"
"""For tests: where the server kills itself."""


def of_secret(name: str) -> str:
    """The variable from which the CLI takes a secret attribute of a cron job."""
    return f"{PREFIX}{name.upper()}"


def closest(name: str, known: Iterable[str]) -> str | None:
    """What a name that is not known may have been meant to be; None if it is like none of them."""
    # All begin alike, so that part says nothing about how alike they are.
    bare = {each.removeprefix(PREFIX): each for each in known}
    asked = name.removeprefix(PREFIX)
    found = difflib.get_close_matches(asked, bare, n=1, cutoff=0.75)
    found = found or [each for each in bare if each.startswith(f"{asked}_")]
    return bare[found[0]] if len(found) == 1 else None


def misspelt(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that look like one of the CLI's, and the one that each may have been meant to be.

    The server's settings may stand in the same environment, and a CLI without the server does not know them.
    """
    found: dict[str, str] = {}
    for name in environ:
        if name.startswith(PREFIX) and name not in OF_CLIENTS and (meant := closest(name, OF_CLIENTS)):
            found[name] = meant
    return found
