"""What is below a URL: held to what servers make of paths."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.targets.below import check_base, is_below, whole_url

BASE = "https://api.example.com/v1"


@pytest.mark.parametrize(
    "url",
    [BASE, f"{BASE}/", f"{BASE}/a/b", f"{BASE}?x=1", f"{BASE}/a?x=../..", f"{BASE}/...", f"{BASE}/a..b/.c"],
)
def test_below__is_what_begins_so(url: str) -> None:
    assert is_below(BASE, url)
    assert whole_url(BASE, url) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/v10",
        "https://api.example.com/",
        "http://api.example.com/v1",
        "https://api.example.com.evil.com/v1",
        "https://api.example.com:8443/v1",
        "https://x@api.example.com/v1",
        "https://evil.com/https://api.example.com/v1",
        f"{BASE}/../v2",
        f"{BASE}/%2e%2e/v2",
        f"{BASE}/.%2E/v2",
        f"{BASE}/%252e%252e/v2",
        f"{BASE}/a/..%2f..%2fv2",
        f"{BASE}/..;x=1/v2",
        f"{BASE}/a%5c..%5c..",
        f"{BASE}/./a",
        f"{BASE}/%{'25' * 5}41",
    ],
)
def test_below__is_nothing_else(url: str) -> None:
    assert not is_below(BASE, url)
    with pytest.raises(ValueError, match="is not below the base_url"):
        whole_url(BASE, url)


@pytest.mark.parametrize("base", ["https://a.example", "https://a.example/"])
def test_below__of_a_whole_server(base: str) -> None:
    assert is_below(base, "https://a.example/x")
    assert not is_below(base, "https://a.example.evil.com/x")
    assert not is_below(base, "https://a.example@evil.com/x")
    assert whole_url(base, "/x?y") == "https://a.example/x?y"


def test_whole_url__of_a_path() -> None:
    assert whole_url(BASE, "/run?x=1") == f"{BASE}/run?x=1"
    assert whole_url(f"{BASE}/", "/run") == f"{BASE}/run"
    for path in ("/../v2", "/%2e%2e/v2", "run", "//evil.com/../x"):
        with pytest.raises(ValueError, match="is not below"):
            whole_url(BASE, path)


@given(st.lists(st.sampled_from(["/", ".", "..", "%2e", "%2f", "%5c", ";", "a", "%25", "v1"]), max_size=9))
def test_below__stays_below_however_often_a_server_decodes(parts: list[str]) -> None:
    path = "/" + "".join(parts)
    if not is_below(BASE, BASE + path):
        return
    read = f"/v1{path}"
    for _ in range(10):
        read = unquote(read).replace("\\", "/")
        plain = "/".join(segment.partition(";")[0] for segment in read.split("/"))
        for each in (read, plain):
            assert posixpath.normpath(each).lstrip("/").partition("/")[0] == "v1"


@pytest.mark.parametrize(
    ("base", "complaint"),
    [
        ("https://a:b@a.example/", "has a user"),
        ("https://a.example/?x", "has a query"),
        ("https://a.example/#x", "fragment"),
        ("https://a.example/token/abc", "looks like a secret"),
        ("https://a.example/x/..", "segments of dots"),
        ("a.example", "is no URL"),
    ],
)
def test_base__complains(base: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        check_base(base)
