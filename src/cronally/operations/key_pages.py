"""Key pages: what may be known of the keys that a connection makes message signatures with, and by whom.

Invariant: nothing sealed is opened for a stranger: the public halves were stored when the secrets were given. Who knows
the id of a connection learns the public keys that it signs with now, and nothing of whose it is; of a connection
without any, of none, and of what is no id there is the same answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cronally import errors, wire
from cronally.contract.connections import SignatureFormat
from cronally.contract.key_pages import KeySet, PublicKey
from cronally.store import Store, connections
from cronally.targets.http.signing_keys import FORMAT, ID, KEYS, PUBLIC_HALF


class KeyPages:
    """The key pages of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, connection_id: str, now: int) -> KeySet:
        """The public keys that requests of a connection are signed with. Raises NotFound where there are none.

        :param now: an instant: former keys end
        """
        if not wire.UUID.fullmatch(connection_id):
            raise errors.NotFound()
        found = await self._store.transact(
            lambda connection: connections.find_public(connection, connection_id, now)
        )
        keys = [] if found is None else live_keys(json.loads(found[0]), former=found[1])
        public = tuple(PublicKey(x=key[PUBLIC_HALF], kid=key[ID]) for key in keys if PUBLIC_HALF in key)
        if not public:
            raise errors.NotFound()
        return KeySet(keys=public)


def live_keys(public: Mapping[str, Any], *, former: bool) -> Sequence[Mapping[str, str]]:
    """What may be known of the keys that a connection makes message signatures with.

    :param public: what may be shown of it, as it is stored
    :param former: whether its former secrets go on
    """
    keys: Sequence[Mapping[str, str]] = public.get(KEYS, ())
    return keys if former else keys[:1]


def shown_signing(connection_id: str, public: Mapping[str, Any], *, former: bool) -> dict[str, Any]:
    """What the answer with a connection says of how it signs; nothing of one that does not.

    :param former: as of `live_keys`
    """
    if not public.get("signs"):
        return {}
    keys = live_keys(public, former=former)
    return {
        FORMAT: public.get(FORMAT, SignatureFormat.STANDARD_WEBHOOKS),
        "signing_key_ids": tuple(key[ID] for key in keys) or None,
        "keys_path": f"/keys/{connection_id}/" if any(PUBLIC_HALF in key for key in keys) else None,
    }
