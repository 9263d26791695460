"""The declarations as JSON Schema, for the OpenAPI document.

Invariant: a schema is made of a declaration and of nothing else; a test holds real answers and requests to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cronally.contract.attribute import DEFAULT, Attribute, Declared, declared

Schema = dict[str, Any]

_TYPES: Final[Mapping[Any, Schema]] = {
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    timedelta: {"type": "string", "pattern": "^[0-9]{1,9}[smhd]$"},
    dict[str, str]: {"type": "object", "additionalProperties": {"type": "string"}},
}

_ABOUT: Final = ("description", "default", "examples")


def request_schema(kind: type, *, defaults: bool = True) -> Schema:
    """The schema of a request.

    :param defaults: whether what is not sent gets its default, as in a new thing; in a change it stays
    """
    properties = {}
    for name, one in declared(kind).items():
        properties[name] = attribute_schema(one)
        if not defaults:
            properties[name].pop("default", None)
    return _object(properties, [name for name, one in declared(kind).items() if one.required])


def answer_schema(kind: type) -> Schema:
    """The schema of an answer."""
    attributes = declared(kind)
    properties = {name: attribute_schema(one) for name, one in attributes.items()}
    for schema in properties.values():
        schema.pop("default", None)
    return _object(properties, [name for name, one in attributes.items() if not one.attribute.absent])


def reference(kind: type) -> Schema:
    """The reference to the schema of an answer."""
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def attribute_schema(one: Declared) -> Schema:
    """The schema of one attribute."""
    about = one.attribute
    schema = _type_schema(one)
    for key, value in _facts(one, about):
        if value is not None:
            schema[key] = value
    if about.one_or_more or one.may_be_default:
        schema = _with_other(one, schema)
    if one.nullable and not about.absent:
        if "type" in schema:
            schema["type"] = [schema["type"], "null"]
        else:
            schema["anyOf"] = [*schema.pop("anyOf", ()), {"type": "null"}]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return schema


def _with_other(one: Declared, schema: Schema) -> Schema:
    """The schema of what may be something else than its type says: the only text of a list, or the word `default`."""
    about: Schema = {name: schema.pop(name) for name in _ABOUT if name in schema}
    other = {"const": DEFAULT} if one.item is None else schema["items"]
    return {**about, "anyOf": [other, schema]}


def _type_schema(one: Declared) -> Schema:
    if one.item is not None:
        return {"type": "array", "items": _item_schema(one.item)}
    if is_dataclass(one.type):
        # A description beside a reference needs the reference to stand in a list.
        return {"anyOf": [reference(one.type)]}  # type: ignore[arg-type]
    if one.choices:
        return {"type": "string", "enum": [*one.choices]}
    return dict(_TYPES.get(one.type, {"type": "string"}))


def _item_schema(item: Declared) -> Schema:
    if is_dataclass(item.type):
        return reference(item.type)  # type: ignore[arg-type]
    schema = _type_schema(item)
    if item.type is str and not item.choices:
        schema["minLength"] = 1  # an item without a text cannot be sent
        if item.attribute.max_length is not None:
            schema["maxLength"] = item.attribute.max_length
    if item.type is int:
        limits = {"minimum": item.attribute.minimum, "maximum": item.attribute.maximum}
        schema |= {name: limit for name, limit in limits.items() if limit is not None}
    return schema


def _facts(one: Declared, about: Attribute) -> Iterable[tuple[str, Any]]:
    yield "description", about.description or None
    if one.type is int:
        yield "minimum", about.minimum
        yield "maximum", about.maximum
    length = "Items" if one.item is not None else "Properties" if one.type == dict[str, str] else "Length"
    yield f"min{length}", about.min_length
    yield f"max{length}", about.max_length or about.max_bytes
    yield "pattern", about.pattern
    yield "format", "password" if about.secret else about.format
    yield "default", one.written_default
    yield "examples", None if about.example is None else [about.example]


def _object(properties: Schema, required: list[str]) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema
