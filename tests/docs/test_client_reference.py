"""The page of the Python client: its examples run, and its table has every verb."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from cronally import AsyncClient, Client
from cronally.client import DEFAULT_URL
from cronally.client.connection import Connection
from tests.docs.account import Account
from tests.docs.markdown import ROOT, first_names, read
from tests.support.cronally_server import CronallyServer

PAGE = read(ROOT / "docs" / "reference" / "client.md")
GENERAL = {"call", "exchange"}
"""What the verbs are made of."""


def run(containing: str, server: CronallyServer, account: Account, **given: object) -> dict[str, object]:
    names: dict[str, object] = {"api_key": account.api_key, "api_secret": account.api_secret, **given}
    block = PAGE.block(containing).text
    assert DEFAULT_URL in block
    exec(compile(block.replace(DEFAULT_URL, server.url), "client.md", "exec"), names)  # noqa: S102
    return names


def test_example__of_the_client_runs(
    server: CronallyServer, account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    run("hook = client.create_cronjob", server, account)
    *times, listed = capsys.readouterr().out.splitlines()
    assert len(times) == 3
    assert listed.startswith("hook */15 8-17 * * MON-FRI active ")


def test_example__of_tags_runs(
    server: CronallyServer, account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    http = {"delivery_type": "http", "delivery_http_url": "https://1.1.1.1/", "delivery_http_method": "get"}
    made = account.ask("POST", "/cronjob/", {"name": "tagged", "cron": "0 8 * * *", **http}).json
    cronjob_id = made["response"]["cronjob_id"]
    run("tags=[]", server, account, cronjob_id=cronjob_id)
    assert capsys.readouterr().out == "tagged ('env=prod', 'web')\n"
    assert account.ask("GET", f"/cronjob/{cronjob_id}/").json["response"]["tags"] == []


def test_example__of_asyncio_runs(server: CronallyServer, account: Account) -> None:
    last_failure = run("AsyncClient(", server, account)["last_failure"]
    assert callable(last_failure)
    assert asyncio.run(last_failure(account.api_key, account.api_secret)) is None


def test_example__of_errors_runs(
    server: CronallyServer, account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    run("except InvalidRequest", server, account)
    assert "'cron'" in capsys.readouterr().out


def test_table__has_every_verb_with_its_parameters() -> None:
    verbs = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    verbs -= GENERAL | set(vars(Connection))
    written: dict[str, str] = {}
    for each in first_names(PAGE.section("Verbs")):
        name, _, parameters = each.removesuffix(")").partition("(")
        written[name] = parameters
    assert set(written) == verbs
    for name, parameters in written.items():
        for kind in (Client, AsyncClient):
            signature = inspect.signature(getattr(kind, name))
            said = [each.partition("=")[0] for each in parameters.split(", ") if each not in ("", "*", "...")]
            named = [each for each in signature.parameters.values() if each.name != "self"]
            assert said == [each.name for each in named if each.kind is not inspect.Parameter.VAR_KEYWORD]
            assert ("..." in parameters) == any(each.kind is inspect.Parameter.VAR_KEYWORD for each in named)


def test_retries__are_as_many_as_it_says() -> None:
    defaults = {name: each.default for name, each in inspect.signature(Client).parameters.items()}
    for name in ("retries", "backoff", "timeout"):
        assert f"`{name}={defaults[name]}`" in PAGE.prose
