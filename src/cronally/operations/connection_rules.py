"""The rules that a new connection and a change of one must keep, beyond the form of each parameter.

Invariant: pure. A secret goes only where it was given for: what says where that is does not change without it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cronally.contract.attribute import DEFAULT, declared
from cronally.contract.connection_requests import PARAMETERS, Limits
from cronally.contract.connections import Authentication, Kind, SignatureFormat
from cronally.contract.reading import Reading
from cronally.operations.grant_rules import OF_OAUTH2, check_grant, forget_grant
from cronally.operations.tls_rules import check_tls
from cronally.targets.aws.roles import role_arn_complaint
from cronally.targets.below import check_base
from cronally.targets.connected import (
    ACCESS_KEY_ID,
    AUTHORIZATION,
    HEADERS,
    ROLE_ARN,
    SESSION_TOKEN,
    SIGNING_SECRET,
    TIMEOUT,
    TIMEOUT_PARAMETER,
    URL_PARAMETER,
)
from cronally.targets.http import signatures, signing
from cronally.targets.http.signing_keys import FORMAT, KEYS, key_of
from cronally.targets.sns.endpoints import parse_region
from cronally.targets.sns.parameters import key_id_complaint, secret_key_complaint
from cronally.targets.target import Target
from cronally.targets.trying import AssumingTarget

SECRET_KEY: Final = "aws_secret_access_key"  # noqa: S105 - a parameter's name
_KEYS: Final = (ACCESS_KEY_ID, SECRET_KEY, SESSION_TOKEN)
_OF_BASIC: Final = ("username", "password")
_SIGNING: Final = "Content-Digest, Signature or Signature-Input"
_MOVED: Final = "a new base_url, or other ca_certificates"
"""What has secrets go to somebody else: they are given anew."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a connection holds."""

    public: Mapping[str, Any] = field(default_factory=dict)
    """What may be shown of it."""
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What is sealed of it."""


NOTHING: Final = Contents()


def check_contents(
    reading: Reading[Any], kind: str, before: Contents, targets: Mapping[str, Target], now: int
) -> Contents:
    """What a connection is to hold. Complains, and raises nothing.

    :param before: what it holds; nothing of a new one
    :param now: an instant
    """
    _refuse_of_others(reading, kind)
    held = _aws(reading, before, targets) if kind == Kind.AWS else _http(reading, before, targets, now)
    return replace(held, public=_limited(reading, held.public))


def _limited(reading: Reading[Any], public: Mapping[str, Any]) -> Mapping[str, Any]:
    """What may be shown of it, with the limits that it is to have."""
    sent = reading.sent(declared(Limits))
    chosen = {name: limit for name, limit in sent.items() if limit != DEFAULT}
    return {name: value for name, value in public.items() if name not in sent} | chosen


def _refuse_of_others(reading: Reading[Any], kind: str) -> None:
    for other, parameters in PARAMETERS.items():
        if other == kind:
            continue
        for name in reading.parameters.keys() & declared(parameters).keys():
            reading.complain(
                name, ValueError(f"belongs to the kind {other}, and this is {kind}; leave it out")
            )


def _aws(reading: Reading[Any], before: Contents, targets: Mapping[str, Target]) -> Contents:
    values = reading.values
    role = values.get(ROLE_ARN, before.public.get(ROLE_ARN, DEFAULT))
    sns = targets.get("sns")
    assumes = role != DEFAULT and isinstance(sns, AssumingTarget) and sns.assumes
    if before is NOTHING and not (assumes and not values.keys() & set(_KEYS)):
        reading.require([ACCESS_KEY_ID, SECRET_KEY])
    elif before is not NOTHING and ACCESS_KEY_ID not in before.public:
        if values.keys() & set(_KEYS) or not assumes:
            for name in (ACCESS_KEY_ID, SECRET_KEY):
                _require(reading, name, "is needed: without a role that is assumed, keys are all that it has")
    elif ACCESS_KEY_ID in values and values[ACCESS_KEY_ID] != before.public[ACCESS_KEY_ID]:
        _require(
            reading, SECRET_KEY, f"is needed with a new {ACCESS_KEY_ID}; give the secret that belongs to it"
        )
    public, secret = dict(before.public), dict(before.secret)
    if values.keys() & {ACCESS_KEY_ID, SECRET_KEY}:
        # The token belongs to the keys that are replaced.
        secret.pop(SESSION_TOKEN, None)
    public |= reading.sent((ACCESS_KEY_ID, "aws_region", ROLE_ARN))
    secret |= reading.sent((SECRET_KEY, SESSION_TOKEN))
    for held in (public, secret):
        for name in [name for name, value in held.items() if value == DEFAULT]:
            del held[name]
    if ACCESS_KEY_ID in public:
        _complain(
            reading, ACCESS_KEY_ID, key_id_complaint(public[ACCESS_KEY_ID], temporary=SESSION_TOKEN in secret)
        )
    if SECRET_KEY in values:
        _complain(reading, SECRET_KEY, secret_key_complaint(values[SECRET_KEY]))
    if "aws_region" in public:
        reading.check("aws_region", lambda: parse_region(public["aws_region"]).name)
    _role(reading, public)
    public["has_session_token"] = SESSION_TOKEN in secret
    return Contents(public, secret)


def _role(reading: Reading[Any], public: dict[str, Any]) -> None:
    if ROLE_ARN not in public:
        return
    complaint = role_arn_complaint(public[ROLE_ARN])
    _complain(reading, ROLE_ARN, complaint)
    region = public.get("aws_region")
    if complaint is None and region is not None and not reading.complaints.keys() & {"aws_region"}:
        partition = public[ROLE_ARN].split(":")[1]
        if parse_region(region).partition != partition:
            named = "aws_region" if "aws_region" in reading.parameters else ROLE_ARN
            _complain(
                reading, named, f"goes with a region of the partition {partition}, as {ROLE_ARN} has it"
            )


def _http(reading: Reading[Any], before: Contents, targets: Mapping[str, Target], now: int) -> Contents:
    values = reading.values
    public, secret = dict(before.public), dict(before.secret)
    if before is NOTHING:
        reading.require(["base_url"])
    if "base_url" in values:
        _check_base(reading, values["base_url"], targets)
    moves = before is not NOTHING and values.get("base_url", public["base_url"]) != public["base_url"]
    public |= reading.sent(("base_url",))
    # Whoever may say who the server is may have it all: as with another server, what is sent to it is given anew.
    moves = check_tls(reading, public, secret, moves=moves, now=now) or moves
    _headers(reading, public, secret, moves=moves)
    _authentication(reading, public, secret, targets, moves=moves)
    if SIGNING_SECRET in values:
        signing = secret[SIGNING_SECRET] = values[SIGNING_SECRET]
        if signing == DEFAULT:
            del secret[SIGNING_SECRET]
        else:
            _complain(reading, SIGNING_SECRET, signatures.check_one(signing))
    _format(reading, public, signs=SIGNING_SECRET in secret)
    _timeout(reading, public, targets)
    public["signs"] = SIGNING_SECRET in secret
    return Contents(public, secret)


def _format(reading: Reading[Any], public: dict[str, Any], *, signs: bool) -> None:
    sent = reading.values.get(FORMAT)
    wanted = sent or public.pop(FORMAT, SignatureFormat.STANDARD_WEBHOOKS)
    public.pop(FORMAT, None)
    if wanted == SignatureFormat.STANDARD_WEBHOOKS:
        return
    if not signs:
        # It goes with the secret that is taken away.
        if sent and SIGNING_SECRET not in reading.complaints:
            _complain(reading, FORMAT, f"goes with a {SIGNING_SECRET}, and there is none; give that too")
        return
    public[FORMAT] = wanted
    if signing.HEADERS & {name.lower() for name in public["header_names"]}:
        if HEADERS in reading.values:
            _complain(
                reading, HEADERS, f"hold {_SIGNING}, which {FORMAT}={wanted} sends itself; leave it out"
            )
        else:
            _complain(reading, FORMAT, f"sends {_SIGNING} itself, which headers hold; take it out of them")


def with_keys(before: Contents, after: Contents, *, goes_on: bool, stays: bool) -> Contents:
    """What a connection is to hold, with what may be known of its signing keys, if it makes message signatures.

    :param after: without complaints
    :param goes_on: whether the former secrets go on beside the new ones
    :param stays: whether those that went on before still do
    """
    public = {name: value for name, value in after.public.items() if name != KEYS}
    if FORMAT not in public:
        return Contents(public, after.secret)
    known, now = before.public.get(KEYS, []), after.secret[SIGNING_SECRET]
    same = before.secret.get(SIGNING_SECRET) == now
    newest = known[0] if same and known else key_of(now)
    former = known[1:] if stays else known[:1] if goes_on and not same else []
    return Contents({**public, KEYS: [newest, *former]}, after.secret)


def _timeout(reading: Reading[Any], public: dict[str, Any], targets: Mapping[str, Target]) -> None:
    if TIMEOUT not in reading.values:
        return
    public.pop(TIMEOUT, None)
    wanted = reading.values[TIMEOUT]
    if wanted == DEFAULT:
        return
    public[TIMEOUT] = wanted
    for complaint in targets[Kind.HTTP].check({TIMEOUT_PARAMETER: wanted}).values():
        _complain(reading, TIMEOUT, complaint)


def _check_base(reading: Reading[Any], text: str, targets: Mapping[str, Target]) -> None:
    for complaint in targets[Kind.HTTP].check({URL_PARAMETER: text}).values():
        reading.complain("base_url", ValueError(complaint))
    if "base_url" not in reading.complaints:

        def check() -> str:
            check_base(text)
            return text

        reading.check("base_url", check)


def _headers(reading: Reading[Any], public: dict[str, Any], secret: dict[str, str], *, moves: bool) -> None:
    if HEADERS in reading.values:
        headers: dict[str, str] = reading.values[HEADERS]
        public["header_names"] = sorted(headers)
        secret.pop(HEADERS, None)
        if headers:
            secret[HEADERS] = json.dumps(headers, separators=(",", ":"), sort_keys=True)
    elif moves and HEADERS in secret:
        _require(
            reading,
            HEADERS,
            f"are needed with {_MOVED}; give them, or an empty text for none",
        )
    public.setdefault("header_names", [])


def _authentication(
    reading: Reading[Any],
    public: dict[str, Any],
    secret: dict[str, str],
    targets: Mapping[str, Target],
    *,
    moves: bool,
) -> None:
    values = reading.values
    former = public.get("authentication", Authentication.NONE)
    basic, bearer = bool(values.keys() & set(_OF_BASIC)), "token" in values
    oauth2 = bool(values.keys() & set(OF_OAUTH2))
    asks = Authentication.OAUTH2 if oauth2 else former
    sent = Authentication.BASIC if basic else Authentication.BEARER if bearer else asks
    wanted = values.get("authentication", sent)
    for name, kind in (
        ("token", Authentication.BEARER),
        *((each, Authentication.BASIC) for each in _OF_BASIC),
        *((each, Authentication.OAUTH2) for each in OF_OAUTH2),
    ):
        if name in values and wanted != kind:
            reading.complain(
                name, ValueError(f"goes with authentication={kind}, and this is {wanted}; leave it out")
            )
    changes = wanted != former or moves
    why = _MOVED if wanted == former else f"authentication={wanted}"
    if wanted == Authentication.BASIC and (basic or changes):
        user = values.get("username", public.get("username") if former == wanted else None)
        if user is None:
            _require(reading, "username", "is needed with authentication=basic; give the user")
        why = "a username" if basic or wanted != former else _MOVED
        _require(reading, "password", f"is needed with {why}; give the password that belongs to the username")
        if user is not None and "password" in values:
            public["username"] = user
            secret[AUTHORIZATION] = _basic(user, values["password"])
    elif wanted == Authentication.BEARER and (bearer or changes):
        _require(reading, "token", f"is needed with {why}; give the token")
        if bearer:
            secret[AUTHORIZATION] = f"Bearer {values['token']}"
    elif wanted == Authentication.OAUTH2:
        check_grant(reading, public, secret, targets, why=why if changes else None)
    if wanted != Authentication.BASIC:
        public.pop("username", None)
    if wanted != Authentication.OAUTH2:
        forget_grant(public, secret)
    if wanted in (Authentication.NONE, Authentication.OAUTH2):
        secret.pop(AUTHORIZATION, None)
    public["authentication"] = str(wanted)
    names = {name.lower() for name in public["header_names"]}
    if wanted != Authentication.NONE and "authorization" in names:
        named = HEADERS if HEADERS in values else "authentication"
        reading.complain(
            named, ValueError("would send Authorization twice; take the header, or authentication, away")
        )


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode('ascii')}"


def _require(reading: Reading[Any], name: str, complaint: str) -> None:
    if name not in reading.values and name not in reading.complaints:
        reading.complain(name, ValueError(complaint))


def _complain(reading: Reading[Any], name: str, complaint: str | None) -> None:
    if complaint is not None and name not in reading.complaints:
        reading.complain(name, ValueError(complaint))
