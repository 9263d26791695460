"""Imports only point down. The table is that of docs/design/layers.md; a new module finds its place here first."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cronally

SOURCE = Path(cronally.__file__).parent

WORDS = {
    *("errors", "fairness", "instants", "signing", "wire", "role", "variables", "vault", "failpoints"),
    *("firing", "cronjob", "past", "plan", "spread", "standing", "cron", "clock", "forecast"),
    *("condition", "quiet_hours", "alert_rules"),
    *("ed25519", "webhook_signatures", "retries", "structured_fields", "message_signatures"),
    "audit_chain",
    "request_signatures",
    *("acknowledgement", "ack_links"),
    *("alert",),
}
PURE = WORDS | {"contract"}
# A client has nothing to seal and nothing to plan.
TENANT = PURE - {"vault", "ack_links", "failpoints", "plan", "past"} | {"client"}

# What the modules of the package (a file, or a folder with all its files) may import of the package.
MAY_IMPORT: dict[str, set[str]] = {
    **dict.fromkeys(WORDS, WORDS),
    "contract": PURE,
    "store": PURE | {"store"},
    "targets": PURE | {"targets"},
    "engine": PURE | {"store", "targets", "engine"},
    "operations": PURE | {"store", "targets", "operations"},
    "client": TENANT,
    "cli": TENANT | {"cli"},
    "api": PURE | {"operations", "api"},
    "__init__": {"client"},
}
# The composition root knows everybody, and the operator's part of the CLI knows it.
COMPOSE = {"server", "cli/operating"}

# What pure modules may import from outside: nothing that reads a clock, the environment, a file or a socket.
PURE_IMPORTS = {
    *(
        "__future__",
        "abc",
        "array",
        "base64",
        "binascii",
        "bisect",
        "collections",
        "contextlib",
        "contextvars",
        "dataclasses",
        "datetime",
        "difflib",
        "enum",
        "functools",
        "hashlib",
    ),
    *(
        "hmac",
        "ipaddress",
        "itertools",
        "json",
        "math",
        "re",
        "string",
        "struct",
        "types",
        "typing",
        "unicodedata",
        "uuid",
    ),
}
EXTRA_IMPORTS = {
    "ack_links": {"cryptography"},
    "vault": {"cryptography", "os"},  # `os.urandom` alone
    "zones": {"importlib", "tzdata"},  # a package's data, the same on every machine
    "wire": {"urllib"},  # `urllib.parse` alone
}
IMPURE_ATTRIBUTES = {"now", "utcnow", "today", "uuid1", "uuid4"}
IMPURE_BUILTINS = {"open", "print", "input"}

FILES = sorted(SOURCE.rglob("*.py"))


def _component(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def _imports(file: Path) -> Iterator[str]:
    """The full names of what a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import hides the layer"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports__point_down(file: Path) -> None:
    component = _component(file)
    if component in COMPOSE or str(file.relative_to(SOURCE).with_suffix("")) in COMPOSE:
        return
    assert component in MAY_IMPORT, f"{component} has no layer yet: give it one in this test"
    imported = {name.split(".")[1] for name in _imports(file) if name.startswith("cronally.")}
    imported.discard("__version__")
    assert imported <= MAY_IMPORT[component]


@pytest.mark.parametrize(
    "file",
    [file for file in FILES if _component(file) in PURE],
    ids=lambda file: str(file.relative_to(SOURCE)),
)
def test_pure_modules__read_no_clock_environment_or_file(file: Path) -> None:
    module = file.stem
    outside = {name.split(".")[0] for name in _imports(file)} - {"cronally"}
    assert outside <= PURE_IMPORTS | EXTRA_IMPORTS.get(module, set())
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Attribute):
            assert node.attr not in IMPURE_ATTRIBUTES, f"{file}:{node.lineno}: {node.attr}"
            if isinstance(node.value, ast.Name) and node.value.id == "os":
                assert node.attr == "urandom", f"{file}:{node.lineno}: os.{node.attr}"
        elif isinstance(node, ast.Name):
            assert node.id not in IMPURE_BUILTINS, f"{file}:{node.lineno}: {node.id}"


def test_sql__is_known_to_the_store_alone() -> None:
    for file in FILES:
        databases = {
            name
            for name in _imports(file)
            if name.split(".")[0] in {"sqlalchemy", "sqlite3", "asyncpg", "alembic"}
        }
        # The type of what the store runs functions in, and the reader of URLs: neither makes SQL.
        assert _component(file) == "store" or databases <= {"sqlalchemy.Connection", "sqlalchemy.make_url"}, (
            file
        )
