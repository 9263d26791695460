"""Cronally: cron as a service.

`from cronally import Client, AsyncClient` gives the client library; it is imported at its first use, so that
the server, and a CLI that only prints its help, do not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cronally.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name in {"AsyncClient", "Client"}:
        from cronally import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
