"""Files that hold secrets: refused while others can read or write them, wherever a link leads."""

from __future__ import annotations

import codecs
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from cronally import errors
from cronally.server import keys as sealing
from cronally.server.environment import read_settings
from cronally.server.secret_file import read_secret
from cronally.server.settings import SECRETS
from cronally.vault import new_sealing_key
from tests.support.cronally_server import CLI
from tests.support.factories import CANARY
from tests.support.secret_file import write_secret


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_secret(tmp_path / "a secret", CANARY)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640, 0o660, 0o700])
def test_secret__of_owner_and_group_is_read(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert read_secret(file) == CANARY


def test_secret__a_byte_order_mark_is_no_part_of_it(file: Path) -> None:
    file.write_bytes(codecs.BOM_UTF8 + CANARY.encode() + b"\r\n")
    assert read_secret(file) == CANARY + "\n"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o444, 0o602, 0o666, 0o777])
def test_secret__that_others_can_read_or_write_is_refused_with_what_to_do(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(errors.SettingsError) as caught:
        read_secret(file)
    assert f"mode 0{mode:o}" in caught.value.message
    assert CANARY not in caught.value.message
    # What it says to do is what helps.
    subprocess.run(shlex.split(caught.value.message.rpartition("run ")[2]), check=True, timeout=30)
    assert read_secret(file) == CANARY


def test_secret__is_judged_by_the_file_that_a_link_leads_to(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    assert read_secret(link) == CANARY
    file.chmod(0o644)
    with pytest.raises(errors.SettingsError, match="everybody"):
        read_secret(link)


def test_secret__may_come_through_a_pipe() -> None:
    """As the shell's `<(...)` gives it."""
    reading, writing = os.pipe()
    os.write(writing, CANARY.encode())
    os.close(writing)
    try:
        assert read_secret(Path(f"/dev/fd/{reading}")) == CANARY
    finally:
        os.close(reading)


@pytest.mark.parametrize("variable", SECRETS)
def test_settings__name_the_variable_of_a_file_that_others_can_read(
    file: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    file.chmod(0o644)
    with pytest.raises(errors.SettingsError, match=rf"^{variable}_FILE: .*chmod 600 [^\n]*$"):
        read_settings()


def test_keys__beside_the_database_are_refused_when_others_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "cronally.db.keys"
    text = sealing.read_or_make_keys(path)
    path.chmod(0o644)
    with pytest.raises(errors.SettingsError, match="chmod 600"):
        sealing.read_or_make_keys(path)
    path.chmod(0o600)
    assert sealing.read_or_make_keys(path) == text


def test_server__does_not_start_with_keys_that_others_can_read(tmp_path: Path) -> None:
    keys = tmp_path / "cronally.db.keys"
    keys.write_text(new_sealing_key())
    keys.chmod(0o644)
    done = subprocess.run(
        [*CLI, "serve", "--port", "0"],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "chmod 600" in done.stderr
    assert "Traceback" not in done.stderr
