"""`cronally account`: the account of the keys, and what holds for all its cron jobs.

Invariant: the API secret is printed when it is asked for, and not otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cronally.cli import mailed_links
from cronally.cli.asking import confirm, may_ask
from cronally.cli.calling import client_of
from cronally.cli.credentials import access
from cronally.cli.failure import WrongUsage
from cronally.cli.options import JsonOption, ProfileOption, ShowSecretOption, with_options
from cronally.cli.output import print_account_json, print_json, print_lines
from cronally.contract.accounts import AccountChange
from cronally.contract.attribute import declared
from cronally.contract.limits import Limits
from cronally.instants import format_iso, from_datetime

if TYPE_CHECKING:
    from cronally.client import Account
    from cronally.client.calls import Call

_SETTINGS: Final = {"help_option_names": ["--help", "-h"]}

account = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=dict(_SETTINGS),
)


@account.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    show_secret: ShowSecretOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show the account, or change what holds for all of it."""
    from cronally.client import calls

    if context.invoked_subcommand is None:
        _run(calls.account(), profile, json, show_secret=show_secret)
    elif show_secret or profile is not None or json:
        raise WrongUsage(
            f"give options behind the command, as in: cronally account {context.invoked_subcommand}"
        )


@account.command("change", context_settings=dict(_SETTINGS))
@with_options(AccountChange)
def change(
    *,
    parameters: dict[str, Any],
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Change the account; what no option names stays as it is."""
    from cronally.client import calls

    if all(value is None for value in parameters.values()):
        raise WrongUsage("nothing to change: give at least one option, such as --dead-letter")
    _run(calls.update_account(parameters), profile, json, show_secret=False)


@account.command("delete", context_settings=dict(_SETTINGS))
def delete(
    email: Annotated[
        str | None,
        typer.Option(
            "--email",
            help="The address of the account, which confirms that it is meant: deletes without asking.",
            show_default=False,
        ),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Delete the account: at once nothing of it fires, and its keys are unknown."""
    from cronally.client import calls

    keys = access(profile)
    may_ask(email is not None, advice="--email ADDRESS deletes without asking")
    with client_of(keys) as client:
        if email is None:
            found = client.account()
            confirm(f"Delete the account {found.email} with its {found.cronjob_count} cron jobs?")
            email = found.email
        call = calls.delete_account(email)
        envelope = client.exchange(call)
        if json:
            print_json(envelope)
            return
        deleted = call.read(envelope)
        until = format_iso(from_datetime(deleted.purge_at))
        print_lines(
            f"Deleted the account {deleted.email}. Nothing of it fires, and its keys are unknown.",
            f"Until {until} the server's operator can restore it.",
        )


account.command("confirm", context_settings=dict(_SETTINGS))(mailed_links.confirm)
account.command("recover", context_settings=dict(_SETTINGS))(mailed_links.recover)


def _run(call: Call[Account], profile: str | None, json: bool, *, show_secret: bool) -> None:
    with client_of(access(profile)) as client:
        envelope = client.exchange(call)
        if json:
            print_account_json(envelope, show_secret=show_secret)
        else:
            print_account(call.read(envelope), client.url, show_secret=show_secret)


def _limits(account: Account) -> list[tuple[str, object]]:
    """What a server says of the account's limits; an older one says nothing."""
    if account.limits is None:
        return []
    return [("Limits", ", ".join(f"{name}={getattr(account.limits, name)}" for name in declared(Limits)))]


def print_account(account: Account, url: str, *, show_secret: bool) -> None:
    """Print an account and where it lives; its API secret only when asked for."""
    from cronally.cli.layout import print_pairs

    print_pairs(
        [
            ("Account", account.account_id),
            ("Email", f"{account.email}{'' if account.email_confirmed else ' (not confirmed)'}"),
            *_changing(account),
            ("Server", url),
            ("API key", account.api_key),
            ("API secret", _secret(account, show_secret)),
            ("Cron jobs", account.cronjob_count),
            ("Dead letters", account.dead_letters),
            ("Told by", account.dead_letter or "none"),
            ("Signature v1", "refused" if account.refuse_signature_v1 else "accepted"),
            *_limits(account),
        ]
    )


def _secret(account: Account, show_secret: bool) -> str:
    if not account.api_secret:
        return "not shown by the server; it was when the key was made"
    return account.api_secret if show_secret else "hidden; --show-secret shows it"


def _changing(account: Account) -> list[tuple[str, object]]:
    change = account.email_change
    if change is None:
        return []
    if not change.confirmed:
        said = "waits for the link in the mail that went there"
    else:
        said = f"waits for the old address, until {change.applies_at:%Y-%m-%d %H:%M} UTC"
    return [("New email", f"{change.email}; {said}")]
