"""Write the API's OpenAPI document into docs/reference/openapi.json; `--check` only says whether it is current."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import uvloop

from cronally.api import create_app
from cronally.api.documentation import describe
from cronally.operations import Operations
from cronally.store import open_store
from cronally.targets.build import build_targets
from cronally.vault import Vault, new_sealing_key, parse_sealing_keys

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "reference" / "openapi.json"


def text() -> str:
    """The document that a server of this version answers with, written for people."""
    return json.dumps(uvloop.run(_described()), indent=2, ensure_ascii=False) + "\n"


async def _described() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(f"sqlite:///{folder}/cronally.db")
        targets = build_targets()
        try:
            vault = Vault(parse_sealing_keys(new_sealing_key()))
            return describe(create_app(Operations(store, vault, targets)))
        finally:
            await store.close()
            for target in targets.values():
                await target.close()


def main(arguments: list[str]) -> int:
    """Write the document, or with `--check` compare it."""
    current = text()
    if "--check" in arguments:
        stale = not DOCUMENT.exists() or DOCUMENT.read_text() != current
        if stale:
            print("docs/reference/openapi.json is not current; `make docs` writes it")
        return int(stale)
    DOCUMENT.write_text(current)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
