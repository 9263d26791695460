"""Parameters, read one by one: what is wrong with each is collected and said at once.

Invariant: a complaint is the end of a sentence that begins with the parameter's name, or a sentence of its own. It
never repeats a value.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeVar

from cronally import errors, wire
from cronally.instants import DAY, MINUTE, format_duration, parse_duration, parse_iso

T = TypeVar("T")

MAX_NAME: Final = 256
MAX_EMAIL: Final = 254  # RFC 5321, 4.5.3.1.3: a path of 256 octets with its angle brackets
MAX_LOCAL_PART: Final = 64  # RFC 5321, 4.5.3.1.1
MIN_GRACE: Final = MINUTE
MAX_GRACE: Final = 30 * DAY
MAX_LIMIT: Final = 1000
_COMPLAINTS: Final = 20
_SHOWN: Final = 64
# What one endpoint calls a parameter that another calls otherwise.
_MEANT: Final = {"cron": "expression", "expression": "cron", "instant": "at"}

# XML 1.0 cannot write these two, and SNS refuses them therefore; a name travels with every message.
_NONCHARACTERS: Final = frozenset("\ufffe\uffff")
_ATOM: Final = re.compile(r"[^\s\x00-\x20\x7f()<>\[\]:;@\\,.\"]+")
_LABEL: Final = re.compile(r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?")
_KEY: Final = re.compile(r"[0-9A-Za-z-]{1,100}")
_IDEMPOTENCY_KEY: Final = re.compile(r"[!-~]{1,255}")


class Fields:
    """The parameters of one request."""

    def __init__(self, parameters: Mapping[str, str], unusable: Mapping[str, str] | None = None) -> None:
        """
        :param unusable: parameters that came in a form nobody can read, with the complaint about each
        """
        self._parameters = parameters
        self.complaints: dict[str, str] = dict(unusable or {})
        self._expression: errors.InvalidExpression | None = None

    def given(self, names: Collection[str]) -> dict[str, str]:
        """Those of the named parameters that came, and that nothing was wrong with so far."""
        return {
            name: text
            for name, text in self._parameters.items()
            if name in names and name not in self.complaints
        }

    def allow(self, known: Collection[str]) -> None:
        """Complain about every parameter that is not known."""
        for name in self._parameters:
            if name not in known:
                self.complaints.setdefault(name, _unknown(name, known))

    def read(self, name: str, check: Callable[[str], T], *, expected: str, default: T) -> T:
        """A parameter that is required, checked; `default`, and a complaint, if it is missing or wrong.

        :param check: raises ValueError with the complaint, or InvalidExpression
        :param expected: what to give, said when it is missing
        """
        if name in self.complaints:
            return default
        text = self._parameters.get(name)
        if not text:
            self.complaints[name] = f"is missing or empty; give {expected}"
            return default
        return self.check(name, text, check, default)

    def check(self, name: str, text: str, check: Callable[[str], T], default: T) -> T:
        """What `check` makes of a text; `default`, and a complaint, if something is wrong with it."""
        try:
            return check(text)
        except errors.InvalidExpression as problem:
            self.refuse_expression(name, problem)
        except ValueError as problem:
            self.complaints[name] = str(problem)
        return default

    def refuse_expression(self, name: str, problem: errors.InvalidExpression) -> None:
        """Complain about an expression."""
        self._expression = problem
        self.complaints[name] = problem.message

    def read_given(self, name: str, check: Callable[[str], T], *, expected: str, default: T) -> T:
        """A parameter that may be missing, as `read`."""
        if name not in self._parameters:
            return default
        return self.read(name, check, expected=expected, default=default)

    def complain(self, problem: errors.InvalidRequest) -> None:
        """Add what somebody else found wrong."""
        for name, complaint in problem.fields.items():
            self.complaints.setdefault(name, complaint)

    def raise_complaints(self) -> None:
        """Raise InvalidRequest (InvalidExpression where that is all) if anything was wrong."""
        if not self.complaints:
            return
        shown = {_shown(name): text for name, text in list(self.complaints.items())[:_COMPLAINTS]}
        if self._expression is not None and len(self.complaints) == 1:
            raise errors.InvalidExpression(self._expression.message, fields=shown)
        raise errors.InvalidRequest(
            "; ".join(f"{name}: {text}" for name, text in shown.items()), fields=shown
        )


def refuse(name: str, complaint: str) -> errors.InvalidRequest:
    """The error for one parameter."""
    return errors.InvalidRequest(f"{name}: {complaint}", fields={name: complaint})


def check_name(text: str) -> str:
    """A cron job's name."""
    if len(text) > MAX_NAME:
        raise ValueError(f"has {len(text):,} characters; give {MAX_NAME} at most")
    if not text.strip():
        raise ValueError("holds nothing but spaces; give a name")
    if any(unicodedata.category(character) == "Cc" or character in _NONCHARACTERS for character in text):
        raise ValueError("holds a control character, such as a line end; remove it")
    return text


def one_of(choices: Collection[str]) -> Callable[[str], str]:
    """A check for one of a few words."""

    def check(text: str) -> str:
        if text not in choices:
            raise ValueError(f"is none of {', '.join(choices)}; give one of them")
        return text

    return check


def check_misfire_grace(text: str) -> int:
    """How late is still useful, in microseconds."""
    try:
        grace = parse_duration(text)
    except ValueError as problem:
        raise ValueError(f"is no duration: {problem}") from None
    if not MIN_GRACE <= grace <= MAX_GRACE:
        bounds = f"{format_duration(MIN_GRACE)} and {format_duration(MAX_GRACE)}"
        raise ValueError(f"is out of range; give a duration between {bounds}")
    return grace


def check_email(text: str) -> str:
    """An email address, by its form alone: no quoted local part, no address literal, a domain of two labels."""
    local, _, domain = text.rpartition("@")
    labels = domain.split(".")
    if (
        len(text.encode()) <= MAX_EMAIL
        and len(local.encode()) <= MAX_LOCAL_PART
        and all(_ATOM.fullmatch(atom) and atom.isprintable() for atom in local.split("."))
        and len(labels) > 1
        and all(_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdigit()
    ):
        return text
    raise ValueError("is no email address; give one like username@example.com")


def email_key(email: str) -> str:
    """The address without case, which is what belongs to one account."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", email).casefold())


def whole_number(top: int) -> Callable[[str], int]:
    """A check for a whole number from 1 to `top`."""

    def check(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= top:
            return int(text)
        raise ValueError(f"is no whole number between 1 and {top:,}; give one")

    return check


check_limit: Final = whole_number(MAX_LIMIT)
"""How many rows a page may have."""


def check_instant(text: str) -> int:
    """An instant, ISO 8601 with an offset or `Z`."""
    try:
        return parse_iso(text)
    except ValueError as problem:
        # A query turns the plus of an offset into a space.
        hint = "; in a query the + of an offset is written %2B" if " " in text else ""
        raise ValueError(f"is no instant: {problem}{hint}") from None


def check_cronjob_id(text: str) -> str:
    """The id of a cron job, by its form alone."""
    if not wire.UUID.fullmatch(text):
        raise ValueError("is no cron job's id, which is a UUID in lower case; GET /cronjobs/ lists them")
    return text


def check_key(text: str) -> str:
    """What `H` is spread by: the id of a cron job, of this server or another."""
    if not _KEY.fullmatch(text):
        raise ValueError("is no cron job's id, which is a UUID; GET /cronjobs/ lists them")
    return text


def check_idempotency_key(text: str) -> str:
    """An idempotency key."""
    if not _IDEMPOTENCY_KEY.fullmatch(text):
        raise ValueError("has other than 1 to 255 visible ASCII characters; a UUID does well")
    return text


def _unknown(name: str, known: Collection[str]) -> str:
    meant = _MEANT.get(name)
    near = [meant] if meant in known else difflib.get_close_matches(name[:_SHOWN], known, n=1)
    if near:
        return f"is no parameter here; did you mean {near[0]}?"
    if not known:
        return "is no parameter here; there are none"
    return f"is no parameter here; there are {', '.join(sorted(known))}"


def _shown(name: str) -> str:
    """A parameter's name as it may stand in an answer, whatever the client made it."""
    short = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
    return "".join(character if character.isprintable() else "\ufffd" for character in short)
