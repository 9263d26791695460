"""Large cron jobs: what is claimed, begun in one turn of the event loop, held and remembered is bounded in bytes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from cronally.engine.admission import HELD_BYTES, Admission, Limits
from cronally.engine.dispatcher import SLICE_BYTES, Dispatcher, _slices
from cronally.firing import Reason
from cronally.instants import SECOND
from cronally.store import Store, leases
from cronally.store.claims import Claim
from cronally.store.leases import CLAIM_BYTES, LARGE_BYTES, LITTLE_BYTES
from cronally.targets.sns.target import SnsTarget
from tests.support.factories import (
    NOON,
    ScriptedTarget,
    account_values,
    cronjob_values,
    firing_values,
    insert_rows,
    name_of,
    read_firings,
    vault,
)

LARGE = 200_000


def claim(account: str, number: int = 0, size: int = LARGE) -> Claim:
    row = cronjob_values(account, cronjob_id=f"{account} {number}")
    text = json.dumps({**json.loads(row["destination"]), "message": "x" * size})
    return Claim(
        row["cronjob_id"], NOON, "scheduled", row["account_id"], 1, 1, 0, NOON, "active",
        1, "name", "scripted", text, row["secret"], size,
    )  # fmt: skip


def sns_claim(account: str, number: int, text: str) -> Claim:
    public = {
        "sns_topic": f"arn:aws:sns:us-east-1:123456789012:topic-{number}",
        "sns_message": text,
        "sns_region": "us-east-1",
        "sns_access_key_id": "AKIA0000000000000000",
    }
    encoded = json.dumps(public, ensure_ascii=False)
    made = claim(account, number, 0)
    return made._replace(target="sns", destination=encoded, size=len(encoded.encode()))


async def make_large(store: Store, account: str, count: int, size: int = LARGE) -> None:
    """Cron jobs of an account that are due, a second apart."""
    await insert_rows(store, "account", [account_values(account)])
    jobs = [cronjob_values(account, cronjob_id=f"{account} {number}") for number in range(count)]
    for job in jobs:
        job["destination"] = json.dumps({**json.loads(job["destination"]), "message": "x" * size})
        job["size"] = len(job["destination"])
    await insert_rows(store, "cronjob", jobs)
    due = [NOON - (count - number) * SECOND for number in range(count)]
    rows = [firing_values(job, scheduled_at=at, due_at=at) for job, at in zip(jobs, due, strict=True)]
    await insert_rows(store, "firing", rows)


async def claimed(store: Store, **takes: int) -> dict[str, int]:
    """How many firings of each account one claim brings."""
    by_id = {account_values(account)["account_id"]: account for account in takes}
    given = {account_id: takes[account] for account_id, account in by_id.items()}
    found = await store.transact(
        lambda connection: leases.claim_firings(connection, NOON, NOON + SECOND, given)
    )
    counts = dict.fromkeys(takes, 0)
    for one in found:
        counts[by_id[one.account_id]] += 1
    return counts


async def test_claim__ends_for_an_account_once_it_has_its_bytes(store: Store) -> None:
    await make_large(store, "large", 5)
    await make_large(store, "middle", 20, CLAIM_BYTES // 8)
    await make_large(store, "small", 20, 10)
    counts = await claimed(store, large=5, middle=20, small=20)
    assert counts == {"large": 1, "middle": 8, "small": 20}, "one at least, and as many as were wanted"
    sending = [row for row in await read_firings(store) if row.state == "sending"]
    assert len(sending) == sum(counts.values()), "no other has a lease"
    assert (await claimed(store, large=5))["large"] == 1, "the next one, in turn"


async def test_claim__ends_for_all_accounts_once_they_have_their_bytes(store: Store) -> None:
    assert 2 * LARGE < LARGE_BYTES < 3 * LARGE
    for account in "bdfhj":
        await make_large(store, account, 2)
    for account in "aei":
        await make_large(store, account, 10, LITTLE_BYTES // 40)
    counts = await claimed(store, **dict.fromkeys("abdefhij", 10))
    assert counts == {"a": 10, "b": 1, "d": 1, "e": 10, "f": 1, "h": 0, "i": 10, "j": 0}
    sending = [row for row in await read_firings(store) if row.state == "sending"]
    assert len(sending) == sum(counts.values()), "no other has a lease"


async def test_step__serves_accounts_with_large_ones_in_turn_and_those_with_little_at_once(
    store: Store,
) -> None:
    accounts = "bcdfghjkl"
    for account in accounts:
        await make_large(store, account, 3)
    target = ScriptedTarget()
    dispatcher = Dispatcher(store, vault(), {"scripted": target}, Limits(), chance=lambda: 0.5)
    orders = []
    for number in range(9):
        await make_large(store, f"x{number}", 2, 10)
        before = len(target.destinations)
        assert await dispatcher.step() == 0.0
        await dispatcher.settled()
        sent = [name_of(one.account_id) for one in target.destinations[before:]]
        assert sent[:2] == [f"x{number}"] * 2, "what is little goes first"
        orders += sorted(sent[2:])
    assert "".join(orders) == 3 * accounts, "nobody has a second before all others had one"


async def test_step__goes_on_until_all_that_fits_is_sent(store: Store) -> None:
    """What a claim leaves for its bytes is claimed by the next one at once, not at the next poll."""
    await make_large(store, "large", 20)
    target = ScriptedTarget()
    dispatcher = Dispatcher(store, vault(), {"scripted": target}, Limits(), chance=lambda: 0.5)
    for _ in range(200):
        if len(target.messages) == 20:
            break
        if await dispatcher.step() != 0.0:
            await dispatcher.settled()
    assert len(target.messages) == 20
    await dispatcher.settled()


async def test_held__bytes_of_an_account_in_flight_are_bounded(store: Store) -> None:
    await make_large(store, "large", 20)
    await make_large(store, "small", 5, 10)
    target = ScriptedTarget()
    target.hang()
    dispatcher = Dispatcher(store, vault(), {"scripted": target}, Limits(), chance=lambda: 0.5)
    for _ in range(50):
        await dispatcher.step()
    held = dispatcher.admission._bytes
    large, small = (account_values(account)["account_id"] for account in ("large", "small"))
    assert HELD_BYTES - 2 * LARGE < held[large] <= HELD_BYTES
    assert dispatcher.admission.held(small) == 5
    target.open.set()
    for _ in range(200):
        if len(target.messages) == 25:
            break
        if await dispatcher.step() != 0.0:
            await dispatcher.settled()
    assert len(target.messages) == 25, "whoever gives bytes back gets more"
    await dispatcher.settled()
    assert dispatcher.admission._bytes == {}


def test_admit__one_that_is_larger_than_all_may_go_alone() -> None:
    admission = Admission({"scripted": ScriptedTarget()}, Limits())
    first, second = claim("a", 1, HELD_BYTES + 1), claim("a", 2, 10)
    assert admission.admit(first) is None
    wait = admission.admit(second)
    assert wait is not None
    assert wait.reason is Reason.ACCOUNT_LIMIT
    assert admission.admit(claim("b", 1, 10)) is None
    admission.leave(first)
    assert admission.admit(second) is None


async def test_admit__counts_what_is_sent_if_that_is_longer() -> None:
    """A form says a byte of most languages but English with three."""
    sns = SnsTarget(endpoint="http://127.0.0.1:1")
    admission = Admission({"sns": sns}, Limits())
    text = "\u044f" * 120_000
    form = len(text.encode()) * 3
    first, second = sns_claim("a", 1, text), sns_claim("a", 2, text)
    assert first.size + second.size < HELD_BYTES < 2 * form
    assert admission.admit(first) is None
    assert admission._bytes == {first.account_id: form}
    wait = admission.admit(second)
    assert wait is not None
    assert wait.reason is Reason.ACCOUNT_LIMIT
    assert admission.rooms().of(first.account_id).places == 0, "no claim for what could not go"
    admission.leave(first)
    assert admission._bytes == {}
    await sns.close()


def test_receivers__are_remembered_without_their_messages() -> None:
    admission = Admission({"scripted": ScriptedTarget()}, Limits())
    for number in range(100):
        one = claim("a", number)
        assert admission.admit(one) is None
        admission.leave(one)
    assert len(admission._receivers) == 100
    assert sum(len(repr(entry)) for entry in admission._receivers.items()) < 100_000


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([("a", 10), ("b", 10), ("c", 10)], ["abc"]),
        # An account's stay together, for they may go out in one request; who has little goes first.
        ([("a", LARGE), ("a", LARGE), ("b", 10), ("b", 10), ("c", LARGE), ("d", 10)], ["dbbc", "aa"]),
    ],
)
async def test_begin__is_done_in_slices(sizes: list[tuple[str, int]], expected: list[str]) -> None:
    assert LARGE > SLICE_BYTES
    claims = [claim(account, number, size) for number, (account, size) in enumerate(sizes)]
    names = {claim.account_id: account for claim, (account, _) in zip(claims, sizes, strict=True)}
    slices = ["".join(names[one.account_id] for one in some) for some in _slices(claims)]
    assert slices == expected


async def test_step__lets_the_event_loop_turn_between_slices(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for account in "abc":
        await make_large(store, account, 1)
    target = ScriptedTarget()
    dispatcher = Dispatcher(store, vault(), {"scripted": target}, Limits(), chance=lambda: 0.5)
    order: list[str] = []
    begin = dispatcher._sender.begin

    def noted(claims: Any, lease: Any) -> None:
        order.append("begin")
        asyncio.get_running_loop().call_soon(order.append, "turn")
        begin(claims, lease)

    monkeypatch.setattr(dispatcher._sender, "begin", noted)
    await dispatcher.step()
    await dispatcher.settled()
    assert order == ["begin", "turn"] * 3
