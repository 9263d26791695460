"""Acknowledgement URLs on the wire: what a receiver says with one, and the answer, which says nothing but that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypedDict

from cronally.acknowledgement import Word
from cronally.contract.attribute import Attribute
from cronally.contract.writing import Answer


class Plain(TypedDict, total=False):
    """Nothing but the word."""


class Ended(TypedDict, total=False):
    """How the work of a firing ended."""

    exit_code: Annotated[
        int,
        Attribute(
            "The exit code of the work; 0 is done and every other one failed, whatever the path says",
            "an exit code from 0 to 255",
            example=0,
            minimum=0,
            maximum=255,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class Received(Answer):
    """That a receiver was heard."""

    received: Annotated[str | Word, Attribute("What it said: done, start, fail or log", example="done")]
