"""`cronally doctor`: whether all is well that a server stands on, and what to do where it is not."""

from __future__ import annotations

from typing import Annotated

import typer

from cronally.cli.operating import diagnoses
from cronally.cli.output import print_json, print_lines
from cronally.contract.doctor import Verdict
from cronally.contract.writing import to_json

_SIGNS = {
    Verdict.OK: "ok     ",
    Verdict.WARNING: "warning",
    Verdict.FAILED: "FAILED ",
    Verdict.UNKNOWN: "unknown",
}


def doctor(
    ntp: Annotated[
        str, typer.Option(metavar="HOST", help="The NTP server to compare the clock with; '' asks none.")
    ] = "pool.ntp.org",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at all that the server stands on, and say what to do.

    Settings, descriptors, sealing keys, the database and its clock, NTP, AWS, and whether anything is late. Run it with
    the server's settings; the server may run or not. The exit status is 1 where something has failed.
    """
    found = []
    for one in diagnoses(ntp):
        found.append(one)
        if not json:
            print_lines(f"{_SIGNS[Verdict(one.verdict)]}  {one.check}: {one.detail}")
            if one.advice is not None:
                print_lines(f"         {one.advice}")
    if json:
        print_json({"status": "success", "response": [to_json(one) for one in found]})
    if any(one.verdict == Verdict.FAILED for one in found):
        raise typer.Exit(1)
