"""Signatures of requests, version 2: by the text of RFC 9421 and an independent library, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally import request_signatures
from cronally.instants import MINUTE, SECOND
from cronally.request_signatures import (
    ACCEPTED,
    MAX_FIELD,
    NOTHING,
    Claim,
    fits,
    is_current,
    is_meant,
    is_of,
    read,
    sign,
)
from cronally.structured_fields import InnerList, read_dictionary
from tests.support.examples import examples

SECRET = base64.b64decode("h/Be+K0LvQxanvcabBL5Pjg3HL8g7CekNkG090he6rk=")
API_KEY = "59ab5a9c-ce44-4446-9501-76f4f64be3c6"
NONCE = "0123456789abcdef0123456789abcdef"
AT = 1_800_000_000
BODY = b"name=wake+up"
FORM = "application/x-www-form-urlencoded"
TARGET = "/cronjob/?a=1&b=%2F"
LINES = {
    "@method": "POST",
    "@path": "/cronjob/",
    "@query": "?a=1&b=%2F",
    "content-digest": f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:",
    "content-type": FORM,
    "idempotency-key": "k-1",
}
VALUES = {
    "created": str(AT),
    "nonce": f'"{NONCE}"',
    "keyid": f'"{API_KEY}"',
    "alg": '"hmac-sha256"',
    "tag": '"cronally-api"',
}


def by_hand(
    lines: Mapping[str, str] = LINES, values: Mapping[str, str] = VALUES, label: str = "x"
) -> dict[str, str]:
    """The headers of a request that is signed by the text of RFC 9421, 2.5, character by character."""
    covered = " ".join(f'"{name}"' for name in lines)
    parameters = f"({covered})" + "".join(f";{name}={value}" for name, value in values.items())
    base = "".join(f'"{name}": {value}\n' for name, value in lines.items())
    base += f'"@signature-params": {parameters}'
    made = base64.b64encode(hmac.digest(SECRET, base.encode(), "sha256")).decode()
    fields = {name: value for name, value in lines.items() if not name.startswith("@")}
    return {**fields, "signature-input": f"{label}={parameters}", "signature": f"{label}=:{made}:"}


def claimed(
    headers: Mapping[str, str] | list[tuple[str, str]], method: str = "POST", target: str = TARGET
) -> Claim:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return read(method, target, [(name.encode(), value.encode("latin-1")) for name, value in pairs])


def is_taken(
    headers: Mapping[str, str] | list[tuple[str, str]], method: str = "POST", target: str = TARGET
) -> bool:
    claim = claimed(headers, method, target)
    return fits(SECRET, claim) and is_current(claim, AT * SECOND, 5 * MINUTE) and claim.api_key == API_KEY


def own(
    method: str = "POST", target: str = TARGET, body: bytes = BODY, headers: Mapping[str, str] = {}
) -> dict[str, str]:
    """As the client signs."""
    sent = {"content-type": FORM, "idempotency-key": "k-1", **headers}
    made = sign(SECRET, API_KEY, method, target, sent, body, second=AT, nonce=NONCE)
    return {**sent, **{name.lower(): value for name, value in made.items()}}


def test_read__takes_what_is_signed_by_the_text_of_the_rfc() -> None:
    claim = claimed(by_hand())
    assert is_taken(by_hand())
    assert (claim.created, claim.nonce, claim.expires) == (AT, NONCE, None)
    assert is_of(BODY, claim.digest)
    assert not is_of(BODY + b" ", claim.digest)
    assert not fits(SECRET[:-1] + b"x", claim)


def test_sign__makes_what_is_signed_by_the_text_of_the_rfc() -> None:
    assert own() == by_hand(label="cronally")


def test_repr__shows_neither_nonce_nor_signature() -> None:
    shown = repr(claimed(by_hand()))
    assert API_KEY in shown
    assert NONCE not in shown
    assert by_hand()["signature"].split(":")[1] not in shown
    assert "digest" not in shown


def test_accepted__is_a_dictionary_of_what_is_covered() -> None:
    """RFC 9421, 5.1."""
    asked = read_dictionary(ACCEPTED)["cronally"]
    assert isinstance(asked, InnerList)
    assert [item.value for item in asked.items] == ["@method", "@path", "@query", "content-digest"]
    assert {name: item.value for name, item in asked.parameters.items()} == {
        "alg": "hmac-sha256",
        "tag": "cronally-api",
        "created": True,
    }


# What is refused


@pytest.mark.parametrize("name", LINES)
def test_read__refuses_what_does_not_cover_all(name: str) -> None:
    headers = by_hand({one: value for one, value in LINES.items() if one != name})
    # A header that is there and not covered was added by somebody.
    headers.setdefault(name, LINES[name]) if not name.startswith("@") else None
    assert claimed(headers) == NOTHING


@pytest.mark.parametrize("name", VALUES)
def test_read__refuses_what_does_not_say_all(name: str) -> None:
    headers = by_hand(values={one: value for one, value in VALUES.items() if one != name})
    assert is_taken(headers) == (name == "alg"), "the key says what the algorithm is"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"created": f'"{AT}"'}, "no number"),
        ({"created": "?1"}, "no number"),
        ({"created": f"{AT}.5"}, "no whole number"),
        ({"created": "1" * 16}, "too long a number"),
        ({"created": str(AT - 301)}, "old"),
        ({"created": str(AT + 301)}, "ahead"),
        ({"created": "999999999999999"}, "far ahead"),
        ({"created": "-999999999999999"}, "far back"),
        ({"expires": str(AT - 1)}, "expired"),
        ({"expires": '"x"'}, "no number"),
        ({"expires": "?1"}, "no number"),
        ({"nonce": '"0123456789abcde"'}, "15 characters"),
        ({"nonce": f'"{"n" * 65}"'}, "65 characters"),
        ({"nonce": '""'}, "empty"),
        ({"nonce": "0123456789abcdef"}, "a number and more"),
        ({"nonce": "abcdef0123456789"}, "a token"),
        ({"nonce": ":MDEyMzQ1Njc4OWFiY2RlZg==:"}, "bytes"),
        ({"alg": '"rsa-pss-sha512"'}, "another algorithm"),
        ({"alg": '"HMAC-SHA256"'}, "no algorithm"),
        ({"alg": "hmac-sha256"}, "a token"),
        ({"alg": '"ed25519"'}, "another algorithm"),
        ({"tag": '"cronally"'}, "a webhook's"),
        ({"tag": "cronally-api"}, "a token"),
        ({"keyid": f'"{API_KEY.upper()}"'}, "another key"),
        ({"keyid": '"admin"'}, "no key"),
        ({"keyid": "1"}, "no key"),
    ],
)
def test_read__refuses_parameters(values: Mapping[str, str], problem: str) -> None:
    assert not is_taken(by_hand(values={**VALUES, **values})), problem


@pytest.mark.parametrize(
    "values",
    [
        {"created": str(AT - 300)},
        {"created": str(AT + 300)},
        {"expires": str(AT)},
        {"nonce": '"0123456789abcdef"'},
        {"nonce": f'"{"n" * 64}"'},
        {"nonce": r'"a \"quoted\" nonce"'},
        {"colour": '"red"'},
    ],
)
def test_read__takes_parameters_at_their_bounds(values: Mapping[str, str]) -> None:
    assert is_taken(by_hand(values={**VALUES, **values}))


def changed(**change: str | None) -> dict[str, str]:
    headers = {**by_hand(), **{name.replace("_", "-"): value for name, value in change.items()}}
    return {name: value for name, value in headers.items() if value is not None}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        changed(signature=None),
        changed(signature_input=None),
        changed(content_digest=None),
        changed(content_type=None),
        changed(idempotency_key=None),
        changed(signature=""),
        changed(signature="x=:AA==:"),
        changed(signature="x"),
        changed(signature="y" + by_hand()["signature"][1:]),
        changed(signature=by_hand()["signature"] + ","),
        changed(signature_input=""),
        changed(signature_input="x"),
        changed(signature_input="x=("),
        changed(signature_input='x="cronally-api"'),
        changed(signature_input=by_hand()["signature-input"] + ";tag=1"),
        changed(content_digest="sha-512=:AA==:"),
        changed(content_digest="sha-256=AA"),
        changed(content_digest="sha-256=:AA==:"),
        changed(content_digest="("),
        changed(content_type="application/json"),
        changed(idempotency_key="k-2"),
        changed(signature_input=by_hand()["signature-input"] + ", y=" + "(" * 200),
        changed(signature_input=by_hand()["signature-input"] + " " * MAX_FIELD),
        changed(signature=by_hand()["signature"] + " " * MAX_FIELD),
        changed(content_digest=LINES["content-digest"] + " " * MAX_FIELD),
    ],
)
def test_read__refuses_hostile_headers(headers: dict[str, str]) -> None:
    assert not is_taken(headers)


@pytest.mark.parametrize(
    "more",
    [
        '"@scheme"',
        '"@target-uri"',
        '"@request-target"',
        '"x-none"',
        '"@method"',
        '"content-type";sf',
        "a",
        "1",
    ],
)
def test_read__refuses_to_cover_what_it_does_not_know(more: str) -> None:
    headers = by_hand()
    headers["signature-input"] = headers["signature-input"].replace(
        '"idempotency-key"', f'"idempotency-key" {more}'
    )
    assert claimed(headers) == NOTHING


@pytest.mark.parametrize(
    "name", ["signature-input", "signature", "content-digest", "content-type", "idempotency-key", "host"]
)
def test_read__refuses_what_is_there_twice(name: str) -> None:
    headers = {"host": "x", **by_hand()}
    assert is_taken(headers)
    assert claimed([*headers.items(), (name, headers[name])]) == NOTHING
    assert claimed([(name, "other"), *headers.items()]) == NOTHING
    assert is_taken([("accept", "a"), ("accept", "b"), *headers.items()])


def test_read__two_signatures_of_ours_are_none_and_those_of_others_are_not_looked_at() -> None:
    one, two = by_hand(), by_hand(label="y")
    for other, taken in ((two, False), (by_hand(values={**VALUES, "tag": '"proxy"'}, label="y"), True)):
        both = {name: f"{one[name]}, {other[name]}" for name in ("signature-input", "signature")}
        assert is_taken({**one, **both}) == taken


def test_meant__says_what_the_tag_says() -> None:
    inputs = by_hand()["signature-input"].encode()
    assert is_meant(b"signature-input", inputs)
    assert not is_meant(b"signature", inputs)
    assert not is_meant(b"signature-input", inputs.replace(b"cronally-api", b"cronally"))


def test_nothing__fits_no_secret() -> None:
    assert not fits(b"", NOTHING)
    assert not fits(SECRET, NOTHING)
    assert not is_current(NOTHING, AT * SECOND, 5 * MINUTE)


def test_nonce__is_of_its_key() -> None:
    ids = {
        claimed(by_hand(values={**VALUES, **values})).nonce_id
        for values in (
            {},
            {"created": str(AT - 1)},
            {"nonce": f'"{NONCE}0"'},
            {"keyid": f'"{API_KEY[:-1]}0"'},
        )
    }
    assert len(ids) == 3, "whenever it was made"
    assert {len(one) for one in ids} == {16}


# Any change


_visible = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)
_methods = st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD"])
_targets = st.builds(
    lambda path, query: f"/{path}" + (f"?{query}" if query else ""),
    _visible.map(lambda text: text.replace("?", "").replace("#", "")),
    _visible.map(lambda text: text.replace("#", "")),
)


@given(_methods, _targets, st.binary(max_size=50), _methods, _targets, st.binary(max_size=50), st.randoms())
@examples(200)
def test_request__is_taken_as_it_was_signed_and_in_no_other_form(
    method: str,
    target: str,
    body: bytes,
    other_method: str,
    other_target: str,
    other_body: bytes,
    chance: random.Random,
) -> None:
    headers = list(own(method, target, body).items())
    chance.shuffle(headers)
    assert is_taken(headers, method, target), "the order of the headers says nothing"
    assert is_taken(headers, other_method, target) == (other_method == method)
    assert is_taken(headers, method, other_target) == (_parts(target) == _parts(other_target))
    assert is_of(other_body, claimed(headers, method, target).digest) == (other_body == body)
    other_digest = own(method, target, other_body)["content-digest"]
    assert is_taken({**dict(headers), "content-digest": other_digest}, method, target) == (other_body == body)


def _parts(target: str) -> tuple[str, str]:
    path, _, query = target.partition("?")
    return path, query


@given(st.data())
@examples(200)
def test_headers__any_other_character_is_refused(data: st.DataObject) -> None:
    """But for what is no part of what is said: a space that may stand there, or the order of a dictionary."""
    headers = own()
    name = data.draw(st.sampled_from(sorted(headers)))
    at = data.draw(st.integers(0, len(headers[name]) - 1))
    character = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
    text = headers[name]
    altered = {**headers, name: text[:at] + character + text[at + 1 :]}
    before, after = claimed(headers), claimed(altered)
    # Whatever is taken says the same, under the same signature: base64 has bits that mean nothing, labels say nothing.
    assert not is_taken(altered) or (before.base, before.signature) == (after.base, after.signature)


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300))
@examples(300)
def test_read__never_fails(inputs: str, signature: str, digest: str) -> None:
    texts = {"signature-input": inputs, "signature": signature, "content-digest": digest}
    pairs = [(name.encode(), text.encode()) for name, text in texts.items()]
    claim = read("GET", "/", pairs)
    assert not fits(SECRET, claim)


def test_read__is_quick_with_what_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is longer than any signature is not parsed at all."""

    def fail(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(request_signatures, "signatures_with", fail)
    for name in ("signature-input", "signature", "content-digest"):
        assert claimed(changed(**{name.replace("-", "_"): "a," * MAX_FIELD})) == NOTHING
