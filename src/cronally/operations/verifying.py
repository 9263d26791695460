"""Test messages: a real request to a target, which shows whether it and its credentials work.

Invariants: a test is no firing. It leaves no row in the ledger, has an id that no firing has, and is marked by attempt
0. It goes out as a firing does, so the same addresses are refused and no more of what comes back is shown. An account
cannot flood anybody with tests: they are few, of an account and towards a host, and one at a time.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import replace
from typing import Final, TypeVar
from uuid import uuid4

from cronally import errors
from cronally.ack_links import AckLinks
from cronally.contract.templates import NotFilled
from cronally.contract.verification import VERIFY, Verification
from cronally.fairness import Taken, out_of_turn
from cronally.instants import SECOND
from cronally.targets.connected import GRANT
from cronally.targets.filled import filled
from cronally.targets.http.grants import Grant
from cronally.targets.target import Delivered, Destination, Message, Target
from cronally.wire import Limit

T = TypeVar("T")

MARK: Final = 0
"""The attempt that a test is: those of firings count from 1."""
PER_MINUTE: Final = 10
"""Tests of an account."""
PER_HOST: Final = 30
"""Tests in a minute that all accounts together send to a host, AWS apart."""
AT_ONCE: Final = 32
"""Tests of all accounts."""
_MINUTE: Final = 60


class Verifier:
    """Sends test messages. Belongs to one event loop, as the targets do."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        clock: Callable[[], float] = time.monotonic,
        *,
        links: AckLinks | None = None,
    ) -> None:
        """
        :param links: what makes acknowledgement URLs: that of a test acknowledges nothing
        :param clock: seconds, that never go back
        """
        self._targets = targets
        self._ack_url = None if links is None else links.of_nothing
        self._clock = clock
        self._busy = Taken()
        self._minute = 0
        self._of_account: Counter[str] = Counter()
        self._to_host: defaultdict[str, Taken] = defaultdict(Taken)
        """Both in this minute."""

    async def verify(
        self, destination: Destination, *, cronjob_id: str, cronjob_name: str, timezone: str, now: int
    ) -> Verification:
        """Send one test message and say what became of it. Raises RateLimited, and Unavailable without the target.

        :param destination: with its secrets, and whose it is
        :param now: an instant; what the test has as its fire time, in whole seconds
        """
        target, account_id = self._targets.get(destination.target), destination.account_id
        if target is None:  # of what was stored by another server
            raise errors.Unavailable(f"This server has no target {destination.target}; ask its operator.")
        test_id = str(uuid4())
        message = Message(test_id, cronjob_id, cronjob_name, now - now % SECOND, MARK)
        try:
            destination = filled(destination, replace(message, ack_url=self._ack_url), timezone)
        except NotFilled as problem:
            raise errors.InvalidRequest(str(problem)) from None
        hosts = asked_hosts(target, target.receiver(destination.public).host, destination.secret)
        outcome, seconds = await self.ask(account_id, hosts, lambda: target.send(destination, message))
        delivered = isinstance(outcome, Delivered)
        return Verification(
            delivered=delivered,
            outcome=type(outcome).__name__.lower(),
            detail=None if isinstance(outcome, Delivered) else outcome.detail,
            message_id=outcome.message_id if isinstance(outcome, Delivered) else None,
            duration_ms=int(seconds * 1000),
            test_id=test_id,
        )

    async def ask(self, account_id: str, hosts: Set[str], ask: Callable[[], Awaitable[T]]) -> tuple[T, float]:
        """What an account is told that asks somebody out there, and in how many seconds. Raises RateLimited.

        :param hosts: who is asked; none for AWS
        """
        self._admit(account_id, hosts)
        async with out_of_turn():
            begun = self._clock()
            self._busy.take(account_id)
            try:
                answer = await ask()
            finally:
                self._busy.give_back(account_id)
            return answer, self._clock() - begun

    async def require(
        self, destination: Destination, *, cronjob_id: str, cronjob_name: str, timezone: str, now: int
    ) -> Verification:
        """As `verify`. Raises VerificationFailed, with what the target said, if it does not take the message."""
        found = await self.verify(
            destination, cronjob_id=cronjob_id, cronjob_name=cronjob_name, timezone=timezone, now=now
        )
        if not found.delivered:
            said = found.detail or found.outcome
            raise errors.VerificationFailed(
                f"The target did not take the test message, and nothing was stored: {said}",
                fields={VERIFY: said},
            )
        return found

    def _admit(self, account_id: str, hosts: Set[str]) -> None:
        """Count a test. Raises RateLimited if it would be one too many."""
        now = self._clock()
        minute, left = int(now // _MINUTE), int(_MINUTE - now % _MINUTE) + 1
        if minute != self._minute:
            self._minute = minute
            self._of_account.clear()
            self._to_host.clear()
        if self._busy.by(account_id):
            raise errors.RateLimited(
                "A test message of the account is under way; wait for it.", retry_after=1
            )
        if self._of_account[account_id] >= PER_MINUTE:
            raise errors.RateLimited(
                f"The account has sent {PER_MINUTE} test messages in this minute, as many as this server allows.",
                retry_after=left,
                limit=Limit("tests", PER_MINUTE, _MINUTE),
            )
        if not self._busy.admits(account_id, AT_ONCE):
            raise errors.RateLimited("Too many test messages are under way; try again.", retry_after=1)
        sent = [self._to_host[host] for host in hosts]
        if not all(each.admits(account_id, PER_HOST) for each in sent):
            raise errors.RateLimited(
                "This host was sent as many test messages in this minute as this server allows.",
                retry_after=left,
            )
        for each in sent:
            each.take(account_id)
        self._of_account[account_id] += 1


def asked_hosts(target: Target, host: str | None, secret: Mapping[str, str]) -> set[str]:
    """Who is asked by a request: its receiver, and the token endpoint of its connection if it has one.

    :param host: the receiver's; None for AWS
    :param secret: what is sealed of the connection
    """
    hosts = set() if host is None else {host}
    return hosts | {target.host(Grant.of(secret[GRANT]).token_url)} if GRANT in secret else hosts
