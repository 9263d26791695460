"""What a process stands on, as the settings say: its database with the vault that belongs to it, its targets, and what
tenants can do with them."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from cronally import errors
from cronally.ack_links import AckLinks
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
    check_keys(settings)
    size = settings.database_pool_size if pool_size is None else pool_size
    is_new = is_sqlite(settings) and not os.path.exists(url.database or "")  # noqa: ASYNC240 - once, at the start
    store = await open_store(settings.database_url.get_secret_value(), pool_size=size)
    try:
        vault = sealing.open_vault(await required_keys(settings, store))
        await sealing.check(store, vault)
        await sealing.do_chore(store, vault)
        vault = await sealing.with_token_key(store, vault)
        if is_new:
            # From another folder a relative path leads to another file.
            _log.info("made a new, empty database", extra={"database": readable(url)})
        yield store, vault
    finally:
        await store.close()


def check_keys(settings: Settings) -> None:
    """Raise `errors.SettingsError` where there are no sealing keys and none can be made."""
    if settings.sealing_keys is None and not is_sqlite(settings):
        raise errors.SettingsError(
            "CRONALLY_SEALING_KEYS: required on PostgreSQL, the same on every node. Make one with:"
            " python3 -c \"import base64, os; print('k1:' + base64.b64encode(os.urandom(32)).decode())\""
        )


async def required_keys(settings: Settings, store: Store) -> str:
    """The sealing keys that belong to a database: those of the settings, or on SQLite those beside the file."""
    check_keys(settings)
    if settings.sealing_keys is not None:
        return settings.sealing_keys.get_secret_value()
    url = parse_url(settings.database_url.get_secret_value())
    return await sealing.own_keys(store, Path(f"{url.database}.keys"))


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


def make_links(settings: Settings, vault: Vault) -> AckLinks | None:
    """What makes and reads acknowledgement URLs; None without their key."""
    return None if vault.token_key is None else AckLinks(vault.token_key, settings.public_url)


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
        requests_per_minute=settings.requests_per_minute,
        request_seconds_per_minute=settings.request_seconds_per_minute,
        in_flight=settings.in_flight_per_account,
        signups_per_minute=settings.signups_per_minute,
        min_interval=settings.min_interval,
        retention=settings.retention,
        account_grace=settings.account_grace,
        links=make_links(settings, vault),
        max_channels=settings.max_channels_per_account,
        mail=make_mail(settings),
        public_url=settings.public_url,
    )


async def record_zone_data(store: Store) -> None:
    """Answer from these zone data as long as the process lives, and let the other nodes know which they are."""
    zones.hold()
    now = await store.begin_clock()
    await store.transact(lambda connection: zonedata.record_version(connection, zones.version(), now))
