"""The claim of a step: whose firings it takes, how many of each account, and which of them are to be sent.

Invariant: accounts are served in turn, each by what it may take more and as far as the node has places, so no account
keeps another from its turn. What is claimed and is not to be sent now is recorded in the transaction that claims.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection

from cronally import failpoints
from cronally.engine import freezing, holding, overlaps, verdict
from cronally.engine.admission import Rooms
from cronally.engine.shares import Room
from cronally.firing import State
from cronally.store import happenings, leases, outcomes
from cronally.store.claims import Claim, Record
from cronally.store.happenings import Happening, What
from cronally.targets.target import Target

ACCOUNTS_PER_CLAIM: Final = 64
SHARE: Final = 10
"""Firings of one account that a claim takes, if it has so many and its cap allows it, though other accounts must wait
for the next claim: as many as go out in one request."""
FIRST_IN_TURN: Final = 8
"""Accounts with much to send that a claim serves beyond the window, a request of ten each."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim brought."""

    claims: list[Claim]
    """To be sent."""
    after: str
    """The account that was served last."""
    starved: Set[str]
    """The accounts that may have due firings left because they had too few places in flight."""
    scarce: bool
    """Whether the node has too few."""
    places: Mapping[str, int]
    """How many of an account's may be sent."""
    more: bool
    """Whether there may be more to claim at once."""
    closed: Sequence[Record] = ()
    """What was claimed and is not to be sent, recorded already."""


def claim_in_turn(
    connection: Connection,
    now: int,
    leased_until: int,
    rooms: Rooms,
    after: str,
    targets: Mapping[str, Target],
    chance: Callable[[], float],
) -> Claimed:
    """Lease firings of the accounts that are next in turn, a share each, as far as there are places.

    :param after: the account that was served last
    :param chance: uniform in [0, 1): when what is put off is due
    """
    taken = _take(connection, now, leased_until, rooms, after)
    claims, closed = _keep_back(connection, taken.claims, now, leased_until, targets, chance)
    if claims:
        failpoints.reach("claim.before_commit")
    # What is closed took places from what is due behind it.
    return replace(taken, claims=claims, closed=closed, more=taken.more or bool(closed))


def _take(connection: Connection, now: int, leased_until: int, rooms: Rooms, after: str) -> Claimed:
    """What is leased, before anybody asks whether it is to be sent now."""
    most = min(rooms.room, ACCOUNTS_PER_CLAIM)
    accounts, starved = _in_turn(connection, now, after, most, rooms)
    room_of = {account: rooms.of(account) for account in accounts}
    places, scarce = _give_places(accounts, room_of, rooms)
    taken = sum(places.values())
    scarce = scarce or any(not rooms.common(account) for account in starved)
    takes = {account: count + room_of[account].put_off for account, count in places.items()}
    claims = leases.claim_firings(connection, now, leased_until, takes) if takes else []
    counts = Counter(claim.account_id for claim in claims)
    sizes: Counter[str] = Counter()
    for claim in claims:
        sizes[claim.account_id] += claim.size
    left = {
        account
        for account, count in counts.items()
        if accounts[account] > count
        or (accounts[account] == SHARE and (count == takes[account] or sizes[account] >= leases.CLAIM_BYTES))
    }
    starved |= {account for account in left if places[account] == room_of[account].places}
    more = bool(claims) and (
        len(accounts) == most or any(rooms.common(account) > taken for account in left - starved)
    )
    large = [account for account in accounts if sizes[account] > leases.LITTLE_BYTES]
    if sum(sizes[account] for account in large) >= leases.LARGE_BYTES:
        # Those behind the last that was served may have been left out: they are the next in turn.
        served, more = large, True
    else:
        served = [account for account in accounts if account in places]
    after = served[-1] if served else after
    return Claimed(claims, after, starved, scarce, places, more)


def _in_turn(
    connection: Connection, now: int, after: str, limit: int, rooms: Rooms
) -> tuple[dict[str, int], set[str]]:
    """Up to `limit` accounts with due firings and a place free, once round from the one after `after`.

    With each how many are due, counted up to `SHARE`. Accounts without a free place are passed over, not counted; they
    are the second value.
    """
    accounts: dict[str, int] = {}
    capped: set[str] = set()
    for start, end in ((after, None), ("", after)) if after else (("", None),):
        while len(accounts) < limit:
            page = leases.accounts_with_due(connection, now, start, ACCOUNTS_PER_CLAIM, SHARE)
            inside = [account for account in page if end is None or account <= end]
            for account in inside:
                if not rooms.of(account).places:
                    capped.add(account)
                elif len(accounts) < limit:
                    accounts[account] = page[account]
            if len(inside) < ACCOUNTS_PER_CLAIM:
                break
            start = inside[-1]
    return accounts, capped


def _give_places(
    accounts: Mapping[str, int], room_of: Mapping[str, Room], rooms: Rooms
) -> tuple[dict[str, int], bool]:
    """The places that each account gets, and whether one gets fewer than it could use.

    Those that hold fewest go first, so that who needs few gets them while many want more. The last places are for those
    that hold none which are of use to them, one each.

    :param accounts: with how many firings are due, counted up to `SHARE`
    """
    share = max(rooms.room // max(1, len(accounts)), SHARE)
    wanted = {
        account: min(share, room_of[account].places, due if due < SHARE else share)
        for account, due in accounts.items()
    }
    places: dict[str, int] = {}
    taken = 0
    scarce = False
    beyond = FIRST_IN_TURN
    for account in sorted(accounts, key=lambda account: room_of[account].young):
        free = rooms.common(account) - taken
        if free <= 0 and rooms.is_idle(account):
            # The event loop keeps up with no more, or the rest is for accounts like this one.
            unreserved = rooms.unreserved(account) - taken
            if unreserved <= 0:
                free = min(1, rooms.room - taken)
            elif accounts[account] < SHARE:
                free = unreserved
            elif beyond:
                # One for each of many accounts would make a storm of requests of one firing, and the window would
                # never open again: some of them, the others the next time, as many as go out in one request.
                beyond -= 1
                free = min(SHARE, unreserved)
        scarce = scarce or free < wanted[account]
        if free > 0:
            places[account] = min(wanted[account], free)
            taken += places[account]
    return places, scarce


def _keep_back(
    connection: Connection,
    claims: list[Claim],
    now: int,
    leased_until: int,
    targets: Mapping[str, Target],
    chance: Callable[[], float],
) -> tuple[list[Claim], list[Record]]:
    """Which of these are to be sent; and the records of the others, written already."""
    given_up = [record for claim in claims if (record := verdict.give_up(claim, now)) is not None]
    outcomes.record_outcomes(connection, given_up)
    if given_up:
        happenings.add(connection, _missed(given_up, now))
    claims = _left(claims, given_up)
    frozen = freezing.hold_back(connection, claims, now, targets)
    claims = _left(claims, frozen)
    waiting = overlaps.hold_back(connection, claims, now, chance)
    outcomes.record_outcomes(connection, waiting)
    claims = _left(claims, waiting)
    # Last: what tries an unhealthy connection is sent.
    held = holding.hold_back(connection, claims, now, leased_until)
    return _left(claims, held), [*given_up, *frozen, *waiting, *held]


def _missed(given_up: Sequence[Record], now: int) -> list[Happening]:
    return [
        Happening(
            one.claim.account_id,
            one.claim.cronjob_id,
            What.MISSED,
            one.claim.scheduled_at,
            now,
            reason=one.reason,
        )
        for one in given_up
        if one.state is State.MISSED
    ]


def _left(claims: list[Claim], closed: Sequence[Record]) -> list[Claim]:
    if not closed:
        return claims
    recorded = {id(record.claim) for record in closed}
    return [claim for claim in claims if id(claim) not in recorded]
