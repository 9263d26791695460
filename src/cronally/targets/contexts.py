"""The settings of TLS of those connections that have a certificate, or authorities, of their own.

Invariant: each has a context of its own, so neither a certificate nor a session of TLS gets to another's connections; a
session is never resumed at all. A key goes from memory to OpenSSL without ever having a name in a file system. No more
than `MOST` are kept, and the account with most of them makes room.

One without authorities of its own trusts what the machine does, which takes up to 80 ms to read and 800 KiB to hold;
any other takes a few milliseconds. So contexts are built in a thread of their own, accounts in turn, which rests
between two of them as long as one took: whoever makes others drop out of what is kept takes half a core at most, and
delays who waits for a new context, no firing of others. What nobody waits for is not built.
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


class _Context:
    """One that is kept, or waited for."""

    __slots__ = ("account_id", "built", "waiting")

    def __init__(self, account_id: str) -> None:
        self.account_id = account_id
        self.built: asyncio.Future[ssl.SSLContext | OSError] = asyncio.get_running_loop().create_future()
        self.waiting = 0
        """How many requests wait for it."""


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
        self._kept: OrderedDict[bytes, _Context] = OrderedDict()
        """By digest. What was used last comes last."""
        self._line = Handshakes("cronally-contexts")
        self._rests_until = 0.0
        """Of the monotonic clock; the thread's alone."""

    def __contains__(self, digest: bytes) -> bool:
        """Whether one is kept."""
        return digest in self._kept

    def close(self) -> None:
        """Build no more of them."""
        self._line.close()

    async def get(self, own: OwnTls) -> ssl.SSLContext:
        """The context of a connection. Raises OSError, ssl.SSLError among it, for what cannot be used."""
        context = self._kept.get(own.digest)
        if context is None:
            context = self._kept[own.digest] = _Context(own.account_id)
            context.waiting = 1
            self._make_room()
            self._line.add(own.account_id, partial(self._build, own, context))
        else:
            context.waiting += 1
            self._kept.move_to_end(own.digest)
        try:
            # Whoever else waits for it goes on when one gives up.
            found = context.built.result() if context.built.done() else await asyncio.shield(context.built)
        finally:
            context.waiting -= 1
        if not isinstance(found, OSError):
            return found
        try:
            raise found.with_traceback(None)
        finally:
            del found, context  # a cycle with the traceback

    def _build(self, own: OwnTls, context: _Context) -> Callable[[], None]:
        """In the thread. What nobody waits for any more is passed over, or the line would grow for as long as more is
        asked for than is built, and what is built would come too late for everybody."""
        if not context.waiting:
            return partial(self._forget, own, context)
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
        return partial(self._have, own, context, found)

    def _forget(self, own: OwnTls, context: _Context) -> None:
        if context.waiting:  # since a moment ago
            self._line.add(own.account_id, partial(self._build, own, context))
        elif self._kept.get(own.digest) is context:
            del self._kept[own.digest]

    def _have(self, own: OwnTls, context: _Context, found: ssl.SSLContext | OSError) -> None:
        if isinstance(found, OSError) and self._kept.get(own.digest) is context:
            del self._kept[own.digest]
        if not context.built.done():
            context.built.set_result(found)

    def _make_room(self) -> None:
        while len(self._kept) > MOST:
            held = Counter(context.account_id for context in self._kept.values())
            account, _ = held.most_common(1)[0]
            oldest = next(digest for digest, context in self._kept.items() if context.account_id == account)
            del self._kept[oldest]
            self._dropped(oldest)


def make_context(own: OwnTls, *, machine: bool = True) -> ssl.SSLContext:
    """The settings of TLS. Raises ssl.SSLError for what OpenSSL does not take, and OSError.

    :param machine: whether what the machine trusts is read, where nothing else is to be trusted
    """
    if own.authorities:
        context = ssl.create_default_context(cadata=own.authorities)
        # Whatever version of Python it is: what is given is trusted, be it between a root and the host; and authorities
        # of one's own seldom write all that newer versions ask of public ones.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
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

    On Linux it is that of an anonymous file in memory. Elsewhere, and where a container allows none, it is that of a
    pipe, which holds 16 KiB at least. Either is gone with its descriptor, which no other process inherits.
    """
    number, path = _in_memory(text.encode())
    try:
        yield path
    finally:
        os.close(number)


def _in_memory(data: bytes) -> tuple[int, str]:
    """An open descriptor and its path."""
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):
            number = os.memfd_create("cronally")
            with os.fdopen(number, "wb", closefd=False) as file:
                file.write(data)
            return number, f"/proc/self/fd/{number}"
    number, writer = os.pipe()
    os.set_blocking(writer, False)
    with os.fdopen(writer, "wb", buffering=0) as pipe:
        taken = pipe.write(data)
    if taken != len(data):
        os.close(number)
        raise OSError("a pipe of this machine holds too little for a certificate")
    return number, f"/dev/fd/{number}"
