"""The memory of a process: real allocations, real control-group files, and a clock moved by hand."""

from __future__ import annotations

import ctypes
import mmap
import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from cronally.server import memory
from cronally.server.memory import GROWTH, PATIENCE, RELIEF, TRIM, Memory, cgroup_limit, give_back, resident
from tests.docs.account import Account
from tests.docs.conftest import NOWHERE
from tests.support.cronally_server import CLI, CronallyServer, cronally_server
from tests.support.factories import Monotonic
from tests.support.server_process import ServerFailed

MIB = 1024 * 1024
OFTEN = {
    "name": "often",
    "cron": "@every 1s",
    "sns_topic": "arn:aws:sns:us-east-1:123456789012:often",
    "sns_region": "us-east-1",
    "sns_message": "hello",
    "sns_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "sns_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}

pytestmark = pytest.mark.skipif(resident() is None, reason="this system does not tell what a process holds")


def held() -> int:
    found = resident()
    assert found is not None
    return found


class Ballast:
    """Memory that is held until it is dropped, and then goes back to the system at once."""

    def __init__(self, size: int) -> None:
        self._map = mmap.mmap(-1, size)
        for at in range(0, size, mmap.PAGESIZE):
            self._map[at] = 1

    def drop(self) -> None:
        self._map.close()


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def watched(monotonic: Monotonic, registry: CollectorRegistry) -> Memory:
    """With a limit that this process is well below of."""
    give_back()
    return Memory(int((held() + 64 * MIB) / RELIEF), registry, monotonic)


def shown(registry: CollectorRegistry, name: str) -> float:
    value = registry.get_sample_value(f"cronally_memory_{name}")
    assert value is not None
    return value


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == memory.__name__]


async def test_memory__requests_are_refused_above_the_limit_and_admitted_below(
    watched: Memory, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    await watched.step()
    assert not watched.is_short
    assert shown(registry, "short") == 0
    before = shown(registry, "bytes")
    ballast = Ballast(256 * MIB)
    for _ in range(3):
        await watched.step()
        assert watched.is_short
    assert shown(registry, "short") == 1
    assert shown(registry, "bytes") > before + 200 * MIB
    ballast.drop()
    for _ in range(3):
        await watched.step()
        assert not watched.is_short
    assert shown(registry, "short") == 0
    assert [line.split(":")[0] for line in told(caplog)] == ["short of memory", "there is memory again"]


async def test_memory__what_is_held_for_good_does_not_refuse_for_ever(
    watched: Memory, monotonic: Monotonic, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Ballast(256 * MIB)
    await watched.step()
    monotonic.now += PATIENCE - 1
    await watched.step()
    assert watched.is_short
    monotonic.now += 1
    await watched.step()
    assert not watched.is_short
    # It may use what it holds, and a little more.
    monotonic.now += PATIENCE
    await watched.step()
    assert not watched.is_short
    more = Ballast(int(held() * GROWTH) + 64 * MIB)
    await watched.step()
    assert watched.is_short
    # Once it is below the limit, the limit counts again.
    kept.drop()
    more.drop()
    await watched.step()
    assert not watched.is_short
    again = Ballast(128 * MIB)
    await watched.step()
    assert watched.is_short
    again.drop()
    assert len(told(caplog)) == 5


async def test_memory__without_a_limit_nothing_is_refused(registry: CollectorRegistry) -> None:
    unlimited = Memory(None, registry)
    await unlimited.step()
    assert not unlimited.is_short
    assert shown(registry, "bytes") > 10 * MIB


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc gives back when it is asked"
)
async def test_memory__what_was_freed_is_given_back(
    watched: Memory, monotonic: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bodies of requests leave holes below what outlives them: glibc keeps them."""
    times = 0

    def count() -> None:
        nonlocal times
        times += 1
        give_back()

    monkeypatch.setattr(memory, "give_back", count)
    pieces = [bytes(100_000) for _ in range(2560)]
    last = bytes(100_000)
    await watched.step()
    assert watched.is_short
    del pieces
    assert held() > 0
    monotonic.now += TRIM
    await watched.step()
    assert not watched.is_short
    assert len(last) == 100_000
    # While there is too much, not at every look.
    ballast = Ballast(256 * MIB)
    times = 0
    for _ in range(5):
        await watched.step()
    assert times == 0
    monotonic.now += TRIM
    for _ in range(5):
        await watched.step()
    assert times == 1
    ballast.drop()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    return tmp_path


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_cgroup__of_version_2(root: Path) -> None:
    put(root, "proc/self/cgroup", "0::/system.slice/cronally.service\n")
    assert cgroup_limit(root) is None
    put(root, "sys/fs/cgroup/system.slice/cronally.service/memory.max", "max\n")
    assert cgroup_limit(root) is None
    put(root, "sys/fs/cgroup/system.slice/memory.max", f"{512 * MIB}\n")
    assert cgroup_limit(root) == 512 * MIB
    put(root, "sys/fs/cgroup/system.slice/cronally.service/memory.max", f"{256 * MIB}\n")
    assert cgroup_limit(root) == 256 * MIB
    put(root, "sys/fs/cgroup/system.slice/cronally.service/memory.max", f"{768 * MIB}\n")
    assert cgroup_limit(root) == 512 * MIB, "that of the group around it"


def test_cgroup__of_a_container(root: Path) -> None:
    put(root, "proc/self/cgroup", "0::/\n")
    put(root, "sys/fs/cgroup/memory.max", f"{256 * MIB}\n")
    assert cgroup_limit(root) == 256 * MIB


def test_cgroup__of_version_1(root: Path) -> None:
    put(root, "proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/docker/c25e\n1:cpuset:/\n0::/\n")
    put(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert cgroup_limit(root) is None
    # The path is the host's; what is mounted begins at the container's own group.
    put(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", f"{300 * MIB}\n")
    assert cgroup_limit(root) == 300 * MIB
    put(root, "sys/fs/cgroup/memory/docker/c25e/memory.limit_in_bytes", f"{200 * MIB}\n")
    assert cgroup_limit(root) == 200 * MIB


def test_cgroup__none_where_there_is_no_proc(tmp_path: Path) -> None:
    assert cgroup_limit(tmp_path) is None


def test_server__limit_below_what_it_holds_already_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [*CLI, "serve", "--port", "0"],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "CRONALLY_MEMORY_LIMIT": "20MiB"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "CRONALLY_MEMORY_LIMIT: the server holds" in done.stderr


def test_server__goes_on_firing_while_it_refuses_requests(tmp_path: Path) -> None:
    settings = {
        "CRONALLY_DATABASE_URL": f"sqlite:///{tmp_path / 'cronally.db'}",
        "CRONALLY_MIN_INTERVAL": "1s",
        "AWS_ENDPOINT_URL_SNS": NOWHERE,
    }
    with cronally_server(tmp_path, settings) as server:
        account = Account(server.url)
        account.sign_up("somebody@example.com")
        assert account.ask("POST", "/cronjob/", OFTEN).status == 200
    # The least limit with which it starts: it holds more as soon as it works.
    limit = 16
    for tries in range(5):
        settings["CRONALLY_MEMORY_LIMIT"] = f"{limit}MiB"
        folder = tmp_path / f"{tries}"
        folder.mkdir()
        try:
            with cronally_server(folder, settings, ready_path="/healthz") as server:
                see_it_fire(server)
                return
        except ServerFailed as problem:
            found = re.search(r"the server holds (\d+) MiB", str(problem))
            if found is None:
                raise
            limit = int(found[1]) + 1
    pytest.fail("it did not start with what it had asked for")


def see_it_fire(server: CronallyServer) -> None:
    """See that firings end while requests are refused."""
    server.process.wait_until(lambda: metric(server, "cronally_memory_short") == 1)
    assert "short of memory: new requests are refused" in server.process.output()
    refused = Account(server.url).ask("GET", "/readyz", signed=False)
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    ended = metric(server, "cronally_firings_total")
    server.process.wait_until(lambda: metric(server, "cronally_firings_total") >= ended + 3)
    assert metric(server, "cronally_memory_short") == 1


def metric(server: CronallyServer, name: str) -> float:
    """The sum of a metric's samples."""
    page = Account(server.url).ask("GET", "/metrics", signed=False).body.decode()
    return sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", page, re.MULTILINE)))
