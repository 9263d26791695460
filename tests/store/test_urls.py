"""Database URLs: what is refused in one line, and what of one may stand in a log."""

from __future__ import annotations

from pathlib import Path

import pytest

from cronally import errors
from cronally.store import open_store, parse_url, readable
from tests.support.factories import CANARY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cronally.db",
        f"postgresql://cronally:{CANARY}@db:port/cronally",
        f"mysql://cronally:{CANARY}@db/cronally",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
async def test_url__that_no_store_is_for_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(errors.StoreError) as refused:
        await open_store(text)
    assert "Write sqlite:///path/to/cronally.db or postgresql://user@host/name." in refused.value.message
    assert "\n" not in refused.value.message
    assert CANARY not in refused.value.message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sqlite:///cronally.db", f"sqlite:///{Path.cwd() / 'cronally.db'}"),
        ("sqlite:////var/lib/cronally.db", "sqlite:////var/lib/cronally.db"),
        (f"postgresql://me:{CANARY}@db:5433/cronally", "postgresql://me:***@db:5433/cronally"),
        (
            f"postgresql://me@/cronally?host=db&password={CANARY}&sslpassword={CANARY}",
            "postgresql://me@/cronally?host=db",
        ),
    ],
)
def test_readable__shows_no_password_wherever_it_stands(text: str, shown: str) -> None:
    assert readable(parse_url(text)) == shown


def test_url__of_postgresql_may_begin_as_libpq_writes_it() -> None:
    assert parse_url("postgres://me@db/cronally?sslmode=require") == parse_url(
        "postgresql://me@db/cronally?sslmode=require"
    )


@pytest.mark.parametrize("user", [f"me:x@{CANARY}", f"me:{CANARY}@"])
def test_url__with_an_at_in_the_password_says_how_it_is_written(user: str) -> None:
    """What follows it would be read as the host, and shown."""
    with pytest.raises(errors.StoreError, match="%40") as refused:
        parse_url(f"postgresql://{user}@db/cronally")
    assert CANARY not in refused.value.message
