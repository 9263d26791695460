"""The API's OpenAPI document, for docs/reference/openapi.json."""

from __future__ import annotations

import json
import tempfile
from typing import Any

import uvloop

from cronally.api import create_app
from cronally.api.openapi import describe
from cronally.operations import Operations
from cronally.store import open_store
from cronally.targets.build import build_targets
from cronally.vault import Vault, new_sealing_key, parse_sealing_keys


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
