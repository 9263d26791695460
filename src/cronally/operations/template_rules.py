"""Rules about placeholders in the parameters of a target: what they make of a text is as good as a text without them.

Invariant: pure, as `rules`. What passes here is sent filled in, whatever the values are that it is filled in with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cronally.contract import templates
from cronally.contract.connections import Kind
from cronally.contract.reading import check_length
from cronally.contract.targets import parameters_of
from cronally.contract.templates import MARK
from cronally.contract.url_secrets import MASK
from cronally.operations.using import base_of
from cronally.store.connections import StoredConnection
from cronally.targets.below import is_below
from cronally.targets.connected import URL_PARAMETER
from cronally.targets.target import Destination

_FILLED: Final = "with the placeholders filled in it"
_TOO_MUCH: Final = (
    f"holds placeholders that stand for more than {templates.MAX_ADDED:,} bytes; use fewer, or shorter ones"
)


def marked(
    target: str, sent: Mapping[str, Any], kept: Mapping[str, Any], previous: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters that a cron job is to have, with the mark of those that hold placeholders.

    What was written before there were placeholders, and is not sent anew, has none.

    :param sent: those that were sent, checked
    :param kept: of `previous` those that stay unless they are sent
    :param previous: the public parameters of the cron job now, if it has this target
    """
    values, parameters = {**kept, **sent}, parameters_of(target)
    # A text that stands for secrets is what is shown of a text that stays.
    hidden = {name for name in sent if parameters[name].attribute.hide is not None and MASK in sent[name]}
    stays = values.keys() - (sent.keys() - hidden)
    found = templates.marks(parameters, sent)
    found |= {name: form for name, form in previous.get(MARK, {}).items() if name in stays}
    values.pop(MARK, None)
    return values | ({MARK: found} if found else {})


def filled(
    target: str, values: Mapping[str, Any], cronjob_name: str, ack_url: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Parameters with their placeholders filled in as long as they can be, and the complaints about them by name.

    :param ack_url: an acknowledgement URL as long as any
    """
    done = {name: value for name, value in values.items() if name != MARK}
    complaints, by = dict[str, str](), templates.longest(cronjob_name, ack_url)
    for name, form in values.get(MARK, {}).items():
        if name not in done:
            continue
        try:
            done |= templates.filled({name: done[name]}, {name: form}, by)
        except templates.NotFilled:
            complaints[name] = _TOO_MUCH
            continue
        try:
            check_length(parameters_of(target)[name], done[name])
        except ValueError as problem:
            complaints[name] = f"{_FILLED} {problem}"
    return done, complaints


def leads_out(
    public: Mapping[str, Any], filled: Mapping[str, Any], used: StoredConnection | None
) -> dict[str, str]:
    """The complaint about a URL that what is filled in leads out of what is below its connection's base_url.

    A cron job may be called `..`; times and ids have no such texts.
    """
    if used is None or used.kind != Kind.HTTP or URL_PARAMETER not in public.get(MARK, {}):
        return {}
    if is_below(base_of(used), filled[URL_PARAMETER]):
        return {}
    return {URL_PARAMETER: f"{_FILLED} is not below the base_url of the connection; use other placeholders"}


def whole(destination: Destination) -> dict[str, Any]:
    """What may be shown of a destination, with its secrets where it has any: what is sent is as long."""
    return {
        name: destination.secret.get(name, value) if name != MARK else value
        for name, value in destination.public.items()
    }
