"""The keys of AWS that a cron job has, checked.

Invariant: as in `sns.parameters`: what passes has the form of keys, and no complaint repeats a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from cronally.targets.sns.endpoints import parse_region
from cronally.targets.sns.parameters import ACCESS_KEY_ID_FORM, OTHER_ID, SECRET_FORM, TEMPORARY

REGION: Final = "aws_region"
ACCESS_KEY_ID: Final = "aws_access_key_id"
SECRET_ACCESS_KEY: Final = "aws_secret_access_key"  # noqa: S105 - a parameter's name
SESSION_TOKEN: Final = "aws_session_token"  # noqa: S105 - a parameter's name

_TOKEN: Final = re.compile(r"[!-~]{1,4096}", re.ASCII)


def check_keys(parameters: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with region and keys, by name, as `Target.check` says."""
    found: dict[str, str] = {}
    key_id, secret = parameters.get(ACCESS_KEY_ID, ""), parameters.get(SECRET_ACCESS_KEY)
    token = parameters.get(SESSION_TOKEN)
    if REGION in parameters:
        try:
            parse_region(parameters[REGION])
        except ValueError as error:
            found[REGION] = str(error)
    if key_id and OTHER_ID.fullmatch(key_id):
        found[ACCESS_KEY_ID] = (
            "is the id of a user, a role or the like; give the id of an access key (AKIA...)"
        )
    elif key_id and not ACCESS_KEY_ID_FORM.fullmatch(key_id):
        found[ACCESS_KEY_ID] = (
            "is no access key id: 16 to 128 capitals and digits that begin with AKIA, or ASIA; is it the secret?"
        )
    if secret is not None:
        if not SECRET_FORM.fullmatch(secret):
            found[SECRET_ACCESS_KEY] = (
                "is no secret access key; it has no spaces, line ends or characters outside ASCII"
            )
        elif ACCESS_KEY_ID_FORM.fullmatch(secret):
            found[SECRET_ACCESS_KEY] = "is an access key id; give the secret that belongs to it"
        temporary = key_id.startswith(TEMPORARY)
        if temporary and token is None:
            found[SESSION_TOKEN] = "is missing: temporary credentials (ASIA...) have one; give it too"
        elif token is not None and key_id and not temporary:
            found[SESSION_TOKEN] = "goes with temporary credentials (ASIA...) alone; leave it out"
    if token is not None and not _TOKEN.fullmatch(token):
        found[SESSION_TOKEN] = "is no session token; it has no spaces, line ends or characters outside ASCII"
    return found
