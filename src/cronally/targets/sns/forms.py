"""The bodies of `Publish` and `PublishBatch` in AWS's Query protocol, and how large SNS finds a message.

Invariant: a firing has the same text and the same attributes, whether it goes out alone or with others.

Sources: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html,
https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html,
https://docs.aws.amazon.com/sns/latest/api/API_MessageAttributeValue.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from cronally import instants
from cronally.contract.sns import SNS_TOPIC_SIZE
from cronally.instants import MAX_INSTANT
from cronally.targets.sns import parameters as sns_parameters
from cronally.targets.sns.attributes import parse_attributes
from cronally.targets.sns.form import quote
from cronally.targets.sns.parameters import INVALID_CHARACTERS, MAX_SIZE, MESSAGE
from cronally.targets.target import Message
from cronally.wire import NIL_UUID

CONTENT_TYPE: Final = "application/x-www-form-urlencoded; charset=utf-8"
MAX_ENTRIES: Final = 10
"""Messages that one `PublishBatch` takes."""

_NAMES: Final = (
    (b"cronally-firing-id", b"String"),
    (b"cronally-cronjob-id", b"String"),
    (b"cronally-scheduled-at", b"String"),
    (b"cronally-attempt", b"Number"),
    (b"cronally-cronjob-name", b"String"),
)
_NAMES_SIZE: Final = sum(len(name) + len(kind) for name, kind in _NAMES)


_OF_ALERT: Final = ((b"cronally-alert-id", b"String"), (b"cronally-attempt", b"Number"))


def _attributes(prefix: bytes, names: Iterable[tuple[bytes, bytes]] = _NAMES) -> bytes:
    """The attributes of one message, to be filled with their values."""
    entry = b"&%sMessageAttributes.entry.%d."
    return b"".join(
        b"%sName=%s%sValue.DataType=%s%sValue.StringValue=%%s" % (here, name, here, kind, here)
        for here, name, kind in (
            (entry % (prefix, number), name, kind) for number, (name, kind) in enumerate(names, 1)
        )
    )


_PREFIXES: Final = tuple(
    b"PublishBatchRequestEntries.member.%d." % number for number in range(1, MAX_ENTRIES + 1)
)


def _member(prefix: bytes) -> bytes:
    """One entry of a batch, to be filled with its id, its text and the values of its attributes."""
    return b"&%sId=%%s&%sMessage=%%s" % (prefix, prefix) + _attributes(prefix)


_ACTION: Final = b"Action=Publish&Version=2010-03-31&TopicArn=%s&Message=%s"
_PUBLISH: Final = _ACTION + _attributes(b"")
_PUBLISH_ALERT: Final = _ACTION + _attributes(b"", _OF_ALERT)
_FIFO: Final = b"&MessageGroupId=%s&MessageDeduplicationId=%s"
_PUBLISH_BATCH: Final = b"Action=PublishBatch&Version=2010-03-31&TopicArn=%s"
_MEMBERS: Final = tuple((prefix, _member(prefix)) for prefix in _PREFIXES)
"""What the parameters of each entry of a batch begin with, and the entry."""


def publish_form(public: Mapping[str, Any], quoted: bytes, message: Message) -> bytes:
    """The body of `Publish`.

    :param public: the parameters of the destination
    :param quoted: the text, encoded (`form.quote`)
    """
    topic: str = public[sns_parameters.TOPIC]
    values = _values(message)
    if message.alert:
        # The id, and the number of the attempt.
        form = _PUBLISH_ALERT % (quote(topic.encode()), quoted, values[0], values[3]) + _chosen(b"", public)
    else:
        form = _PUBLISH % (quote(topic.encode()), quoted, *values) + _chosen(b"", public)
    if topic.endswith(".fifo"):
        group, deduplication = (
            public.get(sns_parameters.GROUP_ID),
            public.get(sns_parameters.DEDUPLICATION_ID),
        )
        form += _FIFO % (
            values[1] if group is None else quote(group.encode()),
            values[0] if deduplication is None else quote(deduplication.encode()),
        )
    return form


def publish_batch_form(topic: str, entries: Iterable[tuple[Mapping[str, Any], bytes, Message]]) -> bytes:
    """The body of `PublishBatch`: up to `MAX_ENTRIES` destinations, encoded texts and messages, each under its firing
    id.

    A UUID is what SNS takes as an entry's id: up to 80 letters, digits, hyphens and underscores.
    """
    parts = [_PUBLISH_BATCH % quote(topic.encode())]
    for (prefix, member), (public, quoted, message) in zip(_MEMBERS, entries, strict=False):
        values = _values(message)
        parts.append(member % (values[0], quoted, *values))
        parts.append(_chosen(prefix, public))
    return b"".join(parts)


def _chosen(prefix: bytes, public: Mapping[str, Any]) -> bytes:
    """What a cron job chose for its messages beside their text; nothing in the usual case."""
    form = b""
    if subject := public.get(sns_parameters.SUBJECT):
        form += b"&%sSubject=%s" % (prefix, quote(subject.encode()))
    if public.get(sns_parameters.STRUCTURE) == sns_parameters.JSON:
        form += b"&%sMessageStructure=json" % prefix
    if own := public.get(sns_parameters.ATTRIBUTES):
        for number, one in enumerate(parse_attributes(own), len(_NAMES) + 1):
            here = b"&%sMessageAttributes.entry.%d." % (prefix, number)
            named = here + b"Name=" + quote(one.name.encode())
            kind = here + b"Value.DataType=" + one.kind.encode()
            form += named + kind + here + b"Value.StringValue=" + quote(one.value.encode())
    return form


def size(public: Mapping[str, Any], message: Message) -> int:
    """Bytes of a message as SNS counts them: its text, its subject, and each attribute's name, type and value."""
    own = public.get(sns_parameters.ATTRIBUTES)
    chosen = _length(public.get(sns_parameters.SUBJECT, ""))
    if own:
        chosen += sum(one.size for one in parse_attributes(own))
    firing_id, cronjob_id, scheduled_at, attempt, name = _texts(message)
    plain = len(firing_id) + len(cronjob_id) + len(scheduled_at) + len(attempt)
    return _length(public[MESSAGE]) + chosen + _NAMES_SIZE + plain + _length(name)


def _length(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def attributes(message: Message) -> dict[str, str]:
    """The attributes that tell of a firing by name, each as a text."""
    return {name.decode(): value for (name, _), value in zip(_NAMES, _texts(message), strict=True)}


def _texts(message: Message) -> tuple[str, ...]:
    """The values of the attributes, in the order of their names."""
    return (
        message.firing_id,
        message.cronjob_id,
        instants.format_iso(message.scheduled_at),
        str(message.attempt),
        attribute_text(message.cronjob_name),
    )


def check_size(public: Mapping[str, Any], cronjob_name: str) -> str | None:
    """What is wrong with a text that is too large for its topic with the attributes of a firing; None if it is not."""
    text: str = public[MESSAGE]
    most: int = public.get(MAX_SIZE, SNS_TOPIC_SIZE)
    total = size(public, _longest(cronjob_name))
    if total <= most:
        return None
    added = total - len(text.encode())
    advice = f"send {most - added:,} at most" if added < most else "shorten the cron job's name"
    return (
        f"is too large for the topic: {total:,} bytes in UTF-8 with the {added:,} of the attributes that are added, the"
        f" cron job's name among them, and it takes {most:,}; {advice}, or give the topic's MaximumMessageSize as"
        f" {MAX_SIZE}"
    )


def _longest(cronjob_name: str) -> Message:
    """A firing whose attributes are as long as any's of a cron job of this name."""
    return Message(NIL_UUID, NIL_UUID, cronjob_name, scheduled_at=MAX_INSTANT, attempt=99)


def attribute_text(text: str) -> str:
    """A text that SNS takes as an attribute's value: not empty, without characters that XML cannot write."""
    if text.isascii() and text.isprintable():
        return text or "-"
    return INVALID_CHARACTERS.sub("\ufffd", text)


@lru_cache(maxsize=1024)
def _quoted_time(instant: int) -> bytes:
    return quote(instants.format_iso(instant).encode())


def _values(message: Message) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """The attributes' values, encoded, in the order of their names."""
    return (
        # The digits and hyphens of an id stand for themselves.
        message.firing_id.encode(),
        message.cronjob_id.encode(),
        _quoted_time(message.scheduled_at),
        b"%d" % message.attempt,
        quote(attribute_text(message.cronjob_name).encode()),
    )
