"""How many examples a costly property test tries: a sample in `make test`, twenty times as many in `make test-all`."""

from __future__ import annotations

from typing import Any

from hypothesis import settings


def examples(count: int, **more: Any) -> settings:
    """Try so many examples where others try a hundred, and as many more as the profile wants of all.

    :param more: other settings
    """
    profile = settings.default
    assert profile is not None
    return settings(max_examples=max(1, count * profile.max_examples // 100), deadline=None, **more)
