"""Sealing keys of a running server: made once, checked against the database, renewed while others write."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from cronally import errors
from cronally.server import keys as sealing
from cronally.server.keys import BATCH
from cronally.store import Store, tables
from cronally.vault import SealContext, SealingKey, Vault
from tests.support.factories import (
    CANARY,
    NOON,
    cronjob_values,
    insert_rows,
    make_account,
    make_cronjob,
    read,
    read_cronjob,
    vault,
)
from tests.support.secret_file import write_secret

OLD, NEW = SealingKey("k1", bytes([7]) * 32), SealingKey("k2", bytes([9]) * 32)


def test_keys__are_made_once_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "cronally.db.keys"
    old = os.umask(0)
    try:
        text = sealing.read_or_make_keys(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sealing.read_or_make_keys(path) == text
    assert sealing.open_vault(text).current_id
    assert [file.name for file in tmp_path.iterdir()] == ["cronally.db.keys"], "no draft is left"


async def test_keys__are_not_made_for_a_database_that_has_some(store: Store, tmp_path: Path) -> None:
    """The new file would be taken for the right one, and backed up over it."""
    path = tmp_path / "cronally.db.keys"
    await sealing.check(store, sealing.open_vault(await sealing.own_keys(store, path)))
    text = await sealing.own_keys(store, path)
    path.unlink()
    with pytest.raises(errors.SettingsError, match=r"cronally\.db\.keys is not there.*backup"):
        await sealing.own_keys(store, path)
    assert not path.exists()
    write_secret(path, text)
    await sealing.check(store, sealing.open_vault(await sealing.own_keys(store, path)))


def test_keys__draft_of_a_start_that_was_killed_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.with_name("keys.new").write_text("half a")
    text = sealing.read_or_make_keys(path)
    assert sealing.open_vault(text)
    assert [file.name for file in tmp_path.iterdir()] == ["keys"]


def test_keys__killed_before_they_were_durable_leave_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty file of keys would stop every later start."""

    class Killed(BaseException):
        pass

    def kill(_descriptor: int) -> None:
        raise Killed

    monkeypatch.setattr(os, "fsync", kill)
    with pytest.raises(Killed):
        sealing.read_or_make_keys(tmp_path / "keys")
    monkeypatch.undo()
    assert not (tmp_path / "keys").exists()
    assert sealing.open_vault(sealing.read_or_make_keys(tmp_path / "keys"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.mkdir(),
        lambda path: write_secret(path, "").write_bytes(b"\xff\xfe\xff"),
    ],
)
def test_keys__that_cannot_be_read_are_refused_in_one_line(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(tmp_path / "keys")
    with pytest.raises(errors.SettingsError) as caught:
        sealing.read_or_make_keys(tmp_path / "keys")
    assert str(tmp_path / "keys") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_keys__folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(errors.SettingsError, match="No such file"):
        sealing.read_or_make_keys(tmp_path / "nowhere" / "keys")


async def test_check__new_database_takes_the_keys_and_keeps_to_them(store: Store) -> None:
    await sealing.check(store, Vault([OLD]))
    await sealing.check(store, Vault([OLD]))
    await sealing.check(store, Vault([NEW, OLD]))


@pytest.mark.parametrize("wrong", [Vault([NEW]), Vault([SealingKey("k1", bytes([8]) * 32)])])
async def test_check__other_keys_are_refused_in_one_line(store: Store, wrong: Vault) -> None:
    await sealing.check(store, Vault([OLD]))
    with pytest.raises(errors.SealingError) as caught:
        await sealing.check(store, wrong)
    message = str(caught.value)
    assert "CRONALLY_SEALING_KEYS" in message
    assert "\n" not in message


async def test_check__altered_value_is_refused(store: Store) -> None:
    await sealing.check(store, Vault([OLD]))
    other = Vault([OLD]).seal(b"else", SealContext("", "sealing_check", "sealed", "check"))
    await store.transact(
        lambda connection: connection.execute(update(tables.sealing_check).values(sealed=other)) and None
    )
    with pytest.raises(errors.SealingError, match="altered"):
        await sealing.check(store, Vault([OLD]))


async def make_secrets(store: Store, count: int) -> str:
    """An account with so many cron jobs and API keys, all sealed with the old key."""
    account = await make_account(store)
    await insert_rows(store, "cronjob", [cronjob_values(account) for _ in range(count)])
    await insert_rows(
        store,
        "api_key",
        [
            {
                "api_key": f"key-{number}",
                "account_id": account,
                "secret": vault().seal(
                    f"{CANARY}{number}".encode(), SealContext(account, "api_key", "secret", f"key-{number}")
                ),
                "created_at": NOON,
                "revoked_at": None,
                "name": f"key-{number}",
                **dict.fromkeys(("scopes", "tags", "networks"), "[]"),
                "by_signup": False,
            }
            for number in range(count)
        ],
    )
    return account


async def test_rekey__renews_every_secret_and_the_old_key_can_go(store: Store) -> None:
    await sealing.check(store, Vault([OLD]))
    account = await make_secrets(store, BATCH + 5)
    await make_cronjob(store, account, secret=None)
    both = Vault([NEW, OLD])
    assert await sealing.rekey(store, both) == 2 * (BATCH + 5)
    assert await sealing.rekey(store, both) == 0, "what has the new key is left alone"
    only_new = Vault([NEW])
    await sealing.check(store, only_new)
    for row in await read(store, select(tables.cronjob).where(tables.cronjob.c.secret.is_not(None))):
        place = SealContext(account, "cronjob", "secret", row.cronjob_id)
        assert json.loads(only_new.open(row.secret, place)) == {"scripted_secret": CANARY}
    for row in await read(store, select(tables.api_key)):
        place = SealContext(account, "api_key", "secret", row.api_key)
        assert only_new.open(row.secret, place).decode().startswith(CANARY)


async def test_rekey__secret_that_changes_meanwhile_is_not_overwritten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await make_cronjob(store)
    both = Vault([NEW, OLD])
    changed = both.seal(b'{"a":"b"}', SealContext(job["account_id"], "cronjob", "secret", job["cronjob_id"]))
    transact = store.transact
    calls = 0

    async def interleaved(work: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:  # read api keys (none), read cron jobs, now replace: the tenant was faster
            await transact(
                lambda connection: connection.execute(update(tables.cronjob).values(secret=changed)) and None
            )
        return await transact(work)

    monkeypatch.setattr(store, "transact", interleaved)
    assert await sealing.rekey(store, both) == 0
    monkeypatch.undo()
    assert (await read_cronjob(store, job["cronjob_id"])).secret == changed


async def test_rekey__without_the_old_key_changes_nothing(store: Store) -> None:
    job = await make_cronjob(store)
    with pytest.raises(errors.SealingError, match="k1 is missing"):
        await sealing.rekey(store, Vault([NEW]))
    assert (await read_cronjob(store, job["cronjob_id"])).secret == job["secret"]


async def test_database__holds_no_secret_in_clear(store: Store, tmp_path: Path) -> None:
    await make_secrets(store, 3)
    assert await read(store, select(func.count()).select_from(tables.cronjob))
    for file in sorted(tmp_path.iterdir()):  # noqa: ASYNC240 - a handful of small files
        assert CANARY.encode() not in file.read_bytes(), file


CLEAR = {
    "http": {"delivery_http_url": f"https://example.com/?token={CANARY}&a=b", "delivery_http_method": "get"},
    # What an older version let pass: the secret in the place of the key id.
    "sns": {"sns_topic": "arn", "sns_message": "é", "sns_access_key_id": f"wJal/{CANARY}"},
}


async def make_clear(store: Store) -> dict[str, str]:
    """Cron jobs as an older version stored them, and the chore that the migration leaves; the ids."""
    account = await make_account(store)
    rows: dict[str, Any] = {
        "http": {"target": "http", "destination": json.dumps(CLEAR["http"]), "secret": None},
        "open": {
            "target": "http",
            "destination": '{"delivery_http_url": "https://example.com/"}',
            "secret": None,
        },
        "sns": {
            "target": "sns",
            "destination": json.dumps(CLEAR["sns"]),
            "secret": {"sns_secret_access_key": f"{CANARY} too"},
        },
        "deleted": {
            "target": "http",
            "destination": json.dumps(CLEAR["http"]),
            "secret": None,
            "state": "deleted",
            "next_fire_at": None,
            "purge_at": NOON,
        },
        "newer": {"target": "smoke", "destination": '{"signal": "x"}', "secret": None},
    }
    made = {name: await make_cronjob(store, account, **row) for name, row in rows.items()}
    await store.transact(
        lambda connection: connection.execute(insert(tables.chore).values(chore="seal_destinations")) and None
    )
    return {name: row["cronjob_id"] for name, row in made.items()}


def opened(row: Any) -> Any:
    place = SealContext(row.account_id, "cronjob", "secret", row.cronjob_id)
    return json.loads(vault().open(row.secret, place))


async def test_chore__seals_what_an_older_version_stored_in_the_clear(store: Store, tmp_path: Path) -> None:
    made = await make_clear(store)
    before = {name: await read_cronjob(store, id_) for name, id_ in made.items()}
    assert await sealing.do_chore(store, vault()) == 3
    after = {name: await read_cronjob(store, id_) for name, id_ in made.items()}
    http, sns = after["http"], after["sns"]
    assert json.loads(http.destination)["delivery_http_url"] == "https://example.com/?token=***&a=b"
    assert opened(http) == {"delivery_http_url": CLEAR["http"]["delivery_http_url"]}
    assert json.loads(sns.destination) == {**CLEAR["sns"], "sns_access_key_id": "***"}
    assert opened(sns) == {
        "sns_access_key_id": CLEAR["sns"]["sns_access_key_id"],
        "sns_secret_access_key": f"{CANARY} too",
    }
    assert CANARY not in after["deleted"].destination
    assert after["deleted"].secret is None
    for name in ("open", "newer"):
        assert after[name] == before[name]
    for name in ("http", "sns", "deleted"):
        grown = len(after[name].destination.encode()) - len(before[name].destination.encode())
        assert after[name].size == before[name].size + grown, "what an account stores is counted right"
        assert after[name].version == before[name].version, "nothing else fires"
    await store.clear_log()
    for file in sorted(tmp_path.iterdir()):  # noqa: ASYNC240 - a handful of small files
        assert CANARY.encode() not in file.read_bytes(), file


async def test_chore__is_done_once_and_again_if_it_was_cut_off(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await make_clear(store)

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    monkeypatch.setattr("cronally.store.sealing.delete_chore", kill)
    with pytest.raises(Killed):
        await sealing.do_chore(store, vault())
    monkeypatch.undo()
    first = await read_cronjob(store, made["http"])
    assert await sealing.do_chore(store, vault()) == 0, "all was sealed; only the note of it was lost"
    assert await read_cronjob(store, made["http"]) == first
    row = await make_cronjob(
        store, target="http", destination=json.dumps(CLEAR["http"]), secret=None
    )  # by a server of an older version
    assert await sealing.do_chore(store, vault()) == 0
    assert await sealing.rekey(store, vault()) == 1
    assert CANARY not in (await read_cronjob(store, row["cronjob_id"])).destination


async def test_chore__a_change_that_is_made_meanwhile_stands(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await make_clear(store)
    transact, calls = store.transact, 0

    async def interleaved(work: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:  # has the chore, listed, now to be replaced: the tenant was faster
            await transact(
                lambda connection: (
                    connection.execute(
                        update(tables.cronjob)
                        .where(tables.cronjob.c.target == "http")
                        .values(destination="{}")
                    )
                    and None
                )
            )
        return await transact(work)

    monkeypatch.setattr(store, "transact", interleaved)
    assert await sealing.do_chore(store, vault()) == 1
    monkeypatch.undo()
    row = await read_cronjob(store, made["http"])
    assert (row.destination, row.secret) == ("{}", None)
