"""A target that can never be sent to is refused when it is given; what may be wrong with it is said."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from cronally import errors
from cronally.operations import Caller
from tests.operations.parameters import HTTP, SNS
from tests.operations.tenant import Tenants

INSIDE = "https://inside.example.com/"
NOWHERE = {"delivery_http_url": "https://nothing.invalid/"}


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(host: str, *_: Any) -> list[Any]:
        if host.endswith(".invalid"):
            raise socket.gaierror
        address = "10.0.0.1" if host == "inside.example.com" else "93.184.215.14"
        return [(socket.AF_INET, 1, 6, "", (address, 443))]

    monkeypatch.setattr(socket, "getaddrinfo", found)


async def test_create_cronjob__host_that_leads_inside(operations: Tenants, caller: Caller) -> None:
    sent = {**HTTP, "name": "", "delivery_http_url": INSIDE}
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(caller.account_id, sent)
    assert caught.value.fields.keys() == {"name", "delivery_http_url"}
    assert "CRONALLY_HTTP_ALLOWED_NETWORKS" in caught.value.fields["delivery_http_url"]
    assert not (await operations.list_cronjobs(caller.account_id, {})).items


async def test_update_cronjob__host_that_leads_inside(operations: Tenants, caller: Caller) -> None:
    made = await operations.create_cronjob(caller.account_id, HTTP)
    assert "warnings" not in made
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.update_cronjob(caller.account_id, made["cronjob_id"], {"delivery_http_url": INSIDE})
    assert caught.value.fields.keys() == {"delivery_http_url"}
    assert await operations.get_cronjob(caller.account_id, made["cronjob_id"]) == made
    # What is stored may lead inside by now: it is looked at when it is sent, and changed meanwhile.
    await operations.update_cronjob(caller.account_id, made["cronjob_id"], {"name": "tea"})


async def test_warnings__are_in_the_answer_and_not_stored(operations: Tenants, caller: Caller) -> None:
    made = await operations.create_cronjob(caller.account_id, {**HTTP, **NOWHERE}, idempotency_key="k")
    assert [text.partition(",")[0] for text in made["warnings"]] == [
        "The host of delivery_http_url does not resolve now"
    ]
    again = await operations.create_cronjob(caller.account_id, {**HTTP, **NOWHERE}, idempotency_key="k")
    assert again == made
    shown = await operations.get_cronjob(caller.account_id, made["cronjob_id"])
    assert "warnings" not in shown
    changed = await operations.update_cronjob(caller.account_id, made["cronjob_id"], NOWHERE)
    assert changed["warnings"] == made["warnings"]


async def test_warnings__a_byte_order_mark(operations: Tenants, caller: Caller) -> None:
    made = await operations.create_cronjob(caller.account_id, {**SNS, "sns_message": "\ufeff{}"})
    assert list(made["warnings"]) == [
        "sns_message begins with a byte order mark (U+FEFF), which is sent too."
    ]
    assert made["sns_message"] == "\ufeff{}"
