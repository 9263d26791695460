"""A list of firings, page after page, and the forms that it is printed in.

Invariant: one page is held at a time, however long the list is, but where a few pages make the one answer that was
asked for. A list that breaks off says with which cursor it goes on.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cronally.cli.output import complain, print_json, printable, say_more
from cronally.contract import export
from cronally.contract.firings import MAX_LIMIT_WITH_ATTEMPTS
from cronally.contract.values import MAX_LIMIT
from cronally.errors import CronallyError, RateLimited

if TYPE_CHECKING:
    from cronally.client import Firing, Page
    from cronally.client.calls import Json

Read = tuple["Json", "Page[Firing]"]
"""An envelope as it came, and the page that it is."""
Ask = Callable[[Mapping[str, Any]], Read]


def pages(ask: Ask, parameters: Mapping[str, Any], most: int | None) -> Iterator[Read]:
    """Pages until there are so many firings, or to the end of the list; the first one whatever it holds.

    After the first one it waits where the server asks for it.

    :param most: None: all
    """
    from cronally.client.connection import Patience, next_cursor

    size = MAX_LIMIT_WITH_ATTEMPTS if parameters.get("attempts") else MAX_LIMIT
    first = cursor = parameters.get("cursor")
    patience = Patience()
    while True:
        asked = {**parameters, "cursor": cursor}
        if most is not None and most < size:
            asked["limit"] = most
        try:
            read = ask(asked)
        except RateLimited as problem:
            if cursor == first:
                raise
            pause = _pause(patience, problem, cursor)
            complain("note", f"the server is asked too often; it goes on in {pause:.0f} s")
            time.sleep(pause)
            continue
        except CronallyError:
            if cursor != first:
                _say_cursor(cursor)
            raise
        yield read
        patience = Patience()
        cursor = next_cursor(read[1], cursor)
        if most is not None:
            most -= len(read[1])
        if cursor is None or (most is not None and most <= 0):
            return


def _pause(patience: Any, problem: RateLimited, cursor: str | None) -> float:
    try:
        pause: float = patience.pause(problem)
    except RateLimited:
        _say_cursor(cursor)
        raise
    return pause


def _say_cursor(cursor: str | None) -> None:
    complain("note", f"the list breaks off: it goes on with --cursor {cursor}")


def print_answer(found: Iterator[Read]) -> None:
    """Print what the API answers: one page as it is; of several, one answer with the firings of all of them."""
    envelope, page = next(found)
    firings, several = list(envelope["response"]), False
    for envelope, page in found:  # noqa: B007
        firings += envelope["response"]
        several = True
    if several:
        envelope = {"status": envelope["status"], "response": firings}
        if page.next_cursor is not None:
            envelope["next_cursor"] = page.next_cursor
    print_json(envelope)


def print_whole_answer(found: Iterator[Read]) -> None:
    """Print all pages as one answer of the API, each when it is there."""
    between = '{"status": "success", "response": ['
    for envelope, _ in found:
        for firing in envelope["response"]:
            _write(between + json.dumps(firing))
            between = ", "
        sys.stdout.flush()
    _write((between if between != ", " else "") + "]}\n")


def print_json_lines(found: Iterator[Read]) -> None:
    """Print a line of JSON for each firing, each page when it is there."""
    cursor = None
    for envelope, page in found:
        cursor = page.next_cursor
        _write(export.json_lines(envelope["response"]))
        sys.stdout.flush()
    say_more(cursor)


def print_csv(found: Iterator[Read], *, header: bool) -> None:
    """Print a table for other programs, each page when it is there: UTF-8, whatever the terminal or the pipe takes."""
    before, cursor = export.CSV_HEADER if header else "", None
    for envelope, page in found:
        text = before + export.csv_rows(envelope["response"])
        before, cursor = "", page.next_cursor
        if sys.stdout.isatty():
            text = "".join([f"{printable(line)}\n" for line in text.splitlines()])
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    say_more(cursor)


def _write(text: str) -> None:
    sys.stdout.write(text)
