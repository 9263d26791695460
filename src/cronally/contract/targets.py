"""The parameters of each target: where the firings of a cron job go.

Invariant: a parameter belongs to one target, but for region and keys of AWS, which several have. What a value must be
beyond its form, such as that a topic is in its region, the target itself checks (`cronally.targets`). What is sealed
of a target is sealed together; each parameter of it goes in whole, and stays or is replaced as a whole, what need not
be there with what it goes with: none is ever put together from what is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from cronally.contract.attribute import Attribute, Declared, declared
from cronally.contract.aws import AWS_TARGETS, AwsTargets
from cronally.contract.http import HttpParameters
from cronally.contract.sns import SnsParameters
from cronally.contract.templates import MARK

DEFAULT_TARGET: Final = "sns"
TargetName = Literal["sns", "http", AwsTargets]
DELIVERY_TYPE: Final = Attribute("Where firings go", "where firings go", default=DEFAULT_TARGET)
TARGETS: Final[Mapping[str, type[Any]]] = {"sns": SnsParameters, "http": HttpParameters, **AWS_TARGETS}
"""The parameters of each target by its name, which is the value of `delivery_type`."""


def target_of(parameter: str) -> str | None:
    """A target that a parameter belongs to; None for a parameter of the cron job itself."""
    return next(iter(targets_of(parameter)), None)


def targets_of(parameter: str) -> tuple[str, ...]:
    """The targets that a parameter belongs to; none for a parameter of the cron job itself."""
    return tuple(name for name, kind in TARGETS.items() if parameter in declared(kind))


def parameters_of(target: str) -> Mapping[str, Declared]:
    """The parameters of a target by name."""
    return declared(TARGETS[target])


def without_secrets(target: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The parameters that an answer may show, as it may show them, and those to seal.

    What may be shown comes back unchanged when it goes in again.
    """
    public: dict[str, Any] = {MARK: values[MARK]} if MARK in values else {}
    secret: dict[str, str] = {}
    for name, one in parameters_of(target).items():
        if name not in values:
            continue
        value, hide = values[name], one.attribute.hide
        if one.attribute.secret:
            secret[name] = value
            continue
        public[name] = value if hide is None else hide(value, values)
        if public[name] != value:
            secret[name] = value
    return public, secret
