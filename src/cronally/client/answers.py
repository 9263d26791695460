"""What the API answers, as frozen dataclasses, and the one reader that makes them.

Invariant: a newer server does not break an older client. Keys that are not known here are kept in `extra`,
values that are not known (a new state, a new reason) stay text, and only the keys that the API reference
promises are required.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from cronally.errors import UnexpectedAnswer
from cronally.instants import parse_iso, to_datetime

Json = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The tenant, with the API key and secret that its calls are signed with."""

    account_id: str
    email: str
    api_key: str
    api_secret: str = field(repr=False)
    cronjob_count: int
    created_at: datetime | None = None
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cronjob:
    """A cron job. Instants are aware datetimes in UTC; a secret is never among the answers."""

    cronjob_id: str
    account_id: str
    name: str
    cron: str
    """The expression, as it was given."""
    timezone: str | None = None
    """The IANA name of its time zone."""
    dst_gap: str | None = None
    """`run_at_jump`, `skip` or `shift`; None: what Debian's cron does."""
    dst_overlap: str | None = None
    """`first`, `last` or `both`; None: what Debian's cron does."""
    schedule: str | None = None
    """The expression as a sentence, where there is one that says it all."""
    deleted: bool
    created_at: datetime | None = None
    updated_at: datetime | None = None
    version: int | None = None
    """Rises with every change."""
    state: str | None = None
    """`active`, `paused`, `completed` or `deleted`."""
    state_reason: str | None = None
    """Why it is in this state, where the state alone does not say; that new zone data moved its next fire time."""
    next_fire_at: datetime | None = None
    tzdata: str | None = None
    """The version of the zone data by which `next_fire_at` was computed."""
    catch_up: str | None = None
    """What happens to fire times that nobody was awake for: `latest`, `all` or `skip`."""
    misfire_grace: str | None = None
    """How late is still useful, as `24h`."""
    delivery_type: str | None = None
    """`sns` or `http`."""
    sns_topic: str | None = None
    sns_region: str | None = None
    sns_message: str | None = None
    sns_access_key_id: str | None = None
    delivery_http_url: str | None = None
    delivery_http_method: str | None = None
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to deliver a firing."""

    attempt: int
    """From 1."""
    started_at: datetime | None = None
    duration_ms: float | None = None
    outcome: str | None = None
    reason: str | None = None
    detail: str | None = None
    """What the target said."""
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A row of the ledger: a fire time and what became of it. Instants are aware datetimes in UTC."""

    firing_id: str
    """The same over retries and replays: a receiver that remembers it sees each firing once."""
    cronjob_id: str
    scheduled_at: datetime
    """The fire time."""
    kind: str
    """`scheduled` or `manual`."""
    state: str
    """`pending`, `sending`, `delivered`, `failed`, `missed` or `skipped`."""
    reason: str | None = None
    attempt: int | None = None
    """Tries that may have reached the target."""
    created_at: datetime | None = None
    due_at: datetime | None = None
    """When the next attempt is due, while the firing is pending."""
    sent_at: datetime | None = None
    """When the last attempt started."""
    finished_at: datetime | None = None
    message_id: str | None = None
    """The id that the target gave (SNS's MessageId)."""
    lateness_ms: float | None = None
    until_at: datetime | None = None
    """The last fire time of a row that stands for several."""
    count: int | None = None
    """How many fire times the row stands for."""
    attempts: tuple[Attempt, ...] = ()
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FireTime:
    """A fire time that is said beforehand."""

    scheduled_at: datetime
    local: str
    """The local time with its offset, as `2026-03-08T03:00:00-04:00`."""
    mark: str | None = None
    """`moved` or `doubled` by a change of the clock."""
    reason: str | None = None
    instead_of: str | None = None
    """The local time, which does not exist, that a moved one stands for."""
    count: int = 1
    """How many fire times a moved one stands for."""
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """Fire times that one change of the clock leaves out."""

    scheduled_at: datetime
    """When the first would fire; in a gap, when the clock jumps."""
    until_at: datetime
    local: str
    """The local time of the first."""
    until_local: str
    count: int
    reason: str
    mark: str = "suppressed"
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an expression, or a cron job, will fire."""

    expression: str
    timezone: str
    tzdata: str
    """The version of the zone data that was used."""
    dst_gap: str | None = None
    dst_overlap: str | None = None
    schedule: str | None = None
    """The expression as a sentence, where there is one that says it all."""
    after: datetime | None = None
    fire_times: tuple[FireTime, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    cronjob_id: str | None = None
    state: str | None = None
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a cron job did or did not fire at an instant."""

    cronjob_id: str
    at: datetime
    """The instant that was asked about."""
    finding: str
    """The state of the row that covers it (`delivered`, `missed`, ...), or `suppressed`, `no_fire_time`, `future`,
    `due`, `not_owed`, `before_creation`, `before_change`, `inactive`, `deleted`, `not_kept`."""
    sentence: str
    """The same in English."""
    local: str | None = None
    reason: str | None = None
    mark: str | None = None
    instead_at: datetime | None = None
    """What fired instead."""
    previous_at: datetime | None = None
    next_at: datetime | None = None
    firing: Firing | None = None
    state: str | None = None
    version: int | None = None
    timezone: str | None = None
    tzdata: str | None = None
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list, and the cursor of the next part; None behind the last."""

    items: tuple[T, ...]
    next_cursor: str | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def read(kind: type[T], value: object) -> T:
    """Make one of the dataclasses above of a JSON object. Raises UnexpectedAnswer for what is none."""
    if not isinstance(value, dict):
        raise UnexpectedAnswer(f"the server's answer holds no {kind.__name__.lower()}; check the URL")
    make: Callable[..., T] = kind
    known: dict[str, Any] = {}
    extra = dict(value)
    for slot in fields(kind):  # type: ignore[arg-type]  # every `kind` is one of the dataclasses above
        if slot.name == "extra":
            continue
        found = extra.pop(slot.name, None)
        if found is not None:
            known[slot.name] = _converted(slot.name, found)
        elif slot.default is MISSING and slot.default_factory is MISSING:
            raise UnexpectedAnswer(f"the server's answer holds no `{slot.name}`; check the URL")
    return make(**known, extra=extra)


def read_one(kind: type[T], envelope: Json) -> T:
    """The object under `response`."""
    return read(kind, envelope.get("response"))


def read_page(kind: type[T], envelope: Json) -> Page[T]:
    """The list under `response`, and the `next_cursor` beside it."""
    items = envelope.get("response")
    cursor = envelope.get("next_cursor")
    if not isinstance(items, list) or not (cursor is None or isinstance(cursor, str)):
        raise UnexpectedAnswer("the server's answer holds no list; check the URL")
    return Page(tuple([read(kind, item) for item in items]), cursor)


def _converted(name: str, value: Any) -> Any:
    if name.endswith("_at") or name in _INSTANTS:
        try:
            return to_datetime(parse_iso(value))
        except (TypeError, ValueError):
            raise UnexpectedAnswer(f"`{name}` in the server's answer is no instant") from None
    if name in _LISTS:
        if not isinstance(value, list):
            raise UnexpectedAnswer(f"`{name}` in the server's answer is no list")
        return tuple([read(_LISTS[name], item) for item in value])
    if name == "firing":
        return read(Firing, value)
    return value


_INSTANTS: Final = frozenset({"at", "after"})
_LISTS: Final[Mapping[str, type]] = {"attempts": Attempt, "fire_times": FireTime, "suppressed": Suppressed}
