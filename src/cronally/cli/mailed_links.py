"""Links of mails in the terminal: pasted where somebody can be asked, or given to `cronally account confirm`.

Invariant: a link that gives keys is not used before there is a place for them; what cannot be stored all the same is
printed, for it is shown once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cronally.cli.calling import client_of
from cronally.cli.credentials import Profile, access, credentials_path, profile_name, profiles, store
from cronally.cli.failure import Failure, WrongUsage
from cronally.cli.options import JsonOption, ProfileOption, ShowSecretOption
from cronally.cli.output import complain, print_account_json, print_json, print_lines
from cronally.contract.mailed_links import PATH, LinkPurpose, purpose_of, token_of
from cronally.errors import UnexpectedAnswer

if TYPE_CHECKING:
    from cronally.client import Client, MailedLink, UsedLink
    from cronally.client.calls import Call

_GIVES_KEYS: Final = frozenset({LinkPurpose.SIGNUP, LinkPurpose.RECOVER})

UrlOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The server; otherwise CRONALLY_URL, then that of the profile.",
        show_default=False,
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the profile if it exists.")]


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where keys that a link gives are stored, and how that is told."""

    path: Path
    name: str
    force: bool
    json: bool
    show_secret: bool

    def check(self) -> None:
        """Raise Failure where a profile would be replaced that is not to be."""
        if self.name in profiles(self.path) and not self.force:
            raise Failure(
                f"the profile {self.name} exists already in {self.path}", "--profile NAME, or --force"
            )


def go_on(client: Client, mailed: Mapping[str, Any], message: str, keeping: Keeping) -> None:
    """Say that a mail is on its way, and use its link where somebody can paste it.

    :param mailed: the envelope that says so
    """
    if keeping.json:
        print_json(mailed)
        return
    print_lines(message)
    if not sys.stdin.isatty():
        return
    print("The link, or Enter to stop here: ", end="", file=sys.stderr, flush=True)  # noqa: T201
    link = sys.stdin.readline().strip()
    if link:
        use(client, link, keeping)


def use(client: Client, link: str, keeping: Keeping, *, revoke_others: bool = False) -> None:
    """Use a link, store the keys that it gives, and say what it has done."""
    from cronally.client import calls

    call = calls.use_link(link, revoke_others=revoke_others)
    if purpose_of(token_of(link)) in _GIVES_KEYS:
        keeping.check()
    envelope = client.exchange(call)
    try:
        used = call.read(envelope)
        if used.api_key is not None:
            keys = Profile(client.url, used.api_key, used.api_secret)
            store(keeping.path, keeping.name, keys, replace=keeping.force)
    except (Failure, UnexpectedAnswer):
        print_json(envelope)
        complain("warning", "the link is used and its keys are not stored: keep what is printed above")
        raise
    _print(envelope, used, keeping)


def _print(envelope: Mapping[str, Any], used: UsedLink, keeping: Keeping) -> None:
    stored = f"stored in {keeping.path}, profile {keeping.name}"
    if keeping.json:
        print_account_json(envelope, show_secret=keeping.show_secret)
        if used.api_key is not None:
            complain("note", f"the keys are {stored}")
        return
    print_lines(used.message)
    if used.api_key is not None:
        print_lines(f"Its keys are {stored}.")
        if keeping.show_secret:
            print_lines(f"API key: {used.api_key}", f"API secret: {used.api_secret}")
    for key in used.keys or ():
        used_at = (
            "never used" if key.last_used_at is None else f"last used {key.last_used_at:%Y-%m-%d %H:%M} UTC"
        )
        print_lines(f"  {key.name}  {key.api_key}  {key.state}, {used_at}")


def confirm(
    link: Annotated[
        str | None,
        typer.Argument(
            metavar="[LINK]",
            help="As it stands in the mail. Without it, a mail with a link that confirms the account's address is"
            " sent to it.",
            show_default=False,
        ),
    ] = None,
    revoke_others: Annotated[
        bool, typer.Option("--revoke-others", help="With a link of recovery: end all other API keys.")
    ] = False,
    url: UrlOption = None,
    force: ForceOption = False,
    show_secret: ShowSecretOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Use a link of a mail, and store the keys that it gives; or ask for one."""
    from cronally.client import calls

    keeping = Keeping(credentials_path(), profile_name(profile), force, json, show_secret)
    if link is not None:
        with client_of(Profile(server_of(link, url, keeping))) as client:
            use(client, link, keeping, revoke_others=revoke_others)
    elif revoke_others or url is not None or force or show_secret:
        raise WrongUsage("these options go with a link: cronally account confirm LINK")
    else:
        _ask(access(profile), calls.confirm_email(), keeping)


def recover(
    email: Annotated[str, typer.Argument(metavar="EMAIL", show_default=False)],
    url: UrlOption = None,
    force: ForceOption = False,
    show_secret: ShowSecretOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Get a new API key by mail where all are lost, and store it."""
    from cronally.client import calls

    keeping = Keeping(credentials_path(), profile_name(profile), force, json, show_secret)
    keeping.check()
    _ask(Profile(server_of("", url, keeping)), calls.recover_account(email), keeping)


def _ask(keys: Profile, call: Call[MailedLink], keeping: Keeping) -> None:
    """Have a link mailed, and use it where somebody can paste it."""
    with client_of(keys) as client:
        envelope = client.exchange(call)
        go_on(client, envelope, call.read(envelope).message, keeping)


def server_of(link: str, url: str | None, keeping: Keeping) -> str:
    """The server that a link is given to: the one that the user names goes before the one in the link."""
    from cronally.client import DEFAULT_URL

    stored = profiles(keeping.path).get(keeping.name)
    named = url or os.environ.get("CRONALLY_URL") or (stored.url if stored else None)
    there = link.strip().partition(PATH)[0]
    return named or (there if "://" in there else DEFAULT_URL)
