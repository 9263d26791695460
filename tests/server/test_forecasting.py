"""`cronally forecast --all`: a process of its own beside the database, which it leaves as it is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from cronally.clock import zones
from cronally.instants import DAY, HOUR
from cronally.store import Store, open_store
from tests.support import factories, fork_server
from tests.support.cronally_server import CLI

SNS = json.dumps(
    {"sns_region": "eu-west-1", "sns_topic": "arn:aws:sns:eu-west-1:123456789012:a", "sns_message": "x"}
)


def forecast(url: str, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
    return fork_server.run(
        [*CLI, "forecast", "--all", *options], env={"CRONALLY_DATABASE_URL": url, **more}, seconds=120
    )


async def fill(store: Store) -> None:
    now = await store.clock()
    for _ in range(2):
        account_id = await factories.make_account(store)
        for cron in ("0 * * * *", "H * * * *", "rate(1 hour)"):
            values = {"created_at": now - DAY, "updated_at": now - DAY, "next_fire_at": now + HOUR - 1}
            await factories.make_cronjob(
                store, account_id, cron=cron, target="sns", destination=SNS, **values
            )


async def test_forecast__of_all_accounts_as_they_stand_in_the_database(migrated_url: str) -> None:
    store = await open_store(migrated_url)
    try:
        await fill(store)
    finally:
        await store.close()
    done = forecast(migrated_url, "--hours", "12", "--json", AWS_ENDPOINT_URL_SNS="http://sns.example:4566")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)["response"]
    assert answer["firings"] == 6 * 12
    assert [host["host"] for host in answer["hosts"]] == ["sns.example"]
    assert answer["tzdata"] == zones.version()


async def test_forecast__of_a_file_that_a_server_holds_or_that_is_not_there(
    migrated_sqlite_url: str, tmp_path: Path
) -> None:
    store = await open_store(migrated_sqlite_url)
    try:
        held = forecast(migrated_sqlite_url)
    finally:
        await store.close()
    assert (held.returncode, held.stdout) == (1, "")
    assert "in use by another Cronally server" in held.stderr
    missing = tmp_path / "other" / "cronally.db"
    absent = forecast(f"sqlite:///{missing}")
    assert (absent.returncode, absent.stdout) == (1, "")
    assert "There is no database" in absent.stderr
    assert not missing.parent.exists()


def test_forecast__of_a_database_that_was_not_migrated(tmp_path: Path) -> None:
    path = tmp_path / "cronally.db"
    path.touch()
    done = forecast(f"sqlite:///{path}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cronally migrate" in done.stderr
