"""`GET /account/forecast/` over the wire: signed, an account's own, and said when it is asked wrongly."""

from __future__ import annotations

from tests.api.serving import Client, sign_up
from tests.operations.parameters import HTTP


def test_forecast__is_the_accounts_own(client: Client) -> None:
    other = sign_up(client.api, "other@example.com")
    for number in range(2):
        client.ask("POST", "/cronjob/", {**HTTP, "name": f"job {number}", "cron": "0 * * * *"})
    answer = client.ask("GET", "/account/forecast/?hours=6").response
    assert (answer["firings"], answer["step"], answer["unreadable"]) == (12, "1m", 0)
    assert answer["hosts"] == [{"host": "1.1.1.1", "firings": 12, "peak": 2}]
    assert [(step["firings"], step["by_host"]) for step in answer["steps"]] == [(2, [2])] * 6
    assert len(answer["busiest"]) == 6
    assert {one["instead"] for one in answer["spread"]["cronjobs"]} == {"H * * * *"}
    assert other.ask("GET", "/account/forecast").response["firings"] == 0
    assert other.ask("GET", "/account/forecast/").response["spread"] is None


def test_forecast__asked_wrongly(client: Client, stranger: Client) -> None:
    assert stranger.ask("GET", "/account/forecast/").status == 401
    for query in ("hours=0", "hours=169", "hours=x", "hours=1&hours=2"):
        assert client.ask("GET", f"/account/forecast/?{query}").fields.keys() == {"hours"}
    assert client.ask("GET", "/account/forecast/?days=1").fields.keys() == {"days"}
    assert client.ask("POST", "/account/forecast/").status == 405
