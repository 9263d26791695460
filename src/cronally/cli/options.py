"""The options of the tenant's commands, made from the contract.

Invariant: an option is named as the parameter of the API, with `-` for `_`, and its help is the description of the
attribute. No attribute is listed here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import wraps
from typing import Annotated, Any, Final

import typer

from cronally.cli.credentials import credentials_path, profiles
from cronally.cli.failure import Failure
from cronally.contract.attribute import DEFAULT, Declared, declared
from cronally.variables import of_secret

FILE: Final = "_file"
"""What the name of the option ends with that reads an attribute from a file."""

_METAVARS: Final = {datetime: "ISO", timedelta: "DURATION", int: "N"}


def _stored_profiles(incomplete: str) -> list[str]:
    try:
        return [name for name in profiles(credentials_path()) if name.startswith(incomplete)]
    except Failure:
        return []  # an error cannot be shown while a line is being completed


ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Use this profile of the credentials file; CRONALLY_PROFILE otherwise.",
        autocompletion=_stored_profiles,
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the API's answer as it is.")]
WideOption = Annotated[
    bool,
    typer.Option("--wide", "-w", help="One line a row, as long as it is, whatever the terminal's width."),
]
WHEN: Final = "INSTANT|DURATION"


def moment(help_: str, *names: str) -> Any:
    """An option for an instant of the past, or for how long ago it was."""
    return typer.Option(*names, metavar=WHEN, help=help_, show_default=False)


UntilOption = Annotated[
    str | None,
    moment("Those of earlier fire times: than an instant, or than so long ago, as 2h."),
]
ShowSecretOption = Annotated[bool, typer.Option("--show-secret", help="Show the API secret too.")]
CRONJOB: Final = "CRONJOB"
_MEANT: Final = (
    "The cron job: its id, its name, or as much of its id as no other begins with. A name goes before the beginning of"
    " an id."
)
CronjobArgument = Annotated[
    str,
    typer.Argument(
        metavar=CRONJOB,
        help=_MEANT,
        show_default=False,
    ),
]
OneOfManyArgument = Annotated[
    str | None,
    typer.Argument(
        metavar=f"[{CRONJOB}]",
        help=f"{_MEANT} Without it, all that the filters select.",
        show_default=False,
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Every cron job of the account.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="With filters: change nothing, and show which cron jobs it is for.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def with_options(
    kind: type,
    *,
    defaults: bool = False,
    without: frozenset[str] = frozenset(),
    into: str = "parameters",
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add to a command an option for each attribute of a request; the command gets their values as one argument.

    :param defaults: whether the help says what holds without the option
    :param without: attributes that the command takes otherwise
    :param into: the name of the argument
    """
    attributes = {name: one for name, one in declared(kind).items() if name not in without}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters.values()
        arguments = [each for each in own if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        last = [each for each in own if each.kind is inspect.Parameter.KEYWORD_ONLY and each.name != into]
        made = [option for one in attributes.values() for option in _options(one, defaults)]
        signature = inspect.Signature([*arguments, *made, *last])

        @wraps(command)
        def run(**values: Any) -> None:
            parameters = {option.name: values.pop(option.name) for option in made}
            command(**values, **{into: parameters})

        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {name: each.annotation for name, each in signature.parameters.items()}
        return run

    return decorate


def flag(name: str) -> str:
    """The option of an attribute."""
    return f"--{name.replace('_', '-')}"


def _options(one: Declared, defaults: bool) -> Iterator[inspect.Parameter]:
    help_ = f"{one.attribute.description}."
    default = one.attribute.default
    if defaults and default not in (None, DEFAULT):  # the description says what the policy DEFAULT does
        help_ += f" Default: {one.default_text}."
    if one.attribute.one_or_more:
        help_ += " Of several, give the option once for each."
    if one.attribute.secret and one.type == dict[str, str]:
        help_ += (
            f" On the command line they stay in the shell's history; {flag(one.name + FILE)} has one a line."
        )
    elif one.attribute.secret:
        prompt = "" if one.attribute.optional else ", or from a prompt"
        help_ += (
            f" On the command line it stays in the shell's history; without this option it comes from"
            f" {flag(one.name + FILE)}, from {of_secret(one.name)}{prompt}."
        )
    if one.attribute.hide is not None and one.attribute.file:
        help_ += f" Secrets in it stay in the shell's history; {flag(one.name + FILE)} avoids that."
    required = one.required and one.attribute.default is None
    options = {"metavar": _metavar(one), "case_sensitive": not one.attribute.any_case, **_bounds(one)}
    # Of a list or a map it is given once for each.
    also = one.attribute.also if one.item is not None or one.type == dict[str, str] else None
    yield _option(one.name, _type(one), required, also, help=help_, **options)
    if one.attribute.file:
        yield _option(
            one.name + FILE,
            str,
            False,
            help=f"Read {flag(one.name)} from a file; - is stdin.",
            metavar="FILE",
        )


def _option(
    name: str, type_: Any, required: bool, also: str | None = None, **options: Any
) -> inspect.Parameter:
    # A change must be able to say no too.
    names = [f"{flag(name)}/--no-{flag(name)[2:]}" if type_ is bool else flag(name)]
    if also is not None:
        names.append(flag(also))
    option = typer.Option(*names, show_default=False, **options)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else None,
        annotation=Annotated[type_ if required else type_ | None, option],
    )


def _type(one: Declared) -> Any:
    if one.item is not None or one.type == dict[str, str]:
        return list[str]
    if one.choices:
        return one.type
    return one.type if one.type in (int, bool) and not one.may_be_default else str


def _metavar(one: Declared) -> str | None:
    """What stands for the value in the help; None where the help lists the choices."""
    if one.choices or one.type is bool:
        return None
    if one.type == dict[str, str]:
        return "'NAME: VALUE'"
    metavar = _METAVARS.get(one.type) or one.name.rpartition("_")[2].upper()
    return f"{metavar}|{DEFAULT}" if one.may_be_default else metavar


def _bounds(one: Declared) -> Mapping[str, int]:
    if one.type is not int or one.may_be_default:
        return {}
    bounds = {"min": one.attribute.minimum, "max": one.attribute.maximum}
    return {name: bound for name, bound in bounds.items() if bound is not None}
