"""The tenant's commands: everything that the API offers to an account.

Invariant: a command makes the client's call, and prints either the API's envelope as it is or a table. An API secret is
printed when it is asked for, and when it is stored nowhere.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronally.cli import inputs
from cronally.cli.calling import client_of, run, run_on, show_cronjob
from cronally.cli.columns import COUNTED, ColumnsOption, read_columns
from cronally.cli.credentials import Profile, access, credentials_path, profile_name, store
from cronally.cli.failure import Failure, WrongUsage
from cronally.cli.meant import cronjob_id_of
from cronally.cli.options import (
    CronjobArgument,
    JsonOption,
    ProfileOption,
    ShowSecretOption,
    WideOption,
    flag,
    with_options,
)
from cronally.cli.output import complain, print_account_json, print_json, print_lines
from cronally.contract.attribute import declared
from cronally.contract.cronjob_requests import CronjobChange, NamedCronjob, NewCronjob
from cronally.contract.listing import CronjobFilters, CronjobPage
from cronally.errors import Unauthorized, Unconfirmed, UnexpectedAnswer

if TYPE_CHECKING:
    from cronally.client import Cronjob, Page


def signup(
    email: Annotated[str, typer.Argument(metavar="EMAIL", show_default=False)],
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN", help="The operator's token, if the server asks for it.", show_default=False
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The server; CRONALLY_URL otherwise.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the profile if it exists.")] = False,
    show_secret: ShowSecretOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Create an account and store its keys."""
    from cronally.cli.account import print_account
    from cronally.cli.mailed_links import Keeping, go_on
    from cronally.client import DEFAULT_URL, calls

    name = profile_name(profile)
    path = credentials_path()
    keeping = Keeping(path, name, force, json, show_secret)
    keeping.check()
    with client_of(Profile(url or os.environ.get("CRONALLY_URL") or DEFAULT_URL)) as client:
        call = calls.signup(email, token)
        try:
            envelope = client.exchange(call)
        except Unauthorized:
            raise Failure("sign-up needs the token of the server's operator", "--token TOKEN") from None
        # From here on the account exists, and its secret is nowhere but in this answer; or nothing does.
        try:
            account = call.read(envelope)
            store(path, name, Profile(client.url, account.api_key, account.api_secret), replace=force)
        except Unconfirmed as problem:
            go_on(client, envelope, str(problem), keeping)
            return
        except (Failure, UnexpectedAnswer):
            print_json(envelope)
            complain(
                "warning", "the account was made and its keys are not stored: keep what is printed above"
            )
            raise
    if json:
        print_account_json(envelope, show_secret=show_secret)
        complain("note", f"the keys are stored in {path}, profile {name}")
    else:
        print_lines(f"Account {account.email} created.", f"Its keys are stored in {path}, profile {name}.")
        if show_secret:
            print_account(account, client.url, show_secret=True)


@with_options(NewCronjob, defaults=True)
def add(
    *,
    parameters: dict[str, Any],
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="The same key answers with the same cron job for 24 hours.",
            show_default=False,
        ),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Create a cron job."""
    from cronally.client import calls

    parameters = inputs.read_files(parameters)
    keys = access(profile)
    call = calls.create_cronjob(inputs.complete_new(parameters), idempotency_key)
    run(keys, call, json, show_cronjob)


@with_options(CronjobPage)
def list_(
    *,
    parameters: dict[str, Any],
    columns: ColumnsOption = None,
    wide: WideOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List the cron jobs."""
    from cronally.client import calls

    chosen = [] if columns is None else read_columns(columns)
    for name in ("next_fire_from", "next_fire_until"):
        if parameters[name] is not None:
            parameters[name] = inputs.instant_or_duration(parameters[name], flag(name))
    if not COUNTED.isdisjoint(chosen):
        parameters["counts"] = True
    call = calls.cronjobs({**parameters, "fields": chosen if json else None})
    filtered = any(parameters[name] is not None for name in declared(CronjobFilters))

    def show(page: Page[Cronjob]) -> None:
        from cronally.cli.cronjob_tables import print_cronjobs

        print_cronjobs(page, wide=wide, filtered=filtered, chosen=chosen)

    run(access(profile), call, json, show)


def show(cronjob: CronjobArgument, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Show a cron job."""
    from cronally.client import calls

    run_on(access(profile), cronjob, calls.cronjob, json, show_cronjob)


@with_options(CronjobChange)
def update(
    cronjob: CronjobArgument,
    *,
    parameters: dict[str, Any],
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Change a cron job; what no option names stays as it is."""
    from cronally.client import calls

    changes = inputs.complete_change(inputs.read_files(parameters))
    if all(value is None for value in changes.values()):
        raise WrongUsage("nothing to change: give at least one option, such as --name or --cron")
    run_on(
        access(profile),
        cronjob,
        lambda cronjob_id: calls.update_cronjob(cronjob_id, changes),
        json,
        show_cronjob,
    )


def verify(cronjob: CronjobArgument, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Send a cron job's target a test message, now."""
    from cronally.client import calls

    with client_of(access(profile)) as client:
        call = calls.verify_cronjob(cronjob_id_of(client, cronjob))
        envelope = client.exchange(call)
        found = call.read(envelope)
        if json:
            print_json(envelope)
        elif found.delivered:
            took = f"The target took the test message in {found.duration_ms} ms"
            print_lines(took + (f", as {found.message_id}." if found.message_id else "."))
    if not found.delivered:
        raise Failure(f"the target did not take the test message: {found.detail or found.outcome}")


@with_options(NamedCronjob, defaults=True)
def apply(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The cron job's whole name.", show_default=False)
    ],
    *,
    parameters: dict[str, Any],
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Create or change the cron job of a name, to be exactly so."""
    from cronally.client import calls

    parameters = inputs.complete_new(inputs.read_files(parameters), asks=False)

    def show(answer: Cronjob) -> None:
        print_lines(f"Cron job {answer.name!r} {answer.outcome}.")
        show_cronjob(answer)

    run(access(profile), calls.put_cronjob(name, parameters), json, show)
