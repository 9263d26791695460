"""Cron jobs on the wire: what a new one and a change may have, how they are listed, and the answer.

A policy that stands in `Policies` and in `Cronjob` is stored, shown and changed, and is an option of the CLI and a
parameter of the client, without a line elsewhere. A filter in `CronjobFilters` that is
named as a policy filters by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal, TypedDict

from cronally.clock.dst import DstGap, DstOverlap
from cronally.contract import aws
from cronally.contract.attribute import DEFAULT, Attribute
from cronally.contract.aws import AwsParameters, AwsTargets
from cronally.contract.aws_access import AwsAccessKeyId, AwsRegion
from cronally.contract.calendars import EXCLUDE, Exclude
from cronally.contract.connections import Used, UsedConnection
from cronally.contract.http_requests import (
    HTTP_TIMEOUT,
    HttpBody,
    HttpContentType,
    HttpHeaders,
    HttpKeepAnswer,
    HttpMethod,
    HttpRefusedStatuses,
    HttpRetryStatuses,
    HttpSuccess,
)
from cronally.contract.listing import CronjobPage, fields_of
from cronally.contract.standings import Counts, LastFiring
from cronally.contract.tags import Tags
from cronally.contract.http import HttpFormat, HttpParameters, HttpSecretParts, HttpUrl
from cronally.contract.sns import (
    SnsAccessKeyId,
    SnsAttributes,
    SnsDeduplicationId,
    SnsGroupId,
    SnsMaxMessageSize,
    SnsMessage,
    SnsMessageStructure,
    SnsParameters,
    SnsRegion,
    SnsSubject,
    SnsTopic,
)
from cronally.contract.targets import DEFAULT_TARGET
from cronally.contract.values import (
    AN_INSTANT,
    EXAMPLE_INSTANT,
    EndsAt,
    Expression,
    Sentence,
    StartsAt,
    Timezone,
    Uuid,
    check_name,
    check_note,
)
from cronally.contract.verification import Verification, Verified
from cronally.contract.writing import Answer
from cronally.cronjob import (
    DEFAULT_CATCH_UP,
    DEFAULT_MAX_AGE,
    DEFAULT_MISFIRE_GRACE,
    DEFAULT_OVERLAP,
    DEFAULT_RETRY_MAX_ATTEMPTS,
    MAX_FIRINGS,
    QUEUED,
    AfterCompletion,
    CatchUp,
    Overlap,
    State,
)
from cronally.instants import DAY, MINUTE
from cronally.retries import EXPONENTIAL, JITTER, MAX_DELAYS, check_schedule
from cronally.standing import Health

Name = Annotated[
    str,
    Attribute(
        "What the cron job is called",
        "a name of 1 to 256 characters",
        example="wake up",
        check=check_name,
        min_length=1,
        max_length=256,
    ),
]
DstGapPolicy = Annotated[
    Literal["run_at_jump", "skip", "shift", "default"],
    Attribute(
        "What becomes of a fire time whose local time is skipped: it fires at the jump (run_at_jump), not at all"
        " (skip) or as much later (shift); by default what Debian's cron does",
        f"one of {', '.join([*DstGap, DEFAULT])}",
        default=DEFAULT,
    ),
]
DstOverlapPolicy = Annotated[
    Literal["first", "last", "both", "default"],
    Attribute(
        "When it fires where its local time comes twice: the first time, the last time or both; by default what"
        " Debian's cron does",
        f"one of {', '.join([*DstOverlap, DEFAULT])}",
        default=DEFAULT,
    ),
]
_CATCH_UP: Final = Attribute(
    "What becomes of fire times at which no server ran, younger than misfire_grace: the last one fires (latest),"
    " all do, or none (skip)",
    f"one of {', '.join(CatchUp)}",
    default=DEFAULT_CATCH_UP.value,
)
_MISFIRE_GRACE: Final = Attribute(
    "How late a first attempt is still useful, from 1m to 30d",
    "how late a first attempt is still useful, such as 24h",
    example="24h",
    default=DEFAULT_MISFIRE_GRACE,
    minimum=MINUTE,
    maximum=30 * DAY,
)
_MAX_AGE: Final = Attribute(
    "How old a firing may be at an attempt, from 1m to 7d: from its fire time, or from when it was caught up",
    "how old a firing may be at an attempt, such as 24h",
    example="24h",
    default=DEFAULT_MAX_AGE,
    minimum=MINUTE,
    maximum=7 * DAY,
)
_RETRY_MAX_ATTEMPTS: Final = Attribute(
    "How many attempts may follow the first, from 0 to 185",
    "how many attempts may follow the first, from 0 to 185",
    default=DEFAULT_RETRY_MAX_ATTEMPTS,
    minimum=0,
    maximum=185,
)
_ORDERED: Final = Attribute(
    "Whether a firing waits until the earlier ones of the cron job are finished; on a FIFO topic it always does",
    "true or false",
    default=False,
)
_AFTER_COMPLETION: Final = Attribute(
    "What becomes of the cron job when nothing is left to fire: it is kept for 30 days (keep), or deleted once its last"
    " firing has ended (delete)",
    f"one of {', '.join(AfterCompletion)}",
    default=AfterCompletion.KEEP.value,
)
_OVERLAP: Final = Attribute(
    "What becomes of a firing while an earlier one of the cron job is not finished: it is sent (allow), is skipped"
    f" (skip) or waits (queue), {QUEUED} of them at most",
    f"one of {', '.join(Overlap)}",
    default=DEFAULT_OVERLAP.value,
)
_WINDOW: Final = Attribute(
    "How much later than its fire time a firing may start, up to 24h: at a place that is always the same for this cron"
    " job and fire time, so that cron jobs with the same fire time spread",
    "how much later than its fire time a firing may start, such as 10m",
    example="10m",
    default=0,
    minimum=0,
    maximum=DAY,
)
_MAX_FIRINGS: Final = Attribute(
    "How many of its fire times are handed to its target before it is completed, counted from its creation; those that"
    " are missed, or skipped as they fall due, and manual firings do not count, and those that a freeze or an earlier"
    " firing keeps from going do; by default there is no limit",
    "how many fire times it is to have, or default",
    example=10,
    default=DEFAULT,
    minimum=1,
    maximum=MAX_FIRINGS,
)
_RETRY_SCHEDULE: Final = Attribute(
    "How far apart attempts are: exponential, as in EventBridge Scheduler, with full jitter; or the delays before the"
    f" retries, up to {MAX_DELAYS} of 1s to 24h, of which the last one repeats, and up to {JITTER:.0%} more by chance",
    "exponential, or delays such as 10s,1m,10m,1h",
    example=("10s", "1m", "10m", "1h"),
    default=EXPONENTIAL,
    check=check_schedule,
    min_length=1,
    max_length=MAX_DELAYS,
    one_or_more=True,
)
_Delay = Annotated[str, Attribute("", "exponential, or a delay such as 10s", max_length=1000)]
_MAX_IN_FLIGHT: Final = Attribute(
    "How many of its firings a server sends at once; more of them wait. By default there is no limit of its own",
    "how many firings at once, or default",
    example=4,
    default=DEFAULT,
    minimum=1,
    maximum=1000,
)
_MAX_PER_SECOND: Final = Attribute(
    "How many of its firings a server begins to send in a second; more of them wait. By default there is no limit of"
    " its own",
    "how many firings a second, or default",
    example=10,
    default=DEFAULT,
    minimum=1,
    maximum=1000,
)
_DEAD_LETTER: Final = Attribute(
    "The cron job that tells of each firing that has failed, by its name or id: its target gets the reason, the"
    " attempts and the message. By default nothing is told",
    "the name or the id of another cron job, or default",
    example="tell the owner",
    default=DEFAULT,
    check=check_name,
    min_length=1,
    max_length=256,
)
_DELIVERY_TYPE: Final = Attribute("Where firings go", "where firings go", default=DEFAULT_TARGET)


class Policies(TypedDict, total=False):
    """What holds for every firing of a cron job, beside its expression and its time zone."""

    dst_gap: DstGapPolicy
    dst_overlap: DstOverlapPolicy
    catch_up: Annotated[Literal["latest", "all", "skip"], _CATCH_UP]
    misfire_grace: Annotated[str | timedelta, _MISFIRE_GRACE]
    max_age: Annotated[str | timedelta, _MAX_AGE]
    retry_max_attempts: Annotated[int, _RETRY_MAX_ATTEMPTS]
    ordered: Annotated[bool, _ORDERED]
    after_completion: Annotated[Literal["keep", "delete"], _AFTER_COMPLETION]
    overlap: Annotated[Literal["allow", "skip", "queue"], _OVERLAP]
    window: Annotated[str | timedelta, _WINDOW]
    starts_at: StartsAt
    ends_at: EndsAt
    max_firings: Annotated[Literal["default"] | int, _MAX_FIRINGS]
    exclude: Exclude
    retry_schedule: Annotated[str | list[_Delay], _RETRY_SCHEDULE]
    max_in_flight: Annotated[Literal["default"] | int, _MAX_IN_FLIGHT]
    max_per_second: Annotated[Literal["default"] | int, _MAX_PER_SECOND]
    dead_letter: Annotated[str, _DEAD_LETTER]


class CronjobOptions(TypedDict, total=False):
    """What a new cron job may have beside its policies and the parameters of its target."""

    timezone: Timezone
    delivery_type: Annotated[Literal["sns", "http", AwsTargets], _DELIVERY_TYPE]
    tags: Tags
    connection: Used


class _Required(TypedDict):
    name: Name
    cron: Expression


class _Changeable(TypedDict, total=False):
    name: Name
    cron: Expression


class NewCronjob(_Required, CronjobOptions, Policies, SnsParameters, HttpParameters, AwsParameters, Verified):
    """A new cron job."""


class _Named(TypedDict):
    cron: Expression


class NamedCronjob(_Named, CronjobOptions, Policies, SnsParameters, HttpParameters, AwsParameters, Verified):
    """A cron job as it is to be, whose name is in the path: what is not sent has its default."""


class CronjobChange(
    _Changeable, CronjobOptions, Policies, SnsParameters, HttpParameters, AwsParameters, Verified, total=False
):
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
            max_length=256,
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


class Outcome(StrEnum):
    """What putting a cron job by its name has come to."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


_Warning = Annotated[str, Attribute("A sentence for people")]
_Tag = Annotated[str, Attribute("A word or key=value")]


@dataclass(frozen=True, kw_only=True)
class Cronjob(Answer):
    """A cron job. Instants are aware datetimes in UTC; a secret is never in an answer."""

    account_id: Uuid
    cronjob_id: Uuid
    name: Annotated[str, Attribute("What the cron job is called")]
    tags: Annotated[tuple[_Tag, ...], Attribute("What it is grouped by, sorted")] = ()
    cron: Annotated[
        str | tuple[str, ...],
        Attribute("When it fires: its expression, or a list where it has several", one_or_more=True),
    ]
    timezone: Annotated[str, Attribute("The IANA name of its time zone")]
    dst_gap: Annotated[str | None, Attribute("As it was sent; null: what Debian's cron does")] = None
    dst_overlap: Annotated[str | None, Attribute("As it was sent; null: what Debian's cron does")] = None
    schedule: Sentence = None
    deleted: Annotated[bool, Attribute("Whether it was deleted")]
    state: Annotated[str | State, Attribute("Where it stands")]
    state_reason: Annotated[
        str | None,
        Attribute("Why the server paused it, or that new zone data moved its next fire time", absent=True),
    ] = None
    paused_at: Annotated[
        datetime | None,
        Attribute("If it was paused with an API key: since when", example=EXAMPLE_INSTANT, absent=True),
    ] = None
    paused_until: Annotated[
        datetime | None, Attribute("When it resumes by itself", example=EXAMPLE_INSTANT, absent=True)
    ] = None
    paused_by: Annotated[str | None, Attribute("The API key that paused it", format="uuid", absent=True)] = (
        None
    )
    paused_note: Annotated[str | None, Attribute("Why it is paused", absent=True)] = None
    frozen_until: Annotated[
        datetime | None, Attribute("If a freeze holds it: until when", example=EXAMPLE_INSTANT, absent=True)
    ] = None
    frozen_by: Annotated[str | None, Attribute("The freeze that does", format="uuid", absent=True)] = None
    next_fire_at: Annotated[
        datetime | None,
        Attribute(
            "The next fire time that is not excluded. Null unless it is active, and where nothing that is left fires",
            example=EXAMPLE_INSTANT,
        ),
    ] = None
    tzdata: Annotated[str, Attribute("The version of the zone data by which next_fire_at was computed")]
    catch_up: Annotated[str, _CATCH_UP]
    misfire_grace: Annotated[str, _MISFIRE_GRACE]
    max_age: Annotated[str, _MAX_AGE]
    retry_max_attempts: Annotated[int, _RETRY_MAX_ATTEMPTS]
    ordered: Annotated[bool, _ORDERED]
    after_completion: Annotated[str, _AFTER_COMPLETION]
    overlap: Annotated[str, _OVERLAP]
    window: Annotated[str, _WINDOW]
    starts_at: Annotated[
        datetime | None, Attribute("The first instant at which it may fire", example="2026-12-01T00:00:00Z")
    ] = None
    ends_at: Annotated[
        datetime | None, Attribute("The last instant at which it may fire", example="2026-12-31T23:59:59Z")
    ] = None
    max_firings: Annotated[
        int | None, Attribute("How many of its fire times are handed to its target at most", minimum=1)
    ] = None
    fired: Annotated[
        int,
        Attribute("How many of its fire times were handed to its target since it was created", minimum=0),
    ] = 0
    exclude: Annotated[tuple[str, ...], EXCLUDE] = ()
    retry_schedule: Annotated[str | tuple[_Delay, ...], _RETRY_SCHEDULE] = EXPONENTIAL
    retries: Annotated[
        str | None,
        Attribute(
            "How a firing is tried again that its target did not take, in words: what retry_schedule,"
            " retry_max_attempts and max_age come to",
            example="up to 26 more attempts in 24 h: after 10 s, 1 min, 10 min, 1 h, then every 1 h",
        ),
    ] = None
    max_in_flight: Annotated[
        int | None, Attribute("How many of its firings a server sends at once at most", minimum=1)
    ] = None
    max_per_second: Annotated[
        int | None,
        Attribute("How many of its firings a server begins to send in a second at most", minimum=1),
    ] = None
    dead_letter: Annotated[
        str | None,
        Attribute("The id of the cron job that tells of what has failed; null: none does", format="uuid"),
    ] = None
    created_at: Annotated[datetime, Attribute("When it was created", example=EXAMPLE_INSTANT)]
    updated_at: Annotated[datetime, Attribute("When it was last changed", example=EXAMPLE_INSTANT)]
    updated_by: Annotated[
        str | None, Attribute("The API key that last changed it; null: the server itself", format="uuid")
    ] = None
    version: Annotated[int, Attribute("Rises with every change", minimum=0)]
    delivery_type: Annotated[str, _DELIVERY_TYPE]
    connection: Annotated[
        UsedConnection | None, Attribute("The connection that it uses, if it uses one", absent=True)
    ] = None
    sns_topic: SnsTopic | None = None
    sns_region: SnsRegion | None = None
    sns_message: SnsMessage | None = None
    sns_access_key_id: SnsAccessKeyId | None = None
    sns_max_message_size: SnsMaxMessageSize | None = None
    sns_subject: SnsSubject | None = None
    sns_attributes: SnsAttributes | None = None
    sns_message_structure: SnsMessageStructure | None = None
    sns_group_id: SnsGroupId | None = None
    sns_deduplication_id: SnsDeduplicationId | None = None
    delivery_http_url: HttpUrl | None = None
    delivery_http_method: HttpMethod | None = None
    delivery_http_secret_parts: HttpSecretParts | None = None
    delivery_http_format: HttpFormat | None = None
    delivery_http_headers: HttpHeaders | None = None
    delivery_http_body: HttpBody | None = None
    delivery_http_content_type: HttpContentType | None = None
    delivery_http_success: HttpSuccess | None = None
    delivery_http_keep_answer: HttpKeepAnswer | None = None
    aws_region: AwsRegion | None = None
    aws_access_key_id: AwsAccessKeyId | None = None
    aws_service: aws.AwsService | None = None
    aws_action: aws.AwsAction | None = None
    aws_input: aws.AwsInput | None = None
    aws_allow_read: aws.AwsAllowRead | None = None
    sqs_queue: aws.SqsQueue | None = None
    sqs_message: aws.SqsMessage | None = None
    sqs_group_id: aws.SqsGroupId | None = None
    sqs_delay: aws.SqsDelay | None = None
    lambda_function: aws.LambdaFunction | None = None
    lambda_payload: aws.LambdaPayload | None = None
    events_bus: aws.EventsBus | None = None
    events_source: aws.EventsSource | None = None
    events_detail_type: aws.EventsDetailType | None = None
    events_detail: aws.EventsDetail | None = None
    stepfunctions_state_machine: aws.StepfunctionsStateMachine | None = None
    stepfunctions_input: aws.StepfunctionsInput | None = None
    kinesis_stream: aws.KinesisStream | None = None
    kinesis_data: aws.KinesisData | None = None
    kinesis_partition_key: aws.KinesisPartitionKey | None = None
    ecs_cluster: aws.EcsCluster | None = None
    ecs_task_definition: aws.EcsTaskDefinition | None = None
    ecs_launch_type: aws.EcsLaunchType | None = None
    ecs_subnets: aws.EcsSubnets | None = None
    ecs_security_groups: aws.EcsSecurityGroups | None = None
    ecs_assign_public_ip: aws.EcsAssignPublicIp | None = None
    delivery_http_timeout: Annotated[str | None, HTTP_TIMEOUT] = None
    delivery_http_retry_statuses: HttpRetryStatuses | None = None
    delivery_http_refused_statuses: HttpRefusedStatuses | None = None
    warnings: Annotated[
        tuple[_Warning, ...] | None,
        Attribute("When it was created or changed: what may be wrong with it all the same", absent=True),
    ] = None
    verification: Annotated[
        Verification | None,
        Attribute("When it was created or changed with verify: what became of the test message", absent=True),
    ] = None
    last_firing: Annotated[
        LastFiring | None,
        Attribute("When it is shown or listed: its last firing, if there is one", absent=True),
    ] = None
    health: Annotated[
        str | Health | None,
        Attribute(
            "When it is shown or listed: by its last firings, failing, late (delivered more than a minute after the"
            " fire time, or its place in the window), new (none has ended yet) or ok",
            absent=True,
        ),
    ] = None
    health_since: Annotated[
        datetime | None,
        Attribute(
            "If it is failing or late: the fire time of the first firing in the row that ended so",
            example=EXAMPLE_INSTANT,
            absent=True,
        ),
    ] = None
    in_a_row: Annotated[
        int | None,
        Attribute(
            "If it is failing or late: how many firings in a row ended so, up to the last",
            minimum=1,
            absent=True,
        ),
    ] = None
    counts_24h: Annotated[
        Counts | None,
        Attribute(
            "When it is shown, or listed with counts: how the fire times of the last 24 hours ended",
            absent=True,
        ),
    ] = None
    counts_7d: Annotated[Counts | None, Attribute("The same for those of the last 7 days", absent=True)] = (
        None
    )
    outcome: Annotated[
        str | Outcome | None,
        Attribute(
            "When it was put by its name: whether it was created, changed or left as it is",
            example="created",
            absent=True,
        ),
    ] = None


class CronjobQuery(CronjobPage, total=False):
    """Which cron jobs are listed, and what is shown of each."""

    fields: Annotated[list[str], fields_of(Cronjob, "cronjob_id")]
