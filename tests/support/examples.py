"""How many examples a costly property test tries: a sample in `make test`, twenty times as many in `make test-all`."""

from __future__ import annotations

from typing import Any

from hypothesis import settings


def examples(count: int, *, most: int | None = None, **more: Any) -> settings:
    """Try so many examples where others try a hundred, and as many more as the profile wants of all.

    :param most: no more than so many, of what is slow to make
    :param more: other settings
    """
    profile = settings.default
    assert profile is not None
    wanted = max(1, count * profile.max_examples // 100)
    return settings(max_examples=min(wanted, most or wanted), deadline=None, **more)
