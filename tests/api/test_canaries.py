"""Secrets of every kind that the contract declares, in everything that the API answers: none is in any of it.

What is secret, and which routes there are, is read from the contract and from the description of the API, so that a
new secret or a new route is looked at without a line here, or fails until it is.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import pytest

from cronally.contract import channel_requests
from cronally.contract.attribute import declared
from cronally.contract.connection_requests import PARAMETERS
from cronally.contract.connections import Kind
from cronally.contract.targets import TARGETS, parameters_of
from tests.api.serving import Api, Client, sign_up
from tests.operations.parameters import AWS, HTTP, SNS
from tests.operations.test_aws import OF
from tests.support.certificates import Authority
from tests.support.factories import CANARY, LINKS

SIGNING: Final = f"whsec_{base64.b64encode(CANARY.encode() * 3)[:32].decode()}"
SEED: Final = (CANARY.encode() * 3)[:32]
ASYMMETRIC: Final = f"whsk_{base64.b64encode(SEED).decode()}"
URL: Final = f"https://user:{CANARY}@1.1.1.1/in?token={CANARY}"
KEYS: Final = {
    "aws_region": "eu-west-1",
    "aws_access_key_id": "ASIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key": f"{CANARY}secret",
    "aws_session_token": f"{CANARY}session",
}
OF_HTTP: Final = {**HTTP, "delivery_http_url": URL, "delivery_http_signing_secret": SIGNING}
JOBS: Final[Mapping[str, Mapping[str, Any]]] = {
    "sns": {**SNS, "sns_secret_access_key": f"{CANARY}secret"},
    "http": OF_HTTP,
    **{
        kind: {
            "name": kind,
            "cron": "0 8 * * *",
            **KEYS,
            **(of if kind != "ecs" else {"ecs_task_definition": "t"}),
        }
        for kind, of in OF.items()
    },
}
WEB: Final = {"kind": "http", "base_url": "https://1.1.1.1/in", "headers": f"X-Key: {CANARY}header"}
AUTHORITY: Final = Authority()
ISSUED: Final = AUTHORITY.issue()
CONNECTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "keys": {**AWS, **KEYS, "name": "keys"},
    "basic": {**WEB, "name": "basic", "username": "cron", "password": f"{CANARY}password"},
    "bearer": {**WEB, "name": "bearer", "token": f"{CANARY}token", "signing_secret": SIGNING},
    "oauth2": {
        **WEB,
        "name": "oauth2",
        "token_url": "https://1.1.1.1/token",
        "client_id": "cronally",
        "client_secret": f"{CANARY}client",
    },
    "certificate": {
        **WEB,
        "name": "certificate",
        "client_certificate": ISSUED.certificate,
        "client_key": ISSUED.key,
        "ca_certificates": AUTHORITY.certificate,
    },
    "keys-page": {
        **WEB,
        "name": "keys-page",
        "token": f"{CANARY}token",
        "signing_secret": ASYMMETRIC,
        "signature_format": "both",
    },
}
CHANNELS: Final[Mapping[str, Mapping[str, Any]]] = {
    "hook": {"name": "hook", "kind": "http", "webhook_url": URL, "signing_secret": SIGNING},
    "chat": {"name": "chat", "kind": "slack", "webhook_url": f"https://1.1.1.1/services/{CANARY}"},
    "topic": {
        "name": "topic",
        "kind": "sns",
        "sns_topic": "arn:aws:sns:eu-west-1:123456789012:alerts",
        "sns_region": "eu-west-1",
        "sns_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "sns_secret_access_key": f"{CANARY}secret",
    },
}
TOKEN: Final = "x" * 43
KEY_LINES: Final = ISSUED.key.splitlines()[1:-1]
NEEDLES: Final = (
    *(CANARY, SIGNING, ASYMMETRIC, *KEY_LINES, base64.urlsafe_b64encode(SEED).decode().rstrip("=")),
    base64.b64encode(f"cron:{CANARY}password".encode()).decode(),
)
AT: Final = "2026-11-24T08:00:00Z"
QUERIES: Final = {
    "/cronjob/{cronjob_id}/explain/": f"?at={AT}",
    "/schedule/preview/": "?cron=0+8+*+*+*",
}
KEY: Final = "canary"
"""What the API key is called that is made here."""
ABSENT: Final = {"{scheduled_at}", "{name}", "{freeze_id}", "{operation_id}", "{rule_id}"}
"""Of what is in none of these paths: a secret is a cron job's, a connection's or a channel's."""


def secrets_of(parameters: Mapping[str, Any]) -> set[str]:
    """The parameters that are sealed, whole or where they hold secrets."""
    return {name for name, one in parameters.items() if one.attribute.secret or name == "delivery_http_url"}


@pytest.mark.parametrize("target", TARGETS)
def test_canaries__are_in_every_secret_of_a_target(target: str) -> None:
    assert secrets_of(parameters_of(target)) <= JOBS[target].keys()


@pytest.mark.parametrize("kind", PARAMETERS)
def test_canaries__are_in_every_secret_of_a_connection(kind: Kind) -> None:
    sent = {name for one in CONNECTIONS.values() if one["kind"] == kind for name in one}
    assert secrets_of(declared(PARAMETERS[kind])) <= sent


@pytest.mark.parametrize("kind", channel_requests.PARAMETERS)
def test_canaries__are_in_every_secret_of_a_channel(kind: str) -> None:
    sent = {name for one in CHANNELS.values() if one["kind"] == kind for name in one}
    assert secrets_of(declared(channel_requests.PARAMETERS[kind])) <= sent  # type: ignore[index]


@pytest.fixture(scope="module")
def ids(api: Api) -> tuple[Client, dict[str, list[str]]]:
    """A tenant with a cron job of each target, and a connection of each kind."""
    owner = sign_up(api, "canaries@example.com")
    seen, jobs = [], []
    for name, parameters in CONNECTIONS.items():
        seen.append(owner.ask("POST", "/connection/", parameters))
        seen.append(owner.ask("POST", "/connection/", {**parameters, "colour": CANARY, "name": "-"}))
        if "password" in parameters:
            changed = {"password": parameters["password"] + "2", "overlap": "1h"}
            seen.append(owner.ask("PATCH", f"/connection/{name}/", changed))
    for kind, parameters in JOBS.items():
        sent = {**parameters, "delivery_type": kind}
        made = owner.ask("POST", "/cronjob/", sent)
        jobs.append(made.response["cronjob_id"])
        unnamed = {name: value for name, value in sent.items() if name != "name"}
        seen += [made, owner.ask("PUT", f"/cronjob/by-name/{kind}/", unnamed)]
        seen.append(owner.ask("POST", "/cronjob/", {**sent, "colour": CANARY, "cron": "61 * * * *"}))
        seen.append(owner.ask("POST", f"/cronjob/{jobs[-1]}/run/", {"at": "1h"}))
    alerts = []
    for name, parameters in CHANNELS.items():
        seen.append(owner.ask("POST", "/channel/", parameters))
        seen.append(owner.ask("POST", "/channel/", {**parameters, "colour": CANARY, "name": "-"}))
        seen.append(owner.ask("PATCH", f"/channel/{name}/", {**parameters, "kind": CANARY}))
        tested = owner.ask("POST", f"/channel/{name}/test/")
        seen.append(tested)
        alerts.append(tested.response["alert_id"])
    _look(*(answer.body for answer in seen))
    made = owner.ask("POST", "/key/", {"name": KEY, "scopes": "read,keys"}).response
    second = owner.ask("POST", f"/key/{KEY}/rotate/").response
    OF_KEYS[:] = [made["api_secret"], second["api_secret"]]
    for wrong in ({"name": KEY, "scopes": "read"}, {"name": "-", "scopes": made["api_secret"]}):
        refused = owner.ask("POST", "/key/", wrong)
        assert refused.status == 400
        _look(refused.body)
    page = owner.ask("GET", "/connection/keys-page/").response["keys_path"].split("/")[2]
    return owner, {
        "/keys/{connection_id}": [f"/keys/{page}"],
        "/ack/{token}": [(LINKS.of_nothing or "").removeprefix("https://cron.example.com").rstrip("/")],
        "{cronjob_id}": jobs,
        "{connection_id}": [*CONNECTIONS],
        "{channel_id}": [*CHANNELS],
        "{alert_id}": alerts,
        "{token}": [TOKEN],
        "{key_id}": [KEY, made["api_key"]],
    }


OF_KEYS: Final[list[str]] = []
"""Secrets of API keys, as the server has made them."""


def _look(*bodies: bytes) -> None:
    for body in bodies:
        assert not [needle for needle in (*NEEDLES, *OF_KEYS) if needle.encode() in body]


def test_canaries__are_in_no_answer_of_any_route(ids: tuple[Client, dict[str, list[str]]]) -> None:
    owner, known = ids
    asked = 0
    for path, methods in owner.ask("GET", "/openapi.json").json["paths"].items():
        if "get" not in methods or any(part in path for part in ABSENT):
            continue
        named = next((name for name in known if name in path), None)
        assert named is not None or "{" not in path, f"what stands for the name in {path}?"
        for one in known[named] if named else [""]:
            answer = owner.ask("GET", path.replace(named or "{", one) + QUERIES.get(path, ""))
            assert answer.status == 200, (path, answer.body)
            _look(answer.body)
            # As the reference says: the secret that the account was made with, to who has it.
            assert (owner.api_secret.encode() in answer.body) == (path == "/account/")
            asked += 1
    assert asked > 50


def test_isolation__nothing_of_another_is_in_any_list(
    ids: tuple[Client, dict[str, list[str]]], module_client: Client
) -> None:
    owner, known = ids
    connections = [owner.ask("GET", f"/connection/{name}/").response for name in known["{connection_id}"]]
    theirs = [*known["{cronjob_id}"], *(one["connection_id"] for one in connections), owner.account_id]
    theirs += [*known["{alert_id}"], *(one["channel_id"] for one in owner.ask("GET", "/channels/").response)]
    for path, methods in owner.ask("GET", "/openapi.json").json["paths"].items():
        if "get" in methods and "{" not in path:
            answer = module_client.ask("GET", path + QUERIES.get(path, ""))
            assert answer.status == 200, (path, answer.body)
            assert not [one for one in theirs if one.encode() in answer.body], path
