"""kill -9 in the middle of an operation, on both databases: the next process goes on, and nothing is done twice."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest

from cronally import Client
from cronally.vault import new_sealing_key
from tests.acceptance.ledger import execute, read_ledger
from tests.client.test_client import HTTP
from tests.support.cronally_server import cronally_server

COUNT = 150


@pytest.mark.turns("database_url")
def test_kill__in_the_middle_of_a_bulk_run(database_url: str, tmp_path: Path) -> None:
    settings = {"CRONALLY_DATABASE_URL": database_url, "CRONALLY_SEALING_KEYS": new_sealing_key()}
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    with cronally_server(first, settings) as server:
        with Client(server.url) as stranger:
            account = stranger.signup("username@example.com")
        with Client(server.url, account.api_key, account.api_secret) as client:
            ids = [
                client.put_cronjob(f"job {number}", cron="0 0 29 2 *", **HTTP).cronjob_id
                for number in range(COUNT)
            ]
            running = client.run_cronjobs({"all": True}, at="1h")
            # Not at once: some of it is done, and some is not.
            done = next(each for each in client.follow_operation(running) if each.done)
        server.process.kill()
        server.process.wait(60)
    assert 0 < done.done <= COUNT
    # Whoever worked on it is gone: its lease need not be waited for.
    execute(database_url, "UPDATE operation SET leased_until = 0")
    with (
        cronally_server(second, settings) as server,
        Client(server.url, account.api_key, account.api_secret) as client,
    ):
        *_, last = itertools.chain(
            [client.get_operation(running.operation_id)], client.follow_operation(done)
        )
    assert (last.state, last.done, last.failed) == ("completed", COUNT, 0)
    runs = Counter(row.cronjob_id for row in read_ledger(database_url).rows)
    assert runs == dict.fromkeys(ids, 1)
