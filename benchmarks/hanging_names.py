"""`cronally serve` on a machine whose name servers do not answer for some names: the arguments are those of `cronally`.

A lookup of a name below `ZONE` hangs for as long as the system's resolver lets it, in the thread that asked, and fails.
Nothing else is changed.
"""

from __future__ import annotations

import socket
import time
from typing import Any, Final

from cronally.cli import main

ZONE: Final = ".hangs.test"
"""Reserved for tests (RFC 6761, 6.2): nobody has such a name."""
SECONDS: Final = 30.0
"""Three tries of two name servers, 5 s each."""

_getaddrinfo: Final = socket.getaddrinfo


def _hang(host: Any, *arguments: Any, **named: Any) -> Any:
    if isinstance(host, str) and host.endswith(ZONE):
        time.sleep(SECONDS)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _getaddrinfo(host, *arguments, **named)


if __name__ == "__main__":
    socket.getaddrinfo = _hang
    main()
