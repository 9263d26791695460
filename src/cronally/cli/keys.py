"""`cronally key`: the API keys of the account.

Invariant: a secret is printed once, by the command that makes the key, unless it is stored in a profile instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cronally.cli.asking import confirm, may_ask
from cronally.cli.calling import client_of, run
from cronally.cli.credentials import Profile, access, credentials_path, profile_name, profiles, store
from cronally.cli.failure import Failure, WrongUsage
from cronally.cli.options import JsonOption, ProfileOption, WideOption, YesOption, with_options
from cronally.cli.output import complain, print_json, print_lines, printable
from cronally.contract.keys import KeyChange, NewKey, Rotation
from cronally.errors import UnexpectedAnswer

if TYPE_CHECKING:
    from cronally.client import Key, Page
    from cronally.client.calls import Call

_SETTINGS: Final = {"help_option_names": ["--help", "-h"]}
_NAME_WIDTH: Final = 16
_SCOPES_WIDTH: Final = 14
KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="The API key: its name or its id.", show_default=False)
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="NAME",
        help="Store the new key as this profile of the credentials file, and do not print its secret.",
        show_default=False,
    ),
]

key = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=dict(_SETTINGS),
    no_args_is_help=True,
)


@key.callback()
def key_() -> None:
    """Make API keys for one purpose each; replace or revoke them.

    A key has scopes, and may be restricted to cron jobs with some tags, to networks, and to a time.
    """


@key.command("add", context_settings=dict(_SETTINGS))
@with_options(NewKey)
def add(
    *,
    parameters: dict[str, Any],
    store: StoreOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Make an API key, and print its secret, this once."""
    from cronally.client import calls

    if store is not None and profile_name(store) in profiles(credentials_path()):
        raise Failure(f"the profile {store} exists already", "--store with another name")
    _make(calls.create_key(parameters), store, profile, json)


@key.command("list", context_settings=dict(_SETTINGS))
def list_(wide: WideOption = False, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """List the account's API keys, those that ended lately as well."""
    from cronally.client import calls

    run(access(profile), calls.list_keys(), json, lambda page: _print_all(page, wide))


@key.command("show", context_settings=dict(_SETTINGS))
def show(key: KeyArgument, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Show an API key, without its secret."""
    from cronally.client import calls

    run(access(profile), calls.get_key(key), json, _print)


@key.command("change", context_settings=dict(_SETTINGS))
@with_options(KeyChange)
def change(
    key: KeyArgument,
    *,
    parameters: dict[str, Any],
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Change an API key, at once; what no option names stays as it is."""
    from cronally.client import calls

    if all(value is None for value in parameters.values()):
        raise WrongUsage("nothing to change: give at least one option, such as --scopes or --expires-at")
    run(access(profile), calls.update_key(key, parameters), json, _print)


@key.command("rotate", context_settings=dict(_SETTINGS))
@with_options(Rotation, defaults=True)
def rotate(
    key: KeyArgument,
    *,
    parameters: dict[str, Any],
    store: StoreOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Make an API key that replaces one, which goes on for the overlap.

    A profile that --store names is replaced.
    """
    from cronally.client import calls

    if store is not None:
        profile_name(store)
        profiles(credentials_path())
    _make(calls.rotate_key(key, parameters), store, profile, json)


@key.command("revoke", context_settings=dict(_SETTINGS))
def revoke(
    key: KeyArgument, yes: YesOption = False, profile: ProfileOption = None, json: JsonOption = False
) -> None:
    """Revoke an API key: it is refused from now on, everywhere, for good."""
    from cronally.client import calls

    may_ask(yes, done="revoked", advice="--yes revokes without asking")
    with client_of(access(profile)) as client:
        if not yes:
            confirm(f"Revoke the API key {key}?")
        envelope = client.exchange(calls.revoke_key(key))
        if json:
            print_json(envelope)
        else:
            print_lines(printable(f"API key {key} revoked."))


def _make(call: Call[Key], stored: str | None, profile: str | None, json: bool) -> None:
    """Make a key; print its secret, or store it."""
    with client_of(access(profile)) as client:
        envelope = client.exchange(call)
        if stored is not None:
            # From here on the key exists, and its secret is nowhere but in this answer.
            try:
                made = call.read(envelope)
                store(
                    credentials_path(),
                    stored,
                    Profile(client.url, made.api_key, made.api_secret),
                    replace=True,
                )
            except (Failure, UnexpectedAnswer):
                print_json(envelope)
                complain("warning", "the key was made and is not stored: keep what is printed above")
                raise
            complain("note", f"the key is stored in {credentials_path()}, profile {stored}")
    if not json:
        made = call.read(envelope)
        _print(made, None if stored is not None else made.api_secret)
    elif stored is None:
        print_json(envelope)
    else:
        answer = {name: value for name, value in envelope["response"].items() if name != "api_secret"}
        print_json({**envelope, "response": answer})


def _print(found: Key, secret: str | None = None) -> None:
    from cronally.cli.layout import instant, print_pairs

    print_pairs(
        [
            ("API key", found.api_key),
            ("API secret", secret and f"{secret} (shown this once)"),
            ("Name", found.name),
            ("State", found.state),
            ("Scopes", ", ".join(found.scopes)),
            ("Tags", ", ".join(found.tags) or "all cron jobs"),
            ("Networks", ", ".join(found.networks) or "from anywhere"),
            ("Made by", "the sign-up" if found.by_signup else found.created_by),
            ("Created", instant(found.created_at, seconds=True)),
            ("Expires", instant(found.expires_at, seconds=True) if found.expires_at else "never"),
            ("Last used", instant(found.last_used_at, seconds=True) if found.last_used_at else "never"),
            ("Revoked", found.revoked_at and instant(found.revoked_at, seconds=True)),
            ("Replaces", found.replaces),
            ("Replaced by", found.replaced_by),
        ]
    )


def _print_all(page: Page[Key], wide: bool) -> None:
    from cronally.cli import layout

    names = layout.Column("Name", [each.name for each in page], _NAME_WIDTH)
    ids = layout.Column("API key", [each.api_key for each in page])
    states = layout.Column("State", [each.state for each in page])
    scopes = layout.Column("Scopes", [",".join(each.scopes) for each in page], _SCOPES_WIDTH)
    tags = layout.Column("Tags", [",".join(each.tags) for each in page], _SCOPES_WIDTH)
    networks = layout.Column("Networks", [",".join(each.networks) for each in page], _SCOPES_WIDTH)
    ends = layout.Column("Expires (UTC)", [layout.instant(each.expires_at, seconds=True) for each in page])
    used = layout.Column("Used (UTC)", [layout.instant(each.last_used_at, seconds=True) for each in page])
    console = layout.make_console(wide)
    layouts = (
        [names, ids, states, scopes, tags, networks, ends, used],
        [names, states, scopes, tags, networks, ends, used],
        [names, states, scopes, tags, ends, used],
        [names, states, scopes, used],
        [names, states, scopes],
    )
    layout.print_table(console, layout.first_that_fits(console, layouts))
