"""The operator's notice: in a header of every answer while it stands, and at `/status`; a request asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cronally import errors
from cronally.contract.service import MAX_NOTICE
from tests.api.serving import Api, Client, serving
from tests.support.statements import sent_by

HEADER = "Cronally-Notice"


@pytest.fixture(params=["sqlite", "postgres"])
def noticed(request: pytest.FixtureRequest) -> Iterator[Api]:
    with serving(request.getfixturevalue(f"{request.param}_url")) as made:
        yield made


def know(api: Api) -> None:
    """Let the server forget when it last asked, and ask."""
    known = api.app.state.services.notice
    known._read_at = None
    api.run(known.renewed())


def test_notice__is_told_to_everybody_until_it_is_taken_back(noticed: Api) -> None:
    stranger = Client(noticed)
    assert stranger.ask("GET", "/status/").response == {"notice": None, "since": None, "until": None}
    noticed.run(noticed.operations.noticing.set("Back at 14:00 UTC", None))
    know(noticed)
    assert stranger.ask("GET", "/status/").response["notice"] == "Back at 14:00 UTC"
    for method, path in (
        ("GET", "/status"),
        ("GET", "/account/"),
        ("GET", "/nothing/"),
        ("POST", "/status/"),
    ):
        assert stranger.ask(method, path).headers[HEADER] == "Back at 14:00 UTC", path
    assert stranger.ask("HEAD", "/healthz").headers[HEADER] == "Back at 14:00 UTC"
    noticed.run(noticed.operations.noticing.set("Slower today", "1h"))
    know(noticed)
    told = stranger.ask("GET", "/status/")
    assert (told.headers[HEADER], told.response["until"] is None) == ("Slower today", False)
    noticed.run(noticed.operations.noticing.clear())
    know(noticed)
    assert HEADER not in stranger.ask("GET", "/account/").headers


def test_notice__ends_by_itself(noticed: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    noticed.run(noticed.operations.noticing.set("Slower today", "1h"))

    async def later() -> int:
        return await noticed.store.read_clock() + 3_600_000_001

    monkeypatch.setattr(noticed.store, "clock", later)
    know(noticed)
    assert HEADER not in Client(noticed).ask("GET", "/status/").headers


@pytest.mark.parametrize(
    "text", ["", " ", "two\r\nSet-Cookie: x", "line\n", "\0", "später", "x" * (MAX_NOTICE + 1), "\x7f"]
)
def test_notice__that_cannot_stand_in_a_header_is_refused(api: Api, text: str) -> None:
    with pytest.raises(errors.InvalidRequest):
        api.run(api.operations.noticing.set(text, None))


@pytest.mark.parametrize("until", ["", "soon", "-1h", "0s", "2001-01-01T00:00:00Z"])
def test_notice__whose_end_is_none_is_refused(api: Api, until: str) -> None:
    with pytest.raises(errors.InvalidRequest):
        api.run(api.operations.noticing.set("Slower today", until))


def test_notice__costs_no_statement_while_it_is_known(noticed: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cronally.api.notices.KEPT_FOR", 1000.0)
    know(noticed)
    stranger = Client(noticed)
    with sent_by(noticed.store) as asked:
        for _ in range(5):
            stranger.ask("GET", "/status/")
            stranger.ask("GET", "/nothing/")
    assert not [one for one in asked if "notice" in one]


def test_notice__stands_while_the_database_does_not_answer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.run(api.operations.noticing.set("Working on the database", None))
    know(api)

    async def broken() -> None:
        raise errors.Unavailable

    monkeypatch.setattr(api.app.state.services.notice, "_read", broken)
    know(api)
    assert Client(api).ask("GET", "/healthz").headers[HEADER] == "Working on the database"
    monkeypatch.undo()
    api.run(api.operations.noticing.clear())
    know(api)
