"""What `make check` says of version and lock files."""

from __future__ import annotations

from pathlib import Path

import pytest

from cronally import __version__
from scripts import release_check

LOCK = "aiohttp==3.14.1 \\\n    --hash=sha256:0656\n    # via\n    #   cronally (pyproject.toml)\n"


def test_checkout__has_no_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert release_check.main() == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("state", ["Unreleased", "2026-11-26"])
def test_version__is_that_of_the_newest_entry(state: str) -> None:
    changelog = f"# Changelog\n\nText.\n\n## [1.2.0] - {state}\n\n### Added\n\n## [1.1.9] - 2026-01-01\n"
    assert release_check.version_problem(changelog, "1.2.0") is None
    problem = release_check.version_problem(changelog, "1.1.9")
    assert problem is not None
    assert "the newest entry is 1.2.0" in problem


@pytest.mark.parametrize("heading", ["", "## [Unreleased]", "## 1.2.0 - Unreleased", "## [1.2.0] - soon"])
def test_version__entry_without_one(heading: str) -> None:
    assert "has to be headed" in str(release_check.version_problem(f"# Changelog\n\n{heading}\n", "1.2.0"))


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://packages.example.com/simple",
        "--extra-index-url=packages",
        "--find-links ./wheels",
        "--trusted-host packages.example.com",
        "aiohttp @ https://packages.example.com/aiohttp.whl",
        "    # from http://packages.example.com/simple",
    ],
)
def test_lock_file__names_no_host(line: str) -> None:
    assert release_check.host_problem("requirements.txt", LOCK) is None
    problem = release_check.host_problem("requirements.txt", LOCK + line + "\n")
    assert problem == f"requirements.txt, line 5: names where packages come from: {line.strip()}"


def test_problems__are_told_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text("## [0.0.1] - Unreleased\n")
    for name in release_check.LOCK_FILES:
        (tmp_path / name).write_text("--index-url x\n")
    found = release_check.problems(tmp_path)
    assert [problem.partition(",")[0].partition(":")[0] for problem in found] == [
        "CHANGELOG.md",
        *release_check.LOCK_FILES,
    ]
    assert __version__ in found[0]
