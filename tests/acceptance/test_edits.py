"""Changes at the due instant: what counts is which came first, and the ledger can tell."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.hosted_client import HostedClient
from tests.acceptance.judge import firing_id, iso
from tests.acceptance.ledger import SECOND, bring_nearer, now, read_settled_ledger
from tests.acceptance.nodes import EVERYTHING, Cluster
from tests.acceptance.receiver import Receiver

ROUNDS = 12
RARELY = ("0 0 29 2 *", "0 12 29 2 *")


@dataclass
class Editor:
    """An account whose cron jobs are changed while they fire."""

    client: HostedClient
    cluster: Cluster
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def add(self, name: str) -> str:
        answer = self.client.add_cronjob(
            name=name,
            cron=RARELY[0],
            sns_topic="arn:aws:sns:us-east-1:123456789012:topic",
            sns_message="version 1",
            sns_region="us-east-1",
            sns_access_key_id="AKIAIOSFODNN7EXAMPLE",
            sns_secret_access_key="x" * 40,
        )
        return str(answer["response"]["cronjob_id"])

    def due(self, cronjob_id: str, at: int) -> None:
        bring_nearer(self.cluster.url, cronjob_id, at)

    def patch(self, cronjob_id: str, **changes: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.signed("PATCH", f"/cronjob/{cronjob_id}/", changes)["response"]
        return answer

    def wait_around(self, at: int) -> None:
        """Until a random moment near an instant."""
        time.sleep(max(0.0, (at - now()) / SECOND + self.chance.uniform(-0.03, 0.03)))

    def wait_until_past(self, at: int) -> None:
        """Until an instant has passed."""
        while (left := at - now()) >= 0:
            time.sleep(left / SECOND + 0.001)


@pytest.fixture
def editor(postgres_cluster: Cluster) -> Iterator[Editor]:
    with postgres_cluster.node(roles=EVERYTHING) as node:
        client = HostedClient(node.wait_until_started().url)
        client.create_account("editor@example.com")
        yield Editor(client, postgres_cluster)


def arrived(receiver: Receiver, count: int) -> None:
    """Wait for so many requests."""
    receiver.wait_until(lambda got: len(got) >= count)


def instant(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.mark.slow
def test_expression__changed_at_the_due_instant(editor: Editor, receiver: Receiver) -> None:
    """A fire time that had come when the change was made is in the ledger; one that had not is not owed any more."""
    cronjob_id = editor.add("edited")
    owed = set()
    for number in range(ROUNDS):
        # The first change comes well before its instant, the last one after it, whatever the machine is busy with.
        at = now() + (60 * SECOND if number == 0 else SECOND // 10)
        editor.due(cronjob_id, at)
        if number == ROUNDS - 1:
            editor.wait_until_past(at)
        elif number > 0:
            editor.wait_around(at)
        answer = editor.patch(cronjob_id, cron=RARELY[(number + 1) % 2])
        if at <= instant(answer["updated_at"]):
            owed.add(at)
        assert answer["version"] == number + 2
        assert instant(answer["next_fire_at"]) > max(instant(answer["updated_at"]), at)
    assert 0 < len(owed) < ROUNDS, "both happened"
    ids = {firing_id(cronjob_id, at) for at in owed}
    receiver.wait_until(lambda got: ids <= {publish.firing_id for publish in got})
    time.sleep(0.3)  # for what must not arrive
    rows = read_settled_ledger(editor.cluster.url).rows
    assert {row.scheduled_at for row in rows} == owed
    assert {row.state for row in rows} == {"delivered"}
    assert receiver.counts() == dict.fromkeys(ids, 1)


def test_message__changed_at_the_due_instant_goes_out_whole(editor: Editor, receiver: Receiver) -> None:
    """The old message or the new one, each with its own version in the ledger; nothing in between."""
    cronjob_id = editor.add("edited")
    sent: dict[int, tuple[str, str]] = {}
    for number in range(ROUNDS):
        at = now() + SECOND // 10
        editor.due(cronjob_id, at)
        editor.wait_around(at)
        editor.patch(cronjob_id, sns_message=f"version {number + 2}")
        sent[at] = (f"version {number + 1}", f"version {number + 2}")
        arrived(receiver, number + 1)
    got = {publish.attributes["cronally-scheduled-at"]: publish.message for publish in receiver.requests}
    assert len(receiver.requests) == ROUNDS
    for at, choices in sent.items():
        assert got[iso(at)] in choices
    read_settled_ledger(editor.cluster.url)
    answer = editor.client.signed("GET", f"/cronjob/{cronjob_id}/firings/")["response"]
    assert [firing["state"] for firing in answer] == ["delivered"] * ROUNDS


def test_deleted_at_the_due_instant__is_delivered_or_skipped_and_nothing_after(
    editor: Editor, receiver: Receiver
) -> None:
    jobs = [editor.add(f"deleted {number}") for number in range(ROUNDS)]
    due: dict[str, int] = {}
    deleted: dict[str, int] = {}
    for cronjob_id in jobs:
        due[cronjob_id] = at = now() + SECOND // 10
        editor.due(cronjob_id, at)
        editor.wait_around(at)
        answer = editor.client.delete_cronjob(cronjob_id)["response"]
        deleted[cronjob_id] = instant(answer["updated_at"])
        assert answer["deleted"] is True
    time.sleep(1.0)  # for what must not arrive
    rows = {row.cronjob_id: row for row in read_settled_ledger(editor.cluster.url).rows}
    counts = receiver.counts()
    for cronjob_id in jobs:
        row = rows.get(cronjob_id)
        count = counts[firing_id(cronjob_id, due[cronjob_id])]
        if due[cronjob_id] > deleted[cronjob_id] and row is None:
            assert count == 0
            continue
        assert row is not None, "it was owed"
        # A deletion is dated when it was asked for: a tick may have been due, and come first, while it waited.
        assert row.created_at >= due[cronjob_id], "it was not owed any more"
        if row.state == "delivered":
            assert count == 1
        else:
            assert (row.state, row.reason, count) == ("skipped", "deleted", 0)
    states = {row.state for row in rows.values()}
    assert states <= {"delivered", "skipped"}
    # Its ledger stays readable, its secret is gone.
    answer = editor.client.signed("GET", "/account/firings/")["response"]
    assert len(answer) == len(rows)


@pytest.mark.slow
def test_hammered__by_changes_while_it_fires_every_tenth_of_a_second(
    editor: Editor, receiver: Receiver
) -> None:
    """Four clients change one cron job around each fire time; these go on, each once."""
    cronjob_id = editor.add("hammered")
    stop = threading.Event()
    changes = threading.Semaphore(0)  # a cron job is not changed more often than a server allows
    problems: list[BaseException] = []

    def hammer(number: int) -> None:
        client = HostedClient(editor.client.url, editor.client.api_key, editor.client.api_secret)
        try:
            while changes.acquire() and not stop.is_set():
                client.signed("PATCH", f"/cronjob/{cronjob_id}/", {"name": f"by {number}"})
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    fired = []
    for _ in range(10):
        fired.append(at := now())
        changes.release(8)
        editor.due(cronjob_id, at)
        arrived(receiver, len(fired))
    stop.set()
    changes.release(len(threads))
    for thread in threads:
        thread.join()
    assert not problems
    time.sleep(0.3)  # for what must not arrive
    rows = read_settled_ledger(editor.cluster.url).rows
    assert {row.scheduled_at for row in rows} == set(fired)
    assert {row.state for row in rows} == {"delivered"}
    assert set(receiver.counts().values()) == {1}
