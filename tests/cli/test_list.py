"""`cronally list`: tags, filters, an order and columns, against the real API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from cronally import Client
from tests.cli.conftest import Run
from tests.support.relay import Relay

HTTP = (
    *("--delivery-type", "http", "--delivery-http-method", "post"),
    *("--delivery-http-url", "https://1.1.1.1/hook"),
)

pytestmark = pytest.mark.usefixtures("account")


def add(run: Run, name: str, *options: str) -> Mapping[str, Any]:
    result = run("add", "--name", name, "--cron", "0 8 * * *", *HTTP, *options, "--json")
    made: dict[str, Any] = json.loads(result.stdout)["response"]
    return made


def names(run: Run, *options: str) -> list[str]:
    answer = json.loads(run("list", *options, "--json").stdout)
    return [item["name"] for item in answer["response"]]


def test_tags__are_given_one_by_one_and_taken_away(run: Run, client: Client) -> None:
    made = add(run, "report", "--tag", "web", "--tags", "env=prod")
    assert made["tags"] == ["env=prod", "web"]
    assert "env=prod web" in run("show", "report").stdout
    run("update", "report", "--tag", "env=dev")
    assert client.cronjob(made["cronjob_id"]).tags == ("env=dev",)
    run("update", "report", "--name", "other")
    assert client.cronjob(made["cronjob_id"]).tags == ("env=dev",)
    assert "Tags" not in run("update", "other", "--tag", "").stdout
    assert client.cronjob(made["cronjob_id"]).tags == ()


def test_list__filters_and_sorts(run: Run, relay: Relay) -> None:
    for name, tags in (("b-1", ["web", "env=prod"]), ("b-2", ["web"]), ("a", ["env=dev"])):
        add(run, name, *[part for tag in tags for part in ("--tag", tag)])
    assert names(run) == ["b-1", "b-2", "a"]
    assert names(run, "--tag", "env=*") == ["b-1", "a"]
    assert names(run, "--tag", "env=*", "--tag", "web") == ["b-1"]
    assert names(run, "--sort", "-name") == ["b-2", "b-1", "a"]
    assert names(run, "--name-prefix", "b-", "--sort", "name", "--limit", "1") == ["b-1"]
    assert names(run, "--next-fire-until", "2d", "--delivery-type", "http") == ["b-1", "b-2", "a"]
    assert relay.last.query()["next_fire_until"].endswith("Z")
    assert names(run, "--next-fire-from", "2d") == []
    assert "No cron job is like that." in run("list", "--tag", "none").stdout
    assert "--next-fire-from" in run("list", "--next-fire-from", "soon", status=2).stderr


def test_list__has_the_columns_that_were_chosen(run: Run) -> None:
    made = add(run, "report", "--tag", "web", "--tag", "env=prod")
    lines = run("list", "--columns", "name, tags,deleted,next_fire_at").stdout.splitlines()
    assert lines[0].split() == ["name", "tags", "deleted", "next_fire_at"]
    at = made["next_fire_at"].replace("T", " ").removesuffix("Z")
    assert lines[2].split() == ["report", "env=prod,", "web", "no", *at.split()]
    (item,) = json.loads(run("list", "--columns", "name,state", "--json").stdout)["response"]
    assert item == {"cronjob_id": made["cronjob_id"], "name": "report", "state": "active"}
    lines = run("list", "--columns", "health,last_firing,counts_24h").stdout.splitlines()
    assert [line.split() for line in (lines[0], lines[2])] == [
        ["health", "last_firing", "counts_24h"],
        ["new", "none"],
    ]
    (item,) = json.loads(run("list", "--health", "new", "--columns", "counts_7d", "--json").stdout)[
        "response"
    ]
    assert [*item] == ["cronjob_id", "counts_7d"]
    assert "No cron job is like that." in run("list", "--health", "failing").stdout
    result = run("list", "--columns", "name,nmae", status=2)
    assert '"nmae" is no column; there are account_id, cronjob_id, name' in result.stderr


@pytest.mark.parametrize("columns", ["60", "100"])
def test_list__columns_wrap_but_ids_do_not(run: Run, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    made = add(run, "a long name " * 10, "--tag", "web")
    monkeypatch.setenv("COLUMNS", columns)
    lines = run("list", "--columns", "cronjob_id,name").stdout.splitlines()
    assert made["cronjob_id"] in lines[2]
    assert all(len(line) <= int(columns) for line in lines)
