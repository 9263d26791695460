"""Hosts that an account proves to be its own: what is to be shown where, and whether it is.

Invariant: a proof is the account's and for exactly one name and port. It is looked for as test messages are sent
(`verifying`): bounded together with them, to addresses alone that firings may go to.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from cronally import errors
from cronally.contract import hosts as contract
from cronally.contract.audit import Action
from cronally.contract.hosts import MAX_HOSTS, WELL_KNOWN, NewHost
from cronally.contract.reading import Reading
from cronally.contract.writing import make_answer
from cronally.instants import to_datetime
from cronally.operations.caller import Caller
from cronally.operations.deeds import Deed
from cronally.operations.lists import Page
from cronally.operations.parts import change
from cronally.operations.verifying import Verifier
from cronally.store import Store, accounts, host_proofs
from cronally.store.audit_subjects import Subject
from cronally.store.host_proofs import HostProof
from cronally.targets.connected import URL_PARAMETER
from cronally.targets.host import check_host_and_port
from cronally.targets.proving import ProvingTarget
from cronally.targets.target import Target

NO_HOST: Final = "There is no such host; GET /account/hosts/ lists those of the account."
_HTTP: Final = "http"


class Proving:
    """The hosts of the accounts of one store."""

    def __init__(self, store: Store, targets: Mapping[str, Target], verifier: Verifier) -> None:
        self._store = store
        self._targets = targets
        self._verifier = verifier

    async def add(self, caller: Caller, reading: Reading[NewHost]) -> contract.Host:
        """Say what a host is to show, the same each time. Raises InvalidRequest, and Forbidden when the account has as
        many as it may."""
        if "host" in reading.values:
            self._check(reading)
        reading.raise_complaints()
        now = await self._store.clock()
        wanted = HostProof(
            caller.account_id,
            reading.values["host"],
            f"{WELL_KNOWN}{secrets.token_hex(16)}",
            f"cronally-host={secrets.token_urlsafe(32)}",
            now,
        )
        deed = Deed(caller, Action.HOST_ADD, Subject.HOST, wanted.host)
        return _answer(await change(self._store, deed, now, lambda connection: _add(connection, wanted)), now)

    def _check(self, reading: Reading[NewHost]) -> None:
        host = reading.check("host", lambda: check_host_and_port(reading.values["host"]))
        if host is not None:
            for complaint in self._targets[_HTTP].check({URL_PARAMETER: f"https://{host}/"}).values():
                reading.complain("host", ValueError(complaint))

    async def list_hosts(self, caller: Caller) -> Page[contract.Host]:
        """All hosts of the account, by name."""
        now = await self._store.clock()
        found = await self._store.transact(
            lambda connection: host_proofs.list_hosts(connection, caller.account_id, MAX_HOSTS)
        )
        return Page([_answer(one, now) for one in found], None)

    async def verify(self, caller: Caller, host: str) -> contract.Host:
        """Look now whether a host shows what it is to show. Raises NotFound and RateLimited."""
        proof = await self._store.transact(
            lambda connection: _existing(connection, caller.account_id, _written(host))
        )
        target = self._targets[_HTTP]
        if not isinstance(target, ProvingTarget):
            raise errors.Unavailable("This server has nothing that could look at a host; ask its operator.")
        name = target.host(f"https://{proof.host}/")
        found, _ = await self._verifier.ask(
            caller.account_id,
            {name},
            lambda: target.find_proof(proof.host, proof.path, proof.text, caller.account_id),
        )
        now = await self._store.clock()

        def record(connection: Connection) -> HostProof:
            if found.detail is None:
                host_proofs.record_found(connection, proof, now)
            else:
                host_proofs.record_missed(connection, proof, now, found.detail, final=found.final)
            return _existing(connection, proof.account_id, proof.host)

        deed = Deed(caller, Action.HOST_VERIFY, Subject.HOST, proof.host)
        return _answer(await change(self._store, deed, now, record), now)

    async def remove(self, caller: Caller, host: str) -> contract.Host:
        """Delete a host; its proof ends. Raises NotFound."""
        now = await self._store.clock()

        def work(connection: Connection) -> HostProof:
            accounts.lock_account(connection, caller.account_id)
            found = _existing(connection, caller.account_id, _written(host))
            host_proofs.delete_host(connection, caller.account_id, found.host)
            return found

        deed = Deed(caller, Action.HOST_REMOVE, Subject.HOST, _written(host))
        return _answer(await change(self._store, deed, now, work), now)


def _add(connection: Connection, wanted: HostProof) -> HostProof:
    accounts.lock_account(connection, wanted.account_id)
    known = host_proofs.get_host(connection, wanted.account_id, wanted.host)
    if known is not None:
        return known
    if host_proofs.count_hosts(connection, wanted.account_id) >= MAX_HOSTS:
        raise errors.Forbidden(
            f"The account has {MAX_HOSTS} hosts, as many as it may have; remove one first."
        )
    host_proofs.insert_host(connection, wanted)
    return wanted


def _written(host: str) -> str:
    """A host as it is kept, which is how it was added, whichever way it is written."""
    try:
        return check_host_and_port(host)
    except ValueError:  # which is that of no host
        return host


def _existing(connection: Connection, account_id: str, host: str) -> HostProof:
    found = host_proofs.get_host(connection, account_id, host)
    if found is None:
        raise errors.NotFound(NO_HOST)
    return found


def _answer(proof: HostProof, now: int) -> contract.Host:
    proven = proof.holds(now)
    return make_answer(
        contract.Host,
        proof,
        proven=proven,
        url=f"https://{proof.host}{proof.path}",
        proven_until=to_datetime(proof.proven_until) if proven and proof.proven_until else None,
    )
