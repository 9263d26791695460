"""The target `aws`: calls any operation of AWS, with the input that the cron job has; and what the others share.

Invariant: what passes the checks can be sent: AWS may refuse it for what it knows, not for its form. One caller, with
one pool, serves all targets of this package.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, NamedTuple

from cronally.fairness import out_of_turn
from cronally.targets.aws.caller import Caller
from cronally.targets.aws.keys import REGION, check_keys
from cronally.targets.aws.models import ModelsBusy, check_service
from cronally.targets.aws.operation import InputError, is_read, read_input
from cronally.targets.sns.endpoints import parse_region
from cronally.targets.target import Destination, Look, Message, Outcome, Receiver, Refused
from cronally.wire import NIL_UUID

SERVICE: Final = "aws_service"
ACTION: Final = "aws_action"
INPUT: Final = "aws_input"
ALLOW_READ: Final = "aws_allow_read"

LOOK_SECONDS: Final = 5.0
"""How long a look waits for what is known of an operation."""

_ACTION: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,127}")


class Call(NamedTuple):
    """What one firing calls."""

    service: str
    action: str
    values: Mapping[str, Any]
    """The input."""


class OfAws(ABC):
    """A target that calls one operation of AWS for each firing."""

    name: str
    host_by = REGION
    made: ClassVar[frozenset[str]] = frozenset()
    """Codes that say that an earlier attempt has made what a firing makes."""
    host_prefix: ClassVar[str] = ""
    """What the host of its service begins with, if it has one service."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @abstractmethod
    def check_own(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """The complaints about what is not region and keys, as of `Target.check`."""

    @abstractmethod
    def call(self, public: Mapping[str, Any], message: Message) -> Call:
        """What a firing calls. Raises InputError."""

    @abstractmethod
    def receiver_of(self, public: Mapping[str, Any]) -> str:
        """What takes the calls: they share places in flight."""

    def check(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with the parameters."""
        return {**check_keys(parameters), **self.check_own(parameters)}

    def check_size(
        self, parameters: Mapping[str, Any], cronjob_name: str, ack_url: str | None = None
    ) -> dict[str, str]:
        """Nothing: what the parameters may hold is what AWS takes."""
        return {}

    async def look(self, parameters: Mapping[str, Any], account_id: str) -> Look:
        """Nothing: `check` says all."""
        return Look()

    @property
    def request_timeout(self) -> float:
        """Seconds that one call of `send` takes at most."""
        return self._caller.request_timeout

    def receiver(self, public: Mapping[str, Any]) -> Receiver:
        """What the cron job calls; its circuit is that of the service in a region."""
        name = self.receiver_of(public)
        service = public.get(SERVICE, self.name)
        return Receiver(f"{self.name}:{name}", None, f"aws:{service}:{public[REGION]}")

    def host(self, value: str) -> str:
        """The host of the service in a region; of any service, the domain that its hosts are in."""
        domain = parse_region(value).sns_host.removeprefix("sns.")
        return f"{self.host_prefix}{domain}"

    async def send(self, destination: Destination, message: Message) -> Outcome:
        """Call once."""
        try:
            service, action, values = self.call(destination.public, message)
        except InputError as error:
            return Refused(f"the input {error}")
        return await self._caller.call(
            destination,
            service,
            action,
            values,
            region=destination.public[REGION],
            token=message.firing_id,
            made=self.made,
        )

    async def close(self) -> None:
        """Close the connections of all targets of AWS that share them."""
        await self._caller.close()


class AwsTarget(OfAws):
    """Calls any operation of any service that botocore knows."""

    name = "aws"

    def check_own(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with service, action and input, as far as their form goes; `look` says the rest."""
        found: dict[str, str] = {}
        if SERVICE in parameters and (complaint := check_service(parameters[SERVICE])) is not None:
            found[SERVICE] = complaint
        action = parameters.get(ACTION)
        if action is not None and not _ACTION.fullmatch(action):
            found[ACTION] = "is no name of an operation; AWS writes them like SendMessage"
        elif action is not None and is_read(action) and not parameters.get(ALLOW_READ):
            found[ACTION] = (
                "only reads, and nobody gets what it reads; give aws_allow_read=true if that is meant"
            )
        if INPUT in parameters:
            try:
                read_input(parameters[INPUT])
            except InputError as error:
                found[INPUT] = str(error)
        return found

    async def look(self, parameters: Mapping[str, Any], account_id: str) -> Look:
        """Look whether there is such an operation, and whether the input is what it takes."""
        if {SERVICE, ACTION} - parameters.keys() or self.check(parameters).keys() - {INPUT}:
            return Look()
        named = parameters[SERVICE], parameters[ACTION]
        operation = self._caller.models.known(*named)
        try:
            if operation is None:
                async with out_of_turn(), asyncio.timeout(LOOK_SECONDS):
                    operation = await self._caller.models.get(*named, account_id)
        except (ModelsBusy, TimeoutError):
            return Look(
                warnings=[f"{ACTION} and {INPUT} were not checked: too much is looked up at the moment."]
            )
        if isinstance(operation, str):
            return Look(complaints={ACTION: operation})
        if operation.refusal is not None:
            return Look(complaints={ACTION: operation.refusal})
        try:
            values = read_input(parameters[INPUT])
            operation.validate(values)
            self._caller.request(operation, values, parameters[REGION], NIL_UUID)
        except KeyError:
            pass  # said elsewhere
        except InputError as error:
            return Look(complaints={INPUT: str(error)})
        return Look()

    def call(self, public: Mapping[str, Any], message: Message) -> Call:
        """The operation that the cron job names."""
        return Call(public[SERVICE], public[ACTION], read_input(public[INPUT]))

    def receiver_of(self, public: Mapping[str, Any]) -> str:
        """The service in a region."""
        return f"{public[SERVICE]}:{public[REGION]}"
