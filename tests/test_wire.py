"""What both sides of a request agree on, and every reason, stands in the code once."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

import cronally
from cronally import firing, wire
from cronally.firing import Reason

SOURCE = Path(cronally.__file__).parent
HEADERS = [value for name, value in vars(wire).items() if name.endswith("_HEADER")]
# These two are names of other things as well: a parameter and a state.
WORDS = [reason.value for reason in Reason if reason not in (Reason.MISFIRE_GRACE, Reason.DELETED)]


def literals(but: str | None) -> Iterator[str]:
    for file in SOURCE.rglob("*.py"):
        if str(file) != but:
            for node in ast.walk(ast.parse(file.read_bytes())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_headers__are_named_once() -> None:
    assert len(HEADERS) == 10
    assert not set(HEADERS) & set(literals(but=wire.__file__))


def test_reasons__are_named_once() -> None:
    # Examples in the descriptions of the API are read by people.
    examples = {"dst_gap=run_at_jump", "dst_overlap=first"}
    # A cron job has a state of this name, and a list is filtered by it; a preview has a list of the other name.
    others = {"paused", "excluded"}
    # A change of a connection says for how long its former secrets go on.
    others |= {"overlap"}
    # So is an account, which the operator has suspended.
    others |= {"suspended"}
    assert not (set(WORDS) - examples - others) & set(literals(but=firing.__file__))


def test_uuid__pattern_is_written_once() -> None:
    assert wire.UUID.pattern in set(literals(but=None))
    assert not [text for text in literals(but=wire.__file__) if "[0-9a-f]{8}" in text]


@pytest.mark.parametrize("text", [str(uuid4()), str(UUID(int=0))], ids=["random", "zero"])
def test_uuid__takes_what_cronally_writes(text: str) -> None:
    assert wire.UUID.fullmatch(text)
    assert str(UUID(text)) == text


@pytest.mark.parametrize(
    "change", [str.upper, lambda text: text.replace("-", ""), lambda text: f"{{{text}}}"]
)
def test_uuid__takes_no_other_form(change: Callable[[str], str]) -> None:
    assert not wire.UUID.fullmatch(change("34f10c9d-ca04-4faf-9e83-92eea9e58be8"))
