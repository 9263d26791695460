"""Check what no other tool does before a release: the version is the changelog's, and lock files name no host.

The newest entry of CHANGELOG.md is headed `## [version] - date`, or `- Unreleased` while it is being written; its
version is `cronally.__version__`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from cronally import __version__

ROOT: Final = Path(__file__).parent.parent
LOCK_FILES: Final = ("requirements.txt", "requirements-dev.txt")

_ENTRY: Final = re.compile(r"^## (.*)$", re.MULTILINE)
_HEADING: Final = re.compile(r"\[(\d+\.\d+\.\d+)\] - (Unreleased|\d{4}-\d\d-\d\d)")
_HOST: Final = re.compile(r"\w+://|--(?:extra-)?index-url|--find-links|--trusted-host")


def version_problem(changelog: str, version: str) -> str | None:
    """What is wrong between a changelog and the version of the package, if anything is.

    :param changelog: the text of CHANGELOG.md
    """
    entry = _ENTRY.search(changelog)
    heading = entry and _HEADING.fullmatch(entry[1])
    if not heading:
        return (
            "CHANGELOG.md: the newest entry has to be headed `## [1.2.3] - Unreleased`, or a date at the end"
        )
    if heading[1] != version:
        return f"CHANGELOG.md: the newest entry is {heading[1]}, and `cronally.__version__` is {version}"
    return None


def host_problem(name: str, lock: str) -> str | None:
    """Which line of a lock file names a host, if one does.

    A lock file says which packages are installed; where they come from is up to the machine.
    """
    for number, line in enumerate(lock.splitlines(), 1):
        if _HOST.search(line):
            return f"{name}, line {number}: names where packages come from: {line.strip()}"
    return None


def problems(root: Path) -> list[str]:
    """Everything that is wrong in a checkout."""
    found = [version_problem((root / "CHANGELOG.md").read_text(), __version__)]
    found += [host_problem(name, (root / name).read_text()) for name in LOCK_FILES]
    return [problem for problem in found if problem]


def main() -> int:
    found = problems(ROOT)
    for problem in found:
        print(problem)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
