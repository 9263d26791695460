"""A file that holds a secret, as an operator makes it."""

from __future__ import annotations

from pathlib import Path


def write_secret(path: Path, text: str) -> Path:
    """Make a file that its owner alone can read."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path
