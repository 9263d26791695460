"""The synchronous client, made of the asynchronous one."""

from __future__ import annotations

import io
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent.parent / "src" / "cronally" / "client"
SOURCE: Final = FOLDER / "asynchronous.py"
WRITTEN: Final = FOLDER / "synchronous.py"

NAMES: Final = {
    "AsyncClient": "Client",
    "AsyncIterator": "Iterator",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "asyncio": "time",
}
TEXTS: Final = {
    "            for item in page:\n                yield item\n": "            yield from page\n",
    "`AsyncClient`: the API of Cronally for asyncio. Safe to share between the tasks of one event loop.": (
        "`Client`: the API of Cronally in plain calls. Safe to share between threads."
    ),
    "`synchronous.py` is written from this file (`make docs`): a verb is written here alone.": (
        "Written from `asynchronous.py` by `make docs`: change that file."
    ),
    "an `async with`\n    block": "a `with` block",
}


def text() -> str:
    """The synchronous client, formatted."""
    source = SOURCE.read_text()
    for old, new in TEXTS.items():
        assert old in source, f"{SOURCE.name} no longer holds {old!r}"
        source = source.replace(old, new)
    lines = source.splitlines(keepends=True)
    # From the end, so that what is still to come keeps its place.
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(source).readline))):
        if token.type == tokenize.NAME and token.string in (*NAMES, "async", "await"):
            row, (start, end) = token.start[0] - 1, (token.start[1], token.end[1])
            name = NAMES.get(token.string)
            rest = lines[row][end:]
            lines[row] = lines[row][:start] + (rest.removeprefix(" ") if name is None else name + rest)
    return _ruff(["check", "--fix-only", "--select", "I"], _ruff(["format"], "".join(lines)))


def _ruff(arguments: list[str], code: str) -> str:
    ruff = str(Path(sys.executable).with_name("ruff"))
    command = [ruff, *arguments, "--quiet", "--stdin-filename", str(WRITTEN), "-"]
    ended = subprocess.run(command, input=code, stdout=subprocess.PIPE, text=True, check=True)
    return str(ended.stdout)
