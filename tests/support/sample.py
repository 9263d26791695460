"""Which rows of an expensive matrix `make test` runs: a sample of it. `make test-all` runs all of them.

Invariant: every case runs on one database at least, and none is left out of `make test-all`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

import pytest

Kind = Literal["sqlite", "postgres"]


def first(kind: Kind, fixture: str = "database_url") -> pytest.MarkDecorator:
    """Run a test on this database in `make test`, and on both in `make test-all`.

    :param fixture: the one that has a parameter for the kind of the database
    """
    others = (other for other in ("sqlite", "postgres") if other != kind)
    kinds = [kind, *(pytest.param(other, marks=pytest.mark.slow) for other in others)]
    return pytest.mark.parametrize(fixture, kinds, indirect=True)


def crossed(
    fixture: str, name: str, cases: Mapping[str, Any], *, on_both: Collection[str]
) -> pytest.MarkDecorator:
    """Run every case on SQLite, and on PostgreSQL too: in `make test` those of `on_both` alone.

    :param name: of the argument that gets a case
    """
    assert set(on_both) <= set(cases)
    rows = [
        pytest.param(
            kind,
            case,
            id=f"{key}-{kind}",
            marks=[pytest.mark.slow] if kind == "postgres" and key not in on_both else [],
        )
        for key, case in cases.items()
        for kind in ("sqlite", "postgres")
    ]
    return pytest.mark.parametrize((fixture, name), rows, indirect=[fixture])
