"""Structured fields of HTTP: what stands in `Signature-Input`, `Signature` and `Content-Digest`.

Invariant: pure. What is written is what a parser of RFC 8941 takes; what is read is read whole, in time that grows with
its length alone, and what breaks the grammar is refused. An item remembers how it is written, so what was read is
written again as RFC 8941 says, without a second notation for each kind.

Source: RFC 8941, https://www.rfc-editor.org/rfc/rfc8941 (4.1 for what is written, 4.2 for what is read).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_KEY: Final = re.compile(r"[a-z*][a-z0-9_.*-]*")
_SPACES: Final = re.compile(" *")
_BLANKS: Final = re.compile("[ \t]*")
_ITEM: Final = re.compile(
    r"(?P<decimal>-?[0-9]{1,12}\.[0-9]{1,3}(?![0-9.]))"
    r"|(?P<integer>-?[0-9]{1,15}(?![0-9.]))"
    r'|(?P<text>"(?:[ !#-\[\]-~]|\\["\\])*")'
    r"|(?P<token>[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*)"
    r"|:(?P<bytes>[A-Za-z0-9+/]*={0,2}):"
    r"|\?(?P<boolean>[01])"
)
_ESCAPED: Final = re.compile(r'\\(["\\])')
_PLAIN: Final = re.compile("[ -~]*")


class Malformed(ValueError):
    """A text is no structured field of its kind. The message does not repeat it."""


@dataclass(frozen=True, slots=True)
class Item:
    """A value with its parameters."""

    value: str | int | bytes | bool | None
    """None of a decimal number, which nothing here has a use for, and of a token, which is no text in quotes."""
    written: str
    """The value as RFC 8941 writes it, without parameters."""
    parameters: Mapping[str, Item] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.written + _write_parameters(self.parameters)


@dataclass(frozen=True, slots=True)
class InnerList:
    """Several items with parameters of their own."""

    items: Sequence[Item]
    parameters: Mapping[str, Item] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"({' '.join(map(str, self.items))}){_write_parameters(self.parameters)}"


def write(value: str | int | bytes) -> Item:
    """An item that is to be written. Raises ValueError for a text with more than printable ASCII in it."""
    match value:
        case bytes():
            return Item(value, f":{base64.b64encode(value).decode('ascii')}:")
        case int():
            return Item(value, str(value))
    if not _PLAIN.fullmatch(value):
        raise ValueError("a text in a structured field is printable ASCII")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return Item(value, f'"{escaped}"')


def write_dictionary(members: Mapping[str, Item | InnerList]) -> str:
    """A dictionary, as the value of a header. A key is given in the form that a key has."""
    return ", ".join(
        f"{key}{_write_parameters(member.parameters)}"
        if isinstance(member, Item) and member.value is True
        else f"{key}={member}"
        for key, member in members.items()
    )


def read_dictionary(text: str) -> dict[str, Item | InnerList]:
    """The members of a dictionary by their keys; of a key that is there twice the last one, in the
    place of the first. Raises Malformed."""
    reader = _Reader(text.strip(" "))
    members: dict[str, Item | InnerList] = {}
    while not reader.ended:
        key = reader.key()
        members[key] = reader.member() if reader.takes("=") else reader.parameterised(_TRUE)
        reader.skip(_BLANKS)
        if reader.ended:
            break
        reader.expect(",")
        reader.skip(_BLANKS)
        if reader.ended:
            raise Malformed("ends with a comma")
    return members


_TRUE: Final = Item(True, "?1")


def _write_parameters(parameters: Mapping[str, Item]) -> str:
    return "".join(
        f";{name}" if item.value is True else f";{name}={item.written}" for name, item in parameters.items()
    )


class _Reader:
    """Reads a text from its beginning to its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def ended(self) -> bool:
        return self._at >= len(self._text)

    def skip(self, pattern: re.Pattern[str]) -> None:
        matched = pattern.match(self._text, self._at)
        self._at = self._at if matched is None else matched.end()

    def takes(self, character: str) -> bool:
        """Whether this character stands here; then it is read."""
        found = self._text.startswith(character, self._at)
        self._at += found
        return found

    def expect(self, character: str) -> None:
        if not self.takes(character):
            raise Malformed(f"has no {character} where one belongs")

    def key(self) -> str:
        matched = _KEY.match(self._text, self._at)
        if matched is None:
            raise Malformed("has what is no key where one belongs")
        self._at = matched.end()
        return matched[0]

    def member(self) -> Item | InnerList:
        return self.inner_list() if self.takes("(") else self.parameterised(self.bare())

    def inner_list(self) -> InnerList:
        items: list[Item] = []
        while True:
            self.skip(_SPACES)
            if self.takes(")"):
                return InnerList(items, self.parameters())
            items.append(self.parameterised(self.bare()))
            if not self._text.startswith((" ", ")"), self._at):
                raise Malformed("has a list whose items are not apart")

    def parameterised(self, bare: Item) -> Item:
        return Item(bare.value, bare.written, self.parameters())

    def parameters(self) -> dict[str, Item]:
        found: dict[str, Item] = {}
        while self.takes(";"):
            self.skip(_SPACES)
            name = self.key()
            found[name] = self.bare() if self.takes("=") else _TRUE
        return found

    def bare(self) -> Item:
        matched = _ITEM.match(self._text, self._at)
        if matched is None:
            raise Malformed("has what is no value where one belongs")
        self._at = matched.end()
        kind, text = matched.lastgroup, matched[matched.lastgroup or 0]
        match kind:
            case "integer":
                return write(int(text))
            case "text":
                return Item(_ESCAPED.sub(r"\1", text[1:-1]), text)
            case "bytes":
                return write(_decoded(text))
            case "boolean":
                return Item(text == "1", f"?{text}")
            case "decimal":
                return Item(None, _decimal(text))
        return Item(None, text)


def _decoded(text: str) -> bytes:
    try:
        # Padding may be missing (RFC 8941, 4.2.7).
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except ValueError:
        raise Malformed("has bytes that are not base64") from None


def _decimal(text: str) -> str:
    whole, _, fraction = text.lstrip("-").partition(".")
    found = f"{int(whole)}.{fraction.rstrip('0') or '0'}"
    return f"-{found}" if text.startswith("-") and found != "0.0" else found
