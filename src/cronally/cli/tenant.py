"""The tenant's commands: everything that the API offers to an account.

Invariant: a command makes the client's call, and prints either the API's envelope as it is or a table.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cronally.cli import given
from cronally.cli.calling import client_of, run, tables
from cronally.cli.credentials import Profile, access, credentials_path, profile_name, profiles, store
from cronally.cli.failure import Failure
from cronally.cli.options import (
    AccessKeyIdOption,
    CatchUpOption,
    CronjobArgument,
    CronOption,
    CursorOption,
    DeliveryTypeOption,
    DstGapOption,
    DstOverlapOption,
    GraceOption,
    HttpMethodOption,
    HttpUrlOption,
    JsonOption,
    LimitOption,
    MessageFileOption,
    MessageOption,
    NameOption,
    ProfileOption,
    RegionOption,
    SecretFileOption,
    SecretOption,
    TimezoneOption,
    TopicOption,
)
from cronally.cli.plain import complain, print_json, print_lines, printable
from cronally.errors import Unauthorized, UnexpectedAnswer

if TYPE_CHECKING:
    from cronally.client.calls import Value


def signup(
    email: Annotated[str, typer.Argument(show_default=False)],
    token: Annotated[
        str | None, typer.Option(help="What the server's operator gave out, if it asks.", show_default=False)
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="The server; CRONALLY_URL otherwise.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the profile if it exists.")] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Create an account and store its keys."""
    from cronally.client import DEFAULT_URL, calls

    name = profile_name(profile)
    path = credentials_path()
    if name in profiles(path) and not force:
        raise Failure(f"the profile {name} exists already in {path}", "--profile NAME, or --force")
    with client_of(Profile(url or os.environ.get("CRONALLY_URL") or DEFAULT_URL)) as client:
        call = calls.signup(email, token)
        try:
            envelope = client.exchange(call)
        except Unauthorized as error:
            raise Failure(error.message, "--token TOKEN") from None
        # From here on the account exists, and its secret is nowhere but in this answer.
        try:
            account = call.read(envelope)
            store(path, name, Profile(client.url, account.api_key, account.api_secret), replace=force)
        except (Failure, UnexpectedAnswer):
            print_json(envelope)
            complain(
                "warning", "the account was made and its keys are not stored: keep what is printed above"
            )
            raise
    if json:
        print_json(envelope)
        complain("note", f"the keys are stored in {path}, profile {name}")
    else:
        print_lines(f"Account {account.email} created.", f"Its keys are stored in {path}, profile {name}.")


def account(
    show_secret: Annotated[bool, typer.Option("--show-secret", help="Show the API secret too.")] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show the account."""
    from cronally.client import calls

    with client_of(access(profile)) as client:
        call = calls.account()
        envelope = client.exchange(call)
        if json:
            print_json(envelope)
        else:
            tables().print_account(call.read(envelope), client.url, show_secret=show_secret)


def add(
    name: Annotated[str, typer.Option(help="The cron job's name.", show_default=False)],
    cron: Annotated[str, typer.Option(help='The expression, in quotes, as "0 8 * * *".', show_default=False)],
    timezone: TimezoneOption = None,
    dst_gap: DstGapOption = None,
    dst_overlap: DstOverlapOption = None,
    sns_topic: TopicOption = None,
    sns_message: MessageOption = None,
    sns_message_file: MessageFileOption = None,
    sns_region: RegionOption = None,
    sns_access_key_id: AccessKeyIdOption = None,
    sns_secret_access_key: SecretOption = None,
    sns_secret_access_key_file: SecretFileOption = None,
    delivery_type: DeliveryTypeOption = None,
    delivery_http_url: HttpUrlOption = None,
    delivery_http_method: HttpMethodOption = None,
    catch_up: CatchUpOption = None,
    misfire_grace: GraceOption = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="The same key answers with the same cron job for 24 hours.", show_default=False),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Create a cron job."""
    from cronally.client import calls

    parameters: dict[str, Value] = {
        "name": name,
        "cron": cron,
        "timezone": timezone,
        "dst_gap": dst_gap,
        "dst_overlap": dst_overlap,
        "catch_up": catch_up,
        "misfire_grace": misfire_grace,
        "delivery_type": delivery_type or ("http" if delivery_http_url else None),
        "delivery_http_url": delivery_http_url,
        "delivery_http_method": delivery_http_method,
    }
    message = given.message(sns_message, sns_message_file, sns_secret_access_key_file)
    keys = access(profile)
    needed = (
        ("--sns-topic", sns_topic),
        ("--sns-message", message),
        ("--sns-access-key-id", sns_access_key_id),
    )
    if parameters["delivery_type"] == "http":
        for option, value in (*needed, ("--sns-region", sns_region)):
            if value is not None:
                raise typer.BadParameter("it is of no use for delivery by HTTP", param_hint=option)
    else:
        for option, value in needed:
            if value is None:  # before a secret is asked for
                raise typer.BadParameter("it is needed for delivery to SNS", param_hint=option)
        parameters |= {
            "sns_topic": sns_topic,
            "sns_message": message,
            "sns_region": sns_region or given.region_of(sns_topic),
            "sns_access_key_id": sns_access_key_id,
            "sns_secret_access_key": given.secret_access_key(
                sns_secret_access_key, sns_secret_access_key_file
            ),
        }
    run(
        keys,
        calls.create_cronjob(parameters, idempotency_key),
        json,
        lambda screen, answer: screen.print_cronjob(answer),
    )


def list_(
    limit: LimitOption = None,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List the cron jobs."""
    from cronally.client import calls

    run(
        access(profile),
        calls.cronjobs(limit, cursor),
        json,
        lambda screen, answer: screen.print_cronjobs(answer),
    )


def show(cronjob_id: CronjobArgument, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Show a cron job."""
    from cronally.client import calls

    run(access(profile), calls.cronjob(cronjob_id), json, lambda screen, answer: screen.print_cronjob(answer))


def update(
    cronjob_id: CronjobArgument,
    name: NameOption = None,
    cron: CronOption = None,
    timezone: TimezoneOption = None,
    dst_gap: DstGapOption = None,
    dst_overlap: DstOverlapOption = None,
    sns_topic: TopicOption = None,
    sns_message: MessageOption = None,
    sns_message_file: MessageFileOption = None,
    sns_region: RegionOption = None,
    sns_access_key_id: AccessKeyIdOption = None,
    sns_secret_access_key: SecretOption = None,
    sns_secret_access_key_file: SecretFileOption = None,
    delivery_type: DeliveryTypeOption = None,
    delivery_http_url: HttpUrlOption = None,
    delivery_http_method: HttpMethodOption = None,
    catch_up: CatchUpOption = None,
    misfire_grace: GraceOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Change what is given of a cron job; the rest stays."""
    from cronally.client import calls

    secret: str | None = None
    if sns_access_key_id or sns_secret_access_key or sns_secret_access_key_file:
        secret = given.secret_access_key(sns_secret_access_key, sns_secret_access_key_file)
    changes: dict[str, Value] = {
        "name": name,
        "cron": cron,
        "timezone": timezone,
        "dst_gap": dst_gap,
        "dst_overlap": dst_overlap,
        "catch_up": catch_up,
        "misfire_grace": misfire_grace,
        "sns_topic": sns_topic,
        "sns_message": given.message(sns_message, sns_message_file, sns_secret_access_key_file),
        "sns_region": sns_region or given.region_of(sns_topic),
        "sns_access_key_id": sns_access_key_id,
        "sns_secret_access_key": secret,
        "delivery_type": delivery_type or ("http" if delivery_http_url else None),
        "delivery_http_url": delivery_http_url,
        "delivery_http_method": delivery_http_method,
    }
    if all(value is None for value in changes.values()):
        raise typer.BadParameter("give at least one option that changes something", param_hint="ID")
    run(
        access(profile),
        calls.update_cronjob(cronjob_id, changes),
        json,
        lambda screen, answer: screen.print_cronjob(answer),
    )


def delete(
    cronjob_id: CronjobArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Delete a cron job; its ledger stays readable."""
    from cronally.client import calls

    with client_of(access(profile)) as client:
        if sys.stdin.isatty() and not yes:
            found = client.cronjob(cronjob_id)
            if not given.confirmed(printable(f"Delete the cron job {found.name!r} ({found.cron})?")):
                raise Failure("cancelled; nothing was done")
        call = calls.delete_cronjob(cronjob_id)
        envelope = client.exchange(call)
        if json:
            print_json(envelope)
        else:
            print_lines(f"Cron job {call.read(envelope).name!r} deleted.")


COMMANDS = (signup, account, add, list_, show, update, delete)
