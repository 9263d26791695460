"""The table of settings in README.md, made of `cronally.server.settings`."""

from __future__ import annotations

import re
from typing import Final, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from cronally.instants import format_duration
from cronally.server.setting_values import Duration
from cronally.server.settings import SECRETS, Settings

PLACE: Final = re.compile(r"(<!-- settings: [^\n]*-->\n).*?(<!-- end of settings -->)", re.DOTALL)


def variables() -> dict[str, FieldInfo]:
    """Every setting by the name of its environment variable."""
    return {
        str(field.validation_alias or f"CRONALLY_{name.upper()}"): field
        for name, field in Settings.model_fields.items()
    }


def table() -> str:
    """The settings as a Markdown table."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for variable, field in variables().items():
        or_file = " (or `_FILE`)" if variable in SECRETS else ""
        description = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{variable}`{or_file} | {_default(field)} | {description} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined or value == []:
        return ""
    if field.metadata and any(item in get_args(Duration) for item in field.metadata):
        return f"`{format_duration(value)}`"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, frozenset):
        return "all"
    return f"`{value}`"


def filled(page: str) -> str:
    """The page with its table of settings current."""
    return PLACE.sub(lambda match: match[1] + table() + match[2], page)
