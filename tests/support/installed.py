"""Programs that `make test` must do without and `make test-all` needs: CONTRIBUTING.md lists them.

Invariant: a test that needs one is marked slow, and fails, not skips, where it is not there: what nobody looked at is
not known to be right.
"""

from __future__ import annotations

import shutil

import pytest


def need(*programs: str) -> None:
    """Fail the test, and say what to install, if one of these programs is not there."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.fail(
            f"install {', '.join(missing)}: `make test-all` needs it, as CONTRIBUTING.md says", pytrace=False
        )
