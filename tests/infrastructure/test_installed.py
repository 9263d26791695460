"""What a test says that needs a program which is not there."""

from __future__ import annotations

import pytest

from tests.support.installed import need


def test_need__says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    need("sh")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(pytest.fail.Exception, match=r"^install node, openssl: `make test-all` needs it"):
        need("node", "openssl")
