"""The HTTP API: a face of the operations.

Invariant: every request that parses as HTTP/1.1 gets JSON, whatever goes wrong; rules about tenants live in
`cronally.operations`, not here.
"""

from __future__ import annotations

from cronally.api.app import create_app, protocol_of
from cronally.api.signup import Signup

__all__ = ["Signup", "create_app", "protocol_of"]
