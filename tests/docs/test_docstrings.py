"""Every module, function and class that others may use says what it is for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT

PACKAGE = ROOT / "src" / "cronally"
FILES = sorted(PACKAGE.rglob("*.py"))
_HOOKS = {"upgrade", "downgrade"}
"""What Alembic calls in a migration; the migration's own docstring says what they do."""


def undocumented(tree: ast.Module) -> Iterator[str]:
    if tree.body and not ast.get_docstring(tree):
        yield "the module"
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield node.name
        # What overrides is documented where it is declared.
        if isinstance(node, ast.ClassDef) and not node.bases:
            for method in node.body:
                if (
                    isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
                    and not method.name.startswith("_")
                    and not ast.get_docstring(method)
                ):
                    yield f"{node.name}.{method.name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_docstrings__everything_public_has_one(path: Path) -> None:
    missing = list(undocumented(ast.parse(path.read_text())))
    if path.parent.name == "versions":
        missing = [name for name in missing if name not in _HOOKS]
    assert missing == []
