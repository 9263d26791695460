"""The options that a command gets from the declarations of a request, for each kind of attribute."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypedDict

import pytest
import typer
from typer.testing import CliRunner, Result

from cronally.cli.options import with_options
from cronally.client.calls import texts
from cronally.contract.attribute import Attribute
from cronally.contract.reading import Parameters, Reading, Repeated
from cronally.instants import HOUR, SECOND, parse_iso


class Every(TypedDict, total=False):
    """An attribute of each kind."""

    priority: Annotated[int, Attribute("How urgent", default=5, minimum=1, maximum=9)]
    quiet: Annotated[bool, Attribute("Whether it is quiet")]
    colour: Annotated[Literal["red", "green"], Attribute("The colour")]
    tags: Annotated[list[str], Attribute("What it is about")]
    headers: Annotated[dict[str, str], Attribute("What is sent beside it")]
    grace: Annotated[str | timedelta, Attribute("How late", default=HOUR)]
    since: Annotated[str | datetime, Attribute("From when")]
    note: Annotated[str, Attribute("A note", file=True)]


@pytest.fixture
def seen() -> dict[str, Any]:
    return {}


@pytest.fixture
def app(seen: dict[str, Any]) -> typer.Typer:
    app = typer.Typer(rich_markup_mode=None)

    @app.command()
    @with_options(Every, defaults=True)
    def command(*, parameters: dict[str, Any]) -> None:
        seen.update(parameters)

    return app


def run(app: typer.Typer, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"TERMINAL_WIDTH": "100"})


def test_options__reach_the_command_and_are_sent_as_the_server_reads_them(
    app: typer.Typer, seen: dict[str, Any]
) -> None:
    line = "--priority 7 --no-quiet --colour red --tags a --tags b --grace 90s --since 2026-11-24T08:00:00Z"
    result = run(app, *line.split(), "--headers", "A: b", "--headers", "C: d: e", "--note", "x")
    assert result.exit_code == 0, result.output
    assert seen.pop("note_file") is None
    form = {
        name: Repeated(value) if isinstance(value, list) else value for name, value in texts(seen).items()
    }
    reading = Reading(Every, Parameters(form))
    reading.raise_complaints()
    assert reading.values == {
        "priority": 7,
        "quiet": False,
        "colour": "red",
        "tags": ["a", "b"],
        "headers": {"A": "b", "C": "d: e"},
        "grace": 90 * SECOND,
        "since": parse_iso("2026-11-24T08:00:00Z"),
        "note": "x",
    }


def test_options__that_are_left_out_are_not_sent(app: typer.Typer, seen: dict[str, Any]) -> None:
    assert run(app).exit_code == 0
    assert set(seen) == {*Every.__annotations__, "note_file"}
    assert texts(seen) == {}


def test_options__help_has_description_default_and_choices(app: typer.Typer) -> None:
    words = " ".join(run(app, "--help").stdout.split())
    for part in (
        "--priority N How urgent. Default: 5.",
        "--quiet / --no-quiet Whether it is quiet.",
        "--colour <red|green> The colour.",
        "--tags TAGS What it is about.",
        "--headers 'NAME: VALUE' What is sent beside it.",
        "--grace DURATION How late. Default: 1h.",
        "--since ISO From when.",
        "--note NOTE A note.",
        "--note-file FILE Read --note from a file; - is stdin.",
    ):
        assert part in words


@pytest.mark.parametrize("line", ["--priority 0", "--priority 10", "--priority x", "--colour blue"])
def test_options__outside_their_limits_are_wrong_usage(
    app: typer.Typer, seen: dict[str, Any], line: str
) -> None:
    result = run(app, *line.split())
    assert result.exit_code == 2
    assert line.split()[0] in result.output
    assert seen == {}
