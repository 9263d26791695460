"""One line for one error: what a complaint says to a program, a person reads as a command."""

from __future__ import annotations

import re

import pytest

from cronally.cli import failure
from cronally.cli.app import COMMANDS, command
from cronally.errors import InvalidRequest
from tests.test_wire import literals


@pytest.mark.parametrize(("listed", "command"), failure._COMMANDS.items())
def test_report__names_the_command_that_lists(
    listed: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = f"names one that there is not; GET /{listed}/ lists those of the account"
    assert failure.report(InvalidRequest(fields={"it": said})) == 1
    assert (
        capsys.readouterr().err
        == f"error: it: names one that there is not; `cronally {command}` lists them\n"
    )
    assert command.split()[0] in COMMANDS


def test_report__knows_every_list_that_a_complaint_names() -> None:
    named = {found for text in literals(but=None) for found in re.findall(r"GET /(\w+)/ lists", text)}
    assert named == failure._COMMANDS.keys()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--fail", "abc"], "Invalid value for '--fail': is not a number"),
        (["--fail", "200"], "Invalid value for '--fail': 300 is the least"),
        (["--fail", "600"], "Invalid value for '--fail': 599 is the most"),
        (["--times", "0"], "Invalid value for '--times': 1 is the least"),
    ],
)
def test_report__says_what_a_number_may_be_in_plain_words(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command().main(["listen", *given], prog_name="cronally")
    assert capsys.readouterr().err == f"error: {said}. Hint: cronally listen --help\n"
