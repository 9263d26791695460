"""What of a URL is secret: by table, and for whatever a URL may be made of."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cronally.contract.url_secrets import MASK, has_part, hide_url
from cronally.targets.url import parse_url
from tests.support.factories import CANARY as S

BASE = "https://example.com/hook"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        # User info, whatever of it is there: a user name alone is how some services take a key.
        (f"https://user:{S}@example.com/", "https://***@example.com/"),
        (f"https://{S}@example.com", "https://***@example.com"),
        (f"https://:{S}@[2606:4700::1111]:8443/a?b=c", "https://***@[2606:4700::1111]:8443/a?b=c"),
        # Names of parameters, however they are written.
        *(
            (f"{BASE}?a=1&{name}={S}&b=2", f"{BASE}?a=1&{name}=***&b=2")
            for name in (
                *(
                    "token",
                    "TOKEN",
                    "access_token",
                    "authtoken",
                    "x-csrf-token",
                    "token[]",
                    "auth[token]",
                    "t%6Fken",
                ),
                *(
                    "key",
                    "api_key",
                    "apikey",
                    "apiKey",
                    "APIKey",
                    "X-API-KEY",
                    "key1",
                    "accessKeyId",
                    "subscription-key",
                ),
                *(
                    "sig",
                    "signature",
                    "X-Amz-Signature",
                    "X-Goog-Signature",
                    "hmac",
                    "sign",
                    "X-Amz-Security-Token",
                ),
                *(
                    "password",
                    "passwd",
                    "passwort",
                    "pass",
                    "pw",
                    "pwd",
                    "passphrase",
                    "user_password",
                    "pin",
                ),
                *(
                    "secret",
                    "clientSecret",
                    "client_secret",
                    "auth",
                    "Authorization",
                    "bearer",
                    "jwt",
                    "code",
                    "otp",
                ),
                *(
                    "JSESSIONID",
                    "PHPSESSID",
                    "session",
                    "sid",
                    "credentials",
                    "cred",
                    "private_key",
                    "licensekey",
                ),
            )
        ),
        # A value in another notation: a URL, a query, JSON, a header.
        (f"{BASE}?next=https%3A%2F%2Fu%3A{S}%40b.example", f"{BASE}?next=***"),
        (f"{BASE}?next=https%253A%252F%252Fu%253A{S}%2540b.example", f"{BASE}?next=***"),
        (f"{BASE}?next=https://b.example/?token={S}", f"{BASE}?next=***"),
        (f"{BASE}?a=1;token={S};b=2", f"{BASE}?a=***"),
        (f"{BASE}?payload=%7B%22token%22%3A%22{S}%22%7D", f"{BASE}?payload=***"),
        (f"{BASE}?header=X-Api-Key:%20{S}", f"{BASE}?header=***"),
        (f"{BASE}?h=Bearer+{S}", f"{BASE}?h=***"),
        (f"{BASE}?token%3D{S}", f"{BASE}?***"),
        (f"{BASE}?token%3D{S}=1", f"{BASE}?***"),
        # Tokens that say what they are.
        (f"{BASE}?x=eyJhbGciOiJIUzI1NiJ9.{S}", f"{BASE}?x=***"),
        (f"{BASE}?x=sk_live_{S}", f"{BASE}?x=***"),
        (f"{BASE}/xoxb-{S}/x", f"{BASE}/***/x"),
        # Paths: behind a segment that says so, with a name of their own, of hosts whose URL is the secret.
        (f"https://maker.ifttt.com/trigger/x/with/key/{S}", "https://maker.ifttt.com/trigger/x/with/key/***"),
        (f"https://example.com/token/{S}/run", "https://example.com/token/***/run"),
        (f"https://example.com/a;token={S}/run", "https://example.com/***/run"),
        (f"https://hooks.slack.com/services/T0/B0/{S}", "https://hooks.slack.com/***"),
        (f"https://HOOKS.SLACK.COM:443/services/T0/B0/{S}", "https://HOOKS.SLACK.COM:443/***"),
        (f"https://discord.com/api/webhooks/1/{S}?wait=true", "https://discord.com/api/***?wait=true"),
        (f"https://ptb.discord.com/api/webhooks/1/{S}", "https://ptb.discord.com/api/***"),
        (f"https://api.telegram.org/bot1:{S}/sendMessage?text=x", "https://api.telegram.org/bot***?text=x"),
        (f"https://x.webhook.office.com/webhookb2/{S}", "https://x.webhook.office.com/***"),
        # What is never sent, and what cannot be read.
        (f"{BASE}#{S}", f"{BASE}#***"),
        (S, MASK),
    ],
)
def test_hide_url__a_secret(url: str, shown: str) -> None:
    assert hide_url(url) == shown
    assert hide_url(shown) == shown


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://example.com:8080/a/b/c.php?id=17&name=x&at=12:30&q=a%20b",
        f"{BASE}?token=&key&monkey=1&keyboard=2&zip_code=3&design=4&sidebar=5&authors=6&pinned=7",
        f"{BASE}?next=https://b.example/a?b=c",
        f"{BASE}?&&=&=x",
        "https://example.com/keys/1/tokens/2",
        "https://slack.com/services/1",
        "https://discord.com/channels/1",
    ],
)
def test_hide_url__without_a_secret_is_itself(url: str) -> None:
    assert hide_url(url) == url


@pytest.mark.parametrize(
    ("url", "marked", "shown"),
    [
        (f"{BASE}?chat_id={S}&a=1", ["chat_id"], f"{BASE}?chat_id=***&a=1"),
        (f"{BASE}?Chat%5Fid={S}&a=1", ["chat_ID"], f"{BASE}?Chat%5Fid=***&a=1"),
        (f"{BASE}/{S}?a=1", ["/"], "https://example.com/***?a=1"),
        (f"https://example.com/?a={S}", ["/", "a"], "https://example.com/?a=***"),
    ],
)
def test_hide_url__what_is_marked(url: str, marked: list[str], shown: str) -> None:
    assert hide_url(url, marked) == shown
    assert hide_url(shown, marked) == hide_url(shown) == shown


@pytest.mark.parametrize(
    "unit", ["a", "eyJ-", "://", "a[", ";", "%25", "&", "key", "key ", "A", "=", "/", "token/"]
)
def test_hide_url__takes_no_longer_than_the_text(unit: str) -> None:
    """Steps, not seconds: a pattern that went back and forth would not end within the test's time."""
    hide_url(f"https://example.com/{unit * 20_000}?x={unit * 20_000}")


_PLAIN = st.text(string.ascii_letters + string.digits + "-._~!$'()*,", max_size=8)
_SECRET = st.text(string.ascii_letters + string.digits + "-._~!$'()*+,;=:@/? %&#", max_size=8).map(
    lambda text: quote(f"{text}{S}{text}", safe="-._~!$'()*,")
)
_NAME = st.sampled_from(["token", "api_key", "apiKey", "sig", "password", "X-Amz-Signature", "k%65y", "mine"])
_OPEN = st.tuples(_PLAIN, _PLAIN).map("=".join)
_HIDDEN = st.tuples(_NAME, _SECRET).map("=".join)
_QUERY = st.lists(_OPEN | _HIDDEN | _PLAIN, max_size=6).map("&".join)
_PATH = st.lists(_PLAIN, max_size=4).map("/".join)
_USERINFO = st.one_of(
    st.just(""), _SECRET.map("{}@".format), st.tuples(_PLAIN, _SECRET).map(lambda two: f"{two[0]}:{two[1]}@")
)
_HOST = st.sampled_from(["example.com", "EXAMPLE.com:8443", "192.0.2.1", "[2001:db8::1]:80"])


@given(_USERINFO, _HOST, _PATH, _QUERY)
def test_hide_url__shows_no_secret_and_changes_nothing_of_what_is_sent(
    userinfo: str, host: str, path: str, query: str
) -> None:
    url = f"https://{userinfo}{host}/{path}?{query}"
    shown = hide_url(url, ["mine"])
    assert S not in shown
    assert hide_url(shown, ["mine"]) == hide_url(shown) == shown
    assume(":" not in userinfo or "%3A" not in userinfo.partition(":")[0])
    try:
        sent = parse_url(url)
    except ValueError:
        return
    assert sent.target == f"/{path}?{query}", "byte for byte what was given, without the user info"
    assert (sent.authorization is not None) == bool(userinfo)
    # What is shown has the same receiver, and can be read by all that reads URLs.
    assert parse_url(shown)[:2] == sent[:2]
    assert S not in repr(sent)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u@example.com/" + "a/" * 40, "https://***@example.com/***"),
        ("https://example.com/hook?" + "a=b&" * 20, "https://example.com/***?***"),
        ("https://example.com?" + "a=b&" * 20, "https://example.com?***"),
        (f"{BASE}?x=" + "a%253a" * 40, "https://example.com/***?***"),
        (f"{BASE}?{'a' * 65}=1", f"{BASE}?{'a' * 65}=***"),
        ("https://discord.com/api/" + "a/" * 40, "https://discord.com/***"),
    ],
)
def test_hide_url__looks_at_so_much_and_hides_the_rest(url: str, shown: str) -> None:
    """A page shows a hundred URLs: what each may cost is bounded."""
    assert hide_url(url) == shown
    assert hide_url(shown, ["a"]) == shown


def test_has_part__of_a_query_that_is_hidden_as_a_whole() -> None:
    """So what was shown can be sent back, with its marks."""
    url = f"{BASE}?" + "a=b&" * 20
    assert has_part(url, "a")
    assert has_part(hide_url(url, ["a"]), "a")
    assert not has_part(f"{BASE}?b=***", "a")


@given(st.text(max_size=60), st.lists(st.text(max_size=4), max_size=3))
def test_hide_url__of_anything_at_all(text: str, marked: list[str]) -> None:
    shown = hide_url(text, marked)
    assert hide_url(shown, marked) == shown
    assert hide_url(f"https://{text}", marked) == hide_url(hide_url(f"https://{text}", marked), marked)
