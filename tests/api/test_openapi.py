"""The OpenAPI document: it is valid, real answers fit it, and nothing that can be made from it breaks the server."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from requests.auth import AuthBase
from schemathesis import GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.core.failures import AcceptedNegativeData, FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance

from cronally.instants import MINUTE, SECOND
from tests.api.serving import Api, Client, now_date, signature
from tests.operations.parameters import HTTP, SNS
from tests.support.examples import examples
from tests.support.factories import make_cronjob, make_firing
from tests.support.installed import need

# What the shape of a text cannot say (an expression, a topic) is refused although the schema allows it.
EXCLUDED: list[CheckFunction] = [positive_data_acceptance]


class Signed(AuthBase):
    """Signs what is about to be sent."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        assert request.url is not None
        assert request.method is not None
        path, date = urlsplit(request.url).path, now_date()
        request.headers["X-Cron-Key"] = self._client.api_key
        request.headers["X-Cron-Date"] = date
        request.headers["X-Cron-Signature"] = signature(self._client.api_secret, path, request.method, date)
        return request


PATHS = [
    ("POST", "/account/"),
    ("GET", "/account/"),
    ("DELETE", "/account/"),
    ("PATCH", "/account/"),
    ("GET", "/cronjobs/"),
    ("POST", "/cronjob/"),
    ("GET", "/cronjob/{cronjob_id}/"),
    ("PATCH", "/cronjob/{cronjob_id}/"),
    ("POST", "/cronjob/{cronjob_id}/verify/"),
    ("POST", "/cronjob/{cronjob_id}/run/"),
    ("POST", "/cronjob/{cronjob_id}/pause/"),
    ("POST", "/cronjob/{cronjob_id}/resume/"),
    ("DELETE", "/cronjob/{cronjob_id}/"),
    ("GET", "/schedule/preview/"),
    ("GET", "/cronjob/{cronjob_id}/preview/"),
    ("GET", "/cronjob/{cronjob_id}/render/"),
    ("GET", "/cronjob/{cronjob_id}/explain/"),
    ("GET", "/cronjob/{cronjob_id}/firings/"),
    ("GET", "/account/firings/"),
    ("GET", "/account/audit/"),
    ("GET", "/account/audit/ends/"),
    ("GET", "/account/dead-letters/"),
    ("POST", "/account/dead-letters/discard/"),
    ("POST", "/cronjob/{cronjob_id}/firings/{scheduled_at}/discard/"),
    ("GET", "/account/forecast/"),
    ("GET", "/calendars/"),
    ("PUT", "/calendar/{name}/"),
    ("GET", "/calendar/{name}/"),
    ("DELETE", "/calendar/{name}/"),
    ("PUT", "/cronjob/by-name/{name}/"),
    ("POST", "/cronjobs/pause/"),
    ("POST", "/cronjobs/resume/"),
    ("POST", "/cronjobs/run/"),
    ("POST", "/cronjob/{cronjob_id}/firings/{scheduled_at}/replay/"),
    ("POST", "/firings/replay/"),
    ("POST", "/cronjob/{cronjob_id}/backfill/"),
    ("POST", "/cronjobs/delete/"),
    ("POST", "/cronjobs/change/"),
    ("GET", "/operations/"),
    ("GET", "/operation/{operation_id}/"),
    ("DELETE", "/operation/{operation_id}/"),
    ("POST", "/freeze/"),
    ("GET", "/freezes/"),
    ("GET", "/freeze/{freeze_id}/"),
    ("DELETE", "/freeze/{freeze_id}/"),
    ("POST", "/rule/"),
    ("GET", "/rules/"),
    ("GET", "/rule/{rule_id}/"),
    ("PATCH", "/rule/{rule_id}/"),
    ("DELETE", "/rule/{rule_id}/"),
    ("POST", "/connection/"),
    ("GET", "/connections/"),
    ("GET", "/connection/{connection_id}/"),
    ("PATCH", "/connection/{connection_id}/"),
    ("DELETE", "/connection/{connection_id}/"),
    ("POST", "/connection/{connection_id}/verify/"),
    ("GET", "/keys/{connection_id}/"),
    *[
        (method, f"/ack/{{token}}/{end}")
        for method in ("GET", "POST")
        for end in ("", "start/", "fail/", "log/")
    ],
    ("POST", "/account/hosts/"),
    ("GET", "/account/hosts/"),
    ("POST", "/account/hosts/{host}/verify/"),
    ("DELETE", "/account/hosts/{host}/"),
    ("POST", "/key/"),
    ("GET", "/account/keys/"),
    ("GET", "/key/{key_id}/"),
    ("PATCH", "/key/{key_id}/"),
    ("POST", "/key/{key_id}/rotate/"),
    ("DELETE", "/key/{key_id}/"),
    ("GET", "/healthz/"),
    ("GET", "/status/"),
    ("GET", "/readyz/"),
    ("POST", "/channel/"),
    ("GET", "/channels/"),
    ("GET", "/channel/{channel_id}/"),
    ("PATCH", "/channel/{channel_id}/"),
    ("POST", "/channel/{channel_id}/test/"),
    ("POST", "/channel/{channel_id}/confirm/"),
    ("DELETE", "/channel/{channel_id}/"),
    ("GET", "/channel/confirm/{token}/"),
    ("POST", "/channel/confirm/{token}/"),
    ("POST", "/account/recover/"),
    ("POST", "/account/confirm/"),
    ("POST", "/account/confirm/{token}/"),
    ("GET", "/account/alerts/"),
    ("GET", "/alert/{alert_id}/"),
]


WITHOUT_PARAMETERS = {"/account/confirm/", "/healthz/", "/readyz/", "/status/"}
WITHOUT_QUERY = {
    *("/account/", "/calendars/", "/freezes/", "/rules/"),
    *("/account/hosts/", "/account/keys/", "/account/audit/ends/"),
}
SENT: dict[str, dict[str, str]] = {
    "PUT /calendar/{name}/": {"dates": "2026-12-24"},
    "POST /account/hosts/": {"host": "hooks.invalid:8443"},
}
"""What has to be sent."""


@pytest.fixture(scope="module")
def schema(api: Api) -> schemathesis.BaseSchema:
    """The document without its security: what is made from it is signed on its way out, all of it."""
    document = Client(api).ask("GET", "/openapi.json").json
    for methods in document["paths"].values():
        for operation in methods.values():
            operation.pop("security", None)
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=api.url)
    return schema


def test_openapi__the_document_is_valid_and_complete(stranger: Client) -> None:
    document = stranger.ask("GET", "/openapi.json").json
    validate(document)
    documented = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    assert sorted(documented) == sorted(PATHS)


def is_made(method: str, path: str, mode: GenerationMode) -> bool:
    """Whether there is anything to be wrong about."""
    return mode is GenerationMode.POSITIVE or (
        path not in WITHOUT_PARAMETERS and not (method == "GET" and path in WITHOUT_QUERY)
    )


@pytest.mark.turns("mode")
@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        (method, path, mode)
        for method, path in PATHS
        for mode in GenerationMode
        if is_made(method, path, mode)
    ],
)
def test_openapi__nothing_made_from_it_breaks_the_server(
    schema: schemathesis.BaseSchema, module_client: Client, method: str, path: str, mode: GenerationMode
) -> None:
    operation = schema[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @examples(30, most=50, suppress_health_check=list(HealthCheck))
    def check(case: schemathesis.Case[Any]) -> None:
        response = case.call(auth=Signed(module_client))
        # A text beyond its maxLength may be beyond the body's limit too, which schemathesis takes for acceptance.
        if response.status_code != 413:
            try:
                case.validate_response(response, excluded_checks=EXCLUDED)
            except FailureGroup as found:
                if not all(is_of_alternatives(failure) for failure in found.exceptions):
                    raise

    check()


def is_of_alternatives(failure: BaseException) -> bool:
    """Whether all that is wrong with an accepted request is one of several alternatives: another one may hold."""
    if not isinstance(failure, AcceptedNegativeData):
        return False
    places = re.findall(r"violates `\w+` at (\S+)", failure.message)
    return bool(places) and all("/anyOf/" in place for place in places)


def validator(api: Api, method: str, path: str) -> Draft202012Validator:
    """What OpenAPI says that a success of an endpoint is."""
    document = Client(api).ask("GET", "/openapi.json").json
    answer = document["paths"][path][method.lower()]["responses"]["200"]
    shape = answer["content"]["application/json"]["schema"]
    return Draft202012Validator(
        {**shape, "components": document["components"]}, format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def test_openapi__real_answers_are_as_it_says(api: Api, client: Client) -> None:
    made = {}
    for given_ in (SNS, HTTP):
        answer = client.ask("POST", "/cronjob/", given_)
        made[given_["name"]] = answer.response
        validator(api, "POST", "/cronjob/").validate(answer.json)
    cronjob = made[SNS["name"]]

    async def fire() -> None:
        row = {"cronjob_id": cronjob["cronjob_id"], "account_id": client.account_id}
        now = await api.store.clock()
        for minute, state in enumerate(("pending", "sending", "failed", "missed", "skipped")):
            at = now - minute * MINUTE
            await make_firing(
                api.store, row, state=state, scheduled_at=at, until_at=now if minute == 3 else None
            )
        delivered = {"sent_at": now, "duration": SECOND, "finished_at": now, "attempt": 1, "lease_no": 1}
        await make_firing(api.store, row, state="delivered", scheduled_at=now - 9 * MINUTE, **delivered)
        aside = {"state": "paused", "state_reason": "cannot be read", "next_fire_at": None}
        values = {"target": "http", "destination": json.dumps({"delivery_http_method": "get"})}
        await make_cronjob(api.store, client.account_id, cronjob_id=str(uuid4()), **aside, **values)

    api.run(fire())
    by_id = f"/cronjob/{cronjob['cronjob_id']}/"
    many = f"/cronjobs/pause/?name={quote(SNS['name'])}"
    for path, asked, sent in (
        ("/cronjobs/pause/", many, {"dry_run": "true"}),
        ("/cronjobs/pause/", many, {"note": "x"}),
        ("/firings/replay/", "/firings/replay/", {"state": "delivered", "dry_run": "true"}),
        ("/account/dead-letters/discard/", "/account/dead-letters/discard/", {"all": "true", "note": "gone"}),
        ("/cronjobs/resume/", many.replace("pause", "resume"), {}),
    ):
        answer = client.ask("POST", asked, sent)
        validator(api, "POST", path).validate(answer.json)
    operation = f"/operation/{answer.response['operation_id']}/"
    answer = client.ask("POST", "/freeze/", {"tag": "web", "until": "1h", "note": "x"})
    validator(api, "POST", "/freeze/").validate(answer.json)
    frozen = f"/freeze/{answer.response['freeze_id']}/"
    for method, path, asked in (
        ("DELETE", "/freeze/{freeze_id}/", frozen),
        ("GET", "/freeze/{freeze_id}/", frozen),
        ("GET", "/freezes/", "/freezes/"),
    ):
        validator(api, method, path).validate(client.ask(method, asked).json)
    answer = client.ask("POST", "/rule/", {"tag": "web", "on_late": "5m", "quiet_hours": "22:00-07:00"})
    validator(api, "POST", "/rule/").validate(answer.json)
    rule = f"/rule/{answer.response['rule_id']}/"
    for method, path, asked in (
        ("GET", "/rules/", "/rules/"),
        ("GET", "/rule/{rule_id}/", rule),
        ("PATCH", "/rule/{rule_id}/", rule),
        ("DELETE", "/rule/{rule_id}/", rule),
    ):
        validator(api, method, path).validate(client.ask(method, asked).json)
    answer = client.ask(
        "PUT", "/cronjob/by-name/put/", {name: text for name, text in HTTP.items() if name != "name"}
    )
    assert answer.response["outcome"] == "created"
    validator(api, "PUT", "/cronjob/by-name/{name}/").validate(answer.json)
    fired_at = client.ask("GET", f"{by_id}firings/").response[-1]["scheduled_at"]
    preview = "/schedule/preview/?expression=0+1,2+*+*+*&timezone=America/New_York&after=2026-01-01T00:00:00Z&count=100"
    for method, path, asked in (
        ("GET", "/account/", "/account/"),
        ("GET", "/cronjobs/", "/cronjobs/"),
        ("GET", "/cronjobs/", "/cronjobs/?limit=1"),
        ("GET", "/account/firings/", "/account/firings/"),
        ("GET", "/account/audit/", "/account/audit/"),
        ("GET", "/account/audit/ends/", "/account/audit/ends/"),
        ("GET", "/account/dead-letters/", "/account/dead-letters/"),
        ("GET", "/cronjob/{cronjob_id}/firings/", f"{by_id}firings/?limit=2"),
        ("GET", "/cronjob/{cronjob_id}/", by_id),
        ("GET", "/cronjob/{cronjob_id}/preview/", f"{by_id}preview/"),
        ("GET", "/cronjob/{cronjob_id}/render/", f"{by_id}render/"),
        ("GET", "/cronjob/{cronjob_id}/explain/", f"{by_id}explain/?at=2026-01-01T00:00:00Z"),
        ("GET", "/cronjob/{cronjob_id}/explain/", f"{by_id}explain/?at={fired_at}"),
        ("GET", "/schedule/preview/", preview),
        ("GET", "/schedule/preview/", f"{preview}&dst_gap=skip&dst_overlap=both"),
        ("GET", "/schedule/preview/", f"{preview.replace('0+1,2', '*/30+1,2')}"),
        ("GET", "/schedule/preview/", f"{preview}&exclude=2026-01-01/2026-01-03"),
        ("PUT", "/calendar/{name}/", "/calendar/holidays/"),
        ("GET", "/calendar/{name}/", "/calendar/holidays/"),
        ("GET", "/calendars/", "/calendars/"),
        ("DELETE", "/calendar/{name}/", "/calendar/holidays/"),
        ("POST", "/account/hosts/", "/account/hosts/"),
        ("GET", "/account/hosts/", "/account/hosts/"),
        ("POST", "/account/hosts/{host}/verify/", "/account/hosts/hooks.invalid:8443/verify/"),
        ("DELETE", "/account/hosts/{host}/", "/account/hosts/hooks.invalid:8443/"),
        ("GET", "/operations/", "/operations/"),
        ("GET", "/operation/{operation_id}/", operation),
        ("DELETE", "/operation/{operation_id}/", operation),
        ("PATCH", "/cronjob/{cronjob_id}/", by_id),
        ("DELETE", "/cronjob/{cronjob_id}/", by_id),
        ("GET", "/healthz/", "/healthz/"),
        ("GET", "/readyz/", "/readyz/"),
        ("GET", "/status/", "/status/"),
    ):
        answer = client.ask(method, asked, SENT.get(f"{method} {path}"))
        assert answer.status == 200
        validator(api, method, path).validate(answer.json)


@pytest.mark.slow  # not for its time: it needs curl and openssl, which `make test` must do without
@pytest.mark.parametrize("version", ["Version 2", "Version 1"])
def test_openapi__the_recipe_for_signing_works_as_it_stands(api: Api, client: Client, version: str) -> None:
    need("bash", "curl", "openssl")
    description = client.ask("GET", "/openapi.json").json["info"]["description"]
    _, said = description.split(f"**{version}**")
    recipe = re.search(r"(?:^    .*\n)+", said, re.MULTILINE)[0]  # type: ignore[index]
    done = subprocess.run(
        ["bash", "-euc", recipe],
        env={
            "PATH": os.environ["PATH"],
            "CRONALLY_API_KEY": client.api_key,
            "CRONALLY_API_SECRET": client.api_secret,
            "CRONALLY_URL": api.url,
            "NO_PROXY": "127.0.0.1",
        },
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout)["response"]["account_id"] == client.account_id, done.stderr
