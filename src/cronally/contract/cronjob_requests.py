"""What is sent about cron jobs: a new one, a change, a pause, and which ones are listed.

Invariant: what is not sent of a change stays; of a cron job that is put by its name it has its default.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.aws import AwsParameters
from cronally.contract.cronjobs import Cronjob
from cronally.contract.http import HttpParameters
from cronally.contract.listing import CronjobPage, fields_of
from cronally.contract.policies import Policies
from cronally.contract.sns import SnsParameters
from cronally.contract.tags import Tags
from cronally.contract.targets import DELIVERY_TYPE, TargetName
from cronally.contract.used_connections import Used
from cronally.contract.values import (
    AN_INSTANT,
    EXAMPLE_INSTANT,
    MAX_NAME,
    Expression,
    Timezone,
    check_name,
    check_note,
)
from cronally.contract.verification import Verified

_Name = Annotated[
    str,
    Attribute(
        "What the cron job is called",
        "a name of 1 to 256 characters",
        example="wake up",
        check=check_name,
        min_length=1,
        max_length=MAX_NAME,
    ),
]


class _Options(TypedDict, total=False):
    """What a new cron job may have beside its policies and the parameters of its target."""

    timezone: Timezone
    delivery_type: Annotated[TargetName, DELIVERY_TYPE]
    tags: Tags
    connection: Used


class _Chosen(_Options, Policies, SnsParameters, HttpParameters, AwsParameters, Verified, total=False):
    """What may be sent of every cron job, beside its name and its expression."""


class _Required(TypedDict):
    name: _Name
    cron: Expression


class _Changeable(TypedDict, total=False):
    name: _Name
    cron: Expression


class NewCronjob(_Required, _Chosen):
    """A new cron job."""


class _Named(TypedDict):
    cron: Expression


class NamedCronjob(_Named, _Chosen):
    """A cron job as it is to be, whose name is in the path: what is not sent has its default."""


class CronjobChange(_Changeable, _Chosen, total=False):
    """A change of a cron job: what is not sent stays."""


class Pause(TypedDict, total=False):
    """How long a cron job is to stand still, and why."""

    note: Annotated[
        str,
        Attribute(
            "Why, for people",
            "why it is paused",
            example="deploying",
            check=check_note,
            min_length=1,
            max_length=MAX_NAME,
        ),
    ]
    until: Annotated[
        str | datetime,
        Attribute(
            "When it resumes by itself, at most 10 years ahead: what is due at this very instant fires; without it, it"
            " stays paused until it is resumed",
            AN_INSTANT,
            example=EXAMPLE_INSTANT,
        ),
    ]


class CronjobQuery(CronjobPage, total=False):
    """Which cron jobs are listed, and what is shown of each."""

    fields: Annotated[list[str], fields_of(Cronjob, "cronjob_id")]
