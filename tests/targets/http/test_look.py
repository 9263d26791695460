"""What a look at a URL's host says before anything is sent: it waits a second at most, and sends nothing."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from cronally.targets.egress import Egress
from cronally.targets.http import hosts
from cronally.targets.http.hosts import KEPT, MAX_KEPT, OF_ACCOUNT, Hosts
from cronally.targets.http.target import HttpTarget
from cronally.targets.resolver import LookupsBusy
from cronally.targets.target import Look
from cronally.targets.url import Origin

URL = "https://hooks.example.com/in?token=canary"


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    target = HttpTarget(egress=Egress())
    yield target
    await target.close()


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Let names have these addresses; returns the names that were asked for."""

    def install(*addresses: str) -> list[str]:
        asked: list[str] = []

        def found(host: str, *_: Any) -> list[Any]:
            asked.append(host)
            families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
            return [
                (family, 1, 6, "", (address, 443))
                for family, address in zip(families, addresses, strict=True)
            ]

        monkeypatch.setattr(socket, "getaddrinfo", found)
        return asked

    return install


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """No name server answers before the test is over; the names that were asked for."""
    over, asked = threading.Event(), []

    def wait(host: str, *_: Any) -> list[Any]:
        asked.append(host)
        over.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    monkeypatch.setattr(hosts, "LOOK", 0.05)
    yield asked
    over.set()


async def _look(target: HttpTarget, url: str = URL) -> Look:
    return await target.look({"delivery_http_url": url}, "account")


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "127.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"],
)
async def test_look__name_that_leads_inside(
    target: HttpTarget, resolve: Callable[..., list[str]], address: str
) -> None:
    resolve("93.184.215.14", address)
    look = await _look(target)
    assert look.complaints.keys() == {"delivery_http_url"}
    assert "CRONALLY_HTTP_ALLOWED_NETWORKS" in look.complaints["delivery_http_url"]
    assert "canary" not in repr(look)


async def test_look__what_the_operator_allows(resolve: Callable[..., list[str]]) -> None:
    resolve("10.1.2.3")
    assert await HttpTarget(egress=Egress(["10.1.0.0/16"])).look({"delivery_http_url": URL}, "a") == Look()


async def test_look__a_public_name_is_asked_for_once(
    target: HttpTarget, resolve: Callable[..., list[str]]
) -> None:
    asked = resolve("93.184.215.14")
    assert await _look(target) == await _look(target, "https://hooks.example.com:8443/") == Look()
    assert asked == ["hooks.example.com"]


async def test_look__name_that_does_not_resolve_warns(target: HttpTarget) -> None:
    look = await _look(target, "https://nothing.invalid/?token=canary")
    assert not look.complaints
    assert len(look.warnings) == 1
    assert look.warnings[0].startswith("The host of delivery_http_url does not resolve now")
    assert "canary" not in repr(look)


async def test_look__name_server_that_does_not_answer_warns(target: HttpTarget, hanging: list[str]) -> None:
    look = await _look(target)
    assert not look.complaints
    assert look.warnings == [
        "The host of delivery_http_url was not looked up: there was no answer within 0.05 s."
    ]
    await _look(target)
    assert hanging == ["hooks.example.com"] * 2, "nothing is known of it"


async def test_look__names_of_one_account_hold_up_no_other(hanging: list[str]) -> None:
    looking = Hosts(Egress().check)
    many = [Origin(True, f"a{number}.example", 443) for number in range(OF_ACCOUNT + 1)]
    problems = await asyncio.gather(*(looking.problem(origin, "greedy") for origin in many))
    assert all(isinstance(problem, LookupsBusy) for problem in problems)
    assert len(hanging) == OF_ACCOUNT
    await looking.problem(Origin(True, "b.example", 443), "other")
    assert hanging[-1] == "b.example"


@pytest.mark.parametrize(
    "parameters",
    [{}, {"delivery_http_method": "get"}, {"delivery_http_url": "ftp://x"}, {"delivery_http_url": ""}],
)
async def test_look__says_nothing_of_what_check_refuses(
    target: HttpTarget, resolve: Callable[..., list[str]], parameters: dict[str, str]
) -> None:
    asked = resolve("10.0.0.1")
    assert await target.look(parameters, "account") == Look()
    assert asked == []


async def test_problem__is_kept_for_a_while_and_for_so_many(resolve: Callable[..., list[str]]) -> None:
    now = 0.0
    looking = Hosts(Egress().check, lambda: now)
    asked = resolve("10.0.0.1")
    first = Origin(True, "a.example", 443)
    assert await looking.problem(first, "a") is not None
    resolve("93.184.215.14")
    now = KEPT - 0.001
    assert await looking.problem(first, "a") is not None
    now = KEPT
    assert await looking.problem(first, "a") is None
    assert asked == ["a.example"]
    for number in range(MAX_KEPT):
        await looking.problem(Origin(True, f"b{number}.example", 443), "a")
    assert len(looking._known) == MAX_KEPT
