"""Where a firing goes that is sent as it was: by an earlier version's parameters, with the credentials of now.

Invariant: pure, and decided here alone, so that what is refused when it is asked for is what a claim refuses. What is
sealed belongs to the parameters of now. It is sent with those of before only where it is credentials, or where what is
shown of it is the same: no secret is put into another text than it was given in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cronally.contract.targets import TARGETS, parameters_of
from cronally.contract.url_secrets import MASK

AS: Final = "as"
THEN: Final = "then"
"""The value of `as` that asks for it."""
_AS_NOW: Final = "; replay it with as=now"


class NotAsThen(ValueError):
    """It cannot be sent as it was. The message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class AsThen:
    """Where it goes."""

    public: Mapping[str, Any]
    """The parameters that an answer may show."""
    unused: frozenset[str]
    """The parameters of which what is sealed now is not meant."""


def as_then(
    target: str, now: Mapping[str, Any], version: int, then_target: str | None, then: Mapping[str, Any]
) -> AsThen:
    """Where a firing goes that is sent as a version of its cron job. Raises NotAsThen.

    :param now: the public parameters that the cron job has now
    :param then_target: the target that it had; None where that is not kept
    :param then: the public parameters that it had
    """
    if then_target is None:
        raise NotAsThen(f"What version {version} of the cron job sent is not kept{_AS_NOW}.")
    if then_target != target:
        raise NotAsThen(
            f"Version {version} of the cron job had the target {then_target}, and its credentials now are for"
            f" {target}{_AS_NOW}."
        )
    parameters = parameters_of(target) if target in TARGETS else {}
    credentials = {one.attribute.goes_with for one in parameters.values() if one.attribute.secret}
    public, unused = dict(then), set[str]()
    for name, one in parameters.items():
        if name in credentials:
            public.pop(name, None)
            public.update({name: now[name]} if name in now else {})
        elif one.attribute.hide is not None and then.get(name) != now.get(name):
            if MASK in then.get(name, ""):
                raise NotAsThen(
                    f"The {name} of version {version} of the cron job had secrets, which are not kept, and is another"
                    f" one now{_AS_NOW}."
                )
            unused.add(name)
    return AsThen(public, frozenset(unused))
