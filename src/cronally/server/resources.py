"""What a process stands on, as the settings say: its database with the vault that belongs to it, its targets, and what
tenants can do with them."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from cronally import errors
from cronally.clock import zones
from cronally.contract.http_requests import MAX_TIMEOUT
from cronally.engine import alerting, proofs
from cronally.instants import SECOND
from cronally.operations import Operations
from cronally.server import keys as sealing
from cronally.server.settings import Settings
from cronally.store import Store, open_store, parse_url, readable, zonedata
from cronally.targets.build import build_targets
from cronally.targets.egress import Egress
from cronally.targets.mail.mail import Mail
from cronally.targets.mail.server import parse_smtp_url
from cronally.targets.proxy import Proxy, parse_proxy
from cronally.targets.target import Target
from cronally.vault import Vault

_log = logging.getLogger(__name__)


def is_sqlite(settings: Settings) -> bool:
    """Whether the database is a file, which belongs to one process."""
    return parse_url(settings.database_url.get_secret_value()).get_backend_name() == "sqlite"


@contextlib.asynccontextmanager
async def open_database(
    settings: Settings, pool_size: int | None = None
) -> AsyncIterator[tuple[Store, Vault]]:
    """The store and the vault whose keys belong to it.

    :param pool_size: connections to PostgreSQL; as many as the settings allow by default
    """
    url = parse_url(settings.database_url.get_secret_value())
    keys = settings.sealing_keys.get_secret_value() if settings.sealing_keys else None
    if keys is None and not is_sqlite(settings):
        raise errors.SettingsError(
            "CRONALLY_SEALING_KEYS: required on PostgreSQL, the same on every node. Make one with:"
            " python3 -c \"import base64, os; print('k1:' + base64.b64encode(os.urandom(32)).decode())\""
        )
    size = settings.database_pool_size if pool_size is None else pool_size
    is_new = is_sqlite(settings) and not os.path.exists(url.database or "")  # noqa: ASYNC240 - once, at the start
    store = await open_store(settings.database_url.get_secret_value(), pool_size=size)
    try:
        if keys is None:
            keys = await sealing.own_keys(store, Path(f"{url.database}.keys"))
        vault = sealing.open_vault(keys)
        await sealing.check(store, vault)
        await sealing.do_chore(store, vault)
        if is_new:
            # From another folder a relative path leads to another file.
            _log.info("made a new, empty database", extra={"database": readable(url)})
        yield store, vault
    finally:
        await store.close()


def _proxy(settings: Settings) -> Proxy | None:
    if settings.egress_proxy is None:
        return None
    return parse_proxy(settings.egress_proxy.get_secret_value(), resolves=settings.egress_proxy_resolves)


@contextlib.asynccontextmanager
async def open_targets(settings: Settings) -> AsyncIterator[Mapping[str, Target]]:
    """What messages are delivered to, by name."""
    timeout = settings.request_timeout / SECOND
    try:
        targets = build_targets(
            sns_endpoint=settings.aws_endpoint_url_sns or settings.aws_endpoint_url,
            sts_endpoint=settings.aws_endpoints.get("AWS_ENDPOINT_URL_STS") or settings.aws_endpoint_url,
            aws_endpoints=settings.aws_endpoints,
            aws_identity=settings.aws_identity,
            connect_timeout=min(5.0, timeout),
            total_timeout=timeout,
            longest=MAX_TIMEOUT / SECOND if settings.long_in_flight else timeout,
            long_connections=settings.long_in_flight,
            # As many as firings are sent at once, and alerts and what looks for proofs beside them.
            connections=settings.in_flight + proofs.AT_ONCE + alerting.PLACES,
            egress=Egress(
                map(str, settings.http_allowed_networks),
                map(str, settings.http_denied_networks),
                allowed_hosts=settings.http_allowed_hosts,
                denied_hosts=settings.http_denied_hosts,
            ),
            proxy=_proxy(settings),
            keep_internal=settings.http_keep_internal_answers,
        )
    except ValueError as problem:
        raise errors.SettingsError(str(problem)) from problem
    try:
        yield targets
    finally:
        for target in targets.values():
            await target.close()


def make_mail(settings: Settings) -> Mail | None:
    """What sends mail, for one event loop; None where the operator has set up none."""
    url = settings.smtp_url.get_secret_value() if settings.smtp_url else ""
    if not url or settings.smtp_sender is None:
        return None
    server = parse_smtp_url(url, plain=settings.smtp_tls == "off")
    return Mail(server, settings.smtp_sender, timeout=settings.request_timeout / SECOND)


def make_operations(
    settings: Settings, store: Store, vault: Vault, targets: Mapping[str, Target]
) -> Operations:
    """What tenants can do, as the settings say."""
    return Operations(
        store,
        vault,
        targets,
        max_cronjobs=settings.max_cronjobs_per_account,
        max_bytes=settings.max_bytes_per_account,
        max_connections=settings.max_connections_per_account,
        signups_per_minute=settings.signups_per_minute,
        min_interval=settings.min_interval,
        retention=settings.retention,
        max_channels=settings.max_channels_per_account,
        mail=make_mail(settings),
        public_url=settings.public_url,
    )


async def record_zone_data(store: Store) -> None:
    """Answer from these zone data as long as the process lives, and let the other nodes know which they are."""
    zones.hold()
    now = await store.begin_clock()
    await store.transact(lambda connection: zonedata.record_version(connection, zones.version(), now))
