"""Expressions for tests that know which kind they write."""

from __future__ import annotations

from cronally import cron
from cronally.cron import Expression


def parse(text: str, key: str | None = None) -> Expression:
    """`cronally.cron.parse` of a text that is no interval."""
    parsed = cron.parse(text, key)
    assert isinstance(parsed, Expression), f"{text} is an interval"
    return parsed
