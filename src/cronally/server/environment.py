"""Reads the settings from `CRONALLY_*` variables, all at the start.

Invariant: a server runs with settings that were all valid, or does not start and says which were not, a line each; a
variable that is no setting is a mistake too. A secret may stand in a file instead, `CRONALLY_<NAME>_FILE`, that others
cannot read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from cronally import errors
from cronally.contract.targets import TARGETS, parameters_of
from cronally.instants import format_duration
from cronally.server.secret_file import read_secret
from cronally.server.settings import SECRETS, Settings, is_duration
from cronally.variables import FAILPOINT, OF_CLIENTS, PREFIX, closest, of_secret

_KUBERNETES: Final = re.compile(r"CRONALLY_(SERVICE_(HOST|PORT)|PORT_[0-9]+_(TCP|UDP|SCTP))[A-Z0-9_]*")
"""What Kubernetes sets in every pod beside a Service of the name `cronally`."""

_OF_SECRETS: Final = frozenset(
    of_secret(name)
    for target in TARGETS
    for name, one in parameters_of(target).items()
    if one.attribute.secret
)
"""What the CLI reads a cron job's secrets from."""

_BOUNDS: Final = (("at least", "ge"), ("at most", "le"))


def read_settings(**overrides: Any) -> Settings:
    """The settings of the environment, what is not None in `overrides` before it.

    Raises `errors.SettingsError`: one line a problem, each naming the variable.
    """
    values = {name: value for name, value in overrides.items() if value is not None}
    problems = [*_unknown(os.environ)]
    for variable in SECRETS:
        if (path := os.environ.get(f"{variable}_FILE")) and variable not in os.environ:
            values[_field(variable)] = _read(variable, Path(path))
    try:
        settings = Settings(**values)
    except ValidationError as problem:
        found = problem.errors(include_url=False, include_input=False)
        problems += [
            _line(error["type"], error["loc"], error.get("ctx", {}), error["msg"]) for error in found
        ]
    if problems:
        raise errors.SettingsError("\n".join(dict.fromkeys(problems)))
    return settings


def _unknown(environ: Mapping[str, str]) -> Iterator[str]:
    """A line for each variable that looks like a setting and is none."""
    known = {_variable(name) for name in Settings.model_fields}
    known |= {f"{variable}_FILE" for variable in SECRETS}
    others = OF_CLIENTS | {FAILPOINT, *_OF_SECRETS}
    # pydantic takes a setting in lower case too.
    for name in sorted({name.upper() for name in environ if name.upper().startswith(PREFIX)}):
        if name in known or name in others or _KUBERNETES.fullmatch(name):
            continue
        near = closest(name, known)
        yield f"{name}: is no setting; " + (f"do you mean {near}?" if near else "the README lists them all")


def _line(kind: str, place: tuple[int | str, ...], context: Mapping[str, Any], message: str) -> str:
    """What is wrong with a setting, and what to write."""
    if not place:
        return message.removeprefix("Value error, ")
    name = str(place[0])
    variable = _variable(name)
    field = Settings.model_fields.get(name)
    if variable == "CRONALLY_PORT" and os.environ.get(variable, "").startswith(("tcp://", "udp://")):
        message = (
            "is an address, as Kubernetes sets it beside a Service of the name `cronally`: give the pod"
            " `enableServiceLinks: false`, or set CRONALLY_PORT"
        )
    elif kind == "int_parsing":
        message = "is no integer; write a whole number" + (
            "" if field is None else f", such as {field.default}"
        )
    elif kind in ("literal_error", "enum"):
        message = f"must be {context['expected']}"
    else:
        message = message.removeprefix("Value error, ")
        for word, key in _BOUNDS:
            if key in context:
                bound = context[key]
                message = f"must be {word} {format_duration(bound) if is_duration(name) else bound}"
    return f"{variable}: {message}"


def _variable(name: str) -> str:
    """The variable of a setting; a setting that is read under another name has that one."""
    field = Settings.model_fields.get(name)
    alias = None if field is None else field.validation_alias
    return alias if isinstance(alias, str) else name if name.isupper() else f"{PREFIX}{name.upper()}"


def _field(variable: str) -> str:
    return variable.removeprefix(PREFIX).lower()


def _read(variable: str, path: Path) -> str:
    try:
        return read_secret(path).strip()
    except errors.SettingsError as problem:
        raise errors.SettingsError(f"{variable}_FILE: {problem}") from None
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is no text"
        raise errors.SettingsError(f"{variable}_FILE: {path} cannot be read: {reason}") from None
