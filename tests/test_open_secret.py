"""Sealed secrets are opened by one function, for the purposes that SECURITY.md lists, and nowhere else."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import cronally
from cronally import vault as vault_module
from cronally.errors import SealingError
from cronally.vault import Purpose, SealContext, SealingKey, Vault, open_secret
from tests.docs.markdown import ROOT, first_names, read

SOURCE = Path(cronally.__file__).parent
VAULT = Vault([SealingKey("a", bytes(range(32)))])
OTHERS = [file for file in sorted(SOURCE.rglob("*.py")) if file != Path(vault_module.__file__)]
PLACES = [
    ("answer", "secret"),
    ("api_key", "secret"),
    ("channel", "secret"),
    ("connection", "secret"),
    ("connection_previous", "secret"),
    ("cronjob", "secret"),
    ("firing_message", "secret"),
    ("idempotency_key", "digest"),
    ("sealing_check", "sealed"),
]


def attributes(file: Path) -> Iterator[ast.Attribute]:
    return (node for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, ast.Attribute))


@pytest.mark.parametrize("purpose", Purpose)
def test_open_secret__opens_what_the_purpose_needs_and_no_other_column(purpose: Purpose) -> None:
    allowed = vault_module._PLACES[purpose]
    assert allowed
    assert allowed <= set(PLACES)
    for table, column in PLACES:
        place = SealContext("account", table, column, "row")
        sealed = VAULT.seal(b"secret", place)
        if (table, column) in allowed:
            assert open_secret(VAULT, sealed, place, purpose) == b"secret"
        else:
            with pytest.raises(ValueError, match=rf"nothing in {table}\.{column} is opened to {purpose}"):
                open_secret(VAULT, sealed, place, purpose)


def test_open_secret__of_another_place_does_not_open() -> None:
    sealed = VAULT.seal(b"secret", SealContext("account", "cronjob", "secret", "one"))
    with pytest.raises(SealingError, match=r"cronjob\.secret does not open"):
        open_secret(VAULT, sealed, SealContext("account", "cronjob", "secret", "other"), Purpose.SEND)


def test_vault__is_opened_by_open_secret_alone() -> None:
    """In a file that knows the vault, nothing but a file descriptor is opened."""
    knowing = [file for file in OTHERS if "cronally.vault" in file.read_text()]
    assert len(knowing) >= 5
    for file in knowing:
        for node in attributes(file):
            if node.attr == "open":
                assert ast.unparse(node.value) == "os", f"{file}:{node.lineno}: use open_secret"
    inside = [node for node in attributes(Path(vault_module.__file__)) if node.attr == "open"]
    assert [ast.unparse(node) for node in inside] == ["vault.open"]


def test_purposes__are_each_used_in_one_place() -> None:
    used = Counter(
        node.attr for file in OTHERS for node in attributes(file) if ast.unparse(node.value) == "Purpose"
    )
    assert used == Counter(purpose.name for purpose in Purpose)


def test_purposes__are_listed_in_the_security_policy() -> None:
    assert first_names(read(ROOT / "SECURITY.md").section("Secrets")) == [*Purpose]
