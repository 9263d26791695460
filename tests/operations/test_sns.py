"""What a cron job may choose of SNS: stored, shown, changed, taken away by its name, and sent; on both databases."""

from __future__ import annotations

import pytest

from cronally import errors
from cronally.operations import Caller
from cronally.store import Store
from cronally.targets.target import Target
from tests.operations.parameters import SNS
from tests.operations.receivers import server, targets
from tests.operations.runs import deliver
from tests.operations.tenant import Tenants
from tests.support.scripted import ScriptedServer

__all__ = ["server", "targets"]

CHOSEN = {
    "sns_message": '{"default": "good morning"}',
    "sns_subject": "Nightly report ☕",
    "sns_attributes": '{"kind": "report", "copies": 2}',
    "sns_message_structure": "json",
}
NAME = SNS["name"]
BODY = {name: value for name, value in SNS.items() if name != "name"}


async def test_chosen__is_stored_shown_changed_sent_and_taken_away(
    operations: Tenants, caller: Caller, store: Store, targets: dict[str, Target], server: ScriptedServer
) -> None:
    made = await operations.create_cronjob(caller.account_id, SNS | CHOSEN)
    assert made.items() >= CHOSEN.items()
    sent = {"sns_subject": "Another"}
    changed = await operations.update_cronjob(caller.account_id, made["cronjob_id"], sent)
    assert changed.items() >= (CHOSEN | sent).items()
    await operations.run_cronjob(caller.account_id, made["cronjob_id"])
    await deliver(store, targets)
    (request,) = server.requests
    form = request.form()
    assert (form["Subject"], form["MessageStructure"]) == ("Another", "json")
    assert form["MessageAttributes.entry.6.Name"] == "kind"
    put = await operations.put_cronjob(caller.account_id, NAME, BODY)
    assert put["outcome"] == "changed"
    assert not put.keys() & (CHOSEN.keys() - {"sns_message"})


async def test_run__a_message_of_its_own_keeps_the_structure(operations: Tenants, caller: Caller) -> None:
    made = await operations.create_cronjob(caller.account_id, SNS | CHOSEN)
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.run_cronjob(caller.account_id, made["cronjob_id"], {"sns_message": "plain"})
    assert "is no JSON" in caught.value.fields["sns_message"]
    own = {"sns_message": '{"default": "only Berlin"}'}
    assert (await operations.run_cronjob(caller.account_id, made["cronjob_id"], own))["kind"] == "manual"


async def test_create__more_attributes_than_raw_delivery_takes_is_warned_of(
    operations: Tenants, caller: Caller
) -> None:
    own = {"sns_attributes": '{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6}'}
    (warning,) = (await operations.create_cronjob(caller.account_id, SNS | own))["warnings"]
    assert "raw message delivery" in warning
