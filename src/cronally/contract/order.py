"""Whether the firings of a cron job are sent one after the other.

Invariant: decided here alone, from what is stored, so that what an answer says is what a claim does.
"""

from __future__ import annotations

import re
from typing import Final

from cronally.cronjob import Overlap, read_policies

FIFO: Final = ".fifo"
"""How the ARN of a FIFO topic or queue ends (https://docs.aws.amazon.com/sns/latest/dg/sns-fifo-topics.html)."""

# A message may have 256 KB, so the text is searched, not parsed. Inside a value a quote is escaped: this matches the
# parameter, and nothing that a tenant writes into another one.
_FIFO_TOPIC: Final = re.compile(rf'"(?:sns_topic|sqs_queue)": ?"[^"\\]*{re.escape(FIFO)}"')


def is_fifo(destination: str) -> bool:
    """Whether the public parameters of a target, JSON, name a FIFO topic."""
    # Every claim passes here twice: most have no such text at all, which is known in a tenth of the time.
    return FIFO in destination and _FIFO_TOPIC.search(destination) is not None


def keeps_order(policies: str, destination: str) -> bool:
    """Whether a later firing waits until the earlier ones of its cron job are finished.

    :param policies: JSON, as it is stored
    :param destination: JSON of the target's public parameters
    """
    return read_policies(policies).ordered or is_fifo(destination)


def takes_turns(policies: str, destination: str) -> bool:
    """Whether a later firing waits for the earlier ones: the cron job keeps the order, or queues what would overlap.

    The parameters are those of `keeps_order`.
    """
    chosen = read_policies(policies)
    return chosen.ordered or chosen.overlap == Overlap.QUEUE or is_fifo(destination)
