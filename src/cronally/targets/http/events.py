"""A firing as a CloudEvent, version 1.0.2, over HTTP: in headers (binary) or around the body (structured).

Invariant: source and id say which firing it is, the same in every attempt.

Sources: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md,
.../bindings/http-protocol-binding.md, .../formats/json-format.md
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn
from urllib.parse import quote

from cronally import instants
from cronally.targets.target import Message

DEFAULT: Final = "default"
BINARY: Final = "cloudevents-binary"
STRUCTURED: Final = "cloudevents-structured"
FORMAT: Final = "delivery_http_format"
TYPE: Final = "cronally.firing"
STRUCTURED_TYPE: Final = "application/cloudevents+json"
_JSON: Final = re.compile(r"application/json\b|[^;]*\+json\b", re.IGNORECASE)
_PLAIN: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


def attributes(message: Message) -> dict[str, Any]:
    """The attributes of the event. The source is the cron job, whatever it is called; the attempt is an extension."""
    said = {
        "specversion": "1.0",
        "id": message.firing_id,
        "source": f"urn:uuid:{message.cronjob_id}",
        "type": TYPE,
        "time": instants.format_iso(message.scheduled_at),
        "subject": message.cronjob_name,
        "cronallyattempt": message.attempt,
    }
    if message.ack_url is not None:
        said["cronallyackurl"] = message.ack_url
    return said


def in_headers(message: Message) -> dict[str, str]:
    """The headers of an event in binary mode; the body and its type stay as they are."""
    return {f"ce-{name}": _header(str(value)) for name, value in attributes(message).items()}


def around(message: Message, content_type: str, body: bytes) -> bytes:
    """The body of an event in structured mode, whose type is `STRUCTURED_TYPE`.

    :param content_type: of the body that it holds: as JSON if it is JSON, else as a text
    """
    event = attributes(message)
    text = body.decode("utf-8", "replace")
    is_json = _JSON.match(content_type) is not None and _is_json(text)
    event["datacontenttype"] = content_type if is_json or not _JSON.match(content_type) else "text/plain"
    # The body stands in it as it was written: a number that passed through Python's could be another.
    data = text if is_json else json.dumps(text, ensure_ascii=False)
    return f'{json.dumps(event, ensure_ascii=False)[:-1]}, "data": {data}}}'.encode()


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _header(text: str) -> str:
    """A value as the binding writes it: a space, `"`, `%` and what is not printable ASCII percent-encoded."""
    return quote(text, safe=_PLAIN, errors="replace")
