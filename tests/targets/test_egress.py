"""Which addresses and URLs firings may be sent to."""

from __future__ import annotations

import _thread
import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.contract.http import MAX_URL
from cronally.targets import resolver
from cronally.targets.egress import Egress, EgressRefused
from cronally.targets.pool import Pool
from cronally.targets.resolver import LookupsBusy, Resolver
from cronally.targets.target import Reply, Retry
from cronally.targets.url import parse_url

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "52.94.5.1",
    "172.15.255.255",
    "172.32.0.1",
    "168.63.129.17",
    "2606:4700:4700::1111",
    "2a00:1450:4001:82a::200e",
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
    "2002:101:101::1",
]
NOT_PUBLIC = [
    "0.0.0.0",  # noqa: S104
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",  # Alibaba's metadata service
    "127.0.0.1",
    "127.8.8.8",
    "168.63.129.16",  # Azure
    "169.254.169.254",  # the metadata service of AWS and others
    "169.254.170.2",  # of ECS tasks
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",  # Oracle's metadata service
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::1.1.1.1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",  # Teredo
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",  # the metadata service of AWS over IPv6
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_permits__public(address: str) -> None:
    assert Egress().permits(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_permits__not_public(address: str) -> None:
    assert not Egress().permits(address)


@given(st.ip_addresses())
def test_permits__nothing_that_the_standard_library_knows_as_private(
    address: IPv4Address | IPv6Address,
) -> None:
    stands_for = address
    if isinstance(address, IPv6Address):
        stands_for = address.ipv4_mapped or address.sixtofour or address
    if Egress().permits(str(address)) and not str(address).startswith("64:ff9b::"):
        assert stands_for.is_global
        assert not stands_for.is_multicast


@given(st.ip_addresses(v=4))
def test_permits__ipv6_that_stands_for_ipv4_is_as_good_as_that(address: IPv4Address) -> None:
    expected = Egress().permits(str(address))
    for form in (int(IPv6Address("::ffff:0:0")), int(IPv6Address("64:ff9b::"))):
        assert Egress().permits(str(IPv6Address(form + int(address)))) == expected
    assert Egress().permits(str(IPv6Address((0x2002 << 112) + (int(address) << 80)))) == expected


@pytest.mark.parametrize(
    ("address", "permitted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("10.2.0.1", False),
        ("127.0.0.1", False),
        ("fd00::5", True),
        ("fd01::5", False),
        ("1.1.1.1", True),
    ],
)
def test_permits__networks_that_the_operator_allows(address: str, permitted: bool) -> None:
    assert Egress(["10.1.0.0/16", "fd00::/64"]).permits(address) == permitted


def test_allowed__is_no_network() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        Egress(["intranet"])


async def test_resolver__one_bad_address_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))
            for address in ("1.1.1.1", "127.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(EgressRefused):
        await Resolver(Egress().check).resolve("rebinding.example.com", 443)
    found = await Resolver(Egress(["127.0.0.0/8"]).check).resolve("rebinding.example.com", 443)
    assert [address.ip for address in found] == ["1.1.1.1", "127.0.0.1"]


async def test_resolver__lookups_that_hang_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "MAX_LOOKUPS", 2)
    answered = threading.Event()

    def getaddrinfo(*_: object) -> list[tuple[object, ...]]:
        answered.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    names = Resolver(connect_timeout=0.1)
    hanging = [asyncio.create_task(names.resolve(f"n{number}.example.com", 443)) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="too many"):
        await names.resolve("late.example.com", 443)
    answered.set()
    await asyncio.gather(*hanging)
    assert await names.resolve("later.example.com", 443), "whoever gave up waiting stands in nobody's way"


async def test_resolver__names_of_one_account_that_hang_hold_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resolver, "MAX_LOOKUPS", 16)
    monkeypatch.setattr(resolver, "MAX_LOOKUPS_OF_ACCOUNT", 8)
    answered, hangs = threading.Event(), threading.Semaphore(0)
    asked: list[str] = []

    def getaddrinfo(host: str, *_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        if host.startswith("hanging"):
            hangs.release()
            answered.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    names = Resolver()
    hanging = [
        asyncio.create_task(names.resolve(f"hanging-{account}-{number}.example.com", 443, account))
        for account in "abc"
        for number in range(20)
    ]
    # Eight of the first, four of the second, which is three quarters; one of the third. Each begins in a thread.
    for _ in range(13):
        await asyncio.to_thread(hangs.acquire)
    assert await names.resolve("good.example.com", 443, "bystander")
    assert await names.resolve("better.example.com", 443, "bystander")
    looked_up = Counter(name.split("-")[1] for name in asked if name.startswith("hanging"))
    assert looked_up == {"a": 8, "b": 4, "c": 1}
    answered.set()
    assert all(await asyncio.gather(*hanging)), "and those that waited have their turn"


async def test_resolver__a_thread_that_cannot_start_takes_no_look_up_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resolver, "MAX_LOOKUPS_OF_ACCOUNT", 2)
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 443))]
    )

    def start(_work: object, _arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    names = Resolver()
    with monkeypatch.context() as limited:
        limited.setattr(_thread, "start_new_thread", start)
        for _ in range(3):
            with pytest.raises(LookupsBusy, match="no thread"):
                await names.resolve("example.com", 443, "a")
    assert not names._taken
    assert await names.resolve("example.com", 443, "a")


async def test_resolver__does_not_wait_until_the_thread_of_a_look_up_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The event loop is everybody's, and a new thread has to wait for its turn where another one is busy."""
    works: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
    monkeypatch.setattr(_thread, "start_new_thread", lambda work, _arguments: works.put_nowait(work))
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 443))]
    )
    asked = asyncio.ensure_future(Resolver().resolve("example.com", 443, "a"))
    work = await works.get()
    work()
    assert [address.ip for address in await asked] == ["1.1.1.1"]


async def test_resolver__too_many_names_say_nothing_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "MAX_LOOKUPS", 0)
    pool = Pool(connections=1, connect_timeout=0.5, total_timeout=5)
    answer = await pool.request("GET", parse_url("http://example.com/"), {}, whole=False)
    assert isinstance(answer, Retry)
    assert answer.reply is Reply.NOT_ASKED


async def test_resolver__no_such_name() -> None:
    with pytest.raises(OSError, match=r".") as caught:
        await Resolver().resolve("nothing.invalid", 443)
    assert not isinstance(caught.value, EgressRefused)


async def test_resolver__name_that_cannot_be_one() -> None:
    with pytest.raises(OSError, match="does not resolve"):
        await Resolver().resolve("x" * 64 + ".example.com", 443)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://example.com/",
        "HTTPS://Example.COM/Hook?token=a%20b&x=/?",
        "https://example.com:8443/a/b;c=d/~e?f",
        "https://my_host.example.com/",
        "https://xn--bcher-kva.example/",
        "https://1.1.1.1/hook",
        "https://[2606:4700:4700::1111]:443/",
        "http://receiver/hook",
        "https://example.com?query=only",
        "https://hooks.slack.com/services/T000/B000/XXXX",
        "https://example.com/" + "x" * (MAX_URL - 20),
    ],
)
def test_parse_url__accepted_as_it_is_written(url: str) -> None:
    parsed = Egress().parse_url(url)
    scheme, _, rest = url.partition("://")
    path = rest[len(rest.split("/")[0].split("?")[0]) :]
    assert parsed.origin.secure == (scheme.lower() == "https")
    assert parsed.target == (path if path.startswith("/") else f"/{path}")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "is no URL"),
        ("example.com/hook", "is no URL"),
        ("//example.com/hook", "is no URL"),
        ("ftp://example.com/", "is no URL"),
        ("file:///etc/passwd", "is no URL"),
        ("gopher://example.com/", "is no URL"),
        ("unix:///var/run/docker.sock", "is no URL"),
        ("javascript:alert(1)", "is no URL"),
        ("http:/example.com", "is no URL"),
        ("http://", "has no usable host"),
        ("http:///path", "has no usable host"),
        ("http://:80/", "has no usable host"),
        ("http://@example.com/", "has no user name"),
        ("http://:@example.com/", "has no user name"),
        ("http://user@pass@example.com/", "more than one @"),
        ("http://user:p[ass@example.com/", "characters that a URL cannot hold"),
        ("http://us%3Aer:pass@example.com/", "a user name with a colon"),
        ("http://user:pass%0D%0AX@example.com/", "a control character"),
        ("http://user:pass@/", "has no usable host"),
        ("http://user:pass@127.0.0.1/", "not public"),
        ("http://example.com@127.0.0.1/", "not public"),
        ("http://example.com:80@127.0.0.1:80/", "not public"),
        ("http://example.com#@127.0.0.1/", "has a fragment"),
        ("https://example.com/#top", "has a fragment"),
        ("http://example.com\\@127.0.0.1/", "characters that a URL cannot hold"),
        ("http://example.com\\.evil/", "has no usable host"),
        ("http://exa mple.com/", "holds spaces"),
        ("http://example.com/a b", "holds spaces"),
        ("http://example.com/\r\nX-Injected: 1", "holds spaces, control"),
        ("http://example.com/\x00", "control characters"),
        ("http://bücher.example/", "write it as xn--bcher-kva.example$"),
        ("http://user:pass@Straße.Example:8443/a?token=pass", "write it as xn--strae-oqa.example$"),
        ("http://bücher.example/ü", "write it as xn--bcher-kva.example, and percent-encode what else"),
        ("http://example.com/ü", "percent-encode them"),
        ("http://①②⑦.⓪.⓪.①/", "write it as 127.0.0.1$"),
        ("http://例え。テスト/", "write it as xn--r8jz45g.xn--zckzah$"),
        ("http://bü cher.example/", "no domain name"),
        ("http://bü\r\ncher.example/", "no domain name"),
        (f"http://{'ü' * 254}/", "no domain name"),
        ("http://xn--ü.example/", "no domain name"),
        ("http://example.com/%", "characters that a URL cannot"),
        ("http://example.com/%zz", "characters that a URL cannot"),
        ("http://example.com/{id}", "characters that a URL cannot"),
        ("http://example.com%2f@10.0.0.1/", "not public"),
        ("http://ex%61mple.com/", "has no usable host"),
        ("http://example.com:/", "has no usable host"),
        ("http://example.com:0/", "has no usable port"),
        ("http://example.com:65536/", "has no usable port"),
        ("http://example.com:99999/", "has no usable port"),
        ("http://example.com:80:80/", "has no usable host"),
        ("http://example.com:25/", "has the port of another protocol"),
        ("http://example.com:6667/", "has the port of another protocol"),
        ("http://-example.com/", "no domain name"),
        ("http://example..com/", "no domain name"),
        ("http://example.com./", "a dot at its end"),
        ("http://1.1.1.1./", "a dot at its end"),
        ("http://example.com.:8080/", "a dot at its end"),
        (f"http://{'x' * 64}.com/", "no domain name"),
        (f"http://{'x.' * 127}com/", "no domain name"),
        ("http://localhost/", "not public"),
        ("http://LOCALHOST:8080/", "not public"),
        ("http://metadata.localhost/", "not public"),
        ("http://127.0.0.1/", "not public"),
        ("http://169.254.169.254/latest/meta-data/", "not public"),
        ("http://10.0.0.1:8080/", "not public"),
        ("http://0.0.0.0/", "not public"),
        ("http://[::1]/", "not public"),
        ("http://[::]/", "not public"),
        ("http://[::ffff:127.0.0.1]/", "not public"),
        ("http://[::ffff:7f00:1]/", "not public"),
        ("http://[64:ff9b::a9fe:a9fe]/", "not public"),
        ("http://[fe80::1%25eth0]/", "has no usable host"),
        ("http://[::1", "has no usable host"),
        ("http://[1.1.1.1]x/", "has no usable host"),
        ("http://127.1/", "no name and no IP address"),
        ("http://2130706433/", "no name and no IP address"),
        ("http://0x7f000001/", "no name and no IP address"),
        ("http://0x7f.1/", "no name and no IP address"),
        ("http://017700000001/", "no name and no IP address"),
        ("http://0177.0.0.1/", "no name and no IP address"),
        ("http://127.0.0.01/", "no name and no IP address"),
        ("http://1.1.1.256/", "no name and no IP address"),
        ("http://example.com.1/", "no name and no IP address"),
    ],
)
def test_parse_url__refused(url: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as caught:
        Egress().parse_url(url)
    assert "pass" not in str(caught.value).replace("password", "")


def test_parse_url__the_refusal_names_what_allows_it() -> None:
    with pytest.raises(ValueError, match="CRONALLY_HTTP_ALLOWED_NETWORKS"):
        Egress().parse_url("http://10.0.0.1/")


def test_parse_url__the_form_that_is_advised_is_taken() -> None:
    with pytest.raises(ValueError, match="write it as") as caught:
        Egress().parse_url("https://bücher.example/")
    assert Egress().parse_url(f"https://{str(caught.value).rpartition(' ')[2]}/").origin.port == 443


def test_parse_url__what_the_operator_allows() -> None:
    egress = Egress(["127.0.0.0/8"])
    for url in ("http://localhost:8000/", "http://127.0.0.1:8000/hook"):
        egress.parse_url(url)
    with pytest.raises(ValueError, match="not public"):
        egress.parse_url("http://10.0.0.1/")


@given(
    st.text(max_size=40)
    | st.from_regex(r"https?://[\w.@:\[\]%#?\\/-]{0,40}")
    | st.tuples(st.sampled_from(["http://", "https://"]), st.ip_addresses()).map(
        lambda parts: f"{parts[0]}[{parts[1]}]/" if ":" in str(parts[1]) else f"{parts[0]}{parts[1]}/"
    )
)
def test_parse_url__never_leads_to_an_address_that_is_not_public(url: str) -> None:
    try:
        parsed = Egress().parse_url(url)
    except ValueError:
        return
    oracle = urlsplit(url)
    assert oracle.scheme in ("http", "https")
    assert oracle.username is None
    assert parsed.origin.host == oracle.hostname
    assert parsed.origin.port == (oracle.port or {"http": 80, "https": 443}[oracle.scheme])
    try:
        address = ip_address(parsed.origin.host)
    except ValueError:
        return
    assert Egress().permits(str(address))


HOSTS = [
    # Allowed, denied, the host, whether it may be called
    ((), (), "example.com", True),
    (("example.com",), (), "example.com", True),
    (("example.com",), (), "hooks.example.com", False),
    (("*.example.com",), (), "hooks.example.com", True),
    (("*.example.com",), (), "a.b.example.com", True),
    (("*.example.com",), (), "example.com", False),
    (("*.example.com",), (), "badexample.com", False),
    (("Example.COM",), (), "example.com", True),
    (("example.com",), (), "93.184.215.14", False),
    (("93.184.215.14",), (), "93.184.215.14", True),
    (("2606:2800:21f:cb07::1",), (), "2606:2800:21f:cb07::1", True),
    ((), ("example.com",), "example.com", False),
    ((), ("example.com",), "example.org", True),
    ((), ("*.example.com",), "hooks.example.com", False),
    (("*.example.com",), ("bad.example.com",), "bad.example.com", False),
    (("bad.example.com",), ("*.example.com",), "bad.example.com", False),
]


@pytest.mark.parametrize(("allowed", "denied", "host", "expected"), HOSTS)
def test_permits_host(allowed: tuple[str, ...], denied: tuple[str, ...], host: str, expected: bool) -> None:
    egress = Egress(allowed_hosts=allowed, denied_hosts=denied)
    assert egress.permits_host(host) is expected
    url = f"https://[{host}]/" if ":" in host else f"https://{host.upper()}/"
    if expected:
        egress.parse_url(url)
    else:
        with pytest.raises(ValueError, match="the server's operator does not allow"):
            egress.parse_url(url)


def test_permits__what_the_operator_denies_counts_for_more() -> None:
    egress = Egress(["10.0.0.0/8"], ["10.1.0.0/16", "93.184.215.0/24", "2606:2800::/32"])
    assert egress.permits("10.2.0.1")
    for denied in ("10.1.0.1", "93.184.215.14", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e", "2606:2800::1"):
        assert not egress.permits(denied)
        with pytest.raises(EgressRefused, match="CRONALLY_HTTP_DENIED_NETWORKS"):
            egress.check(denied)
    with pytest.raises(ValueError, match="CRONALLY_HTTP_DENIED_NETWORKS"):
        egress.parse_url("http://93.184.215.14/")
    with pytest.raises(EgressRefused, match="not public"):
        egress.check("192.168.0.1")
