"""Who calls AWS, and where: the region and the keys that its targets have, and how keys are declared wherever there are
some.

Invariant: as in `targets`. Region and keys have the same names for all targets of AWS but SNS; the session token is
sealed with the secret access key, and goes in and out with it.
"""

from __future__ import annotations

from typing import Annotated, Final, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.url_secrets import hide_key_id

EXAMPLE_KEY_ID: Final = "AKIAIOSFODNN7EXAMPLE"
MIN_KEY_ID: Final = 16
MAX_KEY_ID: Final = 128


def access_key_id(whose: str) -> Attribute:
    """The access key id of a target.

    :param whose: as the end of a sentence
    """
    said = f"access key id of {whose}"
    return Attribute(
        f"The {said}",
        f"the {said}",
        example=EXAMPLE_KEY_ID,
        min_length=MIN_KEY_ID,
        max_length=MAX_KEY_ID,
        hide=hide_key_id,
        absent=True,
    )


def secret_access_key(key_id: str, *, goes_with: str | None = None) -> Attribute:
    """The secret access key of a target or a connection.

    :param key_id: the attribute that it belongs to
    """
    said = f"secret access key that belongs to {key_id}"
    return Attribute(
        f"The {said}; sealed, and never shown again",
        f"the {said}",
        example="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        min_length=1,
        max_length=256,
        secret=True,
        goes_with=goes_with,
        file=True,
    )


AwsRegion = Annotated[
    str,
    Attribute(
        "The region that is called",
        "a region, such as eu-west-1",
        example="eu-west-1",
        min_length=1,
        max_length=64,
        absent=True,
    ),
]
AwsAccessKeyId = Annotated[str, access_key_id("who may make the call")]
AwsSecretAccessKey = Annotated[str, secret_access_key("aws_access_key_id", goes_with="aws_access_key_id")]
AwsSessionToken = Annotated[
    str,
    Attribute(
        "The session token of temporary credentials (ASIA...), which expire; sealed with the secret access key",
        "the session token that belongs to aws_access_key_id",
        min_length=1,
        max_length=4096,
        secret=True,
        goes_with="aws_secret_access_key",
        file=True,
        optional=True,
    ),
]


class AwsAccess(TypedDict, total=False):
    """What all targets of AWS but SNS have."""

    aws_region: AwsRegion
    aws_access_key_id: AwsAccessKeyId
    aws_secret_access_key: AwsSecretAccessKey
    aws_session_token: AwsSessionToken
