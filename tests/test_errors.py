"""The errors: the tree as its picture shows it, the messages as their docstrings say them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from cronally import errors
from cronally.errors import CronallyError, RequestError

_LINE = re.compile(r"(?P<indent> +(?:x )?)(?P<name>[A-Z]\w+)(?: +(?P<status>\d{3}))?(?:[ ,].*)?")


def _tree(error: type[CronallyError]) -> Iterator[type[CronallyError]]:
    yield error
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child)


ALL = list(_tree(CronallyError))
ANSWERS = [error for error in ALL if issubclass(error, RequestError) and error is not RequestError]


def _picture() -> dict[str, tuple[str | None, int | None]]:
    """The parent and the status of each error, by its name, as the module's docstring draws them."""
    drawn: dict[str, tuple[str | None, int | None]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if not (match := _LINE.fullmatch(line)):
            continue
        depth = len(match["indent"])
        while above and above[-1][0] >= depth:
            above.pop()
        drawn[match["name"]] = (
            above[-1][1] if above else None,
            int(match["status"]) if match["status"] else None,
        )
        above.append((depth, match["name"]))
    return drawn


def test_tree__is_as_its_picture_shows_it() -> None:
    assert _picture() == {
        error.__name__: (
            None if error is CronallyError else error.__mro__[1].__name__,
            error.status if issubclass(error, RequestError) and error is not RequestError else None,
        )
        for error in ALL
    }


def test_tree__holds_every_error_of_the_module() -> None:
    defined = {
        error
        for _, error in inspect.getmembers(errors, inspect.isclass)
        if error.__module__ == errors.__name__
    }
    assert defined == set(ALL)


def test_statuses__belong_to_one_class_each() -> None:
    statuses = [error.status for error in RequestError.__subclasses__()]
    assert len(statuses) == len(set(statuses))
    assert set(statuses) == {400, 401, 403, 404, 405, 409, 413, 415, 421, 429, 431, 500, 503, 505}


@pytest.mark.parametrize("error", ANSWERS)
def test_status__is_inherited_or_known_to_http(error: type[RequestError]) -> None:
    assert HTTPStatus(error.status)
    parent = error.__mro__[1]
    assert parent is RequestError or (issubclass(parent, RequestError) and parent.status == error.status)


def test_codes__name_their_class() -> None:
    for error in ANSWERS:
        assert error.code == re.sub(r"(?<!^)(?=[A-Z])", "_", error.__name__).lower()


@pytest.mark.parametrize("error", ALL)
def test_message__is_the_docstring_by_default(error: type[CronallyError]) -> None:
    documented = error.__dict__["__doc__"].strip()
    assert str(error()) == documented == error().message
    assert "\n" not in documented
    assert documented.endswith(".")


@pytest.mark.parametrize("error", ALL)
def test_message__can_be_given(error: type[CronallyError]) -> None:
    assert str(error("Say this.")) == "Say this."


def test_request_error__keeps_fields_and_retry_after() -> None:
    fields = {"cron": "is missing"}
    error = errors.InvalidRequest(fields=fields)
    fields.clear()
    assert error.fields == {"cron": "is missing"}
    assert error.retry_after is None
    assert errors.RateLimited(retry_after=7).retry_after == 7


def test_request_error__as_a_text_says_what_is_wrong_with_each_parameter() -> None:
    """Who catches it in a script prints it, and does not know of `fields`."""
    error = errors.InvalidRequest(fields={"at": "an instant needs an offset", "limit": "is too large"})
    assert str(error) == f"{error.message} (at: an instant needs an offset; limit: is too large)"
    assert (
        str(errors.InvalidExpression("60 is no minute", fields={"cron": "60 is no minute"}))
        == "60 is no minute"
    )
