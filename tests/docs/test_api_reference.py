"""docs/reference/api.md says what the API does: its tables are held to the code, its example to an independent
calculation, and its order of checks to a real server."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import unquote_plus

import pytest

from cronally import errors, instants, signing
from cronally.api import authenticate, connections, health, limits, protocol
from cronally.api.parameters import MAX_PARAMETERS, MAX_TOKENS
from cronally.contract.attribute import declared
from cronally.contract.finding import Finding
from cronally.contract.firings import MAX_LIMIT_WITH_ATTEMPTS
from cronally.contract.http import MAX_URL
from cronally.contract.policies import Policies
from cronally.contract.previews import MAX_STEPS
from cronally.contract.reading import Parameters, Reading, Repeated
from cronally.contract.targets import TARGETS, parameters_of, targets_of
from cronally.contract.values import DEFAULT_COUNT, DEFAULT_LIMIT, MAX_LIMIT
from cronally.operations import quotas
from cronally.operations.around import Around, current
from cronally.operations.explain import explain_answer
from cronally.operations.lists import PAGE_BYTES
from cronally.server import environment
from cronally.store.cronjobs import Cronjob
from cronally.store.ledger import Firing
from tests.contract.imaginary import Imaginary
from tests.docs.account import Account, signature
from tests.docs.markdown import ROOT, Page, read, rows
from tests.support.factories import cronjob_values, firing_values

OF_TARGETS = [kind.__name__ for kind in TARGETS.values()]
PAGE: Page = read(ROOT / "docs/reference/api.md")
OPENAPI: dict[str, Any] = json.loads((ROOT / "docs/reference/openapi.json").read_text())
KEYS = {
    "Account": "`GET /account/`",
    "Health": "`GET /healthz/`",
    "Readiness": "`GET /readyz/`",
    "Cronjob": "`POST /cronjob/`",
    "Verification": "`POST /cronjob/{cronjob_id}/verify/`",
    "Firing": "`GET /cronjob/{cronjob_id}/firings/`",
    "Attempt": "`GET /cronjob/{cronjob_id}/firings/`",
    "Preview": "`GET /schedule/preview/`",
    "FireTime": "`GET /schedule/preview/`",
    "Suppressed": "`GET /schedule/preview/`",
    "Explanation": "`GET /cronjob/{cronjob_id}/explain/`",
    "Rendering": "`GET /cronjob/{cronjob_id}/render/`",
    "Freeze": "`POST /freeze/`",
    "Connection": "`POST /connection/`",
    "ConnectionVerification": "`POST /connection/{connection_id}/verify/`",
    "Host": "`POST /account/hosts/`",
    "Key": "`POST /key/`",
    **dict.fromkeys(
        ("Forecast", "ForecastHost", "ForecastStep", "BusySecond", "SpreadGain", "SpreadCronjob"),
        "`GET /account/forecast/`",
    ),
}
SCHEMAS: dict[str, Any] = OPENAPI["components"]["schemas"]


def names_of(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def table(name: str) -> str:
    """The table of a declaration, in the section that it belongs to."""
    found = re.findall(rf"<!-- table {name}, .*?<!-- end of table -->", PAGE.prose, re.DOTALL)
    assert len(found) == 1, name
    text: str = found[0]
    return text


def parameter_rows(*tables: str) -> dict[str, list[str]]:
    """Rows of four cells (name, type, default, meaning) by name."""
    return {names_of(row[0])[0]: row for name in tables for row in rows(table(name))}


def test_endpoints__all_have_a_section() -> None:
    documented = {
        f"{method.upper()} {path}" for path, methods in OPENAPI["paths"].items() for method in methods
    }
    listed = {names_of(row[0])[0] for row in rows(PAGE.prose) if row[0].startswith("[`")}
    headings = set(re.findall(r"^### `([A-Z]+ /[^`]+)`$", PAGE.prose, re.MULTILINE))
    assert listed == headings == documented


def test_endpoints__signed_or_not() -> None:
    for row in rows(PAGE.prose):
        if row[0].startswith("[`"):
            method, path = names_of(row[0])[0].split()
            assert ("security" in OPENAPI["paths"][path][method.lower()]) == (row[1] == "yes"), row


@pytest.mark.parametrize(("schema", "heading"), KEYS.items())
def test_keys__are_those_of_the_answers(schema: str, heading: str) -> None:
    assert table(schema) in PAGE.section(heading)
    listed = [names_of(row[0])[0] for row in rows(table(schema))]
    assert listed == [*SCHEMAS[schema]["properties"]]


def test_keys__of_a_preview_of_a_cron_job() -> None:
    assert table("CronjobPreview") in PAGE.section("`GET /cronjob/{cronjob_id}/preview/`")
    more = set(SCHEMAS["CronjobPreview"]["properties"]) - set(SCHEMAS["Preview"]["properties"])
    assert {names_of(row[0])[0] for row in rows(table("CronjobPreview"))} == more


def test_findings__are_all_there() -> None:
    means = PAGE.section("`GET /cronjob/{cronjob_id}/explain/`").partition("| `finding` | means |")[2]
    listed = [name for row in rows(means) if len(row) == 2 for name in names_of(row[0])]
    assert listed == [*Finding]


def test_findings__sentences_are_those_of_the_code() -> None:
    listed = {row[0] for row in rows(PAGE.section("`GET /cronjob/{cronjob_id}/explain/`")) if len(row) == 1}
    told = {
        sentence("*/10 * * * *", "2026-11-24T13:35:00Z"),
        sentence("30 1 * * *", "2026-11-01T06:30:00Z", timezone="America/New_York"),
        sentence("30 2 * * *", "2026-03-08T07:30:00Z", timezone="America/New_York"),
        sentence(
            "*/10 * * * *",
            "2026-11-24T13:30:00Z",
            ("2026-11-24T12:10:00Z", "missed", "catch_up=latest", "2026-11-24T14:50:00Z", 17),
            ("2026-11-24T15:00:00Z", "delivered", None, None, 1),
        ),
    }
    assert listed == told


def sentence(
    cron: str, at: str, *ledger: tuple[str, str, str | None, str | None, int], timezone: str = "UTC"
) -> str:
    """What is told of a cron job that was created in January and is asked about in December."""
    created = instants.parse_iso("2026-01-01T00:00:00Z")
    values = {
        **cronjob_values("account", cron=cron, timezone=timezone, created_at=created, updated_at=created),
        "next_fire_at": instants.parse_iso("2026-12-01T00:00:00Z"),
    }
    cronjob = Cronjob(**{name: values[name] for name in Cronjob.__dataclass_fields__})
    firings = []
    for scheduled_at, state, reason, until_at, count in ledger:
        given = {
            "scheduled_at": instants.parse_iso(scheduled_at),
            "until_at": None if until_at is None else instants.parse_iso(until_at),
            "created_at": instants.parse_iso("2026-11-24T15:04:00.5Z"),
        }
        row = firing_values(values, state=state, reason=reason, count=count, **given)
        columns: dict[str, Any] = {name: row.get(name) for name in Firing.__dataclass_fields__}
        firings.append(Firing(**columns))
    instant, now = instants.parse_iso(at), instants.parse_iso("2026-11-30T00:00:00Z")
    around = Around(
        current(cronjob),
        created,
        None,
        None,
        [row for row in firings if row.scheduled_at <= instant],
        firings[1:],
    )
    return explain_answer(cronjob, around, instant, now, 0).sentence


def test_preview__example_is_what_the_server_answers(account: Account) -> None:
    command = PAGE.block("/schedule/preview/?").text
    asked = re.search(r'"\$URL(/schedule/preview/\?[^"]+)"', command)
    assert asked
    answer = account.ask("GET", asked[1], signed=False).json
    example = json.loads(PAGE.block('"fire_times"').text)
    # Another release of the zone data is another text, and the rest stays.
    example["response"]["tzdata"] = answer["response"]["tzdata"]
    assert example == answer


def test_keys__of_an_error() -> None:
    assert table("Failure") in PAGE.section("Answers")
    assert [names_of(row[0])[0] for row in rows(table("Failure"))] == [*SCHEMAS["Failure"]["properties"]]


def test_codes__are_those_of_the_errors() -> None:
    kinds = [errors.RequestError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    expected = {(kind.status, kind.code) for kind in kinds}
    listed = [(int(row[0]), names_of(row[1])[0]) for row in rows(PAGE.section("Answers")) if row[0].isdigit()]
    assert sorted(listed) == sorted(expected)


@pytest.mark.parametrize(
    ("path", "tables"),
    [("/cronjob/", ["NewCronjob", *OF_TARGETS]), ("/account/", ["Signup"])],
)
def test_parameters__types_bounds_and_defaults(path: str, tables: list[str]) -> None:
    assert all(table(name) in PAGE.section(f"`POST {path}`") for name in tables)
    listed = parameter_rows(*tables)
    content = OPENAPI["paths"][path]["post"]["requestBody"]["content"]
    schema = content["application/json"]["schema"]
    assert schema == content["application/x-www-form-urlencoded"]["schema"]
    assert set(listed) == set(schema["properties"])
    for name, (_, kind, default, _) in listed.items():
        documented = schema["properties"][name]
        if "enum" in documented:
            assert names_of(kind) == documented["enum"], name
        elif "maxLength" in documented:
            assert kind.startswith(f"{documented['minLength']:,} to {documented['maxLength']:,} "), name
        if name in schema["required"]:
            assert default == "required", name
        elif "default" in documented:
            value = documented["default"]
            assert names_of(default) == [value if isinstance(value, str) else json.dumps(value)], name
        elif (owner := next(iter(targets_of(name)), None)) is None or parameters_of(owner)[
            name
        ].attribute.optional:
            assert default == "", name
        else:
            assert default.startswith("required for `"), name
            assert names_of(default)[0] in targets_of(name), name


def test_parameters__of_a_change() -> None:
    assert table("CronjobChange") in PAGE.section("`PATCH /cronjob/{cronjob_id}/`")
    body = OPENAPI["paths"]["/cronjob/{cronjob_id}/"]["patch"]["requestBody"]
    properties = body["content"]["application/json"]["schema"]["properties"]
    assert names_of(table("CronjobChange")) == [*properties]
    assert set(properties) == set(parameter_rows("NewCronjob", *OF_TARGETS))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/schedule/preview/", "ExpressionPreview"),
        ("/cronjob/{cronjob_id}/preview/", "Window"),
        ("/cronjob/{cronjob_id}/explain/", "Question"),
        ("/cronjob/{cronjob_id}/render/", "Rendered"),
        ("/cronjobs/", "CronjobQuery"),
        ("/cronjob/{cronjob_id}/firings/", "FiringsOfCronjobQuery"),
        ("/account/firings/", "FiringQuery"),
    ],
)
def test_parameters__of_a_query(path: str, name: str) -> None:
    parameters = OPENAPI["paths"][path]["get"]["parameters"]
    in_query = {each["name"]: each for each in parameters if each["in"] == "query"}
    listed = parameter_rows(name)
    assert [*listed] == [*in_query]
    for parameter, (_, _, default, _) in listed.items():
        assert (default == "required") == in_query[parameter]["required"], parameter


def test_parameters__of_a_preview() -> None:
    listed = parameter_rows("ExpressionPreview")
    parameters = OPENAPI["paths"]["/schedule/preview/"]["get"]["parameters"]
    documented = {parameter["name"]: parameter["schema"] for parameter in parameters}
    count, expression = documented["count"], documented["cron"]
    assert listed["count"][1] == f"{count['minimum']} to {count['maximum']}"
    assert listed["count"][3].endswith(f"; {DEFAULT_COUNT} by default")
    one, several = expression["anyOf"]
    characters = f"{one['minLength']} to {one['maxLength']} characters"
    assert listed["cron"][1] == f"{characters}, or a list of up to {several['maxItems']} of these"
    assert listed["id"][1].startswith(f"{documented['id']['minLength']} to {documented['id']['maxLength']} ")


def test_parameters__bounds_that_no_schema_says() -> None:
    grace = declared(Policies)["misfire_grace"].attribute
    bounds = [instants.format_duration(bound or 0) for bound in (grace.minimum, grace.maximum)]
    assert names_of(parameter_rows("NewCronjob")["misfire_grace"][1]) == bounds
    assert f"A URL has up to {MAX_URL:,} characters" in PAGE.section("`POST /cronjob/`")
    limit = parameter_rows("FiringsOfCronjobQuery")["limit"]
    assert limit[1] == f"1 to {MAX_LIMIT:,}"
    assert f"without a limit there are {DEFAULT_LIMIT}" in PAGE.section("Pages")
    assert f"at most {MAX_PARAMETERS} parameters" in PAGE.prose
    bounded = {row[0]: row[1] for row in rows(PAGE.section("Answers")) if len(row) == 2}
    assert bounded["time for a request's head, for its body"] == (
        f"{protocol.HEAD_TIMEOUT:.0f} s, {limits.BODY_TIMEOUT:.0f} s"
    )
    assert (
        bounded["rows of a page; of firings with their attempts"] == f"{MAX_LIMIT}; {MAX_LIMIT_WITH_ATTEMPTS}"
    )
    assert bounded["pieces (chunks, or reads) that a body comes in"] == (
        f"{protocol.SMALL_PIECES}, and one for each {protocol.PIECE} bytes of it"
    )
    assert bounded["texts, brackets, commas and colons of a JSON body"] == f"{MAX_TOKENS:,}"
    assert bounded["requests that wait on a connection"] == str(protocol.MAX_PIPELINED)
    assert bounded["time to read an answer"] == f"{connections.READ_TIMEOUT:.0f} s"
    defaults = environment.read_settings()
    for variable in ("PREVIEWS_PER_MINUTE", "SIGNUPS_PER_MINUTE", "MAX_CRONJOBS_PER_ACCOUNT", "MIN_INTERVAL"):
        (documented,) = [cell for cell in bounded.values() if f"`CRONALLY_{variable}`" in cell]
        value = getattr(defaults, variable.lower())
        shown = instants.format_duration(value) if variable == "MIN_INTERVAL" else f"{value:,}"
        assert documented.partition(", ")[2].removesuffix(" a minute") == shown
    kept = quotas.Quotas(
        defaults.max_cronjobs_per_account, 0, retention=defaults.retention, min_interval=defaults.min_interval
    )
    assert bounded["deleted cron jobs of an account that are still kept"].endswith(f": {kept.max_deleted:,}")
    assert bounded["changes of a cron job"].startswith(f"{quotas.MAX_VERSIONS} in ")
    assert (limits.MAX_BODY, protocol.MAX_HEAD) == (1 << 20, 16 << 10)
    assert f"ends at {PAGE_BYTES >> 10} KiB" in PAGE.section("Pages")
    assert f"at most {MAX_STEPS} steps" in PAGE.prose
    assert f"within {health.PATIENCE:.0f} s" in PAGE.prose
    assert authenticate.CACHED_FOR < 60


def test_signature__the_worked_example_is_right() -> None:
    cells = {row[0]: names_of(row[1]) for row in rows(PAGE.section("Authentication")) if len(row) == 2}
    secret = re.search(r"API secret `([^`]+)`", PAGE.section("Authentication"))
    assert secret
    signed = cells["string to sign"][0]
    match = re.fullmatch(r"(/[a-z/]+)(GET)([0-9]{12})", signed)
    assert match
    path, method, date = match.groups()
    digest = signature(secret[1], path, method, date)
    assert cells["secret, decoded"] == [base64.b64decode(secret[1]).hex()]
    assert cells["signature in base64"] == [base64.b64encode(digest).decode()]
    assert cells["the same in hex"] == [digest.hex()]
    # And by the code that checks signatures.
    decoded = signing.decode_secret(secret[1])
    for text in (*cells["signature in base64"], *cells["the same in hex"]):
        assert signing.verify(decoded, path, method, date, text)
    request = PAGE.block("X-Cron-Key: ").text
    assert f"X-Cron-Date: {date}\nX-Cron-Signature: {cells['signature in base64'][0]}\n" in request
    assert request.startswith(f"{method} {path} HTTP/1.1\n")


def test_examples__are_what_the_server_answers(account: Account) -> None:
    wrong = account.ask("POST", "/cronjob/", {"crn": "0 8 * * *"}).json
    assert wrong["error"]["fields"]["crn"] == "is no parameter here; did you mean cron?"
    example = json.loads(PAGE.block('"code"').text)
    assert example["error"]["fields"]["crn"] == wrong["error"]["fields"]["crn"]
    assert example.keys() == wrong.keys()
    assert example["error"].keys() == wrong["error"].keys()
    health_ = json.loads(PAGE.block('"version"').text)
    assert health_ == account.ask("GET", "/healthz", signed=False).json


def test_paths__both_forms(account: Account) -> None:
    for path in ("/account", "/account/", "/cronjobs", "/account/firings"):
        answer = account.ask("GET", path)
        assert answer.status == 200
        head = account.ask("HEAD", path)
        assert (head.status, head.body) == (200, b"")
    for path in ("/account%2F", "//account/", "/./account/"):
        assert account.ask("GET", path).status == 404


def test_order_of_checks__is_as_documented(account: Account) -> None:
    """Each request is wrong in all the ways that are left; one after the other is put right."""
    huge, large = {"X-Padding": "x" * 17_000}, {"name": "x" * 1_100_000}
    multipart = {"Content-Type": "multipart/form-data"}
    named = {"Host": "cron.example.com"}
    assert account.ask("POST", "/no", large, headers=huge | named, signed=False).status == 431
    assert account.ask("POST", "/no", large, headers=named, signed=False).status == 413
    assert account.ask("POST", "/no", {"x": "y"}, headers=named, signed=False).status == 421
    assert account.ask("POST", "/no", {"x": "y"}, signed=False).status == 404
    assert account.ask("PUT", "/cronjob/", {"x": "y"}, signed=False).status == 405
    assert account.ask("POST", "/cronjob/", {"x": "y"}, signed=False).status == 401
    key = account.ask("POST", "/key/", {"name": "reads", "scopes": "read"}).json["response"]
    reads = Account(account.url, key["api_key"], key["api_secret"])
    assert reads.ask("POST", "/cronjob/", {"x": "y"}, headers=multipart).status == 403
    stranger = Account(account.url, account.api_key, account.api_secret)
    answer = stranger.ask("POST", "/cronjob/", {"x": "y"}, headers={"Content-Encoding": "gzip", **multipart})
    assert answer.status == 415
    assert account.ask("POST", "/cronjob/", {"x": "y"}).status == 400
    stated = re.search(r"\*\*Order of checks\*\*: ([^.]*)\.", PAGE.prose)
    assert stated
    order = ["431", "413", "421", "404", "405", "401", "429", "403", "415", "400"]
    assert re.findall(r"[0-9]+", stated[1]) == order


def test_durations__are_answered_as_documented(account: Account) -> None:
    form = {
        "name": "n",
        "cron": "0 8 * * *",
        "delivery_type": "http",
        "delivery_http_url": "https://example.com/hook",
        "delivery_http_method": "post",
        "misfire_grace": "48h",
    }
    assert "`48h` comes back as `2d`" in PAGE.prose
    assert account.ask("POST", "/cronjob/", form).json["response"]["misfire_grace"] == "2d"


def test_idempotency__a_failed_request_does_not_use_the_key_up(account: Account) -> None:
    form = {
        "name": "n",
        "cron": "0 8 * * *",
        "delivery_type": "http",
        "delivery_http_url": "https://example.com/hook",
        "delivery_http_method": "get",
    }
    key = {"Idempotency-Key": "k"}
    assert account.ask("POST", "/cronjob/", {**form, "cron": "0 8 * *"}, headers=key).status == 400
    made = account.ask("POST", "/cronjob/", form, headers=key).json["response"]
    assert account.ask("POST", "/cronjob/", form, headers=key).json["response"] == made
    assert account.ask("POST", "/cronjob/", {**form, "name": "o"}, headers=key).status == 400
    account.ask("DELETE", f"/cronjob/{made['cronjob_id']}/")
    again = account.ask("POST", "/cronjob/", form, headers=key).json["response"]
    assert (again["cronjob_id"], again["deleted"]) == (made["cronjob_id"], True)


def test_types__every_form_of_a_value_is_read_as_documented() -> None:
    """The examples of the table of types are read by an imaginary request with a parameter of every type."""
    listed = [row for row in rows(PAGE.section("Requests")) if len(row) == 3]
    expected = ["text", "whole number", "true or false", "instant", "duration", "list", "map"]
    assert [row[0] for row in listed] == expected
    for kind, in_json, in_form in listed:
        name = kind.replace(" or ", "_or_").replace(" ", "_")
        values = [Parameters({name: json.loads(text)}) for text in names_of(in_json)]
        for text in names_of(in_form):
            sent = [unquote_plus(pair.partition("=")[2]) for pair in text.split("&")]
            values.append(Parameters({name: sent[0] if len(sent) == 1 else Repeated(sent)}))
        read_as = []
        for parameters in values:
            reading = Reading(Imaginary, parameters)
            assert not reading.complaints, (kind, parameters)
            read_as.append(reading.values[name])
        assert len(read_as) >= 2
        assert read_as.count(read_as[0]) == len(read_as), (kind, read_as)
