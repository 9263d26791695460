"""`cronally host`: hosts that the account proves to be its own.

Invariant: what is printed to be shown by a host is printed whole, alone on its line, so that it can be copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from cronally.cli.asking import confirm, may_ask
from cronally.cli.calling import client_of, run
from cronally.cli.credentials import access
from cronally.cli.failure import Failure
from cronally.cli.options import JsonOption, ProfileOption, WideOption, YesOption
from cronally.cli.output import print_json, print_lines, printable

if TYPE_CHECKING:
    from cronally.client import Host, Page

_HOST_WIDTH: Final = 24
_WRONG_WIDTH: Final = 16
_SETTINGS: Final = {"help_option_names": ["--help", "-h"]}
HostArgument = Annotated[
    str,
    typer.Argument(metavar="HOST", help="The host, with its port unless that is 443.", show_default=False),
]

host = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=dict(_SETTINGS),
    no_args_is_help=True,
)


@host.callback()
def host_() -> None:
    """Prove that a host is the account's own, for a higher rate.

    What the account sends to such a host has limits of its own, which other accounts have no part in.
    """


@host.command("add", context_settings=dict(_SETTINGS))
def add(host: HostArgument, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Add a host, and print what it is to show."""
    from cronally.client import calls

    run(access(profile), calls.add_host(host), json, _print_task)


@host.command("verify", context_settings=dict(_SETTINGS))
def verify(host: HostArgument, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Look now whether a host shows what it is to show."""
    from cronally.client import calls

    with client_of(access(profile)) as client:
        call = calls.verify_host(host)
        envelope = client.exchange(call)
        found = call.read(envelope)
        if json:
            print_json(envelope)
        elif found.detail is None:
            print_lines(printable(f"{found.host} is proven to be the account's own."))
    if found.detail is not None:
        still = " The proof from before holds for now." if found.proven else ""
        raise Failure(
            printable(f"{found.url} does not show what it is to show: {found.detail}.{still}"),
            f"with status 200 and without a redirect, this and nothing else: {found.text}",
        )


@host.command("list", context_settings=dict(_SETTINGS))
def list_(wide: WideOption = False, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """List the account's hosts, proven or not."""
    from cronally.client import calls

    run(access(profile), calls.list_hosts(), json, lambda page: _print(page, wide))


@host.command("remove", context_settings=dict(_SETTINGS))
def remove(
    host: HostArgument, yes: YesOption = False, profile: ProfileOption = None, json: JsonOption = False
) -> None:
    """Remove a host; its proof ends."""
    from cronally.client import calls

    may_ask(yes, done="removed", advice="--yes removes without asking")
    with client_of(access(profile)) as client:
        if not yes:
            confirm(f"Remove the host {host}?")
        envelope = client.exchange(calls.remove_host(host))
        if json:
            print_json(envelope)
        else:
            print_lines(printable(f"Host {host} removed."))


def _print_task(found: Host) -> None:
    if found.proven:
        print_lines(
            printable(f"{found.host} is proven to be the account's own, as long as it goes on to show at")
        )
    else:
        print_lines(printable(f"To prove that {found.host} is the account's own, let it show at"))
    print_lines("", printable(f"  {found.url}"), "")
    print_lines("with status 200 and without a redirect, this text and nothing else:")
    print_lines("", printable(f"  {found.text}"), "")
    if not found.proven:
        print_lines(printable(f"Then: cronally host verify {found.host}"))


def _print(page: Page[Host], wide: bool) -> None:
    from cronally.cli import layout

    if not page.items:
        print_lines("There are no hosts; `cronally host add --help` says how to prove one.")
        return
    host = layout.Column("Host", [each.host for each in page], _HOST_WIDTH)
    proven = layout.Column("Proven", ["yes" if each.proven else "no" for each in page])
    until = layout.Column("Until (UTC)", [layout.instant(each.proven_until, seconds=True) for each in page])
    looked = layout.Column("Looked at (UTC)", [layout.instant(each.looked_at, seconds=True) for each in page])
    wrong = layout.Column("Wrong", [each.detail for each in page], _WRONG_WIDTH)
    console = layout.make_console(wide)
    layouts = ([host, proven, until, looked, wrong], [host, proven, until, wrong], [host, proven, wrong])
    layout.print_table(console, layout.first_that_fits(console, layouts))
