"""`cronally channel`: where the alerts of the account go.

Invariant: as in `inputs`: no secret need stand in the shell's history, and none is printed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cronally.cli import inputs
from cronally.cli.asking import confirm, may_ask
from cronally.cli.calling import client_of, run
from cronally.cli.credentials import access
from cronally.cli.failure import WrongUsage
from cronally.cli.options import JsonOption, ProfileOption, WideOption, YesOption, with_options
from cronally.cli.output import complain, print_json, print_lines, printable
from cronally.contract.attribute import declared
from cronally.contract.channel_requests import ChannelChange, ChannelPage, NewChannel
from cronally.contract.channels import Kind

if TYPE_CHECKING:
    from cronally.client import Alert, Channel, Page

_SETTINGS: Final = {"help_option_names": ["--help", "-h"]}
ChannelArgument = Annotated[
    str, typer.Argument(metavar="CHANNEL", help="The channel: its name or its id.", show_default=False)
]

channel = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=dict(_SETTINGS),
    no_args_is_help=True,
)


@channel.callback()
def channel_() -> None:
    """Set up where alerts go: mail, a URL, a topic of SNS, a chat."""


@channel.command("add", context_settings=dict(_SETTINGS))
@with_options(NewChannel)
def add(
    *,
    parameters: dict[str, Any],
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="The same key answers with the same channel for 24 hours.",
            show_default=False,
        ),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Create a channel. An address of email gets a mail with a link to confirm it first."""
    from cronally.client import calls

    parameters = inputs.read_files(parameters, declared(NewChannel))
    needed = _needed(parameters)
    call = calls.create_channel(inputs.complete_secrets(parameters, (), needed), idempotency_key)
    run(access(profile), call, json, _show)


def _needed(parameters: dict[str, Any]) -> list[str]:
    """The secrets without which it is none."""
    match parameters["kind"]:
        case Kind.HTTP:
            return ["webhook_url", "signing_secret"]
        case Kind.SLACK:
            return ["webhook_url"]
        case Kind.SNS if parameters["connection"] is None:
            return ["sns_secret_access_key"]
    return []


@channel.command("list", context_settings=dict(_SETTINGS))
@with_options(ChannelPage)
def list_(
    *,
    parameters: dict[str, Any],
    wide: WideOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List the account's channels."""
    from cronally.client import calls

    def show(page: Page[Channel]) -> None:
        from cronally.cli.alert_tables import print_channels

        print_channels(page, wide=wide)

    run(access(profile), calls.list_channels(parameters), json, show)


@channel.command("show", context_settings=dict(_SETTINGS))
def show(channel: ChannelArgument, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Show a channel, without its secrets."""
    from cronally.client import calls

    run(access(profile), calls.get_channel(channel), json, _show)


@channel.command("change", context_settings=dict(_SETTINGS))
@with_options(ChannelChange)
def change(
    channel: ChannelArgument,
    *,
    parameters: dict[str, Any],
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Change a channel; what no option names stays as it is."""
    from cronally.client import calls

    changes = inputs.read_files(parameters, declared(ChannelChange))
    if all(value is None for value in changes.values()):
        raise WrongUsage("nothing to change: give at least one option, such as --name or --webhook-url-file")
    needed = ["sns_secret_access_key"] if changes["sns_access_key_id"] is not None else []
    call = calls.update_channel(channel, inputs.complete_secrets(changes, (), needed))
    run(access(profile), call, json, _show)


@channel.command("confirm", context_settings=dict(_SETTINGS))
def confirm_(channel: ChannelArgument, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Send the mail with the link that confirms an address once more."""
    from cronally.client import calls

    run(access(profile), calls.confirm_channel(channel), json, _show)


@channel.command("test", context_settings=dict(_SETTINGS))
def send_test(channel: ChannelArgument, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Send an alert to a channel that says that it is a test."""
    from cronally.client import calls

    def show(alert: Alert) -> None:
        print_lines(
            printable(f"The test is on its way; see what became of it: cronally alerts {alert.alert_id}")
        )

    run(access(profile), calls.test_channel(channel), json, show)


@channel.command("remove", context_settings=dict(_SETTINGS))
def remove(
    channel: ChannelArgument,
    yes: YesOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Delete a channel; its secrets are erased, and what was to be sent to it is skipped."""
    from cronally.client import calls

    may_ask(yes)
    with client_of(access(profile)) as client:
        if not yes:
            confirm(f"Delete the channel {channel}?")
        envelope = client.exchange(calls.delete_channel(channel))
        if json:
            print_json(envelope)
        else:
            print_lines(printable(f"Channel {channel} deleted."))


def _show(channel: Channel) -> None:
    from cronally.cli.alert_tables import print_channel

    print_channel(channel)
    if channel.unhealthy_detail is not None:
        complain("warning", channel.unhealthy_detail)
    elif not channel.confirmed:
        complain("note", f"{channel.address} gets a mail with a link; alerts go there once somebody opens it")
