"""`cronally connection`: credentials of the account, kept once for many cron jobs.

Invariant: as in `inputs`: no secret need stand in the shell's history, and none is printed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cronally.cli import inputs
from cronally.cli.asking import confirm, may_ask
from cronally.cli.calling import client_of, run
from cronally.cli.credentials import access
from cronally.cli.failure import Failure, WrongUsage
from cronally.cli.options import JsonOption, ProfileOption, WideOption, YesOption, with_options
from cronally.cli.output import print_json, print_lines, printable
from cronally.contract.attribute import declared
from cronally.contract.connection_requests import PARAMETERS, ConnectionChange, ConnectionPage, NewConnection
from cronally.contract.connections import Authentication, Kind

if TYPE_CHECKING:
    from cronally.client import Connection, Page

_SETTINGS: Final = {"help_option_names": ["--help", "-h"]}
ConnectionArgument = Annotated[
    str, typer.Argument(metavar="CONNECTION", help="The connection: its name or its id.", show_default=False)
]

_OF_OAUTH2: Final = ("token_url", "client_id", "client_secret", "scope", "audience", "client_authentication")

connection = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=dict(_SETTINGS),
    no_args_is_help=True,
)


@connection.callback()
def connection_() -> None:
    """Keep credentials once, for many cron jobs to use.

    A cron job uses one with --connection NAME: keys of AWS in place of its own, or a URL below the connection's.
    """


@connection.command("add", context_settings=dict(_SETTINGS))
@with_options(NewConnection)
def add(
    *,
    parameters: dict[str, Any],
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="The same key answers with the same connection for 24 hours.",
            show_default=False,
        ),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Create a connection."""
    from cronally.client import calls

    parameters = inputs.read_files(parameters, declared(NewConnection))
    kind = Kind(parameters["kind"])
    secrets = [
        name
        for name, one in declared(PARAMETERS[kind]).items()
        if one.attribute.secret and one.type is str and one.attribute.optional
    ]
    call = calls.create_connection(
        inputs.complete_secrets(parameters, _wanted(parameters, secrets), _needed(parameters, kind)),
        idempotency_key,
    )
    run(access(profile), call, json, _show)


def _needed(parameters: dict[str, Any], kind: Kind) -> list[str]:
    """The secrets without which it is none."""
    if kind == Kind.AWS:
        if parameters["aws_role_arn"] is not None and parameters["aws_access_key_id"] is None:
            return []
        return ["aws_secret_access_key"]
    authentication = parameters["authentication"]
    if authentication == Authentication.BASIC or parameters["username"] is not None:
        return ["password"]
    if authentication == Authentication.OAUTH2 or _names_client(parameters):
        return ["client_secret"]
    return ["token"] if authentication == Authentication.BEARER else []


def _wanted(parameters: dict[str, Any], secrets: list[str]) -> list[str]:
    """The secrets that are taken from the environment where they stand there."""
    chosen = any(parameters[name] is not None for name in ("authentication", "username", *_OF_OAUTH2))
    # It is of no use alone, and what is named with it asks for it.
    without = {"client_secret", *(("password", "token") if chosen else ())}
    if parameters["client_certificate"] is None:
        without.add("client_key")
    return [name for name in secrets if name not in without]


def _names_client(parameters: dict[str, Any]) -> bool:
    """Whether it says who asks for access tokens, or where: the secret belongs to that."""
    return parameters["token_url"] is not None or parameters["client_id"] is not None


@connection.command("list", context_settings=dict(_SETTINGS))
@with_options(ConnectionPage)
def list_(
    *,
    parameters: dict[str, Any],
    wide: WideOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List the account's connections."""
    from cronally.client import calls

    def show(page: Page[Connection]) -> None:
        from cronally.cli.work_tables import print_connections

        print_connections(page, wide=wide)

    run(access(profile), calls.list_connections(parameters), json, show)


@connection.command("show", context_settings=dict(_SETTINGS))
def show(connection: ConnectionArgument, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Show a connection, without its secrets."""
    from cronally.client import calls

    run(access(profile), calls.get_connection(connection), json, _show)


@connection.command("change", context_settings=dict(_SETTINGS))
@with_options(ConnectionChange)
def change(
    connection: ConnectionArgument,
    *,
    parameters: dict[str, Any],
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Change a connection; what no option names stays as it is."""
    from cronally.client import calls

    changes = inputs.read_files(parameters, declared(ConnectionChange))
    if all(value is None for value in changes.values()):
        raise WrongUsage("nothing to change: give at least one option, such as --name or --token-file")
    needed = [
        secret
        for public, secret in (("aws_access_key_id", "aws_secret_access_key"), ("username", "password"))
        if changes[public] is not None
    ]
    if _names_client(changes):
        needed.append("client_secret")
    call = calls.update_connection(connection, inputs.complete_secrets(changes, (), needed))
    run(access(profile), call, json, _show)


@connection.command("verify", context_settings=dict(_SETTINGS))
def verify(connection: ConnectionArgument, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Try out the credentials of a connection, now."""
    from cronally.client import calls

    with client_of(access(profile)) as client:
        call = calls.verify_connection(connection)
        envelope = client.exchange(call)
        found = call.read(envelope)
        if json:
            print_json(envelope)
        elif found.accepted:
            said = found.aws_arn or f"HTTP {found.http_status}"
            print_lines(printable(f"The credentials are good: {said} ({found.duration_ms} ms)."))
    if not found.accepted:
        # Where nobody looked at them, nothing is wrong with them for all one knows.
        what = "were not accepted" if found.outcome == "unauthorized" else "could not be tried out"
        raise Failure(f"the credentials {what}: {found.detail or found.outcome}")


@connection.command("remove", context_settings=dict(_SETTINGS))
def remove(
    connection: ConnectionArgument,
    yes: YesOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Delete a connection that no cron job uses; its secrets are erased."""
    from cronally.client import calls

    may_ask(yes)
    with client_of(access(profile)) as client:
        if not yes:
            confirm(f"Delete the connection {connection}?")
        envelope = client.exchange(calls.delete_connection(connection))
        if json:
            print_json(envelope)
        else:
            print_lines(printable(f"Connection {connection} deleted."))


def _show(connection: Connection) -> None:
    from cronally.cli.work_tables import print_connection

    print_connection(connection)
