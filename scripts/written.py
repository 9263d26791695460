"""Write what is written from code: tables of the documentation, the reference of the CLI, the OpenAPI document and the
synchronous client. `--check` only says what is not current.

Invariant: a document is the text that its function makes of the text that is there, so a page keeps its prose.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts import (
    cli_reference,
    contract_tables,
    openapi_document,
    settings_table,
    status_tables,
    sync_client,
)

ROOT: Final = Path(__file__).parent.parent


@dataclass(frozen=True)
class Document:
    """A file that is written from code."""

    path: Path
    text: Callable[[str], str]
    """What the file must hold, made of what it holds."""

    def current(self) -> tuple[str, str]:
        """What the file holds, and what it must hold."""
        found = self.path.read_text() if self.path.exists() else ""
        return found, self.text(found)


DOCUMENTS: Final = (
    # The client first: the CLI imports it, and its reference is made by running it.
    Document(ROOT / "src/cronally/client/synchronous.py", lambda _: sync_client.text()),
    Document(ROOT / "README.md", settings_table.filled),
    Document(ROOT / "docs/reference/api.md", contract_tables.filled),
    Document(ROOT / "docs/reference/statuses.md", status_tables.filled),
    Document(ROOT / "docs/reference/openapi.json", lambda _: openapi_document.text()),
    Document(ROOT / "docs/reference/cli.md", lambda _: cli_reference.text()),
)


def main(arguments: Sequence[str], documents: Sequence[Document] = DOCUMENTS) -> int:
    """Write the documents, or with `--check` compare them: 1 if any is not current."""
    stale = 0
    for document in documents:
        found, text = document.current()
        if found == text:
            continue
        if "--check" in arguments:
            print(f"{document.path.name} is not current; `make docs` writes it")
            stale = 1
        else:
            document.path.write_text(text)
    return stale


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
