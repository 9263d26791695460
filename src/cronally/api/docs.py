"""`/docs`: the OpenAPI document as a page that needs nothing from anywhere else.

Invariant: no script, no style, no picture and no font but what stands in the page; its policy forbids the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Any, Final

from starlette.responses import HTMLResponse, Response

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 0 auto; padding: 1rem }
h1, h2 { line-height: 1.2 }
pre, code { font: 0.875em/1.5 ui-monospace, monospace }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid #8884; border-radius: 4px }
details { border: 1px solid #8884; border-radius: 4px; margin: 0.5rem 0; padding: 0.5rem 0.75rem }
summary { cursor: pointer }
summary b { display: inline-block; min-width: 4.5rem; font-family: ui-monospace, monospace }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0 }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.5rem; border-bottom: 1px solid #8884 }
td:first-child { white-space: nowrap; font-family: ui-monospace, monospace; font-size: 0.875em }
"""


def docs_page(document: dict[str, Any]) -> Response:
    """The page of an OpenAPI document."""
    title = escape(f"{document['info']['title']} API {document['info']['version']}")
    body = "\n".join(_body(document))
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><h1>{title}</h1>\n{body}\n</body></html>\n"
    )
    return HTMLResponse(
        page, headers={"content-security-policy": _POLICY, "x-content-type-options": "nosniff"}
    )


def _body(document: dict[str, Any]) -> Iterator[str]:
    yield from _prose(document["info"]["description"])
    yield '<p>For programs: <a href="/openapi.json">openapi.json</a></p>'
    tag = None
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if operation["tags"][0] != tag:
                tag = operation["tags"][0]
                yield f"<h2>{escape(tag)}</h2>"
            yield from _operation(method.upper(), path, operation)
    yield "<h2>Answers</h2>"
    for name, schema in document["components"]["schemas"].items():
        yield f'<details id="{escape(name)}"><summary><b>{escape(name)}</b></summary>'
        yield _table(_properties(schema, marks=False))
        yield "</details>"


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    signed = "signed" if "security" in operation else "not signed"
    yield (
        f"<details><summary><b>{method}</b> <code>{escape(path)}</code> {escape(operation['summary'])}</summary>"
        f"<p>{signed.capitalize()}.</p>"
    )
    rows = [
        (
            parameter["name"],
            f"{parameter['in']}{', required' if parameter['required'] else ''}",
            parameter["description"],
        )
        for parameter in operation.get("parameters", ())
    ]
    for content in list(operation.get("requestBody", {}).get("content", {}).values())[:1]:
        if "properties" in content["schema"]:  # else the body is anything
            rows += _properties(content["schema"], marks=True)
    if rows:
        yield _table(rows)
    answers = operation["responses"]
    done = min(answers)
    yield f"<p>{done}: {_answered(answers[done])}.</p>"
    yield _table(
        [(status, "", answer["description"]) for status, answer in answers.items() if status != done]
    )
    yield "</details>"


def _answered(answer: dict[str, Any]) -> str:
    """What an operation answers with, as HTML."""
    schema = next((content.get("schema") for content in answer["content"].values()), None)
    if not schema:  # a page
        return escape(answer["description"])
    # One without an envelope is what it answers with itself.
    shown = schema if "$ref" in schema else schema["properties"]["response"]
    item = shown.get("items", shown)
    kinds = [kind for kind in item.get("anyOf", [item]) if "$ref" in kind]
    names = [escape(kind["$ref"].rpartition("/")[2]) for kind in kinds]
    links = " or ".join(f'<a href="#{name}">{name}</a>' for name in names)
    listed = "a list of " if "items" in shown else ""
    said = "it" if "$ref" in schema else "<code>response</code>"
    return f"{said} is {listed}{links}"


def _properties(schema: dict[str, Any], *, marks: bool) -> list[tuple[str, str, str]]:
    """Name, kind and description of each property."""
    rows = []
    for name, property_ in schema["properties"].items():
        kind = property_.get("type", "object" if property_.keys() & {"$ref", "anyOf"} else "string")
        kinds = kind if isinstance(kind, list) else [kind]
        if marks and name in schema.get("required", ()):
            kinds = [*kinds, "required"]
        description = property_.get("description", "")
        if "enum" in property_:
            description += f" ({', '.join(filter(None, property_['enum']))})"
        if "default" in property_:
            description += f", by default {property_['default']}"
        if property_.get("examples") and marks:
            description += f", such as {property_['examples'][0]}"
        rows.append((name, ", ".join(kinds), description))
    return rows


def _table(rows: list[tuple[str, str, str]]) -> str:
    cells = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(kind)}</td><td>{_inline(text)}</td></tr>"
        for name, kind, text in rows
    )
    return f"<table>{cells}</table>"


def _prose(text: str) -> Iterator[str]:
    """The little of Markdown that the description uses: headings, lists, code, paragraphs."""
    for block in text.strip().split("\n\n"):
        if block.startswith("## "):
            yield f"<h2>{escape(block[3:])}</h2>"
        elif block.startswith("    "):
            yield f"<pre>{escape(re.sub('^    ', '', block, flags=re.MULTILINE))}</pre>"
        elif block.startswith("- "):
            items = "".join(f"<li>{_inline(item)}</li>" for item in re.split(r"\n?- ", block)[1:])
            yield f"<ul>{items}</ul>"
        else:
            yield f"<p>{_inline(block)}</p>"


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
