"""Rules about the secrets of a target in a change: a secret goes only where it was given for.

Invariant: pure, as `rules`. A secret is never put into another text than it was given in, and what goes with a secret
does not change without it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from cronally.contract.attribute import Declared
from cronally.contract.reading import Reading
from cronally.contract.targets import parameters_of
from cronally.contract.url_secrets import MASK, has_part
from cronally.targets.target import Destination

_MASKED: Final = (
    f"holds {MASK}, which stands for a secret, and is not what is shown of this cron job; give it whole, with its"
    " secrets (asterisks that mean themselves are written %2A)"
)


def require_secrets(reading: Reading[Any], target: str, previous: Mapping[str, Any]) -> None:
    """Complain about what is sealed and not sent whole although what it goes with changes."""
    for name, one in parameters_of(target).items():
        partner = one.attribute.goes_with
        if partner is None or name in reading.complaints:
            continue
        if one.attribute.secret and one.attribute.optional:
            if name in reading.values and partner not in reading.values:
                complaint = f"is sealed with {partner}, and replaced with it; give that too"
                reading.complain(name, ValueError(complaint))
            continue
        if reading.values.get(partner, previous.get(partner)) == previous.get(partner):
            continue
        sent = reading.values.get(name)
        if sent is None and one.attribute.secret:
            complaint = f"is needed with a new {partner}; give the secret that belongs to it"
            reading.complain(name, ValueError(complaint))
        elif sent is None or (one.attribute.hide is not None and MASK in sent):
            complaint = f"is needed with new {partner}; give it whole, with its secrets"
            reading.complain(name, ValueError(complaint))


def require_together(reading: Reading[Any], target: str) -> None:
    """Complain in a change about what is not sent of what is checked together, if any of it is."""
    together = [name for name, one in parameters_of(target).items() if one.attribute.together]
    sent = [name for name in together if name in reading.values]
    for name in together if sent else ():
        if name not in reading.values and name not in reading.complaints:
            complaint = f"is needed with a new {sent[0]}: {', '.join(together)} are checked together"
            reading.complain(name, ValueError(complaint))


def refuse_masks(reading: Reading[Any], target: str, previous: Mapping[str, Any]) -> None:
    """Complain about a text that stands for secrets, unless it is all of what is shown of the cron job.

    A secret is never put into another text than it was given in: whoever can change a cron job, and does not know
    its secret, could have it sent elsewhere.
    """
    for name, one in parameters_of(target).items():
        sent = reading.values.get(name, "")
        if one.attribute.hide is not None and MASK in sent and sent != previous.get(name):
            reading.complain(name, ValueError(_MASKED))


def check_parts(reading: Reading[Any], values: Mapping[str, Any]) -> None:
    """Complain about a part that is marked as secret and is not there: a slip would leave it in the clear."""
    url, parts = values.get("delivery_http_url"), reading.values.get("delivery_http_secret_parts", ())
    if url is None or "delivery_http_url" in reading.complaints:
        return
    if not all(has_part(url, part) for part in parts):
        complaint = (
            "names what delivery_http_url does not have; give names of its parameters, or / for its path"
        )
        reading.complain("delivery_http_secret_parts", ValueError(complaint))


def kept_secrets(
    reading: Reading[Any], destination: Destination, provided: Collection[str] = ()
) -> frozenset[str] | None:
    """What stays of what is sealed of a cron job, whose target stays, by name; None if all of it does, as it is.

    :param provided: parameters in place of which a connection is: nothing of them stays
    """
    parameters = parameters_of(destination.target)
    sealable = {
        name
        for name, one in parameters.items()
        if name not in provided and (one.attribute.secret or one.attribute.hide is not None)
    }
    # What stands whole in the secret is to be sealed: sent, or stored by a version that did not hide it.
    if (
        not provided
        and not destination.secret
        and not any(name in reading.values and not _is_mask(destination, name) for name in sealable)
    ):
        return None
    return frozenset(
        name
        for name in sealable - destination.secret.keys()
        if (
            _is_untouched(reading, parameters[name])
            if parameters[name].attribute.secret
            else _is_mask(destination, name)
        )
    )


def _is_untouched(reading: Reading[Any], one: Declared) -> bool:
    """Whether a secret stays: it is not sent, and if it need not be there, what it goes with is not sent either."""
    partner = one.attribute.goes_with if one.attribute.optional else None
    return one.name not in reading.values and partner not in reading.values


def _is_mask(destination: Destination, name: str) -> bool:
    """Whether what is shown of a parameter stands for what is sealed of it."""
    return MASK in destination.public.get(name, "") and name not in destination.secret
