"""Secrets leave only towards the target they were given for: canaries through every kind of failure, then a search.

Searched is all that came out of the servers and all that they left behind: logs at level debug, every answer of the
API but an account's own, what the CLI printed, `/metrics`, the database's files and a dump of every table. For each
secret it looks for the text, the bytes, their hex and their base64 in each of its three alignments.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import asyncpg
import pytest

from tests.acceptance.hosted_client import HostedClient
from tests.acceptance.ledger import Seed, now, read_ledger, seed
from tests.acceptance.nodes import EVERYTHING, Cluster
from tests.acceptance.receiver import Publish, Receiver, accept, cut, hang, refuse
from tests.support.cronally_server import CLI
from tests.support.sampling import first

TOPIC = "arn:aws:sns:us-east-1:123456789012:topic"
SNS = {
    "name": "canary",
    "cron": "0 0 29 2 *",
    "sns_topic": TOPIC,
    "sns_message": "canary",
    "sns_region": "us-east-1",
}
DEBUG = {"CRONALLY_LOG_LEVEL": "debug", "CRONALLY_SIGNUP": "token"}


def needles(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """What a secret looks like where somebody wrote it down."""
    yield "as it is", secret
    yield "in hex", secret.hex().encode()
    yield "in HEX", secret.hex().upper().encode()
    for offset in range(3):
        # The characters that hold bits of the neighbours are cut off.
        encoded = base64.b64encode(b"\0" * offset + secret)
        start = (offset * 8 + 5) // 6
        yield f"in base64 at {offset}", encoded[start : (offset + len(secret)) * 8 // 6]


def find(secret: bytes, name: str, content: bytes, where: str) -> None:
    """Fail if the secret stands there."""
    for how, needle in needles(secret):
        assert needle not in content, f"{name} stands in {where}, {how}"


def dump(url: str) -> bytes:
    """Every value of every row of every table of a PostgreSQL database: texts as UTF-8, bytes as they are."""

    async def read() -> bytes:
        connection = await asyncpg.connect(url)
        try:
            names = await connection.fetch(
                "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            )
            assert len(names) >= 8
            values: list[bytes] = []
            for (name,) in names:
                for row in await connection.fetch(f"SELECT * FROM {name}"):  # noqa: S608 - from the catalogue
                    values += [value if isinstance(value, bytes) else str(value).encode() for value in row]
            return b"\n".join(values)
        finally:
            await connection.close()

    return asyncio.run(read())


def test_needles__find_what_they_are_for() -> None:
    secret = secrets.token_bytes(32)
    for prefix in (b"", b"x", b"xy", b"xyz"):
        encoded = base64.b64encode(prefix + secret + b"tail")
        assert any(needle in encoded for _, needle in needles(secret))
    with pytest.raises(AssertionError, match="in hex"):
        find(secret, "it", secret.hex().encode(), "there")


@first("sqlite")
def test_secrets__are_nowhere_after_every_kind_of_failure(cluster: Cluster, receiver: Receiver) -> None:
    iam = "wJalrXUtnFEMI/K7MDENG+" + secrets.token_hex(9)
    replaced = "bPxRfiCYEXAMPLE" + secrets.token_hex(12)
    token = "token-" + secrets.token_hex(16)
    identity = "wJalrXUtnFEMI+" + secrets.token_hex(16)
    settings = {
        **DEBUG,
        "CRONALLY_SIGNUP_TOKEN": token,
        "CRONALLY_AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7IDENTITY",
        "CRONALLY_AWS_SECRET_ACCESS_KEY": identity,
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
    }
    printed: list[bytes] = []

    async def echo(publish: Publish) -> bytes:
        """Refuse as AWS does, and repeat what was signed; and, as no AWS does, the secret itself."""
        said = f"The request signature we calculated does not match. {publish.authorization} {iam}"
        return await refuse(403, "SignatureDoesNotMatch", said)(publish)  # type: ignore[return-value]

    receiver.answers = {f"{TOPIC}-echo": echo, f"{TOPIC}-hang": hang, f"{TOPIC}-cut": cut}
    with cluster.node(roles=EVERYTHING, settings=settings) as node:
        client = HostedClient(node.wait_until_started().url)
        assert client.send("POST", "/account/", {"email": "canary@example.com"})[0] == 401
        client.create_account("canary@example.com", **{"X-Cronally-Signup-Token": token})
        client.account()
        api_secret = client.api_secret
        client.answers.clear()  # the account's own answers, which hold its API secret as the reference says
        wrong_requests(client, iam, token)
        parameters = {**SNS, "sns_access_key_id": "AKIAIOSFODNN7EXAMPLE", "sns_secret_access_key": iam}
        made = [
            client.add_cronjob(**{**parameters, "sns_topic": f"{TOPIC}-{kind}"})
            for kind in ("echo", "hang", "cut")
        ]
        path = f"/cronjob/{made[0]['response']['cronjob_id']}/"
        client.signed(
            "PATCH", path, {"sns_secret_access_key": replaced, "sns_access_key_id": "AKIAIOSFODNN7ANOTHER"}
        )
        connections = connect(client, receiver)
        printed.append(client_prints(client, cluster.folder, iam))
        client.signed("GET", path)
        client.signed("GET", f"{path}firings/")
        client.cronjobs()
        node.stop()

    # The same secrets in cron jobs that fire now: refused with an echo, unanswered, cut off; then killed while sending.
    start = now()
    seeds = [
        Seed(start, account="canary", topic=f"{TOPIC}-{kind}", secret_access_key=iam)
        for kind in ("echo", "hang", "cut", "good")
    ]
    seed(cluster.url, cluster.keys, seeds)
    with cluster.node(crash_at="send.after:2", settings=settings) as node:
        node.wait_until_killed()
    with cluster.node(roles=EVERYTHING, settings=settings) as node:
        running = HostedClient(node.wait_until_started().url, client.api_key, api_secret)
        receiver.wait_until(
            lambda got: (
                {one.topic for one in seeds} <= {publish.topic for publish in got if publish.attempt > 1}
            )
        )
        metrics = raw_get(running, "/metrics")
        assert b"cronally_firings_total" in metrics
        running.signed("GET", "/account/firings/")
        node.stop()
    receiver.answer = accept
    # Settings that cannot be used, and keys of another database: refused with a word about it.
    wrong_keys = {**settings, "CRONALLY_SEALING_KEYS": cluster.keys.replace(":", ":A")}
    wrong_lease = {**settings, "CRONALLY_LEASE": token}
    with cluster.node(settings=wrong_keys) as one, cluster.node(settings=wrong_lease) as other:
        assert (one.process.wait(20), other.process.wait(20)) == (1, 1)

    ledger = read_ledger(cluster.url)
    assert {attempt.outcome for attempt in ledger.attempts} >= {"unauthorized", "unknown"}, "they did fail"
    places = {
        **{f"the log {path.name}": path.read_bytes() for path in cluster.folder.glob("*.log")},
        "an answer": b"\n".join(client.answers + running.answers),
        "what the CLI printed": b"\n".join(printed),
        "/metrics": metrics,
        "the database": database_bytes(cluster.url),
        "the ledger as it is read": repr(ledger).encode(),
    }
    assert len(places) >= 9
    assert b'"event": "stopped"' in b"".join(places.values()), "the logs were written to their end"
    for name, secret in {
        "the API secret": base64.b64decode(api_secret),
        "the API secret's text": api_secret.encode(),
        "the IAM secret": iam.encode(),
        "the IAM secret that replaced it": replaced.encode(),
        "the sign-up token": token.encode(),
        "the server's own IAM secret": identity.encode(),
        **connections,
        "the sealing key": base64.b64decode(cluster.keys.split(":")[1]),
    }.items():
        for where, content in places.items():
            find(secret, name, content, where)


def connect(client: HostedClient, receiver: Receiver) -> dict[str, bytes]:
    """Connections that are made, refused, changed with an overlap, used and asked for; the secrets in them, by name."""
    held = {
        name: f"{name}-{secrets.token_hex(16)}"
        for name in ("key", "newkey", "session", "token", "newtoken", "header", "password")
    }
    held["signing"] = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    key = {"name": "keys", "kind": "aws", "aws_access_key_id": "ASIAIOSFODNN7EXAMPLE"}
    key |= {"aws_secret_access_key": held["key"], "aws_session_token": held["session"]}
    web = {"name": "web", "kind": "http", "base_url": "https://1.1.1.1/in", "token": held["token"]}
    web |= {"headers": f"X-Key: {held['header']}", "signing_secret": held["signing"]}
    for good in (key, web):
        for wrong in ({"name": "-"}, {"colour": held["key"]}, {"aws_access_key_id": held["key"]}):
            parameters = {**good, **wrong}
            signed = client.signature("POST", "/connection/")
            assert client.send("POST", "/connection/", parameters, signed)[0] == 400
        client.signed("POST", "/connection/", good)
    renewed = {"aws_access_key_id": "AKIAIOSFODNN7ANOTHER", "aws_secret_access_key": held["newkey"]}
    client.signed("PATCH", "/connection/keys/", {**renewed, "overlap": "24h"})
    client.signed("PATCH", "/connection/web/", {"token": held["newtoken"], "overlap": "24h"})
    client.signed("PATCH", "/connection/web/", {"username": "cron", "password": held["password"]})

    role = {"name": "role", "kind": "aws", "aws_role_arn": "arn:aws:iam::123456789012:role/cronally"}
    client.signed("POST", "/connection/", role)
    client.signed("POST", "/connection/role/verify/")

    async def echo(publish: Publish) -> bytes:
        """Refuse, and repeat, as no AWS does, the secret that it was signed with."""
        used = held["newkey" if renewed["aws_access_key_id"] in publish.authorization else "key"]
        said = f"{publish.authorization} {used}"
        return await refuse(403, "SignatureDoesNotMatch", said)(publish)  # type: ignore[return-value]

    topic = f"{TOPIC}-connection"
    receiver.answers[topic] = echo
    uses = {name: value for name, value in SNS.items() if name != "sns_topic"}
    made = client.add_cronjob(**uses, sns_topic=topic, connection="keys")
    client.signed("POST", f"/cronjob/{made['response']['cronjob_id']}/run/", {})
    receiver.wait_until(lambda got: any(publish.topic == topic for publish in got))
    client.signed("GET", "/connection/keys/")
    client.signed("GET", "/connections/")
    client.cronjobs()
    return {f"the {name} of a connection": value.encode() for name, value in held.items()}


def wrong_requests(client: HostedClient, iam: str, token: str) -> None:
    """Requests that are refused, with secrets where they belong and where they don't."""
    good = client.signature("POST", "/cronjob/")
    for headers in (
        {**good, "X-Cron-Signature": client.api_secret},
        {**good, "X-Cron-Key": client.api_secret},
        {**good, "X-Cron-Date": client.api_secret},
        {"Authorization": client.api_secret},
    ):
        assert client.send("POST", "/cronjob/", {"sns_secret_access_key": iam}, headers)[0] == 401
    for parameters in (
        {"sns_secret_acces_key": iam},
        {"sns_secret_access_key": iam},
        {"sns_secret_access_key": iam * 100},
        {"name": "x", "cron": "61 * * * *", "sns_topic": "no topic", "sns_secret_access_key": iam},
        {**SNS, "sns_access_key_id": iam, "sns_secret_access_key": "AKIAIOSFODNN7EXAMPLE"},
    ):
        status, _ = client.send("POST", "/cronjob/", parameters, client.signature("POST", "/cronjob/"))
        assert status == 400
    assert client.send("POST", "/account/", {"email": "x"}, {"X-Cronally-Signup-Token": token})[0] == 400
    assert client.send("GET", f"/{token}/{client.api_secret}")[0] == 404


def client_prints(client: HostedClient, home: Path, iam: str) -> bytes:
    """What the CLI says about things that fail and things that don't, on both streams."""
    keys = ("--sns-access-key-id", "AKIA", "--sns-region", "us-east-1")
    return run_cli(
        client,
        home,
        ["account"],
        ["account", "--json"],
        ["add", "--name", "x", "--cron", "61 * * * *", "--sns-topic", "no", "--sns-message", "x", *keys],
        ["update", "no-such-id", *keys],
        CRONALLY_SNS_SECRET_ACCESS_KEY=iam,
    )


def run_cli(client: HostedClient, home: Path, *commands: list[str], **environ: str) -> bytes:
    """What these commands print, which run at the same time."""
    environ |= {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CRONALLY_URL": client.url,
        "CRONALLY_API_KEY": client.api_key,
        "CRONALLY_API_SECRET": client.api_secret,
    }
    running = [
        subprocess.Popen(
            [*CLI, *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for arguments in commands
    ]
    return b"\n".join(process.communicate(timeout=60)[0] for process in running)


def raw_get(client: HostedClient, path: str) -> bytes:
    """A body that is not JSON."""
    with build_opener(ProxyHandler({})).open(client.url + path, timeout=60) as answer:
        body: bytes = answer.read()
    return body


def database_bytes(url: str) -> bytes:
    """What stands on the disk, or in the tables."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        files = [*path.parent.glob(f"{path.name}*")]
        assert path in files
        return b"\n".join(file.read_bytes() for file in files)
    return dump(url)
