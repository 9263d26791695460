"""What OpenAPI says of every endpoint, and of how requests are signed.

Invariant: each endpoint is registered together with its documentation, so none is without.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from cronally import __version__
from cronally.api import schemas
from cronally.api.schemas import Schema
from cronally.operations.fields import MAX_LIMIT
from cronally.operations.previews import MAX_COUNT
from cronally.wire import (
    API_KEY_HEADER,
    DATE_HEADER,
    IDEMPOTENCY_KEY_HEADER,
    SIGNATURE_HEADER,
    SIGNUP_TOKEN_HEADER,
)

DESCRIPTION: Final = """\
Cron as a service. An account has cron jobs; each fires at the fire times of its expression and delivers to the \
account's own AWS SNS topic, or calls a URL. Every fire time is covered by one firing in the ledger.

## Signing

All but sign-up is signed, with three headers, each sent once:

- `X-Cron-Key`: the API key.
- `X-Cron-Date`: the time in UTC as `%Y%m%d%H%M`, such as `200601021504`.
- `X-Cron-Signature`: the HMAC-SHA256 of path, method and date, joined with nothing between them, such as \
`/account/GET200601021504`, under the base64-decoded API secret; in base64 (or hexadecimal). The path is what is \
sent, without the query.

    date=$(date -u +%Y%m%d%H%M)
    key=$(printf %s "$CRONALLY_API_SECRET" | base64 -d | od -An -vtx1 | tr -d ' \\n')
    signature=$(printf %s "/account/GET$date" | openssl dgst -sha256 -mac HMAC -macopt hexkey:$key -binary | base64)
    curl -H "X-Cron-Key: $CRONALLY_API_KEY" -H "X-Cron-Date: $date" -H "X-Cron-Signature: $signature" \
"$CRONALLY_URL/account/"

A signature holds for some minutes (5 unless the operator says otherwise) either side of its date.

## Conventions

Parameters are sent as a form or as a JSON object, always as text. Every path works with and without the slash at its \
end, and HEAD works wherever GET does. Instants are ISO 8601 in UTC; durations are a number and a unit, such as `15m`.
"""

_SIGNED: Final[list[Schema]] = [{"key": [], "date": [], "signature": []}]
_SCHEMES: Final = {
    name: {"type": "apiKey", "in": "header", "name": header, "description": description}
    for name, header, description in (
        ("key", API_KEY_HEADER, "The API key."),
        ("date", DATE_HEADER, "The time in UTC as `%Y%m%d%H%M`."),
        (
            "signature",
            SIGNATURE_HEADER,
            "base64(HMAC-SHA256(base64_decode(API secret), path + method + date)).",
        ),
    )
}
_ERRORS: Final = {
    400: "Parameters that cannot be used; `fields` names each",
    401: "Not signed by a known API key, or too long ago",
    403: "Not allowed",
    404: "There is no such cron job",
    405: "The path does not answer this method",
    413: "The body is larger than 1 MiB",
    415: "The body is neither a form nor JSON",
    429: "Too many requests from this address",
    431: "The headers are larger than 16 KiB",
    500: "The server failed",
    503: "The database does not answer right now",
}
_ALWAYS: Final = (400, 413, 431, 500, 503)

CRONJOB_ID: Final[Schema] = {
    "name": "cronjob_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9A-Za-z-]+$", "minLength": 1},
    "description": "The cron job's id",
}
LIMIT: Final[Schema] = {
    "name": "limit",
    "in": "query",
    "required": False,
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
    "description": "How many to answer with, 100 if only a cursor is given",
}
CURSOR: Final[Schema] = {
    "name": "cursor",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "minLength": 1},
    "description": "The `next_cursor` of the answer before",
}
OF_CRONJOB: Final[Schema] = {
    "name": "cronjob_id",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "format": "uuid"},
    "description": "Only the firings of this cron job, which may be deleted",
}


def _query(name: str, schema: Schema, description: str, *, required: bool = False) -> Schema:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "schema": {key: value for key, value in schema.items() if key != "description"},
        "description": description,
    }


TIMING: Final[tuple[Schema, ...]] = (
    _query("expression", schemas.TIMING_PARAMETERS["cron"], "The expression, of any dialect", required=True),
    *(
        _query(name, schema, schema["description"])
        for name, schema in schemas.TIMING_PARAMETERS.items()
        if name != "cron"
    ),
)
WINDOW: Final[tuple[Schema, ...]] = (
    _query("after", schemas.INSTANT, "Fire times later than this instant; now by default"),
    _query("count", {"type": "integer", "minimum": 1, "maximum": MAX_COUNT}, "How many; 10 by default"),
)
SPREAD_ID: Final = _query(
    "id",
    {"type": "string", "pattern": "^[0-9A-Za-z-]{1,100}$", "minLength": 1, "maxLength": 100},
    "The id of the cron job, by which `H` is spread",
)
AT: Final = _query("at", schemas.INSTANT, "The instant, to the second", required=True)
IDEMPOTENCY_KEY: Final[Schema] = {
    "name": IDEMPOTENCY_KEY_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$", "minLength": 1, "maxLength": 255},
    "description": "The same key with the same parameters makes one cron job, however often it is sent in 24 hours",
}
SIGNUP_TOKEN: Final[Schema] = {
    "name": SIGNUP_TOKEN_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Where the operator has closed sign-up to those who have the token",
}


def operation(
    answer: Schema,
    *,
    signed: bool = True,
    parameters: tuple[Schema, ...] = (),
    body: Schema | None = None,
    failures: tuple[int, ...] = (),
) -> dict[str, Any]:
    """The documentation of one endpoint, beside its summary.

    :param failures: statuses beside those that every endpoint may answer with
    """
    statuses = sorted({*_ALWAYS, *failures, *((401, 429) if signed else ()), *((415,) if body else ())})
    documented: dict[str, Any] = {
        "responses": {
            "200": {"description": "Done", "content": {"application/json": {"schema": answer}}},
            **{
                str(status): {
                    "description": _ERRORS[status],
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                }
                for status in statuses
            },
        },
    }
    if signed:
        documented["security"] = _SIGNED
    if parameters:
        documented["parameters"] = list(parameters)
    if body is not None:
        media_types = ("application/x-www-form-urlencoded", "application/json")
        documented["requestBody"] = {
            "required": bool(body.get("required")),
            "content": {media_type: {"schema": body} for media_type in media_types},
        }
    return documented


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the routes that `app` has."""
    document = get_openapi(
        title="Cronally",
        version=__version__,
        description=DESCRIPTION,
        routes=app.routes,
        license_info={"name": "MIT", "identifier": "MIT"},
    )
    document["components"] = {"schemas": schemas.SCHEMAS, "securitySchemes": _SCHEMES}
    return document
