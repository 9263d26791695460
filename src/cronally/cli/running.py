"""`run`: fires a cron job once, or all that filters select, and with `--wait` follows one firing to its end.

Invariant: the status says what became of the firing only if it was waited for: 0 for delivered, 1 for everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cronally.cli import inputs, many
from cronally.cli.calling import client_of
from cronally.cli.credentials import access
from cronally.cli.failure import Failure, WrongUsage
from cronally.cli.many import with_filters
from cronally.cli.meant import cronjob_id_of
from cronally.cli.options import (
    AllOption,
    DryRunOption,
    JsonOption,
    OneOfManyArgument,
    ProfileOption,
    YesOption,
    flag,
    with_options,
)
from cronally.cli.output import complain, print_json, print_lines
from cronally.contract.firings import MESSAGES, ManualFiring
from cronally.contract.writing import to_json
from cronally.firing import Reason, State
from cronally.instants import SECOND, format_iso, from_datetime, parse_duration

if TYPE_CHECKING:
    from cronally.client import Client, Firing

_REASONS: Final = frozenset(Reason)


@with_filters
@with_options(ManualFiring)
def run(
    cronjob: OneOfManyArgument = None,
    *,
    filters: dict[str, Any],
    everything: AllOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    parameters: dict[str, Any],
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="The same key answers with the same firing for 24 hours.", show_default=False
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait until it has ended; exit with 0 if it was delivered, 1 if not."),
    ] = False,
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="Wait so long at most, such as 5m; with --wait.", show_default=False
        ),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Fire cron jobs once, now or soon, in any state."""
    from cronally.client import calls

    selecting = many.selection(cronjob, filters, everything, dry_run)
    seconds = _seconds(timeout, wait=wait)
    parameters = inputs.read_files(parameters)
    if selecting is not None:
        own = next((name for name in MESSAGES if parameters.get(name) is not None), None)
        if wait or own is not None:
            raise WrongUsage(f"{'--wait' if own is None else flag(own)}: it is for one CRONJOB")
        many.do(
            access(profile),
            "run",
            selecting,
            parameters,
            dry_run=dry_run,
            yes=yes,
            json=json,
            idempotency_key=idempotency_key,
        )
        return
    with client_of(access(profile)) as client:
        call = calls.run_cronjob(cronjob_id_of(client, cronjob or ""), parameters, idempotency_key)
        envelope = client.exchange(call)
        firing = call.read(envelope)
        if not wait:
            if json:
                print_json(envelope)
            else:
                print_lines(_asked(firing))
            return
        complain("note", _asked(firing))
        firing = _follow(client, firing, seconds)
    if json:
        print_json({"status": "success", "response": _as_json(firing)})
    if firing.state == State.DELIVERED:
        if not json:
            print_lines(_delivered(firing))
        return
    if firing.finished_at is None:
        raise Failure(
            f"it has not ended after {timeout}: {_standing(firing)}",
            f"it goes on; cronally firings {firing.cronjob_id} shows it",
        )
    raise Failure(f"it was not delivered: {_standing(firing)}")


def _seconds(timeout: str | None, *, wait: bool) -> float | None:
    if timeout is None:
        return None
    if not wait:
        raise WrongUsage("--timeout: it is for --wait")
    try:
        return parse_duration(timeout) / SECOND
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--timeout") from None


def _follow(client: Client, firing: Firing, seconds: float | None) -> Firing:
    """The firing as it ended, or as it stands when the time is over; what is news goes to stderr."""
    told = 0
    for found in client.follow(firing, seconds):
        for attempt in found.attempts or ():
            if attempt.attempt > told and attempt.reason is not None:
                said = attempt.detail or attempt.reason
                complain("note", f"attempt {attempt.attempt} did not deliver: {said}")
        told = max([told, *(attempt.attempt for attempt in found.attempts or ())])
        if found.finished_at is None and found.due_at is not None and found.due_at != firing.due_at:
            complain("note", f"{_standing(found)}; it is looked at again from {_instant(found.due_at)} on")
        firing = found
    return firing


def _asked(firing: Firing) -> str:
    return f"Firing {firing.firing_id} of {firing.cronjob_name!r} for {_instant(firing.scheduled_at)}."


def _delivered(firing: Firing) -> str:
    tries = "" if firing.attempt == 1 else f", by attempt {firing.attempt}"
    message = "" if firing.message_id is None else f", as {firing.message_id}"
    at = "" if firing.finished_at is None else f" at {_instant(firing.finished_at)}"
    return f"Delivered{at}{tries}{message}."


def _standing(firing: Firing) -> str:
    """Where a firing stands, and why, in words."""
    if firing.reason is None:
        return str(firing.state)
    why = Reason(firing.reason).sentence if firing.reason in _REASONS else firing.reason
    last = firing.attempts[-1] if firing.attempts else None
    said = f" ({last.detail})" if last is not None and last.detail else ""
    return f"{firing.state}, {why}{said}"


def _as_json(firing: Firing) -> dict[str, Any]:
    return {**to_json(firing), **firing.extra}


def _instant(moment: Any) -> str:
    return format_iso(from_datetime(moment))
