"""Acknowledgement URLs: what is put in comes out, and nothing else does."""

from __future__ import annotations

import base64
import re
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from cronally.ack_links import KEY_BYTES, TOKEN_FORM, AckLinks
from cronally.firing import Kind
from cronally.instants import MAX_INSTANT

LINKS = AckLinks(bytes(range(KEY_BYTES)), "https://cron.example.com/")
KEYS = st.tuples(
    st.uuids().map(str),
    st.integers(-MAX_INSTANT, MAX_INSTANT),
    st.sampled_from([kind.value for kind in Kind]),
)


def token_of(url: str | None) -> str:
    assert url is not None
    assert url.startswith("https://cron.example.com/ack/")
    return url.split("/")[4]


@given(KEYS, st.integers(0, 2**32 - 1))
def test_url__holds_the_key_and_is_always_the_same(key: tuple[str, int, str], before: int) -> None:
    url = LINKS.url(key, before)
    token = token_of(url)
    assert re.fullmatch(TOKEN_FORM, token)
    assert url == LINKS.url(key, before)
    assert len(url or "") == len(LINKS.longest)
    assert LINKS.read(token) == (key, before)
    # It says nothing to who has not the key.
    opened = base64.urlsafe_b64decode(token)
    assert UUID(key[0]).bytes not in opened
    assert key[1].to_bytes(8, "big", signed=True) not in opened or key[1] == 0


@given(KEYS, st.integers(0, 359), st.text(max_size=80))
def test_read__takes_no_token_that_nobody_made(key: tuple[str, int, str], bit: int, text: str) -> None:
    token = token_of(LINKS.url(key, 0))
    sealed = bytearray(base64.urlsafe_b64decode(token))
    sealed[bit // 8] ^= 1 << bit % 8
    assert LINKS.read(base64.urlsafe_b64encode(bytes(sealed)).decode()) is None
    assert LINKS.read(text) is None
    assert LINKS.read(token[:-1]) is None
    assert LINKS.read(token + "A") is None
    assert AckLinks(bytes(KEY_BYTES), None).read(token) is None


def test_links__without_a_public_url_still_read() -> None:
    key = (str(UUID(int=1)), 5, "manual")
    without = AckLinks(bytes(range(KEY_BYTES)), None)
    assert without.url(key, 0) is None
    assert not without.may_ask
    assert without.of_nothing is None
    assert without.masked is None
    assert without.read(token_of(LINKS.url(key, 3))) == (key, 3)


def test_links__of_a_test_message_stand_for_nothing() -> None:
    found = LINKS.read(token_of(LINKS.of_nothing))
    assert found is not None
    assert LINKS.is_test(found[0])
    assert not LINKS.is_test((str(UUID(int=1)), 0, "scheduled"))
