"""`cronally admin`: what the operator does with accounts, directly on the database that the settings name.

Invariant: nothing is asked of the API and no tenant's key is needed: whoever has the server's settings is the operator.
What cannot be taken back is asked about first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from cronally.cli.asking import confirm, may_ask
from cronally.cli.doctor import doctor
from cronally.cli.failure import WrongUsage
from cronally.cli.operating import carry_out, forecast_of_all, migrate
from cronally.cli.options import WHEN, with_options
from cronally.cli.output import complain, print_json, print_lines
from cronally.contract.attribute import declared
from cronally.contract.firings import MAX_LIMIT_WITH_ATTEMPTS, Firing, FiringFilters
from cronally.contract.forecasts import DEFAULT_HOURS, MAX_HOURS, Forecast
from cronally.contract.freezes import Freeze, NewFreeze
from cronally.contract.limits import Limits
from cronally.contract.operator import MAX_LISTED, AccountState, OverseenAccount, OverseenEntry, OverseenKey
from cronally.contract.service import Status
from cronally.contract.writing import Answer, from_json, to_json
from cronally.instants import format_iso, from_datetime

if TYPE_CHECKING:
    from cronally.client.calls import Page

LIMITS: Final = tuple(declared(Limits))
_SETTINGS: Final = {"help_option_names": ["--help", "-h"]}

admin = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=dict(_SETTINGS),
    no_args_is_help=True,
    help="For the operator: accounts, and what each may do. Run it with the server's settings, CRONALLY_*, on a machine"
    " that reaches its database. On SQLite the running server carries it out.",
)

AccountArgument = Annotated[
    str,
    typer.Argument(
        metavar="ACCOUNT", help="Its id, its email address, or one of its API keys.", show_default=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


_Command = TypeVar("_Command", bound=Callable[..., None])
_Answer = TypeVar("_Answer", bound=Answer)


def command(name: str) -> Callable[[_Command], _Command]:
    """Add a command of the operator."""
    return admin.command(name, context_settings=dict(_SETTINGS))


@command("accounts")
def accounts(
    account: Annotated[
        str | None,
        typer.Argument(
            metavar="[ACCOUNT]",
            help="This one alone: its id, its email address, or one of its API keys.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[
        AccountState | None, typer.Option(help="Those in this state alone.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED, help="How many to list.")] = 100,
    cursor: Annotated[
        str | None, typer.Option(help="Go on after an earlier list.", show_default=False)
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the accounts, newest first, or show one."""
    if account is not None:
        _show(carry_out("account", account=account), json)
        return
    envelope = carry_out("accounts", state=state, limit=limit, cursor=cursor)
    if json:
        print_json(envelope)
        return
    from cronally.cli.admin_tables import print_accounts

    print_accounts([from_json(OverseenAccount, one) for one in envelope["response"]], envelope["next_cursor"])


@command("suspend")
def suspend(
    account: AccountArgument,
    reason: Annotated[str, typer.Option(help="Why; its owner is told.", show_default=False)],
    json: JsonOption = False,
) -> None:
    """Let nothing of an account fire, and refuse its requests, until it is resumed.

    What falls due meanwhile is skipped, with the reason suspended. Giving another reason replaces the first.
    """
    _show(carry_out("suspend", account=account, reason=reason), json)


@command("resume")
def resume(account: AccountArgument, json: JsonOption = False) -> None:
    """Let a suspended account go on, from its next fire times; what was skipped stays skipped."""
    _show(carry_out("resume", account=account), json)


@command("delete")
def delete(
    account: AccountArgument,
    now: Annotated[
        bool, typer.Option("--now", help="Destroy its secrets at once: nobody can restore it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    json: JsonOption = False,
) -> None:
    """Delete an account: nothing of it fires and its keys are unknown, at once.

    Until CRONALLY_ACCOUNT_GRACE is over, restore takes it back; then its secrets are destroyed. Its ledger is kept as
    long as any.
    """
    may_ask(yes)
    if not yes:
        found = from_json(OverseenAccount, carry_out("account", account=account)["response"])
        then = "for good, at once" if now else "with a time to restore it"
        confirm(f"Delete {found.email or found.account_id} ({found.cronjobs} cron jobs) {then}?")
    _show(carry_out("delete", account=account, now=now), json)


@command("restore")
def restore(account: AccountArgument, json: JsonOption = False) -> None:
    """Take the deletion of an account back; what fell due meanwhile was skipped."""
    _show(carry_out("restore", account=account), json)


def _read_limits(sets: list[str], unset: list[str]) -> dict[str, int | None]:
    changes: dict[str, int | None] = dict.fromkeys(unset)
    for text in sets:
        name, _, value = text.partition("=")
        try:
            changes[name] = int(value.replace("_", ""))
        except ValueError:
            raise WrongUsage(f"{text!a} is no limit: write it as max_cronjobs=5000") from None
    return changes


@command("limits")
def limits(
    account: AccountArgument,
    sets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=NUMBER]...", help=f"Limits of its own: {', '.join(LIMITS)}.", show_default=False
        ),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Give it the server's again; may be repeated.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show how much an account may have and ask for, or set limits of its own."""
    changes = _read_limits(sets or [], unset or [])
    envelope = (
        carry_out("limits", account=account, changes=changes)
        if changes
        else carry_out("account", account=account)
    )
    if json:
        print_json(envelope)
        return
    from cronally.cli.admin_tables import print_limits

    print_limits(from_json(OverseenAccount, envelope["response"]))


@command("keys")
def keys(
    account: AccountArgument,
    new: Annotated[
        bool, typer.Option("--new", help="Make a further key, and show its secret, this once.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """List the API keys of an account, or make one for an owner who has lost theirs."""
    envelope = carry_out("new-key" if new else "keys", account=account)
    if json:
        print_json(envelope)
    elif new:
        from cronally.cli.admin_tables import print_key

        print_key(from_json(OverseenKey, envelope["response"]))
        complain("note", "give the secret to the owner by a safe way; it is shown only now")
    else:
        from cronally.cli.admin_tables import print_keys

        print_keys([from_json(OverseenKey, one) for one in envelope["response"]])


@command("audit")
def audit(
    account: AccountArgument,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED, help="How many to list.")] = 100,
    cursor: Annotated[
        str | None, typer.Option(help="Go on after an earlier list.", show_default=False)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show the audit log of an account, newest first: who did what to it, and when."""
    envelope = carry_out("audit", account=account, limit=limit, cursor=cursor)
    if json:
        print_json(envelope)
        return
    from cronally.cli.admin_tables import print_audit

    print_audit([from_json(OverseenEntry, one) for one in envelope["response"]], envelope["next_cursor"])


@command("firings")
@with_options(FiringFilters, without=frozenset({"limit", "cursor"}))
def firings(
    account: AccountArgument,
    *,
    parameters: dict[str, Any],
    limit: Annotated[int, typer.Option(min=1, max=MAX_LIMIT_WITH_ATTEMPTS, help="How many to list.")] = 20,
    cursor: Annotated[
        str | None, typer.Option(help="Go on after an earlier list.", show_default=False)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show the ledger of an account, newest first, also of one that is suspended or deleted."""
    query = {name: value for name, value in parameters.items() if value is not None}
    query |= {"limit": str(limit)} | ({} if cursor is None else {"cursor": cursor})
    envelope = carry_out("firings", account=account, query=query)
    if json:
        print_json(envelope)
        return
    from cronally.cli.ledger_tables import print_firings

    print_firings(_page(Firing, envelope), of_one=False, filtered=len(query) > 1)


@command("forecast")
def forecast(
    account: Annotated[
        str | None,
        typer.Argument(
            metavar="[ACCOUNT]",
            help="Of this account alone; of all, on SQLite, stop the server first.",
            show_default=False,
        ),
    ] = None,
    hours: Annotated[int, typer.Option(min=1, max=MAX_HOURS, help="How far to look.")] = DEFAULT_HOURS,
    json: JsonOption = False,
) -> None:
    """Show what lies ahead of an account, or of all: firings, busy seconds, what to spread."""
    if account is None:
        answer = forecast_of_all(hours)
        envelope: dict[str, Any] = {"status": "success", "response": to_json(answer)}
    else:
        envelope = carry_out("forecast", account=account, hours=hours)
    if json:
        print_json(envelope)
        return
    from cronally.cli.charts import print_forecast

    print_forecast(from_json(Forecast, envelope["response"]))


@command("freeze")
@with_options(NewFreeze, defaults=True)
def freeze(
    account: AccountArgument,
    *,
    parameters: dict[str, Any],
    json: JsonOption = False,
) -> None:
    """Let a tag, a host or the whole of an account stand still for a while."""
    given = {name: value for name, value in parameters.items() if value is not None}
    envelope = carry_out("freeze", account=account, freeze=given)
    if json:
        print_json(envelope)
        return
    from cronally.cli.work_tables import print_freeze

    print_freeze(from_json(Freeze, envelope["response"]))


@command("freezes")
def freezes(account: AccountArgument, json: JsonOption = False) -> None:
    """List the freezes of an account."""
    envelope = carry_out("freezes", account=account)
    if json:
        print_json(envelope)
        return
    from cronally.cli.work_tables import print_freezes

    print_freezes(_page(Freeze, envelope))


@command("unfreeze")
def unfreeze(
    account: AccountArgument,
    freeze_id: Annotated[str, typer.Argument(metavar="FREEZE", help="The freeze's id.", show_default=False)],
    json: JsonOption = False,
) -> None:
    """Lift a freeze of an account: what it holds goes out at once."""
    envelope = carry_out("unfreeze", account=account, freeze_id=freeze_id)
    if json:
        print_json(envelope)
        return
    from cronally.cli.work_tables import print_freeze

    print_freeze(from_json(Freeze, envelope["response"]))


@command("notice")
def notice(
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="[TEXT]", help="What to tell; without it, what stands is shown.", show_default=False
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar=WHEN, help="When it ends by itself, or after how long, as 2h.", show_default=False
        ),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Take it back.")] = False,
    json: JsonOption = False,
) -> None:
    """Tell all who use the server something: at /status, and in a header of every answer."""
    if (clear and text is not None) or (until is not None and text is None):
        raise WrongUsage("give a text, perhaps with --until, or --clear alone")
    envelope = carry_out("notice", text=text, until=until, clear=clear or None)
    if json:
        print_json(envelope)
        return
    status = from_json(Status, envelope["response"])
    ends = "" if status.until is None else f" (until {format_iso(from_datetime(status.until))})"
    print_lines("There is no notice." if status.notice is None else f"{status.notice}{ends}")


command("migrate")(migrate)
command("doctor")(doctor)


def _page(kind: type[_Answer], envelope: dict[str, Any]) -> Page[_Answer]:
    from cronally.client.calls import Page

    return Page(tuple(from_json(kind, one) for one in envelope["response"]), envelope.get("next_cursor"))


def _show(envelope: dict[str, Any], json: bool) -> None:
    if json:
        print_json(envelope)
        return
    from cronally.cli.admin_tables import print_account

    print_account(from_json(OverseenAccount, envelope["response"]))
