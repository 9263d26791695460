"""`cronally audit`: what was done in the account, by whom and when; and whether the log is whole.

Invariant: a log is checked by what this program computes itself from what is shown, row by row, holding one page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cronally.audit_chain import Row, problems
from cronally.cli import inputs
from cronally.cli.calling import client_of, run
from cronally.cli.credentials import access
from cronally.cli.failure import Failure, WrongUsage
from cronally.cli.options import JsonOption, ProfileOption, WideOption, moment, with_options
from cronally.cli.output import complain, print_lines, say_more
from cronally.contract.audit import AuditPage
from cronally.contract.values import MAX_LIMIT

if TYPE_CHECKING:
    from cronally.client import AuditRow, Client, Page

_WIDTH: Final = 24
_MOST_TOLD: Final = 20


@with_options(AuditPage, without=frozenset({"since", "until"}))
def audit(
    *,
    parameters: dict[str, Any],
    since: Annotated[
        str | None, moment("What was done at this instant or later: an instant, or how long ago, as 2h.")
    ] = None,
    until: Annotated[str | None, moment("What was done before: an instant, or how long ago, as 2h.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all of the log, and check that it is whole and unchanged.")
    ] = False,
    wide: WideOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show the audit log: who did what, when, and what that changed."""
    from cronally.client import calls

    asked = {
        **parameters,
        "since": since and inputs.instant_or_ago(since, "--since"),
        "until": until and inputs.instant_or_ago(until, "--until"),
    }
    if not verify:
        run(access(profile), calls.list_audit(asked), json, lambda page: _print(page, wide))
        return
    if json or any(value is not None for value in asked.values()):
        raise WrongUsage("--verify reads the whole log: give no other options with it")
    with client_of(access(profile)) as client:
        _verify(client)


def _verify(client: Client) -> None:
    before = client.audit_ends()
    count = 0

    def rows() -> Iterator[Row]:
        nonlocal count
        for row in client.iter_audit(page_size=MAX_LIMIT):
            count += 1
            yield row.as_row()

    found = problems(rows(), before.as_ends(), lambda: client.audit_ends().as_ends())
    wrong = 0
    for wrong, problem in enumerate(found, 1):
        if wrong <= _MOST_TOLD:
            complain("wrong", problem)
    if wrong:
        raise Failure(
            f"the audit log is not whole: {wrong} of its places are wrong", "ask who runs the server about it"
        )
    print_lines(f"{count} rows follow one another without a gap.", f"Newest: {before.number}, {before.hash}")


def _print(page: Page[AuditRow], wide: bool) -> None:
    from cronally.cli import layout

    if not page.items:
        print_lines(
            "No rows." if page.next_cursor is None else "No such rows among those that were looked at."
        )
        say_more(page.next_cursor)
        return
    at = layout.Column("At (UTC)", [layout.instant(row.at, seconds=True) for row in page])
    who = layout.Column("Who", [_who(row) for row in page])
    action = layout.Column(
        "Action", [row.action if row.count == 1 else f"{row.action} x{row.count}" for row in page]
    )
    subject = layout.Column("What", [row.subject_id for row in page], _WIDTH)
    changes = layout.Column("Changes", [_changes(row) for row in page], _WIDTH)
    address = layout.Column("Address", [row.address for row in page], _WIDTH)
    console = layout.make_console(wide)
    layouts = (
        [at, who, address, action, subject, changes],
        [at, who, action, subject, changes],
        [at, action, subject],
    )
    layout.print_table(console, layout.first_that_fits(console, layouts))
    say_more(page.next_cursor)


def _who(row: AuditRow) -> str:
    return f"{row.who} {row.api_key[:8]}" if row.api_key is not None else row.who


def _changes(row: AuditRow) -> str:
    return "; ".join(
        f"{one.name}: {one.after}"
        if one.before is None
        else f"{one.name}: {one.before} -> {one.after or '-'}"
        for one in row.changes
    )
