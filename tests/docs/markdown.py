"""What the tests need to know of Markdown: fenced blocks, tables, headings with their anchors, links.

Invariant: reads the Markdown that this project writes, as GitHub shows it; a fence that is not closed is an error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^```(\w*)\s*$")
_HEADING = re.compile(r"^(#{1,6}) +(.+?)\s*$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`]*`")
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    text: str
    heading: str
    """Of the section that it stands in."""


@dataclass(frozen=True)
class Page:
    """A Markdown file."""

    path: Path
    blocks: tuple[Block, ...]
    prose: str
    """Everything outside of fenced blocks."""

    def block(self, containing: str) -> Block:
        """The one block that holds a text."""
        found = [block for block in self.blocks if containing in block.text]
        assert len(found) == 1, f"{self.path}: {len(found)} blocks hold {containing!r}"
        return found[0]

    def anchors(self) -> set[str]:
        """The anchors that GitHub gives the headings."""
        seen: Counter[str] = Counter()
        anchors = set()
        for line in self.prose.splitlines():
            if heading := _HEADING.match(line):
                anchor = _NOT_IN_ANCHORS.sub("", heading[2].lower()).replace(" ", "-")
                anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
                seen[anchor] += 1
        return anchors

    def links(self) -> Iterator[str]:
        """Where links lead, as it is written."""
        for match in _LINK.finditer(_CODE.sub("", self.prose)):
            yield match[1]

    def section(self, heading: str) -> str:
        """The prose under a heading, up to the next one of its level or above."""
        lines: list[str] = []
        level = 0
        for line in self.prose.splitlines():
            found = _HEADING.match(line)
            if level and found and len(found[1]) <= level:
                break
            if level:
                lines.append(line)
            elif found and found[2] == heading:
                level = len(found[1])
        assert level, f"{self.path} has no heading {heading!r}"
        return "\n".join(lines)


def rows(text: str) -> list[list[str]]:
    """The cells of every row of every table in a text, without heads and rules."""
    found = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if not line.startswith("|") or re.fullmatch(r"[|\s:-]+", line):
            continue
        if number + 1 < len(lines) and re.fullmatch(r"\|[|\s:-]+", lines[number + 1]):
            continue
        cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
        found.append([cell.strip().replace("\\|", "|") for cell in cells])
    return found


def names_of(cell: str) -> list[str]:
    """What stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def first_names(text: str) -> list[str]:
    """What stands in backticks at the start of the first cell of every table row."""
    return [name[1] for row in rows(text) if (name := re.match(r"`([^`]+)`", row[0]))]


def read(path: Path) -> Page:
    """Read a Markdown file."""
    blocks: list[Block] = []
    prose: list[str] = []
    heading = ""
    language: str | None = None
    inside: list[str] = []
    for line in path.read_text().splitlines():
        fence = _FENCE.match(line)
        if language is not None:
            if fence:
                blocks.append(Block(language, "".join(f"{each}\n" for each in inside), heading))
                language, inside = None, []
            else:
                inside.append(line)
        elif fence:
            language = fence[1]
        else:
            if found := _HEADING.match(line):
                heading = found[2]
            prose.append(line)
    assert language is None, f"{path}: a fenced block is not closed"
    return Page(path, tuple(blocks), "\n".join(prose))


def pages() -> list[Page]:
    """Every Markdown file of the project."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    return [read(path) for path in sorted(found)]
