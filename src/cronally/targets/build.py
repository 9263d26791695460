"""Where firings can go.

Invariant: a target knows the network and its own protocol, and nothing of accounts, the store or the schedule.
"""

from __future__ import annotations

from collections.abc import Iterable

from cronally.targets.egress import Egress
from cronally.targets.http.target import HttpTarget
from cronally.targets.sns.target import SnsTarget
from cronally.targets.target import Target

TARGETS = (SnsTarget, HttpTarget)
"""Every kind of target. A new one is added here and in `build_targets`."""


def build_targets(
    *,
    sns_endpoint: str | None = None,
    sts_endpoint: str | None = None,
    connect_timeout: float = 5.0,
    total_timeout: float = 10.0,
    connections: int = 256,
    allowed_networks: Iterable[str] = (),
) -> dict[str, Target]:
    """Every target by its name, ready to be used within one event loop.

    Raises ValueError, with a sentence for the operator, for an endpoint or a network that cannot be used.

    :param sns_endpoint: `AWS_ENDPOINT_URL_SNS`, in place of AWS's own hosts
    :param sts_endpoint: `AWS_ENDPOINT_URL_STS`, the same
    :param connect_timeout: seconds to get a connection
    :param total_timeout: seconds for one call of `send`, connecting included
    :param connections: of each target at a time; not fewer than firings are sent at a time
    :param allowed_networks: networks such as `10.1.0.0/16` that `http` may call though they are not public
    """
    return {
        SnsTarget.name: SnsTarget(
            endpoint=sns_endpoint,
            sts_endpoint=sts_endpoint,
            connect_timeout=connect_timeout,
            total_timeout=total_timeout,
            connections=connections,
        ),
        HttpTarget.name: HttpTarget(
            egress=Egress(allowed_networks),
            connect_timeout=connect_timeout,
            total_timeout=total_timeout,
            connections=connections,
        ),
    }
