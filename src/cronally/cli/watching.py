"""Operations: which there are, and one that is watched until it ends.

Invariant: to stop watching stops nothing. The status says whether all that an operation was for is done.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronally.cli.calling import client_of, run
from cronally.cli.credentials import access
from cronally.cli.failure import Failure
from cronally.cli.options import JsonOption, ProfileOption, WideOption, with_options
from cronally.cli.output import complain, print_json, print_lines, printable
from cronally.contract.operations import OperationPage, OperationState, Problem
from cronally.contract.writing import to_json

if TYPE_CHECKING:
    from cronally.client import Client, Operation, Page


@with_options(OperationPage)
def operations(
    *,
    parameters: dict[str, Any],
    wide: WideOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List the operations: work on many cron jobs, newest first."""
    from cronally.client import calls

    def show(page: Page[Operation]) -> None:
        from cronally.cli.work_tables import print_operations

        print_operations(page, wide=wide)

    run(access(profile), calls.list_operations(parameters), json, show)


def operation(
    operation_id: Annotated[
        str, typer.Argument(metavar="OPERATION", help="The operation's id.", show_default=False)
    ],
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel it; what is done stays done.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it has ended; exit with 0 if all is done, 1 if not.")
    ] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show an operation: how far it is, and what went wrong."""
    with client_of(access(profile)) as client:
        ask = client.cancel_operation if cancel else client.get_operation
        found = ask(operation_id)
        if wait:
            found = watch(client, found)
    if json:
        print_json({"status": "success", "response": {**to_json(found), **found.extra}})
    else:
        from cronally.cli.work_tables import print_operation

        print_operation(found)
    if wait:
        ended(found, quiet=True)


def watch(client: Client, operation: Operation) -> Operation:
    """An operation as it ended; how far it is goes to stderr: a bar on a terminal, else a line for each change."""
    if operation.finished_at is not None:
        return operation
    try:
        if sys.stderr.isatty():
            return _with_bar(client, operation)
        last = operation
        for last in client.follow_operation(operation):
            complain("note", progress(last))
    except KeyboardInterrupt:
        complain("note", f"it goes on; `cronally operation {operation.operation_id} --cancel` cancels it")
        raise
    return last


def _with_bar(client: Client, operation: Operation) -> Operation:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(_label(operation), total=operation.total, completed=_gone_through(operation))
        for found in client.follow_operation(operation):
            operation = found
            bar.update(task, description=_label(found), completed=_gone_through(found))
    return operation


def _label(operation: Operation) -> str:
    from rich.markup import escape

    failed = f", {operation.failed:,} failed" if operation.failed else ""
    return escape(printable(f"{operation.action}{failed}"))


def _gone_through(operation: Operation) -> int:
    return operation.done + operation.failed


def progress(operation: Operation) -> str:
    """How far an operation is, in words."""
    of = "" if operation.total is None else f" of {operation.total:,}"
    failed = f", {operation.failed:,} failed" if operation.failed else ""
    return f"{operation.action} {operation.state}: {operation.done:,}{of} done{failed}"


def problem_of(problem: Problem) -> str:
    """What went wrong, behind the name of the cron job if it was with one."""
    whose = problem.name or problem.cronjob_id
    return f"{whose}: {problem.problem}" if whose else problem.problem


def ended(operation: Operation, *, quiet: bool) -> None:
    """Say how an operation ended. Raises Failure unless all that it was for is done.

    :param quiet: whether only what is wrong is said
    """
    for one in operation.problems:
        complain("note", problem_of(one))
    if operation.state == OperationState.COMPLETED and not operation.failed:
        if not quiet:
            print_lines(f"{progress(operation).capitalize()}.")
        return
    more = f"cronally operation {operation.operation_id}"
    raise Failure(progress(operation), f"{more} shows it")
