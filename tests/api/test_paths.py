"""Paths and methods: both forms, HEAD, 404, 405."""

from __future__ import annotations

import re

import pytest

from tests.api.serving import Api, Client, ask
from tests.operations.parameters import HTTP

UNKNOWN = "00000000-0000-4000-8000-000000000000"

OPEN = ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"]
SIGNED = ["/account", "/cronjobs", "/account/firings"]


@pytest.fixture(scope="module")
def cronjob_id(module_client: Client) -> str:
    created: str = module_client.ask("POST", "/cronjob", HTTP).response["cronjob_id"]
    return created


@pytest.mark.parametrize("path", OPEN + SIGNED + ["/cronjob/{}", "/cronjob/{}/firings"])
def test_paths__both_forms_answer_get_and_head(module_client: Client, path: str, cronjob_id: str) -> None:
    path = path.format(cronjob_id)
    bodies = set()
    for form in (path, f"{path}/"):
        got = module_client.ask("GET", form)
        assert got.status == 200, got.body
        head = module_client.ask("HEAD", form)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Type"] == got.headers["Content-Type"]
        if path not in ("/metrics", "/readyz"):
            assert head.headers["Content-Length"] == str(len(got.body))
            # Since when firings are counted is another minute now and then.
            bodies.add(re.sub(rb'"since":"[^"]*"', b"", got.body))
    assert len(bodies) <= 1


def test_paths__head_is_signed_as_head(module_client: Client) -> None:
    headers = module_client.headers("GET", "/account/")
    assert module_client.ask("HEAD", "/account/", headers=headers, signed=False).status == 401


@pytest.mark.parametrize("form", ["/cronjob/{}", "/cronjob/{}/"])
def test_paths__both_forms_change_and_delete(client: Client, form: str) -> None:
    path = form.format(client.ask("POST", "/cronjob", HTTP).response["cronjob_id"])
    assert client.ask("PATCH", path, {"name": "Tea"}).response["name"] == "Tea"
    assert client.ask("DELETE", path).response["deleted"] is True


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nope",
        "/Account/",
        "/account//",
        "//account/",
        "/account/.",
        "/account/./",
        "/account/../account/",
        "/./account/",
        "/%61ccount/",
        "/account%2F",
        "/account/%",
        "/cronjob/a.b/",
        "/cronjob/a_b/",
        "/cronjob/*/",
        "/cronjob/a;b/",
        "/cronjob/a/b/",
        "/cronjob/%00/",
        "/cronjob/a/firings/x/",
        "/openapi.yaml",
        "/redoc",
        "/favicon.ico",
        "/account/" + "a" * 8000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_paths__one_that_does_not_exist_is_404_in_json(client: Client, method: str, path: str) -> None:
    answer = client.ask(method, path)
    assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/account/", "DELETE, GET, HEAD, PATCH, POST"),
        ("/account", "DELETE, GET, HEAD, PATCH, POST"),
        ("/cronjob/", "POST"),
        ("/cronjobs", "GET, HEAD"),
        (f"/cronjob/{UNKNOWN}/", "DELETE, GET, HEAD, PATCH"),
        (f"/cronjob/{UNKNOWN}", "DELETE, GET, HEAD, PATCH"),
        (f"/cronjob/{UNKNOWN}/firings/", "GET, HEAD"),
        ("/account/firings/", "GET, HEAD"),
        ("/healthz", "GET, HEAD"),
        ("/docs", "GET, HEAD"),
    ],
)
def test_paths__another_method_is_405_with_those_that_are(stranger: Client, path: str, allowed: str) -> None:
    for method in ("PUT", "OPTIONS", "TRACE", "PROPFIND", "DELETE", "POST", "GET"):
        if method in allowed.split(", "):
            continue
        answer = stranger.ask(method, path)
        assert (answer.status, answer.error["code"]) == (405, "method_not_allowed"), method
        assert answer.headers["Allow"] == allowed


def test_paths__nothing_redirects_and_nothing_is_cached(api: Api, stranger: Client) -> None:
    for path in ("/account", "/account/", "/nope", "/healthz"):
        answer = ask(api, "GET", path, None, {})
        assert answer.status in (200, 401, 404)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Server" not in answer.headers


def test_paths__docs_need_nothing_from_elsewhere(stranger: Client) -> None:
    answer = stranger.ask("GET", "/docs")
    page = answer.body.decode()
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "X-Cron-Signature" in page
    assert "sns_secret_access_key" in page
    for reference in ("<script", "<link", "<img", "@import", "url("):
        assert reference not in page
