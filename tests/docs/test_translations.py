"""docs/guides/translations.md: each line is what Cronally itself says."""

from __future__ import annotations

import re

import pytest

from cronally.cron import parse_written
from cronally.errors import InvalidExpression
from tests.docs.markdown import ROOT, read, rows

PAGE = read(ROOT / "docs" / "guides" / "translations.md")
LINES = [row for row in rows(PAGE.prose) if len(row) == 3 and row[0].startswith("`")]


def test_translations__are_all_read() -> None:
    assert len(LINES) == len(re.findall(r"^\| `", PAGE.prose, re.MULTILINE)) >= 45


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0])
def test_translation__is_what_is_accepted_or_offered(line: list[str]) -> None:
    there, here = line[0].strip("`"), line[1].strip("`")
    assert parse_written(here, "an id")
    if there == here:
        return
    with pytest.raises(InvalidExpression) as caught:
        parse_written(there, "an id")
    first, *others = caught.value.hints
    assert first.expression == here
    # What differs is said in the last column, and other hints are named there.
    assert bool(first.differs) <= bool(line[2])
    assert all(hint.expression in line[2] for hint in others)
