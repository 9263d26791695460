"""`cronally account`: the account of the keys, and what holds for all its cron jobs.

Invariant: the API secret is printed when it is asked for, and not otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer

from cronally.cli.calling import client_of
from cronally.cli.credentials import access
from cronally.cli.failure import WrongUsage
from cronally.cli.mailed_links import confirm, recover
from cronally.cli.options import JsonOption, ProfileOption, ShowSecretOption, with_options
from cronally.cli.output import print_account_json
from cronally.contract.accounts import AccountChange

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


account.command("confirm", context_settings=dict(_SETTINGS))(confirm)
account.command("recover", context_settings=dict(_SETTINGS))(recover)


def _run(call: Call[Account], profile: str | None, json: bool, *, show_secret: bool) -> None:
    with client_of(access(profile)) as client:
        envelope = client.exchange(call)
        if json:
            print_account_json(envelope, show_secret=show_secret)
        else:
            print_account(call.read(envelope), client.url, show_secret=show_secret)


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
