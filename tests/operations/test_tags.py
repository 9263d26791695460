"""Tags of a cron job: made, replaced and taken away, counted, and no matter to when it fires."""

from __future__ import annotations

from typing import Any

import pytest

from cronally import errors
from cronally.instants import MINUTE
from cronally.operations import Caller, Operations
from cronally.store import Store
from cronally.targets.target import Target
from tests.operations.parameters import SNS
from tests.operations.tenant import Tenants
from tests.support import factories
from tests.support.factories import Clock, make_firing, read_cronjob, read_firings

MINUTELY = {**SNS, "cron": "* * * * *"}


async def test_tags__are_replaced_by_a_change(operations: Tenants, caller: Caller, store: Store) -> None:
    made = await operations.create_cronjob(caller.account_id, {**SNS, "tags": "web, env=prod"})
    assert made["tags"] == ("env=prod", "web")
    cronjob_id = made["cronjob_id"]
    for sent, tags in (
        ({"name": "x"}, ("env=prod", "web")),
        ({"tags": ["env=dev"]}, ("env=dev",)),
        ({"tag": "b,a"}, ("a", "b")),
        ({"tags": ""}, ()),
        ({"tags": ["a"]}, ("a",)),
        ({"tags": []}, ()),
    ):
        changed = await operations.update_cronjob(caller.account_id, cronjob_id, sent)
        assert changed["tags"] == tags
        assert await operations.get_cronjob(caller.account_id, cronjob_id) == changed
    assert changed["version"] == made["version"] + 6
    assert (await read_cronjob(store, cronjob_id)).tags == "[]"


async def test_tags__change_nothing_of_when_it_fires(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    made = await operations.create_cronjob(caller.account_id, MINUTELY)
    clock.forward(10 * MINUTE)
    before = await read_cronjob(store, made["cronjob_id"])
    await operations.update_cronjob(caller.account_id, made["cronjob_id"], {"tags": "web"})
    after = await read_cronjob(store, made["cronjob_id"])
    assert await read_firings(store) == []
    changed = {name for name, value in after._mapping.items() if value != before._mapping[name]}
    assert changed == {"tags", "version", "updated_at", "size"}


async def test_tags__count_as_what_is_stored(
    store: Store, targets: dict[str, Target], caller: Caller
) -> None:
    made = Operations(store, factories.vault(), targets, max_bytes=1_000)
    operations = Tenants(made)
    cronjob = await operations.create_cronjob(caller.account_id, SNS)
    cronjob_id = cronjob["cronjob_id"]
    size = (await read_cronjob(store, cronjob_id)).size
    await operations.update_cronjob(caller.account_id, cronjob_id, {"tags": ["env=prod", "web"]})
    assert (await read_cronjob(store, cronjob_id)).size == size + len('"env=prod","web"')
    long = [f"{number}={'v' * 128}" for number in range(10)]
    with pytest.raises(errors.Forbidden):
        await operations.update_cronjob(caller.account_id, cronjob_id, {"tags": long})
    with pytest.raises(errors.Forbidden):
        await operations.create_cronjob(caller.account_id, {**SNS, "tags": long})
    await operations.update_cronjob(caller.account_id, cronjob_id, {"tags": []})
    assert (await read_cronjob(store, cronjob_id)).size == size


async def test_tags__go_with_the_cron_job(operations: Tenants, caller: Caller, store: Store) -> None:
    made = await operations.create_cronjob(caller.account_id, {**SNS, "tags": "web"})
    await make_firing(store, await _row(store, made["cronjob_id"]), state="delivered")
    deleted = await operations.delete_cronjob(caller.account_id, made["cronjob_id"])
    assert deleted["tags"] == ()
    assert (await read_cronjob(store, made["cronjob_id"])).tags == "[]"
    assert (await operations.list_cronjobs(caller.account_id, {"tag": "web"})).items == []


async def _row(store: Store, cronjob_id: str) -> dict[str, Any]:
    return dict((await read_cronjob(store, cronjob_id))._mapping)
