"""The settings of TLS of those connections that have a certificate, or authorities, of their own.

Invariant: each has a context of its own, so neither a certificate nor a session of TLS gets to another's connections; a
session is never resumed at all. A key goes from memory to OpenSSL without ever having a name in a file system. No more
than `MOST` are kept, and the account with most of them makes room.

One without authorities of its own trusts what the machine does, which takes up to 80 ms to read and 800 KiB to hold;
any other takes a few milliseconds. So contexts are built in a thread of their own, accounts in turn, which rests
between two of them as long as one took: whoever makes others drop out of what is kept takes half a core at most, and
delays who waits for a new context, no firing of others.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from cronally.targets.handshakes import Handshakes
from cronally.targets.own_tls import OwnTls
from cronally.targets.tls import prepared

MOST: Final = 100
"""As many as an account may have connections by default, so that one account alone never builds one twice."""

_Built = asyncio.Future[ssl.SSLContext | OSError]


class Contexts:
    """Contexts of TLS by what they are made of. Belongs to one event loop."""

    def __init__(
        self,
        dropped: Callable[[bytes], None],
        rest: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param dropped: called with the digest of one that is not kept any more
        :param rest: waits, in the thread that builds, for so many seconds
        """
        self._dropped = dropped
        self._rest = rest
        self._monotonic = monotonic
        self._kept: OrderedDict[bytes, tuple[str, _Built]] = OrderedDict()
        """By digest: whose it is, and the context. What was used last comes last."""
        self._line = Handshakes("cronally-contexts")
        self._rests_until = 0.0
        """Of the monotonic clock; the thread's alone."""

    def close(self) -> None:
        """Build no more of them."""
        self._line.close()

    async def get(self, own: OwnTls) -> ssl.SSLContext:
        """The context of a connection. Raises OSError, ssl.SSLError among it, for what cannot be used."""
        if own.digest in self._kept:
            self._kept.move_to_end(own.digest)
            _, built = self._kept[own.digest]
        else:
            built = asyncio.get_running_loop().create_future()
            self._kept[own.digest] = own.account_id, built
            self._make_room()
            self._line.add(own.account_id, partial(self._build, own, built))
        # Whoever else waits for it goes on when one gives up.
        found = built.result() if built.done() else await asyncio.shield(built)
        if not isinstance(found, OSError):
            return found
        try:
            raise found.with_traceback(None)
        finally:
            del found, built  # a cycle with the traceback

    def _build(self, own: OwnTls, built: _Built) -> Callable[[], None]:
        """In the thread."""
        begun = self._monotonic()
        if begun < self._rests_until:
            self._rest(self._rests_until - begun)
            begun = self._monotonic()
        found: ssl.SSLContext | OSError
        try:
            found = make_context(own)
        except OSError as problem:
            found = problem
        except Exception as problem:
            found = OSError(f"{type(problem).__name__} in a certificate")
        ended = self._monotonic()
        self._rests_until = ended + (ended - begun)
        return partial(self._have, own, built, found)

    def _have(self, own: OwnTls, built: _Built, found: ssl.SSLContext | OSError) -> None:
        if isinstance(found, OSError) and self._kept.get(own.digest, ("", None))[1] is built:
            del self._kept[own.digest]
        if not built.done():
            built.set_result(found)

    def _make_room(self) -> None:
        while len(self._kept) > MOST:
            held = Counter(account_id for account_id, _ in self._kept.values())
            account, _ = held.most_common(1)[0]
            oldest = next(digest for digest, (whose, _) in self._kept.items() if whose == account)
            del self._kept[oldest]
            self._dropped(oldest)


def make_context(own: OwnTls, *, machine: bool = True) -> ssl.SSLContext:
    """The settings of TLS. Raises ssl.SSLError for what OpenSSL does not take, and OSError.

    :param machine: whether what the machine trusts is read, where nothing else is to be trusted
    """
    if own.authorities:
        context = ssl.create_default_context(cadata=own.authorities)
    elif machine:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if own.certificate:
        with _readable(own.certificate) as chain, _readable(own.key) as key:
            # Without a password OpenSSL would ask at the terminal for that of an encrypted key.
            context.load_cert_chain(chain, key, password="")
    return prepared(context)


@contextlib.contextmanager
def _readable(text: str) -> Iterator[str]:
    """A path from which a text can be read once: the ssl module takes keys from paths alone.

    On Linux it is that of an anonymous file in memory. Elsewhere it is that of a pipe, which holds 16 KiB at least.
    Either is gone with its descriptor, which no other process inherits.
    """
    data = text.encode()
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("cronally")
        path = f"/proc/self/fd/{number}"
        with os.fdopen(number, "wb", closefd=False) as file:
            file.write(data)
    else:
        number, writer = os.pipe()
        path = f"/dev/fd/{number}"
        os.set_blocking(writer, False)
        with os.fdopen(writer, "wb", buffering=0) as file:
            taken = file.write(data)
        if taken != len(data):
            os.close(number)
            raise OSError("a pipe of this machine holds too little for a certificate")
    try:
        yield path
    finally:
        os.close(number)
