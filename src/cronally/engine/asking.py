"""The URL that goes with a firing whose receiver is to say that its work is done.

Invariant: a firing that asks for an acknowledgement is never sent without it: nobody could give one in time.
"""

from __future__ import annotations

from cronally.ack_links import AckLinks
from cronally.store.claims import Claim


class NotAskable(ValueError):
    """No acknowledgement can be asked for here. The message is a sentence that says why."""


def ack_url_of(claim: Claim, links: AckLinks | None) -> str:
    """Where the receiver of a claim says that its work is done. Raises NotAskable."""
    url = None if links is None else links.url(claim.key, claim.attempts_before)
    if url is None:
        raise NotAskable(
            "It asks for an acknowledgement, and the server has no CRONALLY_PUBLIC_URL for its receiver to call."
        )
    return url
