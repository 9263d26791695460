"""One operation of AWS: what its input must be, and the request that it becomes.

Invariant: no time is spent without bounds, no complaint repeats a value, and a request goes to a host below the
domain of the region's partition, or to the operator's endpoint: no input chooses another one.

The rules are botocore's: its serializers, its validator and its rules for endpoints. What SDKs do beyond them (encode
user data, copy snapshots by signed URLs) is not done.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.regions import EndpointRulesetResolver
from botocore.serialize import create_serializer
from botocore.utils import percent_encode_sequence
from botocore.validate import ParamValidator

from cronally.targets.sns.form import quote
from cronally.targets.url import Url, parse_url
from cronally.wire import NIL_UUID

MAX_VALUES: Final = 4_000
"""Objects, lists and values of an input. To check and to write so many takes 10 ms."""
MAX_DEPTH: Final = 40
MAX_COMPLAINTS: Final = 5
_SHOWN: Final = 80

# https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html#unsupported-api-actions
_READ: Final = re.compile(
    "(?:Get|Describe|List|Poll|Receive|Search|Scan|Query|Select|Read|Lookup|Discover|Validate|BatchGet|BatchDescribe"
    "|BatchRead|TransactGet|AdminGet|AdminList|TestMigration|Retrieve|TestConnection|IsAuthorized|Head)(?![a-z])"
)
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_OURS: Final = frozenset(
    {
        *("authorization", "connection", "content-length", "host", "transfer-encoding"),
        *("x-amz-content-sha256", "x-amz-date", "x-amz-security-token"),
    }
)
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_BODILESS: Final = ("GET", "DELETE")


class InputError(ValueError):
    """An input that the operation cannot have. The text is the end of a sentence."""


class Request(NamedTuple):
    """What is to be signed and sent."""

    method: str
    url: Url
    headers: Mapping[str, str]
    """Those of the operation."""
    body: bytes
    region: str
    """Both are what it is signed for."""
    service: str
    escape_path: bool


class _Regional:
    """Gives the rules the region of each call, in the place where SDKs let their users change what is built in."""

    def emit(self, _event: str, *, builtins: dict[str, Any], context: Mapping[str, Any], **_: Any) -> None:
        builtins.update(context)


class Service:
    """The rules by which the endpoints of a service are found."""

    def __init__(self, name: str, model: Mapping[str, Any], rules: Mapping[str, Any]) -> None:
        self.name = name
        described = ServiceModel({**model, "operations": {}, "shapes": {}}, name)
        self.signing_name: str = described.signing_name
        service_id = str(described.metadata["serviceId"])
        self.variable = f"AWS_ENDPOINT_URL_{service_id.replace(' ', '_').upper()}"
        """What an endpoint of the operator's own is called, as AWS's tools call it."""
        self._resolver = EndpointRulesetResolver(
            rules,
            _partitions(),
            described,
            {
                "AWS::UseFIPS": False,
                "AWS::UseDualStack": False,
                "AWS::STS::UseGlobalEndpoint": False,
                "AWS::S3::UseGlobalEndpoint": False,
                "AWS::S3::Accelerate": False,
                "AWS::S3::ForcePathStyle": False,
                "AWS::S3::UseArnRegion": False,
                "AWS::S3::DisableS3ExpressSessionAuth": True,
                "AWS::S3Control::UseArnRegion": False,
                "AWS::S3::DisableMultiRegionAccessPoints": True,
                "AWS::Auth::AccountIdEndpointMode": "disabled",
            },
            {},
            _Regional(),
        )

    def endpoint(
        self, model: Any, values: Mapping[str, Any], region: str, override: str | None
    ) -> tuple[str, str, str, bool]:
        """The URL, the region and the name to sign for, and whether the path is escaped once more.

        Raises InputError.
        """
        context: dict[str, Any] = {"AWS::Region": region}
        if override is not None:
            context |= {"SDK::Endpoint": override, "AWS::S3::ForcePathStyle": True}
        found = self._resolver.construct_endpoint(model, dict(values), context)
        schemes = found.properties.get("authSchemes") or [{"name": "sigv4"}]
        scheme = next((one for one in schemes if one["name"] == "sigv4"), None)
        if scheme is None:
            raise InputError(
                "needs a signature that is not Signature Version 4, which Cronally does not make"
            )
        return (
            found.url,
            str(scheme.get("signingRegion") or region),
            str(scheme.get("signingName") or self.signing_name),
            not (scheme.get("disableDoubleEncoding") or self.name == "s3"),
        )


class Operation:
    """What is known of one operation."""

    def __init__(self, service: Service, action: str, found: Mapping[str, Any]) -> None:
        """
        :param found: what `extract` found
        """
        self.service = service
        self.action = action
        described = ServiceModel(found["model"], service.name)
        self.model = described.operation_model(action)
        protocol = described.metadata["protocol"]
        self._serializer = create_serializer(protocol, include_validation=False)
        self.parser = create_parser(protocol)
        self.failures = frozenset(found["failures"])
        """The members of an answer that tell of failures in part where they are not empty."""
        self.refusal = _refusal(described, self.model, bool(found["streams"]))
        """Why it can never be called, as the end of a sentence; None if it can."""

    def validate(self, values: Mapping[str, Any]) -> None:
        """Raise InputError, with all that is wrong with an input, by the operation's shape."""
        if self.model.input_shape is None:
            if values:
                raise InputError(f"holds something, and {self.action} takes nothing; give {{}}")
            return
        # A token that is not given is filled in.
        tokens = dict.fromkeys(self.model.idempotent_members, NIL_UUID)
        found = ParamValidator().validate({**tokens, **values}, self.model.input_shape)
        if found.has_errors():
            said = [_complaint(*error) for error in found._errors[:MAX_COMPLAINTS]]
            more = len(found._errors) - len(said)
            raise InputError("; ".join(said) + (f"; and {more} more" if more else ""))
        if self.service.name == "s3" and not _BUCKET.fullmatch(values.get("Bucket", "bucket")):
            raise InputError("has a Bucket that is no bucket's name; ARNs and access points are not taken")

    def request(
        self, values: Mapping[str, Any], *, region: str, token: str, override: str | None = None
    ) -> Request:
        """The request that a valid input becomes. Raises InputError.

        :param token: what makes the call once, where the operation has a place for that and the input has none
        :param override: the operator's endpoint, `http[s]://host[:port]`
        """
        given = {**dict.fromkeys(self.model.idempotent_members, token), **values}
        try:
            written = self._serializer.serialize_to_request(given, self.model)
            endpoint, for_region, name, escape_path = self.service.endpoint(
                self.model, given, region, override
            )
        except InputError:
            raise
        except (BotoCoreError, ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
            raise InputError(
                f"cannot be written as a request, or does not name where to send it in {region}; compare it with AWS's"
                f" reference of {self.action}"
            ) from None
        prefix = "" if override is not None else written.get("host_prefix") or ""
        url = _url(endpoint, prefix, written["url_path"], written["query_string"])
        if override is None and not _belongs(url.origin.host, region):
            raise InputError("leads to a host that is none of AWS's")
        body = _body(written["body"])
        headers = {**written["headers"]}
        if self.model.http_checksum_required or self.model.http_checksum.get("requestChecksumRequired"):
            digest = hashlib.md5(body, usedforsecurity=False).digest()
            headers["Content-MD5"] = base64.b64encode(digest).decode()
        for header, value in headers.items():
            headers[header] = _header(header, value)
        return Request(written["method"], url, headers, body, for_region, name, escape_path)


def is_read(action: str) -> bool:
    """Whether an operation only reads, by its name."""
    return _READ.match(action) is not None


def read_input(text: str) -> dict[str, Any]:
    """The input in a JSON object. Raises InputError."""
    try:
        read = json.loads(text, object_pairs_hook=_without_repeats)
    except InputError:
        raise
    except (ValueError, RecursionError):
        raise InputError("is no JSON; give the operation's input as a JSON object") from None
    if not isinstance(read, dict):
        raise InputError("is no JSON object; give the operation's input as one")
    if sum(1 for _ in _values(read)) > MAX_VALUES:
        raise InputError(f"holds more than {MAX_VALUES:,} values; give fewer")
    return read


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InputError("holds a name more than once in one object; give each once")
    return found


def _values(read: Any) -> Iterator[None]:
    """One for each value, itself included. Raises InputError for what is nested too deep, or no number."""
    waiting = [(read, 1)]
    while waiting:
        value, depth = waiting.pop()
        yield
        if depth > MAX_DEPTH:
            raise InputError(f"is nested more than {MAX_DEPTH} deep")
        if isinstance(value, float) and value - value != 0:
            raise InputError("holds NaN or Infinity, or a number that is too large")
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise InputError("holds half of a surrogate pair, which is no character") from None
        if isinstance(value, dict):
            waiting += [(name, depth) for name in value if not name.isascii()]
            waiting += [(part, depth + 1) for part in value.values()]
        elif isinstance(value, list):
            waiting += [(part, depth + 1) for part in value]


def _refusal(service: ServiceModel, model: Any, streams: bool) -> str | None:
    if streams:
        return "sends or answers with a stream, which a firing cannot"
    if model.http.get("method") == "HEAD":
        return "is a HEAD request, which tells a firing nothing"
    if (model.endpoint_discovery or {}).get("required"):
        return "needs an endpoint that is discovered first, which Cronally does not do"
    schemes = model.auth or service.metadata.get("auth") or ["aws.auth#sigv4"]
    version = service.metadata.get("signatureVersion")
    if (
        model.auth_type in ("none", "bearer", "v4-unsigned-body")
        or "aws.auth#sigv4" not in schemes
        or version not in ("v4", "s3", "s3v4")
    ):
        return "is not signed with Signature Version 4, the only one that Cronally makes"
    return None


def _complaint(kind: str, name: str, about: Mapping[str, Any]) -> str:
    """What is wrong with a part of an input, without its value."""
    where = _printable(name.removeprefix(".")) or "its top"
    match kind:
        case "missing required field":
            return f"lacks {about['required_name']} at {where}"
        case "unknown field":
            unknown = _printable(str(about["unknown_param"]))
            names = ", ".join([*about["valid_names"]][:20])
            return f"has {unknown} at {where}, where there are {names}"
        case "invalid type" | "invalid type for document":
            types = ", ".join(_TYPES.get(each, each) for each in about["valid_types"])
            return f"has a wrong type at {where}; give {types}"
        case "invalid range" | "invalid length":
            return f"has less at {where} than the least, {about['min_allowed']}"
        case "more than one input" | "empty input":
            return f"needs exactly one at {where} of {', '.join([*about['members']][:20])}"
    return f"is wrong at {where}"


_TYPES: Final = {
    "<class 'str'>": "a text",
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'bool'>": "true or false",
    "<class 'dict'>": "an object",
    "<class 'list'>": "a list",
    "<class 'tuple'>": "a list",
    "<class 'bytes'>": "a text",
    "<class 'bytearray'>": "a text",
    "<class 'decimal.Decimal'>": "a number",
    "file-like object": "a text",
    "<class 'datetime.datetime'>": "an instant",
    "timestamp string": "an instant such as 2026-11-24T08:00:00Z",
}


def _printable(text: str) -> str:
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return "".join(character if character.isprintable() else "\ufffd" for character in short)


def _url(endpoint: str, prefix: str, path: str, query: Any) -> Url:
    """The address of a request. Raises InputError for what no URL may hold, and for dot segments."""
    parts = urlsplit(endpoint)
    base = parts.path.rstrip("/") if path.startswith("/") else parts.path
    whole = f"{parts.scheme}://{prefix}{parts.netloc}{base}{path}"
    if query:
        added = query if isinstance(query, str) else percent_encode_sequence(query)
        whole += ("&" if "?" in whole else "?") + added
    segments = whole.partition("?")[0].split("/")
    try:
        if "." in segments or ".." in segments:
            raise ValueError
        return parse_url(whole)
    except ValueError:
        raise InputError("has a name in it that cannot stand in a URL") from None


def _body(written: Any) -> bytes:
    if isinstance(written, dict):
        # As urlencode writes it, in a tenth of the time.
        pairs = ((name.encode(), str(value).encode()) for name, value in written.items())
        return b"&".join(b"%s=%s" % (quote(name), quote(value)) for name, value in pairs)
    return written.encode() if isinstance(written, str) else bytes(written or b"")


def _header(name: str, value: object) -> str:
    text = str(value)
    if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(text) or name.lower() in _OURS:
        raise InputError("has a value that goes into a header and cannot stand there")
    return text


@cache
def _partitions() -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads(files("botocore").joinpath("data/partitions.json").read_bytes())
    return found


@cache
def _suffixes() -> Mapping[str, tuple[str, ...]]:
    """Below which domains the hosts of a region are."""
    return {
        region: tuple(
            "." + one["outputs"][key] for key in ("dnsSuffix", "dualStackDnsSuffix") if key in one["outputs"]
        )
        for one in _partitions()["partitions"]
        for region in one["regions"]
    }


def _belongs(host: str, region: str) -> bool:
    return host.endswith(_suffixes().get(region, ()))
