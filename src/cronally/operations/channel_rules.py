"""What a channel is to hold, made of what was sent and of what it holds: its rules.

Invariant: complains, and raises nothing. A URL is sealed whole and shown by its host; secrets are taken from what was
sent or stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from cronally.contract import connections as connection_contract
from cronally.contract.attribute import DEFAULT, declared
from cronally.contract.channel_requests import PARAMETERS
from cronally.contract.channels import Format, Kind
from cronally.contract.reading import Reading
from cronally.contract.url_secrets import MASK
from cronally.operations.connection_rules import NOTHING, Contents
from cronally.store import connections
from cronally.store.connections import StoredConnection
from cronally.targets.channels.destination import FORMAT, SIGNING_SECRET, URL
from cronally.targets.connected import URL_PARAMETER
from cronally.targets.http import signatures
from cronally.targets.target import Target
from cronally.targets.url import parse_url

ADDRESS: Final = "address"
CONNECTION: Final = "connection"
KEY_ID: Final = "sns_access_key_id"
SECRET_KEY: Final = "sns_secret_access_key"  # noqa: S105 - a parameter's name
_TOPIC: Final = ("sns_topic", "sns_region")
_KEYS: Final = (KEY_ID, SECRET_KEY)
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    Kind.EMAIL: (ADDRESS,),
    Kind.HTTP: (URL, SIGNING_SECRET),
    Kind.SLACK: (URL,),
    Kind.SNS: _TOPIC,
}


def check_contents(
    reading: Reading[Any], kind: str, before: Contents, targets: Mapping[str, Target]
) -> Contents:
    """What a channel is to hold, apart from the connection that it uses. Complains, and raises nothing.

    :param before: what it holds; `NOTHING` of a new one
    """
    own = declared(PARAMETERS[Kind(kind)])
    known = {name for each in PARAMETERS.values() for name in declared(each)}
    for name in reading.parameters.keys() & (known - own.keys()):
        reading.complain(name, ValueError(f"is none of a channel of the kind {kind}; leave it out"))
    if before is NOTHING:
        reading.require(_REQUIRED[kind])
    public, secret = dict(before.public), dict(before.secret)
    if kind == Kind.EMAIL:
        public |= reading.sent((ADDRESS,))
    elif kind == Kind.SNS:
        _sns(reading, public, secret, targets)
    else:
        _webhook(reading, kind, public, secret, targets)
    return Contents(public, secret)


def _webhook(
    reading: Reading[Any],
    kind: str,
    public: dict[str, Any],
    secret: dict[str, str],
    targets: Mapping[str, Target],
) -> None:
    url = reading.values.get(URL)
    if url is not None:
        for problem in targets["http"].check({URL_PARAMETER: url}).values():
            reading.complain(URL, ValueError(problem))
        if URL not in reading.complaints:
            public[URL], secret[URL] = shown_url(url), url
    if kind == Kind.SLACK:
        public[FORMAT] = str(reading.values.get(FORMAT, public.get(FORMAT, Format.SLACK)))
    signing = reading.values.get(SIGNING_SECRET)
    if kind == Kind.HTTP and signing is not None:
        complaint = signatures.check_one(signing)
        if complaint is not None:
            reading.complain(SIGNING_SECRET, ValueError(complaint))
        secret[SIGNING_SECRET] = signing


def _sns(
    reading: Reading[Any],
    public: dict[str, Any],
    secret: dict[str, str],
    targets: Mapping[str, Target],
) -> None:
    public |= reading.sent((*_TOPIC, KEY_ID))
    secret |= reading.sent((SECRET_KEY,))
    if KEY_ID in reading.values and SECRET_KEY not in reading.parameters:
        reading.require((SECRET_KEY,))
    given: dict[str, Any] = {name: public[name] for name in (*_TOPIC, KEY_ID) if name in public}
    given |= reading.sent((SECRET_KEY,))
    for name, complaint in targets["sns"].check(given).items():
        # What stays was checked when it was given; a topic that does not fit it is what was sent.
        reading.complain(name if name in reading.parameters else _TOPIC[0], ValueError(complaint))


def find_used(
    connection: Connection, account_id: str, reading: Reading[Any], kind: str, before: str | None
) -> StoredConnection | None:
    """The connection that a channel is to use; None for none. Complains.

    :param before: the id of the one that it uses
    """
    meant = reading.values.get(CONNECTION, before)
    if kind != Kind.SNS or meant in (None, DEFAULT):
        return None
    found = connections.get_connection(connection, account_id, meant)
    if found is None:
        complaint = "names a connection that there is not; GET /connections/ lists those of the account"
        reading.complain(CONNECTION, ValueError(complaint))
    elif found.kind != connection_contract.Kind.AWS:
        reading.complain(CONNECTION, ValueError(f"is of the kind {found.kind}; give one of the kind aws"))
    for name in reading.parameters.keys() & set(_KEYS):
        reading.complain(
            name, ValueError("comes from the connection; leave it out, or send connection=default")
        )
    return found


def with_keys(reading: Reading[Any], kind: str, contents: Contents, *, used: bool) -> Contents:
    """What a channel holds, with keys of its own exactly where it uses no connection. Complains."""
    if kind != Kind.SNS:
        return contents
    if used:
        public = {name: value for name, value in contents.public.items() if name != KEY_ID}
        return Contents(public, {name: text for name, text in contents.secret.items() if name != SECRET_KEY})
    for name, held in ((KEY_ID, contents.public), (SECRET_KEY, contents.secret)):
        if name not in held and name not in reading.complaints and CONNECTION not in reading.complaints:
            reading.complain(
                name, ValueError("is missing or empty; give it, or a connection of the kind aws")
            )
    return contents


def shown_url(url: str) -> str:
    """A webhook's URL as it may be shown: whoever knows what stands behind the host may write there."""
    read = parse_url(url)
    shown = f"{'https' if read.origin.secure else 'http'}://{read.authority}"
    return f"{shown}/" if read.target == "/" and read.userinfo is None else f"{shown}/{MASK}"
