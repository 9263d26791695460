"""One call of the client for one command: the client that makes it, and what shows its answer.

Invariant: a command prints either the API's envelope as it is or a table, and does not wait long for a server that
does not answer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from cronally.cli.credentials import Profile
from cronally.cli.failure import Failure
from cronally.cli.meant import cronjob_id_of
from cronally.cli.output import complain, print_json

if TYPE_CHECKING:
    from cronally.client import Client, Cronjob
    from cronally.client.calls import Call, Json

T = TypeVar("T")


def run(keys: Profile, call: Call[T], json: bool, show: Callable[[T], None]) -> None:
    """Make a call and print its answer.

    :param show: prints it for people; it imports Rich, which takes a while, when there is something to show
    """
    with client_of(keys) as client:
        _run(client, call, json, show)


def run_on(
    keys: Profile,
    meant: str,
    call_of: Callable[[str], Call[T]],
    json: bool,
    show: Callable[[T], None],
) -> None:
    """Make a call for a cron job and print its answer.

    :param meant: what the user calls the cron job
    :param call_of: the call, by its id
    :param show: as in `run`
    """
    with client_of(keys) as client:
        _run(client, call_of(cronjob_id_of(client, meant)), json, show)


def _run(client: Client, call: Call[T], json: bool, show: Callable[[T], None]) -> None:
    envelope = client.exchange(call)
    _print_warnings(envelope)
    if json:
        print_json(envelope)
    else:
        show(call.read(envelope))


def _print_warnings(envelope: Json) -> None:
    """What the server says may be wrong with a cron job, on stderr."""
    answer = envelope.get("response")
    warned = answer.get("warnings") if isinstance(answer, Mapping) else None
    for text in warned if isinstance(warned, list) else ():
        complain("warning", str(text))


def show_cronjob(cronjob: Cronjob) -> None:
    """Print a cron job, which most commands answer with."""
    from cronally.cli.cronjob_tables import print_cronjob

    print_cronjob(cronjob)


@contextmanager
def client_of(profile: Profile) -> Iterator[Client]:
    """A client with few retries, because a user waits at the terminal. Its warnings go to stderr."""
    from cronally.client import Client
    from cronally.client.connection import V2

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            client = Client(
                profile.url,
                profile.api_key,
                profile.api_secret,
                retries=2,
                signature_version=profile.signature_version or V2,
            )
        except ValueError as error:
            raise Failure(
                str(error), "see CRONALLY_URL, CRONALLY_SIGNATURE_VERSION and the credentials file"
            ) from None
    for warning in caught:
        complain("warning", str(warning.message))
    with client:
        yield client
