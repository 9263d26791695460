"""The parts of uvicorn that `cronally.api.protocol` stands on, none of which uvicorn promises to keep.

`pyproject.toml` allows the versions that these tests have seen.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import tomllib
from pathlib import Path

import pytest
import uvicorn
from packaging.requirements import Requirement
from uvicorn.protocols.http import httptools_impl

from cronally.api import protocol

PROTOCOL = {
    "client",
    "flow",
    "headers",
    "_start_asgi_task",
    "_unset_keepalive_if_required",
    "access_log",
    "config",
    "connection_lost",
    "connection_made",
    "cycle",
    "data_received",
    "eof_received",
    "loop",
    "on_body",
    "on_header",
    "on_headers_complete",
    "on_message_begin",
    "on_message_complete",
    "on_response_complete",
    "parser",
    "pause_writing",
    "pipeline",
    "scope",
    "shutdown",
    "timeout_keep_alive",
    "timeout_keep_alive_handler",
    "timeout_keep_alive_task",
    "transport",
    "url",
}
"""What is read, written, called or replaced of `HttpToolsProtocol`."""

CYCLE = {
    "body",
    "chunked_encoding",
    "disconnected",
    "expected_content_length",
    "keep_alive",
    "message_event",
    "more_body",
    "response_complete",
    "response_started",
    "scope",
}
"""What is read and written of `RequestResponseCycle`, the request that is being answered."""


def members(kind: type) -> set[str]:
    """The names of a class's methods, attributes and annotated attributes, its bases left out."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    found = set(vars(kind)) | set(getattr(kind, "__annotations__", {}))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and is_name(node.value, "self")
        ):
            found.add(node.attr)
    return found


def is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


@pytest.mark.parametrize("name", sorted(PROTOCOL))
def test_uvicorn__protocol_has(name: str) -> None:
    # `eof_received` may come from the protocols of asyncio.
    has = members(httptools_impl.HttpToolsProtocol) | set(dir(httptools_impl.HttpToolsProtocol))
    assert name in has, (
        f"uvicorn {uvicorn.__version__} has no HttpToolsProtocol.{name}, which cronally.api.protocol stands on"
    )


@pytest.mark.parametrize("name", sorted(CYCLE))
def test_uvicorn__cycle_has(name: str) -> None:
    assert name in members(httptools_impl.RequestResponseCycle), (
        f"uvicorn {uvicorn.__version__} has no RequestResponseCycle.{name}, which cronally.api.protocol stands on"
    )


def test_uvicorn__nothing_else_is_used() -> None:
    """The lists above are complete."""
    tree = ast.parse(inspect.getsource(protocol.BoundedProtocol))
    own: set[str] = set()
    used: set[str] = set()
    of_cycle: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            own.add(node.name)
        elif isinstance(node, ast.Attribute):
            if is_name(node.value, "self"):
                used.add(node.attr)
                if isinstance(node.ctx, ast.Store):
                    own.add(node.attr)
            elif is_name(node.value, "cycle") or (
                isinstance(node.value, ast.Attribute) and node.value.attr == "cycle"
            ):
                of_cycle.add(node.attr)
    theirs = members(httptools_impl.HttpToolsProtocol) | set(dir(httptools_impl.HttpToolsProtocol))
    inherited = {name for name in theirs if not name.startswith("__")}
    assert (used | own) & inherited | (used - own) == PROTOCOL
    assert of_cycle == CYCLE


def test_uvicorn__its_version_is_bounded() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    (requirement,) = [
        line for line in project["optional-dependencies"]["server"] if line.startswith("uvicorn")
    ]
    allowed = Requirement(requirement).specifier
    major, minor = map(int, uvicorn.__version__.split(".")[:2])
    assert f"{major}.{minor + 1}.0" not in allowed
    assert f"{major + 1}.0.0" not in allowed
