"""The rules of a connection that asks for access tokens: client credentials of OAuth 2.0.

Invariant: pure. A client's secret goes to the token URL that it was given for: another one needs it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cronally.contract.attribute import DEFAULT
from cronally.contract.connections import ClientAuthentication, Kind
from cronally.contract.reading import Reading
from cronally.contract.url_secrets import hide_url
from cronally.targets.connected import GRANT, URL_PARAMETER
from cronally.targets.http.grants import Grant
from cronally.targets.target import Target
from cronally.targets.url import parse_url

TOKEN_URL: Final = "token_url"  # noqa: S105 - a parameter's name
CLIENT_ID: Final = "client_id"
CLIENT_SECRET: Final = "client_secret"  # noqa: S105
_SHOWN: Final = (TOKEN_URL, CLIENT_ID, "scope", "audience", "client_authentication")
OF_OAUTH2: Final = (*_SHOWN, CLIENT_SECRET)


def check_grant(
    reading: Reading[Any],
    public: dict[str, Any],
    secret: dict[str, str],
    targets: Mapping[str, Target],
    *,
    changes: bool,
) -> None:
    """Put what access tokens are asked for with into what a connection holds. Complains, and raises nothing.

    :param public: what may be shown of it, as it was before; with a `token_url` only where it had one
    :param secret: what is sealed of it, likewise
    :param changes: whether secrets that it held are worth nothing any more
    """
    values = reading.values
    if not changes and not values.keys() & set(OF_OAUTH2):
        return
    before = {name: public.get(name) for name in (TOKEN_URL, CLIENT_ID)}
    for name, advice in (
        (TOKEN_URL, "give the URL at which access tokens are asked for"),
        (CLIENT_ID, "give the id of the client that asks"),
    ):
        if before[name] is None:
            _require(reading, name, f"is needed with authentication=oauth2; {advice}")
    other = next((name for name in before if values.get(name, before[name]) != before[name]), None)
    if changes or other is not None:
        what = (
            "authentication=oauth2, a new base_url, or other ca_certificates" if changes else f"a new {other}"
        )
        _require(
            reading, CLIENT_SECRET, f"is needed with {what}; give the secret that belongs to {CLIENT_ID}"
        )
    if TOKEN_URL in values:
        _check_url(reading, values[TOKEN_URL], targets)
    public |= reading.sent(_SHOWN)
    public.setdefault("client_authentication", str(ClientAuthentication.BASIC))
    for name in ("scope", "audience"):
        if public.get(name) == DEFAULT:
            del public[name]
    held = values.get(CLIENT_SECRET) or (Grant.of(secret[GRANT]).client_secret if GRANT in secret else None)
    if held is not None and TOKEN_URL in public and CLIENT_ID in public:
        shown = {name: public[name] for name in _SHOWN if name in public}
        secret[GRANT] = Grant(client_secret=held, **shown).sealed()


def forget_grant(public: dict[str, Any], secret: dict[str, str]) -> None:
    """Take it out of what a connection holds that authenticates otherwise."""
    for name in _SHOWN:
        public.pop(name, None)
    secret.pop(GRANT, None)


def replaces(before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Whether of what is sealed any secret is another one, or goes elsewhere: not only what tokens are asked for."""
    return _bare(before) != _bare(after)


def _bare(secret: Mapping[str, str]) -> dict[str, object]:
    if GRANT not in secret:
        return dict(secret)
    grant = Grant.of(secret[GRANT])
    return {**secret, GRANT: (grant.token_url, grant.client_id, grant.client_secret)}


def _check_url(reading: Reading[Any], text: str, targets: Mapping[str, Target]) -> None:
    for complaint in targets[Kind.HTTP].check({URL_PARAMETER: text}).values():
        reading.complain(TOKEN_URL, ValueError(complaint))
    if TOKEN_URL in reading.complaints:
        return
    if parse_url(text).userinfo is not None:
        problem = "has a user before its host; give it as client_id and client_secret"
        reading.complain(TOKEN_URL, ValueError(problem))
    # What stands behind /token/ in the path of a token endpoint is no token.
    elif hide_url(plain := text.replace("/token/", "/-/")) != plain:
        problem = "holds what looks like a secret, and is shown; give it without"
        reading.complain(TOKEN_URL, ValueError(problem))


def _require(reading: Reading[Any], name: str, complaint: str) -> None:
    if name not in reading.values and name not in reading.complaints:
        reading.complain(name, ValueError(complaint))
