"""Where firings can go.

Invariant: a target knows the network and its own protocol, and nothing of accounts, the store or the schedule.
"""

from __future__ import annotations

from collections.abc import Mapping

from cronally.targets.aws.caller import Caller
from cronally.targets.aws.named import NAMED
from cronally.targets.aws.roles import Roles
from cronally.targets.aws.sts import Sts
from cronally.targets.aws.target import AwsTarget
from cronally.targets.credentials import Credentials
from cronally.targets.egress import Egress
from cronally.targets.http.target import HttpTarget
from cronally.targets.proxy import Proxy
from cronally.targets.sns.target import SnsTarget
from cronally.targets.target import Target

TARGETS = (SnsTarget, HttpTarget, *NAMED, AwsTarget)
"""Every kind of target. A new one is added here and in `build_targets`."""


def build_targets(
    *,
    sns_endpoint: str | None = None,
    aws_endpoints: Mapping[str, str] | None = None,
    sts_endpoint: str | None = None,
    aws_identity: Credentials | None = None,
    connect_timeout: float = 5.0,
    total_timeout: float = 10.0,
    longest: float = 0.0,
    long_connections: int = 0,
    connections: int = 256,
    egress: Egress | None = None,
    proxy: Proxy | None = None,
    keep_internal: bool = False,
) -> dict[str, Target]:
    """Every target by its name, ready to be used within one event loop.

    Raises ValueError, with a sentence for the operator, for an endpoint that cannot be used.

    :param sns_endpoint: `AWS_ENDPOINT_URL_SNS`, in place of AWS's own hosts
    :param aws_endpoints: `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_<SERVICE>` by these names, for what else
        is of AWS
    :param sts_endpoint: `AWS_ENDPOINT_URL_STS`, the same
    :param aws_identity: Cronally's own keys, with which roles are assumed
    :param connect_timeout: seconds to get a connection
    :param total_timeout: seconds for one call of `send`, connecting included
    :param longest: seconds for one whose destination may take longer, to an URL
    :param long_connections: of such requests at a time
    :param connections: of each target at a time; not fewer than firings are sent at a time
    :param egress: what `http` may call; by default what is public
    :param proxy: through which everything goes but to the operator's own endpoint
    :param keep_internal: whether what receivers at addresses that are not public answer may be kept
    """
    sts = Sts(
        endpoint=sts_endpoint,
        connect_timeout=connect_timeout,
        total_timeout=total_timeout,
        connections=connections,
        proxy=proxy,
    )
    roles = Roles(sts, aws_identity)
    caller = Caller(
        endpoints=aws_endpoints or {},
        roles=roles,
        connect_timeout=connect_timeout,
        total_timeout=total_timeout,
        connections=connections,
        proxy=proxy,
    )
    return {
        SnsTarget.name: SnsTarget(
            endpoint=sns_endpoint,
            roles=roles,
            connect_timeout=connect_timeout,
            total_timeout=total_timeout,
            connections=connections,
            proxy=proxy,
        ),
        HttpTarget.name: HttpTarget(
            egress=egress or Egress(),
            proxy=proxy,
            connect_timeout=connect_timeout,
            total_timeout=total_timeout,
            longest=longest,
            connections=connections + long_connections,
            keep_internal=keep_internal,
        ),
        **{kind.name: kind(caller) for kind in (*NAMED, AwsTarget)},
    }
