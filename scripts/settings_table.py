"""Write the table of settings into README.md from `cronally.server.settings`;
`--check` only says whether it is current."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from cronally.instants import format_duration
from cronally.server.settings import SECRETS, Duration, Settings

README: Final = Path(__file__).parent.parent / "README.md"
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


def main(arguments: list[str]) -> int:
    """Write the table, or with `--check` compare it."""
    text = README.read_text()
    current = PLACE.sub(lambda match: match[1] + table() + match[2], text)
    if "--check" in arguments:
        if text != current:
            print("README.md: the table of settings is not current; `make docs` writes it")
        return int(text != current)
    README.write_text(current)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
