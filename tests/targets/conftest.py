"""What the tests of targets share: a firing to send, and an SNS that follows a script."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from cronally.firing import firing_id
from cronally.targets.pool import Pool
from cronally.targets.sns.target import SnsTarget
from cronally.targets.target import Destination, Message
from tests.support.sampling import take_turns
from tests.support.scripted import ScriptedServer, answer


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The server runs on uvloop, a library may run on asyncio's own loop: they tell of failures differently."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_itemcollected(item: pytest.Item) -> None:
    take_turns(item, "_asyncio_loop_factory")


CANARY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYCANARYKEY0"
ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:my-topic"
SCHEDULED_AT = 1_795_507_200_000_000  # 2026-11-24T08:00:00Z
CRONJOB_ID = "5a1d7a1e-5d7c-4f2a-9a2e-0d6f3f1c2b4a"

PUBLISHED = (
    # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Examples
    '<PublishResponse xmlns="https://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>'
    "<MessageId>567910cd-659e-55d4-8ccb-5aaf14679dc0</MessageId></PublishResult><ResponseMetadata>"
    "<RequestId>d74b8436-ae13-5ab4-a9ff-ce54dfea72a0</RequestId></ResponseMetadata></PublishResponse>"
)


def make_message(**changes: Any) -> Message:
    """A firing's message."""
    values: dict[str, Any] = {
        "firing_id": firing_id(CRONJOB_ID, SCHEDULED_AT),
        "cronjob_id": CRONJOB_ID,
        "cronjob_name": "nightly report",
        "scheduled_at": SCHEDULED_AT,
        "attempt": 1,
    }
    return Message(**{**values, **changes})


def make_destination(**changes: str) -> Destination:
    """A topic and keys, by the parameters' names without `sns_`."""
    public = {
        "sns_topic": TOPIC,
        "sns_message": "time to report",
        "sns_region": "eu-west-1",
        "sns_access_key_id": ACCESS_KEY_ID,
    }
    secret = changes.pop("secret_access_key", CANARY)
    return Destination(
        "sns",
        {**public, **{f"sns_{name}": value for name, value in changes.items()}},
        {"sns_secret_access_key": secret},
    )


@asynccontextmanager
async def occupied(pool: Pool) -> AsyncIterator[None]:
    """The pool's only connection is in use."""
    await pool._free.acquire()
    yield
    pool._free.release()


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A scripted server that answers as SNS does when a publish succeeds, unless told otherwise."""
    async with ScriptedServer(answer(200, PUBLISHED)) as scripted:
        yield scripted


@pytest.fixture
async def sns(server: ScriptedServer) -> AsyncIterator[SnsTarget]:
    """The target, towards the scripted server."""
    target = SnsTarget(endpoint=server.url, connect_timeout=5, total_timeout=5, connections=4)
    yield target
    await target.close()


@dataclass(frozen=True)
class Certificate:
    """A certificate for 127.0.0.1 that has signed itself."""

    file: Path

    def server_context(self) -> ssl.SSLContext:
        """TLS of a server that shows it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        return context

    def client_context(self) -> ssl.SSLContext:
        """TLS of a client that trusts it."""
        return ssl.create_default_context(cafile=str(self.file))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate that nobody trusts unless asked to."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(
        signed.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return Certificate(file)
