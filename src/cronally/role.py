"""The roles of a server process."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A part of the server that a process may run; without a choice it runs all of them."""

    API = "api"
    SCHEDULER = "scheduler"
    DISPATCHER = "dispatcher"
