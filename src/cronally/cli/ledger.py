"""What became of fire times: `firings` lists the ledger, `why` explains one instant.

Invariant: both answer for a deleted cron job too; its ledger is the account's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from cronally.cli import inputs
from cronally.cli.calling import client_of, run_on
from cronally.cli.credentials import access
from cronally.cli.failure import WrongUsage
from cronally.cli.meant import cronjob_id_of
from cronally.cli.options import (
    CRONJOB,
    CronjobArgument,
    JsonOption,
    ProfileOption,
    UntilOption,
    WideOption,
    moment,
    with_options,
)
from cronally.cli.output import complain
from cronally.cli.pages import (
    Ask,
    Read,
    pages,
    print_answer,
    print_csv,
    print_json_lines,
    print_whole_answer,
)
from cronally.contract.attribute import declared
from cronally.contract.firings import MAX_LIMIT_WITH_ATTEMPTS, OLDEST, FiringFilters, FiringsOfCronjob
from cronally.contract.values import MAX_LIMIT
from cronally.errors import NotFound

if TYPE_CHECKING:
    from cronally.client import Client, Explanation, Firing, Page


_OWN: Final = frozenset({"since", "until", "order", "limit"})
"""What the command has in a form of its own."""


@with_options(FiringsOfCronjob, without=_OWN)
def firings(
    cronjob: Annotated[
        str | None,
        typer.Argument(
            metavar=f"[{CRONJOB}]",
            help="Of this cron job only: its id, its name, or the beginning of its id; of a deleted one"
            " its whole id.",
            show_default=False,
        ),
    ] = None,
    *,
    parameters: dict[str, Any],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of all cron jobs of exactly this name, deleted ones too.",
            show_default=False,
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TAG",
            help="Of all cron jobs that have this tag now; key=* is any value. Of several, give the option once for"
            " each.",
            show_default=False,
        ),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Those that failed, as --state failed.")] = False,
    missed: Annotated[
        bool, typer.Option("--missed", help="Those that were missed, as --state missed; --failed adds to it.")
    ] = False,
    since: Annotated[
        str | None,
        moment(
            "Those of this fire time or later: an instant, or how long ago, as 2h. Of a range row the first fire time"
            " counts."
        ),
    ] = None,
    until: UntilOption = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="The oldest first.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help=f"How many to show. Otherwise {MAX_LIMIT_WITH_ATTEMPTS}; of csv and jsonl all.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show all of them.")] = False,
    form: Annotated[
        Literal["table", "json", "csv", "jsonl"],
        typer.Option(
            "--format",
            help="A table for people, the API's answer, a table for other programs, or a line of JSON a firing.",
            show_default=False,
        ),
    ] = "table",
    wide: WideOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show the ledger, newest first: what fired or not, and why."""
    if json:
        if form not in ("table", "json"):
            raise WrongUsage(f"--json is --format json: give it, or --format {form}")
        form = "json"
    if everything and limit is not None:
        raise WrongUsage("--all shows all of them: leave --limit out")
    if tag and cronjob is not None:
        raise WrongUsage("--tag goes with no CRONJOB: give one of them")
    if name is not None and cronjob is not None:
        raise WrongUsage("--name goes with no CRONJOB: give one of them")
    attempts = bool(parameters["attempts"])
    if attempts and form == "csv":
        raise WrongUsage("--attempts: they stand in no csv; --format jsonl has them")
    states = [*(parameters["state"] or ()), *(["failed"] if failed else ()), *(["missed"] if missed else ())]
    parameters |= {
        "state": states or None,
        "since": since and inputs.instant_or_ago(since, "--since"),
        "until": until and inputs.instant_or_ago(until, "--until"),
        "order": OLDEST if oldest else None,
    }
    filtered = bool(name is not None or tag) or any(
        parameters[each] is not None for each in declared(FiringFilters)
    )
    everything = everything or (limit is None and form in ("csv", "jsonl"))
    if parameters["attempts"] is None and not everything and (limit or 0) <= MAX_LIMIT_WITH_ATTEMPTS:
        # They hold what a target said; a table for other programs has no place for it.
        parameters["attempts"] = form in ("table", "json") or None
    most = limit or (MAX_LIMIT_WITH_ATTEMPTS if parameters["attempts"] else MAX_LIMIT)
    with client_of(access(profile)) as client:
        ask, of_one = _asking(client, cronjob, {"name": name, "tag": tag})
        found = pages(ask, parameters, None if everything else most)
        match form:
            case "json":
                print_whole_answer(found) if everything else print_answer(found)
            case "jsonl":
                print_json_lines(found)
            case "csv":
                print_csv(found, header=parameters["cursor"] is None)
            case _:
                print_tables(found, of_one=of_one, attempts=attempts, wide=wide, filtered=filtered)


def _asking(client: Client, cronjob: str | None, others: Mapping[str, Any]) -> tuple[Ask, bool]:
    """How a page is asked for, and whether all firings are of one cron job.

    :param others: what else says of which cron jobs the firings are
    """
    from cronally.client import calls

    cronjob_id = None if cronjob is None else cronjob_id_of(client, cronjob)
    by_path = cronjob_id is not None
    told: list[str] = []
    whose = {name: value for name, value in {"cronjob_id": cronjob_id, **others}.items() if value}

    def ask(parameters: Mapping[str, Any]) -> Read:
        nonlocal by_path
        if by_path and cronjob_id is not None:
            call = calls.firings(cronjob_id, parameters)
            try:
                envelope = client.exchange(call)
                return envelope, call.read(envelope)
            except NotFound:
                by_path = False
        call = calls.account_firings({**whose, **parameters})
        envelope = client.exchange(call)
        if cronjob_id is not None and not told:
            told.append(cronjob_id)
            # A deleted cron job is not found any more, but its ledger is the account's; none of its own is not found.
            complain("note", f"the cron job {cronjob_id} is deleted; its ledger stays readable")
        return envelope, call.read(envelope)

    return ask, cronjob_id is not None


def print_tables(found: Iterator[Read], *, of_one: bool, attempts: bool, wide: bool, filtered: bool) -> None:
    """Print tables of up to a page each: what is found is printed when it fills one, or at the end."""
    from cronally.cli.ledger_tables import print_firings
    from cronally.client import Page

    rows: list[Firing] = []
    printed = False
    last: Page[Firing] | None = None

    def show(cursor: str | None) -> None:
        print_firings(
            Page(tuple(rows), cursor), of_one=of_one, attempts=attempts, wide=wide, filtered=filtered
        )

    for _, page in found:
        if len(rows) + len(page) > MAX_LIMIT:
            show(None)
            printed = True
            rows.clear()
        rows += page.items
        last = page
    cursor = None if last is None else last.next_cursor
    if rows or cursor is not None or not printed:
        show(cursor)


def why(
    cronjob: CronjobArgument,
    instant: Annotated[
        str,
        typer.Argument(
            metavar="INSTANT",
            help="As 2026-11-24T08:00:00Z or with an offset; as 2026-11-24T08:00 it is a local time of the cron job.",
            show_default=False,
        ),
    ],
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Explain why a cron job did or did not fire at an instant."""
    from cronally.client import calls

    inputs.check_moment(instant, "INSTANT")
    run_on(
        access(profile),
        cronjob,
        lambda cronjob_id: calls.explain(cronjob_id, instant),
        json,
        _show,
    )


def _show(explanation: Explanation) -> None:
    from cronally.cli.ledger_tables import print_explanation

    print_explanation(explanation)
