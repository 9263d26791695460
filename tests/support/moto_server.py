"""moto's server, run as a program, with one gap filled: a policy on one topic is held to that topic.

moto compares the resource of a policy with what a service's `_determine_resource` names, and with `*` where a
service has none. SNS has none, so that `"Resource": "<a topic's ARN>"` would never match. Here it has one.
"""

from __future__ import annotations

from moto.server import main
from moto.sns.responses import SNSResponse


def _determine_resource(request: SNSResponse) -> str:
    return request._get_param("TopicArn") or "*"


if __name__ == "__main__":
    SNSResponse._determine_resource = _determine_resource  # type: ignore[attr-defined]
    main()
