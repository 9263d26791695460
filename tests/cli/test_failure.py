"""One line for one error: what a complaint says to a program, a person reads as a command."""

from __future__ import annotations

import re

import pytest

from cronally.cli import failure
from cronally.cli.app import COMMANDS, command
from cronally.cli.failure import report
from cronally.errors import InvalidRequest, Unauthorized
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


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "The request is not signed by a known API key. Send three headers.",
            "the server does not know this API key with this secret, or one of the clocks is wrong."
            " The server's clock says 2026-11-24T08:00:00Z.",
        ),
        (
            "The account refuses signatures of version 1 (refuse_signature_v1). Sign by version 2.",
            "The account refuses signatures of version 1 (refuse_signature_v1). Sign by version 2."
            " Hint: take v1 out of CRONALLY_SIGNATURE_VERSION, and out of the profile",
        ),
        ("This request was received before.", "This request was received before."),
    ],
)
def test_report__of_a_signature_says_what_is_wrong_with_it(
    message: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(Unauthorized(f"{message} The server's clock says 2026-11-24T08:00:00Z.")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.removeprefix("error: ").startswith(said)
    assert ("Hint" in line) == ("Hint" in said or "does not know" in said)
