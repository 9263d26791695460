"""What crosses between the dispatcher and a target: a destination and a message go in, one outcome comes out.

Invariant: a target never touches the store and never raises for what the other side does; every answer, silence
or refusal is one of the six outcomes, and its `detail` says in words, without any secret, what the other side said.
Secrets stand in `Destination.secret` alone and never in a repr.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Protocol, runtime_checkable

from cronally.targets.own_tls import OwnTls


class Reply(Enum):
    """What an attempt says of its receiver, whatever becomes of the firing. `targets.pool` decides it of a failure."""

    ANSWERED = "answered"
    UNFIT = "unfit"
    """What it answered breaks the bounds or is no HTTP, or its name leads where nothing may be sent."""
    SILENT = "silent"
    """It could not be reached, its handshake failed, or it did not answer in time."""
    NOT_ASKED = "not asked"
    """It was not asked, for reasons that are not its own: nothing is said of it."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role of AWS that is assumed before something is sent."""

    arn: str
    external_id: str
    """What Cronally gave out for it; the role's owner lets nobody in who does not bring it."""
    session_name: str
    region: str
    """Where STS is asked."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a cron job's firings go."""

    target: str
    """`sns` or `http`: a key of `cronally.targets.build.TARGETS`."""
    public: Mapping[str, Any]
    """The parameters that an answer may show, by their API names (`sns_topic`, ...)."""
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The parameters that are sealed at rest, by their API names (`sns_secret_access_key`). One that is public too
    stands here whole, and there without its secrets."""
    account_id: str = ""
    """Whose it is: what it takes of what is scarce is counted by account."""
    role: Role | None = None
    """Of AWS: with a session of which it is sent; keys that stand here assume it."""
    seconds: float | None = None
    """How long its request may take, if that is longer than `Target.request_timeout`: whoever sends it says so, and
    holds a place and a lease for so long. None for no longer than that, whatever the parameters say."""
    own_tls: OwnTls | None = None
    """What its requests over TLS show and trust, if that is their own."""

    def whole(self, name: str) -> str:
        """The value of a parameter, with its secrets if it has any."""
        found: str = self.secret[name] if name in self.secret else self.public[name]
        return found


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent of one firing in one attempt; or of one alert."""

    firing_id: str
    cronjob_id: str
    cronjob_name: str
    scheduled_at: int
    """The fire time, an instant (microseconds since 1970 UTC)."""
    attempt: int
    """From 1."""
    alert: bool = False
    """Whether it is of an alert: the id is that of the alert, what is called a cron job the channel, and the instant
    when it was made."""


@dataclass(frozen=True, slots=True)
class Timings:
    """How long the parts of a request took, in microseconds; None for a part that there was not."""

    dns: int | None
    connect: int | None
    tls: int | None
    """None without TLS, and all three on a connection that was there already."""
    first_byte: int
    """From the last byte of the request to the first of the answer."""
    whole: int
    """From the beginning, waiting for a connection included, to the end of what was read."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a target's answer, for the account to read. It holds no secret of the destination."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    cut: bool
    """Whether there was more of headers or body, or might have been."""
    timings: Timings


@dataclass(frozen=True, slots=True)
class Look:
    """What is found of a destination before anything is sent to it; both are empty if nothing is wrong."""

    complaints: Mapping[str, str] = field(default_factory=dict)
    """Why it can never be sent to, by parameter, as of `Target.check`."""
    warnings: Sequence[str] = ()
    """What may be wrong, in whole sentences that name no secret."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The target has it."""

    reply: ClassVar[Reply] = Reply.ANSWERED
    message_id: str | None
    """The id that the target gave, if it gives one (SNS's MessageId)."""
    kept: Kept | None = field(default=None, compare=False, repr=False)
    """What is kept of the answer; None where nothing is."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The target did not take it and may later (throttled, 5xx, connection refused)."""

    detail: str
    after: float | None = None
    """Seconds that the target asked to wait (Retry-After), if it did."""
    reply: Reply = field(default=Reply.ANSWERED, compare=False)
    """Not compared: `detail` says as much."""
    kept: Kept | None = field(default=None, compare=False, repr=False)
    """What is kept of the answer; None where nothing is."""


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """The target refuses these credentials. They may not have spread yet: tried a few times."""

    reply: ClassVar[Reply] = Reply.ANSWERED
    detail: str
    known: bool = field(default=False, compare=False)
    """Whether it knows whose they are, and does not allow this one thing: that says nothing of others that use them."""
    kept: Kept | None = field(default=None, compare=False, repr=False)
    """What is kept of the answer; None where nothing is."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The target refuses this message or does not exist."""

    detail: str
    final: bool = True
    """False for what may be a matter of minutes (a topic just made): tried a few times, as `Unauthorized` is."""
    reply: Reply = field(default=Reply.ANSWERED, compare=False)
    """Not compared: `detail` says as much."""
    kept: Kept | None = field(default=None, compare=False, repr=False)
    """What is kept of the answer; None where nothing is."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """It is not known whether it arrived (timeout, connection cut after the request). Retried: at least once."""

    detail: str
    reply: Reply = field(default=Reply.ANSWERED, compare=False)
    """Not compared: `detail` says as much."""
    kept: Kept | None = field(default=None, compare=False, repr=False)
    """What is kept of the answer; None where nothing is."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """The target knows this firing's id from an earlier attempt: it has it, or is still at it. Asked a few times."""

    reply: ClassVar[Reply] = Reply.ANSWERED
    detail: str
    after: float | None = None
    """Seconds that the target asked to wait (Retry-After), if it did."""
    kept: Kept | None = field(default=None, compare=False, repr=False)
    """What is kept of the answer; None where nothing is."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """What takes the requests of a destination: places in flight go round receivers."""

    name: str
    """The same for all that it takes, in whichever account; of no other target's receiver."""
    host: str | None
    """What limits of all accounts together count by; None for AWS, which has limits of its own."""
    circuit: str | None
    """What an account's circuit goes by: all receivers of the same are reached, or are not. None for no circuit."""
    size: int = 0
    """Bytes of a request, if that is much and more than those of the cron job."""
    site: str | None = None
    """What an account may prove to be its own: the host, with its port unless that is 443. None without TLS."""
    long: float | None = None
    """Seconds that a request may take, if these are more than `Target.request_timeout`."""


Sending = tuple[Destination, Message]
"""What one attempt of one firing sends, and where to."""

Outcome = Delivered | Retry | Unauthorized | Refused | Unknown | Repeated


class Target(Protocol):
    """One kind of destination. Implementations: `cronally.targets.build`."""

    name: str
    host_by: str
    """The public parameter that the host goes by. Of a URL what is behind its host need not be known."""

    def check(self, parameters: Mapping[str, Any]) -> Mapping[str, str]:
        """The complaints about parameters that cannot be used, by name; pure.

        :param parameters: those that the cron job is to have and that are well-formed; a secret that stays is not
            among them. Which ones a target needs the contract says.
        """

    def check_size(self, parameters: Mapping[str, Any], cronjob_name: str) -> Mapping[str, str]:
        """The complaints, as of `check`, about the size of what is sent of a firing; pure.

        :param parameters: all that the cron job is to have, and that may be shown; `check` has no complaint about them
        :param cronjob_name: its name, which is sent too
        """

    async def look(self, parameters: Mapping[str, Any], account_id: str) -> Look:
        """Look whether the destination is one that can be sent to, in some seconds at most. Sends it nothing.

        :param parameters: those that were sent, with their secrets; they may be ones that `check` refuses
        :param account_id: whose they are
        """

    def receiver(self, public: Mapping[str, Any]) -> Receiver:
        """What takes the requests of a destination with these public parameters; pure."""

    def host(self, value: str) -> str:
        """The host that takes the requests of destinations with this value of `host_by`, for people; pure.

        Raises ValueError for a value that no host belongs to.
        """

    async def send(self, destination: Destination, message: Message) -> Outcome:
        """Try once, within `request_timeout`, or the `seconds` of the destination: the request is written within
        `request_timeout` then, too. Never raises for what the other side does."""

    @property
    def request_timeout(self) -> float:
        """Seconds that one call of `send` may take at most, connecting included, if its destination says no more."""

    async def close(self) -> None:
        """Close the connections."""


@runtime_checkable
class ShowingTarget(Target, Protocol):
    """A target that can show what it would send."""

    def show(self, destination: Destination, message: Message) -> Mapping[str, Any]:
        """What `send` would send, by the names of `contract.renderings.Rendering`; pure.

        :param destination: with what stands for a secret in the place of each
        """


@runtime_checkable
class BatchTarget(Target, Protocol):
    """A target that takes several firings in one request."""

    def batches(self, sendings: Sequence[Sending]) -> Sequence[Sequence[int]]:
        """Which of these, all of one account, go out in one request each.

        Every place in `sendings` stands in exactly one batch. A batch of one goes out by `send`.
        """

    async def send_batch(self, sendings: Sequence[Sending]) -> Sequence[Outcome] | None:
        """Try one batch once, within `request_timeout`: the outcomes in the order of `sendings`.

        None: the target took none of it because it refuses the batch as such, and each is to be sent alone.
        Never raises for what the other side does.
        """
