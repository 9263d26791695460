"""Cuts one operation out of what botocore knows of a service. Run as a program, on its own: `extract.py FOLDER ACTION`.

Invariant: it imports nothing but the standard library, so that it starts in 20 ms, and prints two lines of JSON: the
operation, and the rules for the service's endpoints. The description of a service has up to 4 MB and takes up to 0.2 s
to read, during which Python does nothing else; that is no work for a process that has to be punctual. An operation has
50 KB at most for all but a few.

What is kept of an operation: what its input is made of, whole, and of its output what tells of failures in part, and
the id of what was made. What SDKs change of a description before they use it is changed here (`_adapt`).
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

_PROTOCOLS = ("json", "rest-json", "query", "ec2", "rest-xml", "smithy-rpc-v2-cbor")
"""In the order that they are used in, where a service has several: what people can read first."""
_IDS = frozenset({"MessageId", "messageId"})
_FAILURES = re.compile(
    "(?:[Ff]ail(?:ed|ures?)|[Uu]n(?:processed|successful)|[Rr]ejected)[A-Za-z]*|[Ee]rror(?:s|List|Entries|Count)"
    "|FunctionError"
)
_KINDS = {"list", "map", "integer", "long", "structure"}


def rules(folder: Path) -> dict[str, Any]:
    """By which rules the endpoints of a service are found."""
    found: dict[str, Any] = _bare(_load(folder / "endpoint-rule-set-1.json.gz"))
    return found


def extract(folder: Path, action: str) -> dict[str, Any]:
    """What is known of an operation; of one that there is not, the names of those that there are."""
    model = _load(folder / "service-2.json.gz")
    if not model:
        return {"operations": []}
    extras = _load(folder / "service-2.sdk-extras.json")
    _merge(model, extras.get("merge", {}))
    operation = model["operations"].get(action)
    if operation is None:
        return {"operations": sorted(model["operations"])}
    metadata, shapes = model["metadata"], model["shapes"]
    protocols = metadata.get("protocols") or [metadata["protocol"]]
    metadata["protocol"] = next(name for name in _PROTOCOLS if name in protocols)
    metadata.pop("protocols", None)
    _adapt(metadata, operation)
    kept: dict[str, Any] = {}
    failures: list[str] = []
    streams = False
    for side in ("input", "output"):
        if side in operation:
            reached: dict[str, Any] = {}
            _reach(shapes, operation[side]["shape"], reached)
            streams = streams or any(_streams(shape) for shape in reached.values())
            if side == "input":
                kept |= reached
    if "output" in operation:
        kept |= _output(shapes, operation, failures)
    operation.pop("errors", None)
    return {
        "model": _bare(
            {
                "version": "2.0",
                "metadata": metadata,
                "operations": {action: operation},
                "shapes": kept,
            }
        )
        # Here botocore's reader wants one.
        | {
            "clientContextParams": {
                name: {**one, "documentation": ""}
                for name, one in model.get("clientContextParams", {}).items()
            }
        },
        "streams": streams,
        "failures": failures,
    }


def _load(file: Path) -> dict[str, Any]:
    """A file of botocore's, compressed or not; nothing for one that is not there."""
    for path, opened in ((file, gzip.open if file.suffix == ".gz" else open), (file.with_suffix(""), open)):
        if path.is_file():
            with opened(path, "rb") as stream:
                found: dict[str, Any] = json.load(stream)
                return found
    return {}


def _merge(base: dict[str, Any], added: dict[str, Any]) -> None:
    for name, value in added.items():
        if isinstance(value, dict) and isinstance(base.get(name), dict):
            _merge(base[name], value)
        else:
            base[name] = value


def _adapt(metadata: dict[str, Any], operation: dict[str, Any]) -> None:
    """Leave out what the rules for endpoints put into the host already: a bucket's name, an account's id."""
    bucket = "/{Bucket}"
    if metadata.get("serviceId") == "S3" and operation["http"]["requestUri"].startswith(bucket):
        operation["http"]["requestUri"] = operation["http"]["requestUri"][len(bucket) :]
    account = operation.get("staticContextParams", {}).get("RequiresAccountId", {}).get("value")
    if account is True and operation.get("endpoint", {}).get("hostPrefix") == "{AccountId}.":
        del operation["endpoint"]["hostPrefix"]


def _reach(shapes: dict[str, Any], name: str, found: dict[str, Any]) -> None:
    """All shapes that a shape is made of, itself included."""
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        shape = found[name] = shapes[name]
        parts = [*shape.get("members", {}).values()]
        parts += [shape[part] for part in ("member", "key", "value") if part in shape]
        waiting += [part["shape"] for part in parts]


def _streams(shape: dict[str, Any]) -> bool:
    """Whether a shape is sent or comes in pieces of unknown number."""
    parts = shape.get("members", {}).values()
    return bool(
        shape.get("streaming")
        or shape.get("eventstream")
        or any(part.get("streaming") or part.get("eventstream") for part in parts)
    )


def _output(shapes: dict[str, Any], operation: dict[str, Any], failures: list[str]) -> dict[str, Any]:
    """What is kept of an output, under a name that no other shape has.

    :param failures: gets the names of members that tell of failures where they are not empty
    """
    whole = shapes[operation["output"]["shape"]]
    members, found = {}, dict[str, Any]()
    for name, part in whole.get("members", {}).items():
        shape = shapes[part["shape"]]
        if _FAILURES.fullmatch(name) and (shape["type"] in _KINDS or name == "FunctionError"):
            failures.append(name)
        elif not (name in _IDS and shape["type"] == "string") and not _has_codes(shapes, shape):
            continue
        members[name] = part
        _reach(shapes, part["shape"], found)
    # Without `payload`, which may name a member that is not kept.
    found["Kept output"] = {"type": "structure", "members": members}
    operation["output"] = {**operation["output"], "shape": "Kept output"}
    return found


def _has_codes(shapes: dict[str, Any], shape: dict[str, Any]) -> bool:
    """Whether a shape lists entries that may say why they failed, as beside a count of those that did."""
    item = shapes[shape["member"]["shape"]] if shape["type"] == "list" else {}
    return "ErrorCode" in item.get("members", {})


def _bare(value: Any) -> Any:
    """Without documentation, which is most of it. A member may be called so too: that is an object."""
    if isinstance(value, dict):
        return {
            name: _bare(part)
            for name, part in value.items()
            if name != "documentation" or isinstance(part, dict)
        }
    return [_bare(part) for part in value] if isinstance(value, list) else value


if __name__ == "__main__":
    for found in (extract(Path(sys.argv[1]), sys.argv[2]), rules(Path(sys.argv[1]))):
        sys.stdout.write(json.dumps(found, separators=(",", ":")) + "\n")
