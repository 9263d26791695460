"""The shapes of parameters and answers, in JSON Schema, as OpenAPI shows them.

Invariant: a test holds real answers to these. They describe what is checked in `operations` and the targets; nothing
is checked by them.
"""

from __future__ import annotations

from typing import Any, Final

from cronally.firing import Reason
from cronally.operations.explain import Finding

Schema = dict[str, Any]


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


def _maybe(schema: Schema) -> Schema:
    nullable = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        nullable["enum"] = [*schema["enum"], None]
    return nullable


def _object(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_UUID: Final = {"type": "string", "format": "uuid"}
INSTANT: Final = _text("ISO 8601, UTC", format="date-time", examples=["2026-11-24T08:00:00Z"])
_DURATION: Final = _text(
    "A number and its unit: s, m, h or d", pattern="^[0-9]{1,9}[smhd]$", examples=["24h"]
)
_COUNT: Final = {"type": "integer", "minimum": 0}

EMAIL: Final = _text(
    "The address of the account; one account an address",
    format="email",
    minLength=3,
    maxLength=254,
    examples=["username@example.com"],
)

_TARGET_PARAMETERS: Final[Schema] = {
    "sns_topic": _text(
        "The SNS topic's ARN",
        minLength=1,
        maxLength=512,
        examples=["arn:aws:sns:eu-west-1:123456789012:my-topic"],
    ),
    "sns_region": _text("The topic's region", minLength=1, maxLength=64, examples=["eu-west-1"]),
    "sns_message": _text(
        "What is published, up to 262,144 bytes in UTF-8",
        minLength=1,
        maxLength=262_144,
        examples=["good morning"],
    ),
    "sns_access_key_id": _text(
        "The access key id of an IAM user who may publish to the topic",
        minLength=16,
        maxLength=128,
        examples=["AKIAIOSFODNN7EXAMPLE"],
    ),
    "delivery_http_url": _text(
        "The URL that is called; for delivery_type http", minLength=1, examples=["https://example.com/hook"]
    ),
    "delivery_http_method": _text("How it is called", enum=["get", "post"]),
}
TIMING_PARAMETERS: Final[Schema] = {
    "cron": _text(
        "When it fires: five fields, minute hour day-of-month month day-of-week; or cron(), at() and rate() as AWS"
        " writes them; or @every",
        minLength=1,
        maxLength=256,
        examples=["0 8 * * *"],
    ),
    "timezone": _text(
        "The IANA name of its time zone", minLength=1, maxLength=64, default="UTC", examples=["Europe/Berlin"]
    ),
    "dst_gap": _text(
        "What becomes of a fire time whose local time is skipped: it fires at the jump (run_at_jump), not at all (skip)"
        " or as much later (shift); by default what Debian's cron does",
        enum=["run_at_jump", "skip", "shift", "default"],
        default="default",
    ),
    "dst_overlap": _text(
        "When it fires where its local time comes twice: the first time, the last time or both; by default what"
        " Debian's cron does",
        enum=["first", "last", "both", "default"],
        default="default",
    ),
}
_SCHEDULE_PARAMETERS: Final[Schema] = {
    "name": _text("What the cron job is called", minLength=1, maxLength=256, examples=["wake up"]),
    **TIMING_PARAMETERS,
    "catch_up": _text(
        "What becomes of fire times that no server was awake for, younger than misfire_grace: the last one fires"
        " (latest), all do, or none (skip)",
        enum=["latest", "all", "skip"],
    ),
    "misfire_grace": {**_DURATION, "description": "How late a firing is still useful, from 1m to 30d"},
    "delivery_type": _text("Where firings go", enum=["sns", "http"]),
}
_DEFAULTS: Final = {"catch_up": "latest", "misfire_grace": "24h", "delivery_type": "sns"}
CRONJOB_PARAMETERS: Final[Schema] = {
    "type": "object",
    "properties": {
        **{
            name: {**schema, "default": default} if default else schema
            for name, schema in _SCHEDULE_PARAMETERS.items()
            for default in (_DEFAULTS.get(name),)
        },
        **_TARGET_PARAMETERS,
        "sns_secret_access_key": _text(
            "The secret access key that belongs to sns_access_key_id; sealed, and never shown again",
            minLength=1,
            maxLength=256,
            examples=["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"],
            format="password",
        ),
    },
    "required": ["name", "cron"],
    "additionalProperties": False,
}
CRONJOB_CHANGES: Final[Schema] = {
    "type": "object",
    "properties": {
        name: {key: value for key, value in schema.items() if key != "default"}
        for name, schema in CRONJOB_PARAMETERS["properties"].items()
    },
    "additionalProperties": False,
}
ACCOUNT_PARAMETERS: Final = _object({"email": EMAIL})

_POLICIES: Final[Schema] = {
    "dst_gap": _maybe(_text("As it was given; null: what Debian's cron does")),
    "dst_overlap": _maybe(_text("As it was given; null: what Debian's cron does")),
}
_TIMING: Final[Schema] = {
    "timezone": _text("The IANA name of its time zone"),
    **_POLICIES,
    "schedule": _maybe(
        _text("The expression as a sentence in English; null where there is none that says it all")
    ),
}
_LOCAL: Final = _text(
    "The local time, with the offset where it exists", examples=["2026-03-08T03:00:00-04:00"]
)
_ZONE_DATA: Final = _text("The version of the zone data that was used", examples=["2026f"])
_PREVIEW: Final[Schema] = {
    "expression": _text("With single spaces"),
    **_TIMING,
    "tzdata": _ZONE_DATA,
    "after": INSTANT,
    "fire_times": {"type": "array", "items": _ref("FireTime"), "description": "Earliest first"},
    "suppressed": {
        "type": "array",
        "items": _ref("Suppressed"),
        "description": "What changes of the clock leave out before the last of them",
    },
}

SCHEMAS: Final[Schema] = {
    "Account": _object(
        {
            "account_id": _UUID,
            "email": _text("As it was given"),
            "api_key": _UUID,
            "api_secret": _text("Base64; signs requests", format="byte"),
            "cronjob_count": {**_COUNT, "description": "Cron jobs that are not deleted"},
            "created_at": INSTANT,
        }
    ),
    "Cronjob": _object(
        {
            "account_id": _UUID,
            "cronjob_id": _UUID,
            "name": _text("What the cron job is called"),
            "cron": _text("When it fires"),
            **_TIMING,
            "deleted": {"type": "boolean"},
            "state": _text("Where it stands", enum=["active", "paused", "completed", "deleted"]),
            "state_reason": _text("Why the server paused it, if it did"),
            "next_fire_at": _maybe({**INSTANT, "description": "Null unless it is active"}),
            "tzdata": _text("The version of the zone data by which next_fire_at was computed"),
            "catch_up": _SCHEDULE_PARAMETERS["catch_up"],
            "misfire_grace": _SCHEDULE_PARAMETERS["misfire_grace"],
            "created_at": INSTANT,
            "updated_at": INSTANT,
            "version": {**_COUNT, "description": "Rises with every change"},
            "delivery_type": _SCHEDULE_PARAMETERS["delivery_type"],
            **_TARGET_PARAMETERS,
        },
        optional=("state_reason", *_TARGET_PARAMETERS),
    ),
    "FireTime": _object(
        {
            "scheduled_at": {**INSTANT, "description": "The fire time"},
            "local": _LOCAL,
            "mark": _text("What a change of the clock made of it, if it did", enum=["moved", "doubled"]),
            "reason": _text("Why", examples=["dst_gap=run_at_jump"]),
            "instead_of": _text("If it was moved: the local time, which does not exist, that it stands for"),
            "count": {**_COUNT, "description": "If it was moved: how many fire times it stands for"},
        },
        optional=("mark", "reason", "instead_of", "count"),
    ),
    "Suppressed": _object(
        {
            "scheduled_at": {
                **INSTANT,
                "description": "When the first would fire; in a gap, when the clock jumps",
            },
            "until_at": {**INSTANT, "description": "When the last would fire"},
            "local": _LOCAL,
            "until_local": {**_LOCAL, "description": "The local time of the last"},
            "count": {**_COUNT, "description": "How many one change of the clock leaves out"},
            "mark": {"const": "suppressed"},
            "reason": _text("Why", examples=["dst_overlap=first"]),
        }
    ),
    "Preview": _object(_PREVIEW),
    "CronjobPreview": _object(
        {"cronjob_id": _UUID, "state": _text("Where it stands: only an active one fires"), **_PREVIEW}
    ),
    "Explanation": _object(
        {
            "cronjob_id": _UUID,
            "at": {**INSTANT, "description": "The instant that was asked about"},
            "local": _maybe({**_LOCAL, "description": "Its local time"}),
            "finding": _text("What is found at the instant, for programs", enum=[*Finding]),
            "sentence": _text("The same for people"),
            "reason": _maybe(_text("Why, in the words of the ledger and the policies", enum=[*Reason])),
            "mark": _maybe(_text("What a change of the clock made of it")),
            "instead_at": _maybe({**INSTANT, "description": "What fired instead"}),
            "previous_at": _maybe({**INSTANT, "description": "The fire time before"}),
            "next_at": _maybe({**INSTANT, "description": "The fire time after"}),
            "firing": {
                "description": "The row of the ledger that covers it",
                "anyOf": [_ref("Firing"), {"type": "null"}],
            },
            "state": _text("Where the cron job stands"),
            "version": {**_COUNT, "description": "Its version"},
            "timezone": _text("The IANA name of its time zone"),
            "tzdata": _ZONE_DATA,
        }
    ),
    "Attempt": _object(
        {
            "attempt": {**_COUNT, "description": "From 1"},
            "started_at": INSTANT,
            "duration_ms": _COUNT,
            "outcome": _text(
                "How it ended", examples=["delivered", "retry", "unauthorized", "refused", "unknown"]
            ),
            "reason": _maybe(_text("Why it did not deliver", enum=[*Reason])),
            "detail": _maybe(_text("What the target said, if it did not deliver")),
        }
    ),
    "Firing": _object(
        {
            "firing_id": {**_UUID, "description": "The same over retries; it travels with the message"},
            "cronjob_id": _UUID,
            "scheduled_at": {**INSTANT, "description": "The fire time"},
            "kind": _text("Why it exists", enum=["scheduled", "manual"]),
            "state": _text(
                "Where it stands", enum=["pending", "sending", "delivered", "failed", "missed", "skipped"]
            ),
            "reason": _maybe(_text("Why it is not delivered", enum=[*Reason])),
            "count": {
                **_COUNT,
                "description": "How many fire times it stands for, from scheduled_at to until_at",
            },
            "until_at": {**INSTANT, "description": "The last of them, if they are several"},
            "attempt": {**_COUNT, "description": "How many attempts there were"},
            "created_at": INSTANT,
            "due_at": {**INSTANT, "description": "When it may be attempted next, while it is pending"},
            "sent_at": _maybe({**INSTANT, "description": "When the last attempt began"}),
            "finished_at": _maybe(INSTANT),
            "lateness_ms": _maybe(
                {"type": "integer", "description": "From the fire time until it was delivered"}
            ),
            "message_id": _maybe(_text("The id that the target gave")),
            "attempts": {
                "type": "array",
                "items": _ref("Attempt"),
                "description": "Oldest first: the last 20 that did not deliver, and the one that did",
            },
        },
        optional=("until_at", "due_at"),
    ),
    "Error": _object(
        {
            "status": {"const": "error"},
            "error": _object(
                {
                    "code": _text("For programs", examples=["invalid_request", "not_found"]),
                    "message": _text("For people; says what to do"),
                    "fields": {
                        "type": "object",
                        "description": "What is wrong with each parameter",
                        "additionalProperties": {"type": "string"},
                    },
                    "server_time": {**INSTANT, "description": "With 401"},
                    "error_id": _text("With 500: finds the error in the server's log"),
                },
                optional=("server_time", "error_id"),
            ),
        }
    ),
    "Health": _object({"version": _text("The server's version")}),
    "Readiness": _object(
        {
            "tzdata": {**_ZONE_DATA, "description": "The version of this node's zone data"},
            "newest_tzdata": _maybe(_text("The newest version that any node of this database had")),
            "warning": _text("Where this node's zone data are older: it does not tick"),
            "database": {"const": "answers"},
            "now": INSTANT,
            "last_tick_at": _maybe(INSTANT),
            "last_tick_age_ms": _maybe(dict(_COUNT)),
            "oldest_due_at": _maybe(INSTANT),
            "oldest_due_age_ms": _maybe(dict(_COUNT)),
        },
        optional=("warning",),
    ),
}


def one(name: str) -> Schema:
    """The envelope of one object."""
    return _object({"status": {"const": "success"}, "response": _ref(name)})


def page(name: str) -> Schema:
    """The envelope of a part of a list."""
    envelope = {
        "status": {"const": "success"},
        "response": {"type": "array", "items": _ref(name)},
        "next_cursor": _text("Where the list goes on, if it does"),
    }
    return _object(envelope, optional=("next_cursor",))
