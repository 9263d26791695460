"""The vault: round trips, every alteration is refused, keys are rotated, and nothing ever shows a secret."""

from __future__ import annotations

import base64
import contextlib
import os
import traceback
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import assume, given
from hypothesis import strategies as st

from cronally.errors import SealingError
from cronally.vault import SealContext, SealingKey, Vault, new_sealing_key, parse_sealing_keys

KEY_A = SealingKey("a", bytes(range(32)))
KEY_B = SealingKey("b-2026.11", bytes(range(32, 64)))
CONTEXT = SealContext("34f10c9d", "cronjob", "sns_secret_access_key", "59ab5a9c")
CANARY = b"canary-wJalrXUtnFEMI"

names = st.text(alphabet=st.characters(codec="utf-8"), max_size=20)
contexts = st.builds(SealContext, names, names, names, names)


def line(key: SealingKey) -> str:
    return f"{key.id}:{base64.b64encode(key.key).decode()}"


@given(st.binary(max_size=500), contexts)
def test_vault__opens_what_it_sealed(plaintext: bytes, context: SealContext) -> None:
    vault = Vault([KEY_A, KEY_B])
    assert vault.open(vault.seal(plaintext, context), context) == plaintext


@given(contexts, contexts)
def test_vault__opens_in_no_other_place(sealed_for: SealContext, opened_for: SealContext) -> None:
    assume(sealed_for != opened_for)
    vault = Vault([KEY_A])
    with pytest.raises(SealingError):
        vault.open(vault.seal(CANARY, sealed_for), opened_for)


@given(contexts, contexts)
def test_context__no_two_places_give_the_same_associated_data(one: SealContext, other: SealContext) -> None:
    assert (one.associated_data() == other.associated_data()) is (one == other)


def test_context__a_moved_boundary_is_another_place() -> None:
    assert (
        SealContext("ab", "c", "d", "e").associated_data()
        != SealContext("a", "bc", "d", "e").associated_data()
    )


@pytest.mark.parametrize("field", ["account_id", "table", "column", "row_id"])
def test_vault__every_part_of_the_context_counts(field: str) -> None:
    vault = Vault([KEY_A])
    sealed = vault.seal(CANARY, CONTEXT)
    with pytest.raises(SealingError, match="does not open"):
        vault.open(sealed, replace(CONTEXT, **{field: "other"}))


def test_vault__refuses_every_changed_bit() -> None:
    vault = Vault([KEY_A, KEY_B])
    sealed = vault.seal(CANARY, CONTEXT)
    for position in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[position] ^= 1 << bit
            with pytest.raises(SealingError):
                vault.open(bytes(changed), CONTEXT)


def test_vault__refuses_every_truncation() -> None:
    vault = Vault([KEY_A])
    sealed = vault.seal(CANARY, CONTEXT)
    for length in range(len(sealed)):
        with pytest.raises(SealingError):
            vault.open(sealed[:length], CONTEXT)


@given(st.binary(max_size=80))
def test_vault__stored_bytes_may_be_anything(sealed: bytes) -> None:
    vault = Vault([KEY_A])
    with pytest.raises(SealingError) as caught:
        vault.open(sealed, CONTEXT)
    assert caught.value.message.isprintable()
    with contextlib.suppress(SealingError):
        assert vault.key_id(sealed).isprintable()


def test_vault__seals_to_other_bytes_every_time() -> None:
    vault = Vault([KEY_A])
    assert len({vault.seal(CANARY, CONTEXT) for _ in range(100)}) == 100


def test_vault__the_first_key_seals_and_all_open() -> None:
    before = Vault([KEY_A])
    after = Vault([KEY_B, KEY_A])
    old = before.seal(CANARY, CONTEXT)
    new = after.seal(CANARY, CONTEXT)
    assert (before.current_id, after.current_id) == ("a", "b-2026.11")
    assert (after.key_id(old), after.key_id(new)) == ("a", "b-2026.11")
    assert after.open(old, CONTEXT) == after.open(new, CONTEXT) == CANARY


def test_vault__names_the_key_that_is_missing() -> None:
    sealed = Vault([KEY_B]).seal(CANARY, CONTEXT)
    vault = Vault([KEY_A])
    assert vault.key_id(sealed) == "b-2026.11"
    with pytest.raises(SealingError, match=r"the sealing key b-2026\.11 is missing; add its line"):
        vault.open(sealed, CONTEXT)


def test_vault__another_key_under_the_same_id_does_not_open() -> None:
    sealed = Vault([KEY_A]).seal(CANARY, CONTEXT)
    with pytest.raises(SealingError, match="the key is another one of the same id"):
        Vault([SealingKey("a", KEY_B.key)]).open(sealed, CONTEXT)


def test_vault__the_stored_format_is_the_documented_one() -> None:
    """A secret sealed by hand, as the module's docstring lays it out: old databases rely on it."""
    nonce = os.urandom(12)
    header = b"\x01" + b"\x09" + b"b-2026.11"
    place = b"".join(
        len(name).to_bytes(4, "big") + name
        for name in (b"34f10c9d", b"cronjob", b"sns_secret_access_key", b"59ab5a9c")
    )
    sealed = header + nonce + AESGCM(KEY_B.key).encrypt(nonce, CANARY, header + place)
    assert Vault([KEY_A, KEY_B]).open(sealed, CONTEXT) == CANARY


def test_vault__nothing_shows_a_secret() -> None:
    vault = Vault([KEY_A])
    shown = [repr(KEY_A), str(KEY_A), repr(vault), repr((KEY_A, vault))]
    sealed = Vault([KEY_B]).seal(CANARY, CONTEXT)
    for key in (KEY_A, SealingKey("b-2026.11", bytes(32))):
        try:
            Vault([key]).open(sealed, CONTEXT)
        except SealingError as error:
            shown.append("".join(traceback.format_exception(error)))
    assert len(shown) == 6
    for text in shown:
        assert "canary" not in text
        for key in (KEY_A, KEY_B):
            assert repr(key.key) not in text
            assert line(key).partition(":")[2] not in text


def test_vault__needs_keys_with_different_ids() -> None:
    with pytest.raises(SealingError, match="no sealing key"):
        Vault([])
    with pytest.raises(SealingError, match="the same id"):
        Vault([KEY_A, SealingKey("a", KEY_B.key)])


def test_parse_sealing_keys__reads_lines_comments_and_blank_lines() -> None:
    text = f"# made for the tests\n\n  {line(KEY_B)}  \r\n\t\n#{line(KEY_A)}\na : {line(KEY_A)[2:]}\n"
    assert parse_sealing_keys(text) == (KEY_B, KEY_A)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no sealing key"),
        ("# nothing\n\n", "there is no sealing key"),
        ("canary", "line 1: a sealing key is written `id:base64`"),
        ("\n\na:canary!", "line 3: what stands behind the colon is not base64"),
        ("a:\n", "line 1: the sealing key a has 0 bytes; 32 are needed"),
        ("a:Y2FuYXJ5\n", "line 1: the sealing key a has 6 bytes; 32 are needed"),
        (f"{line(KEY_A)}\na:{line(KEY_B).partition(':')[2]}", "line 2: the id a is there twice"),
        (f":{line(KEY_A)[2:]}", "line 1: the id of a sealing key is"),
        (f"{line(KEY_A)[2:]}:a", "line 1: what stands behind the colon is not base64"),
        (f"{bytes(range(32)).hex()}:{line(KEY_A)[2:]}", "line 1: the id of a sealing key is"),
        (f"schlüssel:{line(KEY_A)[2:]}", "line 1: the id of a sealing key is"),
        ("a:ключ", "line 1: what stands behind the colon is not base64"),
        ("#" * 70_000, "longer than 64 KiB"),
    ],
)
def test_parse_sealing_keys__says_what_is_wrong_without_showing_it(text: str, message: str) -> None:
    with pytest.raises(SealingError) as caught:
        parse_sealing_keys(text)
    shown = "".join(traceback.format_exception(caught.value))
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    for secret in ("canary", "Y2FuYXJ5", line(KEY_A)[2:], bytes(range(32)).hex()):
        assert secret not in shown


@given(st.text(max_size=200))
def test_parse_sealing_keys__raises_nothing_else(text: str) -> None:
    try:
        keys = parse_sealing_keys(text)
    except SealingError:
        return
    assert keys


def test_new_sealing_key__is_usable_and_new() -> None:
    lines = [new_sealing_key() for _ in range(20)]
    keys = parse_sealing_keys("\n".join(lines))
    assert len({key.id for key in keys}) == len({key.key for key in keys}) == 20
    vault = Vault(keys)
    assert vault.open(vault.seal(CANARY, CONTEXT), CONTEXT) == CANARY
