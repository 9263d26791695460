"""What a user types or keeps in files: the parameters of a cron job, its secrets, and a yes or no.

Invariant: a secret need not stand in the shell's history. It comes from the option, from a file, from an environment
variable of its own (CRONALLY_SNS_SECRET_ACCESS_KEY), or from a prompt that does not show it. AWS's own variables are
not read: what stands there is often a key that may do everything, and would leave this machine unasked.
"""

from __future__ import annotations

import codecs
import getpass
import os
import re
import sys
import time
from collections.abc import Collection, Mapping
from typing import Any, Final

import typer

from cronally.cli.failure import WrongUsage
from cronally.cli.options import FILE, flag
from cronally.cli.output import complain
from cronally.clock.civil import is_civil, parse_civil
from cronally.clock.dates import parse_range
from cronally.contract.attribute import DEFAULT, Declared
from cronally.contract.targets import DEFAULT_TARGET, TARGETS, parameters_of, target_of, targets_of
from cronally.contract.used_connections import given
from cronally.instants import MAX_INSTANT, SECOND, format_iso, parse_duration, parse_iso
from cronally.variables import of_secret

Parameters = dict[str, Any]

WITH_REGION: Final = (
    "sqs_queue",
    "lambda_function",
    "events_bus",
    "stepfunctions_state_machine",
    "kinesis_stream",
    "ecs_cluster",
    "ecs_task_definition",
)
"""What a region is taken from, where one is in it and none is given."""
_QUEUE_URL: Final = re.compile(r"https://sqs\.([a-z0-9-]+)\.")
_STDIN: Final = "-"
_MAX_SECRET: Final = 4 * 1024
_MAX_TEXT: Final = 1024 * 1024


def read_files(parameters: Mapping[str, Any], known: Mapping[str, Declared] | None = None) -> Parameters:
    """The parameters, with those that stand in files read. Raises typer.BadParameter.

    :param known: what there is beside the parameters of targets
    """
    read = {
        name: value for name, value in parameters.items() if name + FILE in parameters or FILE not in name
    }
    files = {name: parameters.get(name + FILE) for name in read}
    if [*files.values()].count(_STDIN) > 1:
        names = " and ".join(name for name, file in files.items() if file == _STDIN)
        raise typer.BadParameter(f"stdin cannot be both {names}", param_hint=_STDIN)
    for name, file in files.items():
        if file is None:
            continue
        hint = flag(name + FILE)
        if read[name] is not None:
            raise typer.BadParameter("give it as an option or in a file, not both", param_hint=hint)
        owner = target_of(name)
        of_target = {} if owner is None else parameters_of(owner)
        one = (known or of_target).get(name)
        attribute = None if one is None else one.attribute
        if one is not None and one.type == dict[str, str]:
            lines = _read(file, _MAX_TEXT, hint).splitlines()
            read[name] = [line.strip() for line in lines if line.strip()]
            if not read[name]:
                raise _empty(file, hint)
        elif attribute is not None and (attribute.secret or attribute.hide is not None):
            read[name] = _read(file, attribute.max_bytes or _MAX_SECRET, hint).strip()
            if not read[name]:
                raise _empty(file, hint)
            if not attribute.lines and len(read[name].split()) != 1:
                what = "the secret" if attribute.secret else f"the value of {flag(name)}"
                raise typer.BadParameter(f"it holds one line, {what}", param_hint=hint)
        else:
            most = None if attribute is None else attribute.max_bytes
            read[name] = _read(file, most or _MAX_TEXT, hint)
            if not read[name]:
                raise _empty(file, hint)
    return read


def _empty(file: str, hint: str) -> typer.BadParameter:
    return typer.BadParameter(f"{'stdin' if file == _STDIN else file} is empty", param_hint=hint)


def complete_new(parameters: Parameters, *, asks: bool = True) -> Parameters:
    """The parameters of a new cron job, with what its target needs besides. Raises typer.BadParameter.

    :param asks: whether a secret that is nowhere is asked for, or left out
    """
    chosen = _choose_target(parameters)
    target = chosen or DEFAULT_TARGET
    for name, value in parameters.items():
        owners = () if value is None else targets_of(name)
        if owners and target not in owners:
            raise WrongUsage(f"{flag(name)}: it is for --delivery-type {' or '.join(owners)}, not {target}")
    provided = given(target) if parameters["connection"] not in (None, DEFAULT) else {}
    needed = {
        name: one.attribute
        for name, one in parameters_of(target).items()
        if not one.attribute.optional and name not in provided
    }
    missing = [
        flag(name)
        for name, attribute in needed.items()
        if parameters[name] is None and not attribute.secret and attribute.default is None
    ]
    if "--sns-topic" in missing and "--sns-region" in missing:
        missing.remove("--sns-region")  # it comes from the topic
    if "--aws-region" in missing and any(of_aws_arn in missing for of_aws_arn in map(flag, WITH_REGION)):
        missing.remove("--aws-region")
    if missing:  # before any prompt
        what = (
            f"option {missing[0]}: it is" if len(missing) == 1 else f"options {', '.join(missing)}: they are"
        )
        default = "" if chosen else ", which is the default"
        raise WrongUsage(f"Missing {what} needed for --delivery-type {target}{default}")
    for name, attribute in needed.items():
        if parameters[name] is None and attribute.secret:
            parameters[name] = _secret(name) if asks else os.environ.get(of_secret(name)) or None
    for name, one in parameters_of(target).items():
        if name in provided or not (one.attribute.secret and one.attribute.optional):
            continue
        if parameters[name] is None:
            parameters[name] = os.environ.get(of_secret(name)) or None
    return parameters


def complete_secrets(
    parameters: Parameters, optional: Collection[str], needed: Collection[str]
) -> Parameters:
    """The parameters, with secrets that stand in variables of the environment; those that are needed are asked for.

    Raises typer.BadParameter.
    """
    for name in (*optional, *needed):
        if parameters[name] is None:
            parameters[name] = _secret(name) if name in needed else os.environ.get(of_secret(name)) or None
    return parameters


def complete_change(parameters: Parameters) -> Parameters:
    """The parameters of a change, with the secret that goes with a new key. Raises typer.BadParameter."""
    _choose_target(parameters)
    for target in TARGETS:
        for name, one in parameters_of(target).items():
            partner = one.attribute.goes_with
            if one.attribute.secret and one.attribute.optional:
                continue
            if partner is not None and parameters[partner] is not None and parameters[name] is None:
                whole = "" if one.attribute.secret else "; give it whole, with its secrets"
                parameters[name] = _secret(name, f"is needed with new {flag(partner)}{whole}")
    return parameters


def choose(parameters: Parameters) -> Parameters:
    """Parameters with their target and their region, where others say which. Raises typer.BadParameter."""
    whole = {"sns_region": None, **parameters}
    whole["delivery_type"] = _choose_target(whole)
    return whole


def _choose_target(parameters: Parameters) -> str | None:
    """The target, from the parameters where the user does not name it; and the region, from the topic."""
    owners = [set(targets_of(name)) for name, value in parameters.items() if value is not None]
    named = set(TARGETS).intersection(*[of_one for of_one in owners if of_one])
    if parameters["delivery_type"] is None and len(named) == 1 and named != {DEFAULT_TARGET}:
        parameters["delivery_type"] = named.pop()
    if parameters["sns_region"] is None:
        topic = parameters["sns_topic"]
        parameters["sns_region"] = region_of(topic)
        if topic is not None and parameters["sns_region"] is None:
            # Before a region is called missing that nobody need give.
            expected = parameters_of("sns")["sns_topic"].attribute.expected
            raise WrongUsage(f'--sns-topic: "{topic}" is not {expected}')
    if parameters["aws_region"] is None:
        regions = {region_of(parameters[name]) for name in WITH_REGION} - {None}
        parameters["aws_region"] = regions.pop() if len(regions) == 1 else None
    chosen: str | None = parameters["delivery_type"]
    return chosen


def region_of(topic: str | None) -> str | None:
    """The region in an ARN such as `arn:aws:sns:us-east-1:123456789012:report`, or in a queue's URL; None for another
    text."""
    parts = (topic or "").split(":")
    if len(parts) >= 6 and parts[0] == "arn":
        return parts[3] or None
    found = _QUEUE_URL.match(topic or "")
    return found[1] if found else None


def _secret(name: str, why: str | None = None, environ: Mapping[str, str] = os.environ) -> str:
    """A secret that is neither an option nor in a file. Raises typer.BadParameter if it is nowhere.

    :param why: what it is needed for, after the name of the option
    """
    if environ.get(of_secret(name)):
        return environ[of_secret(name)]
    if sys.stdin.isatty():
        if why is not None:
            complain("note", f"{flag(name)} {why}")
        try:
            return getpass.getpass(f"{flag(name)} (not shown): ", stream=sys.stderr)
        except EOFError:
            raise typer.Abort from None
    what = f"Missing option {flag(name)}: " if why is None else f"{flag(name)} {why}: "
    raise WrongUsage(f"{what}give it with {flag(name + FILE)} (- reads stdin) or in {of_secret(name)}")


def read_dates(file: str, hint: str) -> list[str]:
    """The dates and ranges in a file, one a line, without comments. Raises typer.BadParameter, with the line.

    :param hint: what the user calls it
    """
    found = []
    for number, line in enumerate(_read(file, _MAX_TEXT, hint).splitlines(), start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            parse_range(text)
        except ValueError as problem:
            message = f"line {number:,} of {file} has {problem}; write 2026-12-24, or 2026-12-24/2026-12-26"
            raise typer.BadParameter(message, param_hint=hint) from None
        found.append(text)
    return found


def read_secrets(file: str, hint: str) -> str:
    """What a file of a few secrets holds. Raises typer.BadParameter.

    :param hint: what the user calls it
    """
    return _read(file, _MAX_SECRET, hint)


def check_instant(text: str, hint: str) -> None:
    """Raise typer.BadParameter for a text that is no instant.

    :param hint: what the user calls it
    """
    try:
        parse_iso(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=hint) from None


def check_moment(text: str, hint: str) -> None:
    """Raise typer.BadParameter for a text that is neither an instant nor a local time without an offset.

    :param hint: what the user calls it
    """
    try:
        parse_civil(text) if is_civil(text) else parse_iso(text)
    except ValueError as error:
        message = f"{error}; the cron job's local time is written like 2026-11-24T08:00"
        raise typer.BadParameter(message, param_hint=hint) from None


def instant_or_duration(text: str, hint: str) -> str:
    """The instant that a text names, or that is so far from now, in whole seconds. Raises typer.BadParameter.

    :param hint: what the user calls it
    """
    try:
        duration = parse_duration(text)
    except ValueError:
        try:
            parse_iso(text)
        except ValueError as error:
            message = f"{error}; a duration like 90s, 15m, 24h or 7d"
            raise typer.BadParameter(message, param_hint=hint) from None
        return text
    instant = time.time_ns() // 1000 + duration
    if instant > MAX_INSTANT:
        raise typer.BadParameter("it lies after the year 2200", param_hint=hint)
    return format_iso(instant // SECOND * SECOND)


def instant_or_ago(text: str, hint: str) -> str:
    """The instant that a text names, or that is so long ago, in whole seconds. Raises typer.BadParameter.

    :param hint: what the user calls it
    """
    try:
        duration = parse_duration(text)
    except ValueError:
        return instant_or_duration(text, hint)
    return format_iso(max(0, time.time_ns() // 1000 - duration) // SECOND * SECOND)


def _read(file: str, limit: int, hint: str) -> str:
    try:
        if file == _STDIN:
            raw = sys.stdin.buffer.read(limit + 1)
        else:
            with open(file, "rb") as opened:
                raw = opened.read(limit + 1)
        if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise typer.BadParameter(f"{file} is UTF-16; save it as UTF-8", param_hint=hint)
        # The mark says how the file is written, and is no part of the text: many that read JSON refuse it.
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise typer.BadParameter(f"cannot read {file}: {error.strerror}", param_hint=hint) from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not UTF-8", param_hint=hint) from None
    if len(raw) > limit:
        raise typer.BadParameter(
            f"{file} has more than {limit:,} bytes; give {limit:,} at most", param_hint=hint
        )
    return text
