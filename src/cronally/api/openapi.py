"""The OpenAPI document: what the handlers' signatures and the contract say, put together.

Invariant: an operation is documented by the dependencies that its handler has and by the kind of its answer, so no
endpoint is without documentation and none has it twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from cronally import __version__
from cronally.api.permissions import ACCESS
from cronally.api.requests import Documented
from cronally.contract import export
from cronally.contract.attribute import declared
from cronally.contract.firings import Firing
from cronally.contract.mailed_links import MailedLink
from cronally.contract.schema import Schema, answer_schema, reference
from cronally.contract.service import Error
from cronally.errors import RateLimited
from cronally.wire import (
    API_KEY_HEADER,
    DATE_HEADER,
    NEXT_CURSOR_HEADER,
    SEARCHED_UNTIL_HEADER,
    SIGNATURE_HEADER,
)

DESCRIPTION: Final = """\
Cron as a service. An account has cron jobs; each fires at the fire times of its expression and delivers to the \
account's own AWS SNS topic, or calls a URL. Every fire time is covered by one firing in the ledger.

## Signing

Requests are signed, but for sign-up, links that are sent by mail, the preview of an expression, the keys of a \
connection, acknowledgements, the health and these pages. New programs sign by version 2, which covers the whole \
request, and once; version 1 covers neither query nor body, and stays for programs that have it.

**Version 2** is an HTTP Message Signature (RFC 9421) with the tag `cronally-api`, by HMAC-SHA256 under the \
base64-decoded API secret. It covers `@method`, `@path`, `@query`, `content-digest` (RFC 9530, `sha-256`, of no body \
too), and `content-type` and `idempotency-key` where they are sent. Its parameters are `created` (now, in seconds), \
`nonce` (16 to 64 characters, made by chance, used once), `keyid` (the API key), `alg` and `tag`:

    digest="sha-256=:$(printf %s "" | openssl dgst -sha256 -binary | base64):"
    said=";created=$(date +%s);nonce=\\"$(openssl rand -hex 16)\\";keyid=\\"$CRONALLY_API_KEY\\""
    said='("@method" "@path" "@query" "content-digest")'$said';alg="hmac-sha256";tag="cronally-api"'
    base=$(printf '"@method": GET\\n"@path": /account/\\n"@query": ?\\n"content-digest": %s\\n\
"@signature-params": %s' "$digest" "$said")
    key=$(printf %s "$CRONALLY_API_SECRET" | base64 -d | od -An -vtx1 | tr -d ' \\n')
    signature=$(printf %s "$base" | openssl dgst -sha256 -mac HMAC -macopt hexkey:$key -binary | base64)
    curl -H "Content-Digest: $digest" -H "Signature-Input: sig=$said" -H "Signature: sig=:$signature:" \
"$CRONALLY_URL/account/"

**Version 1** is three headers, each sent once:

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

A signature of either version holds for some minutes (5 unless the operator says otherwise) either side of its date.

## Conventions

Parameters are sent as a form or as a JSON object. JSON sends numbers, booleans, lists and maps where a parameter is \
so typed, and otherwise the text that a form would send; `"10"` and `10` are the same number. A form and a query send \
a list as repeated parameters or with commas, and a map as repeated `name: value`. Every path works with and without \
the slash at its end, and HEAD works wherever GET does. Instants are ISO 8601 in UTC; durations are a number and a \
unit, such as `15m`. Every answer has an `X-Request-Id`, which the audit log and the server's log name too; one that \
is sent, of 1 to 64 letters, digits, `.`, `_` and `-`, is taken.
"""

_SCHEMES: Final = {
    name: {"type": "apiKey", "in": "header", "name": header, "description": description}
    for name, header, description in (
        (
            "signature_input",
            "Signature-Input",
            'Version 2 (RFC 9421): what is signed, with created, nonce, keyid, alg="hmac-sha256", tag="cronally-api".',
        ),
        ("message_signature", "Signature", "The signature of version 2, under the same label."),
        ("content_digest", "Content-Digest", "The SHA-256 of the body (RFC 9530), which version 2 signs."),
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
    401: "Not signed by a known API key, signed too long ago, received before, or a sign-up without the token it needs",
    403: "The API key has not the scope, or is restricted to tags or networks; or the account has as many as it may",
    404: "There is no such cron job, firing, calendar, operation, freeze, connection, host, API key, channel or"
    " alert; the link of a mail is used already, or over",
    405: "The path does not answer this method",
    409: "Several cron jobs have this name, or another request has made or deleted one at the same time; or a firing"
    " that is to be replayed is on its way or frozen; or cron jobs or channels use the connection; or a channel is not"
    " confirmed, or is already; or the address has an account by now; or the API key has ended, or is"
    " the last that could make others",
    413: "The body is larger than 1 MiB",
    415: "The body is neither a form nor JSON",
    421: "The server does not answer to the name in the Host header",
    429: "Too many requests of an address or account, operations of it, or changes of a cron job; `Retry-After`"
    " says for how long",
    431: "The headers are larger than 16 KiB",
    500: "The server failed",
    503: "The database does not answer right now",
}
_HEADERS: Final = {
    name: {"description": description, "schema": {"type": kind}}
    for name, kind, description in (
        ("Retry-After", "integer", "Seconds after which the same request may succeed"),
        ("RateLimit-Policy", "string", 'Which limit is reached, such as `"requests";q=6000;w=60`'),
        (
            "RateLimit",
            "string",
            'What is left of it, and for how many seconds, such as `"requests";r=0;t=12`',
        ),
    )
}
_CURSOR: Final = "Where the list goes on, if it does"
_SEARCHED_UNTIL: Final = (
    "The fire time at which the search ended before the page was full; it goes on with the cursor"
)
_ALWAYS: Final = (400, 413, 421, 431, 500, 503)
_ERROR: Final = {"application/json": {"schema": reference(Error)}}


class DocumentedRoute(APIRoute):
    """A route whose documentation comes from its handler: the docstring and the dependencies."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        options["generate_unique_id_function"] = _operation_id
        # The docstring is the line about the endpoint; FastAPI would make it a second text below that.
        options["summary"] = (endpoint.__doc__ or "").removesuffix(".")
        super().__init__(path, endpoint, **options)
        methods = options.get("methods") or {"GET"}
        needed = ACCESS.get((next(iter(methods)), path))
        self.description = "" if needed is None else f"Needs the scope `{needed.scope}`."
        operation: dict[str, Any] = {"parameters": []}
        described = {status for status, said in self.responses.items() if said}
        statuses = {*_ALWAYS, *self.responses, *((404,) if "{" in path else ())} - described
        for dependency in _documented(self.dependant):
            dependency.document(operation, statuses)
        self.openapi_extra = operation
        for status in sorted(statuses):
            self.responses[status] = {"description": _ERRORS[int(status)], "content": _ERROR}
            if status == RateLimited.status:
                self.responses[status]["headers"] = _HEADERS


def _documented(dependant: Dependant) -> Iterator[Documented]:
    for dependency in dependant.dependencies:
        if hasattr(dependency.call, "document"):
            yield dependency.call  # type: ignore[misc]


def _operation_id(route: APIRoute) -> str:
    words = route.path_format.strip("/").replace("{", "").replace("}", "").replace("/", "_")
    return f"{min(route.methods or ()).lower()}_{words.replace('.', '_')}"


def one(kind: type, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of an endpoint that answers with one object.

    :param statuses: of errors beside those that the request itself may bring about
    """
    return _responses({"status": {"const": "success"}, "response": reference(kind)}, statuses)


def one_or_mailed(kind: type | None, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of an endpoint that has a link mailed, for some of those who ask.

    :param kind: what it answers the others with; None: there are none
    """
    mailed = one(MailedLink)[200] | {"description": "A mail is on its way"}
    return {**({} if kind is None else one(kind)), 202: mailed, **{status: {} for status in statuses}}


def one_to_keep(kind: type, media_type: str) -> dict[int | str, dict[str, Any]]:
    """The responses of an endpoint that answers with one object without an envelope, which clients may keep."""
    headers = {
        name: {"description": description, "schema": {"type": "string"}}
        for name, description in (
            ("ETag", "Which answer it is; for `If-None-Match`"),
            ("Cache-Control", "For how long it may be kept"),
        )
    }
    content = {media_type: {"schema": reference(kind)}}
    return {
        200: {"description": "Done", "headers": headers, "content": content},
        304: {"description": "The client has it", "headers": headers},
    }


def one_of(kinds: Sequence[type], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of an endpoint that answers with one object, of one of these kinds."""
    any_of = {"anyOf": [reference(kind) for kind in kinds]}
    return _responses({"status": {"const": "success"}, "response": any_of}, statuses)


def a_list_of(kind: type, own_id: str | None = None, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of an endpoint that answers with a part of a list.

    :param own_id: the key that is there whichever `fields` are asked for; None: there is no `fields`
    """
    return _responses(_list(kind, own_id), statuses)


def a_list_of_firings(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of an endpoint that answers with a part of a list of firings, in the form that was asked for."""
    until = {"type": "string", "format": "date-time", "description": _SEARCHED_UNTIL}
    responses = _responses({**_list(Firing, "firing_id"), "searched_until": until}, statuses)
    for media_type in (export.CSV_MEDIA_TYPE, export.JSON_LINES_MEDIA_TYPE):
        responses[200]["content"][media_type] = {"schema": {"type": "string"}}
    responses[200]["headers"] = {
        NEXT_CURSOR_HEADER: {
            "description": f"{_CURSOR}; of CSV and JSON lines",
            "schema": {"type": "string"},
        },
        SEARCHED_UNTIL_HEADER: {
            "description": f"{_SEARCHED_UNTIL}; of CSV and JSON lines",
            "schema": {"type": "string", "format": "date-time"},
        },
    }
    return responses


def _list(kind: type, own_id: str | None) -> dict[str, Any]:
    items = reference(kind)
    if own_id is not None:
        part = {"type": "object", "description": "With `fields`: those keys of it", "required": [own_id]}
        items = {"anyOf": [items, part]}
    listed = {"type": "array", "items": items}
    cursor = {"type": "string", "description": _CURSOR}
    return {"status": {"const": "success"}, "response": listed, "next_cursor": cursor}


def _responses(properties: Schema, statuses: tuple[int, ...]) -> dict[int | str, dict[str, Any]]:
    envelope = {
        "type": "object",
        "properties": properties,
        "required": ["status", "response"],
        "additionalProperties": False,
    }
    done = {"description": "Done", "content": {"application/json": {"schema": envelope}}}
    return {200: done, **{status: {} for status in statuses}}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the routes that `app` has."""
    document = get_openapi(
        title="Cronally",
        version=__version__,
        description=DESCRIPTION,
        routes=app.routes,
        license_info={"name": "MIT", "identifier": "MIT"},
    )
    for operations in document["paths"].values():
        for operation in operations.values():
            # FastAPI's own answer to a path parameter that its pattern refuses; here such a path does not exist.
            operation["responses"].pop("422", None)
    schemas = {kind.__name__: answer_schema(kind) for kind in _answers()}
    document["components"] = {"schemas": schemas, "securitySchemes": _SCHEMES}
    return document


def _answers() -> Iterator[type]:
    """The kinds of answers, each before those that it holds."""
    from cronally.contract import (
        accounts,
        acknowledgements,
        alert_rules,
        alerts,
        audit,
        bulk,
        calendars,
        channels,
        connections,
        cronjobs,
        dead_letters,
        firings,
        forecasts,
        freezes,
        hosts,
        key_pages,
        keys,
        mailed_links,
        operations,
        renderings,
        replays,
        schedules,
        service,
    )

    waiting: list[Any] = [
        accounts.Account,
        accounts.DeletedAccount,
        cronjobs.Cronjob,
        calendars.Calendar,
        schedules.Preview,
        schedules.CronjobPreview,
        schedules.Explanation,
        renderings.Rendering,
        forecasts.Forecast,
        firings.Firing,
        operations.Operation,
        freezes.Freeze,
        alert_rules.AlertRule,
        connections.Connection,
        connections.ConnectionVerification,
        key_pages.KeySet,
        acknowledgements.Received,
        hosts.Host,
        channels.Channel,
        channels.Confirmed,
        alerts.Alert,
        mailed_links.MailedLink,
        mailed_links.UsedLink,
        keys.Key,
        bulk.Selection,
        replays.BackfillTrial,
        replays.ReplayTrial,
        dead_letters.Discarded,
        audit.AuditRow,
        audit.AuditEnds,
        service.Error,
        service.Health,
        service.Readiness,
        service.Status,
    ]
    seen = []
    while waiting:
        kind = waiting.pop(0)
        if kind not in seen:
            seen.append(kind)
            yield kind
            held = [one.item or one for one in declared(kind).values()]
            waiting += [one.type for one in held if is_dataclass(one.type)]
