"""The guide for those who sign by hand: each of its programs shows the account and changes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.account import Account
from tests.docs.markdown import ROOT, read
from tests.support.cronally_server import CronallyServer
from tests.support.installed import need

GUIDE = read(ROOT / "docs" / "guides" / "signing.md")


def variables(account: Account) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "CRONALLY_URL": account.url,
        "CRONALLY_API_KEY": account.api_key,
        "CRONALLY_API_SECRET": account.api_secret,
        "NO_PROXY": "127.0.0.1",
    }


@pytest.mark.parametrize(
    ("language", "name", "command"),
    [
        ("python", "sign.py", [sys.executable]),
        # Not for its time: it needs Node, which `make test` must do without.
        pytest.param("js", "sign.mjs", ["node"], marks=pytest.mark.slow),
    ],
)
def test_program__is_signed_so_that_it_is_taken(
    tmp_path: Path, account: Account, language: str, name: str, command: list[str]
) -> None:
    if language == "js":
        need("node")
    (block,) = [block for block in GUIDE.blocks if block.language == language]
    (tmp_path / name).write_text(block.text)
    done = subprocess.run(
        [*command, name], cwd=tmp_path, env=variables(account), capture_output=True, text=True, check=True
    )
    shown, changed, listed = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert [shown[0], changed[0], listed[0]] == ["200"] * 3, done.stdout
    assert json.loads(shown[1])["response"]["refuse_signature_v1"] is False
    assert json.loads(changed[1])["response"]["refuse_signature_v1"] is True
    assert json.loads(listed[1])["response"] == []


def test_command__refuses_version_1_and_takes_that_back(server: CronallyServer, account: Account) -> None:
    (command,) = [block.text.split()[1:] for block in GUIDE.blocks if block.language == "sh"]
    assert "--no-refuse-signature-v1" in GUIDE.prose
    back = [*command[:-1], "--no-refuse-signature-v1"]
    for arguments, shown in ((command, "refused"), (back, "accepted")):
        done = server.cli(*arguments, env=variables(account))
        assert done.returncode == 0, done.stderr
        assert shown in done.stdout
