"""The text of a file that holds a secret.

Invariant: a secret is read only from a file that others, who are neither its owner nor in its group, can neither read
nor write. What is looked at is the file that is read, not one that has been put in its place meanwhile.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import Final

from cronally import errors

OTHERS: Final = 0o006
"""The bits of a mode that let others read and write. The group may: so root can give a file to the server alone."""


def read_secret(path: Path) -> str:
    """The text of a file.

    Raises `errors.SettingsError`, which says what to do, for one that others can read or write; OSError;
    UnicodeDecodeError.
    """
    with path.open(encoding="utf-8-sig") as file:  # an editor may have put a byte order mark before it
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & OTHERS:
            raise errors.SettingsError(
                f"{path} is open to everybody on this machine (mode {mode:04o}) and holds a secret: run"
                f" chmod 600 {shlex.quote(str(path))}"
            )
        return file.read()
