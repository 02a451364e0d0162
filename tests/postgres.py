"""A real PostgreSQL server for tests, in a folder of its own, in memory if the temporary folders are."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import count
from pathlib import Path

import psutil
import psycopg

from service.store.store import Store
from tests.requirements import lacks
from tests.serving import wait_until

OPTIONS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "shared_buffers=32MB",
    # A killed server loses nothing that it gave to the operating system; only a crash of the machine would.
    "fsync=off",
    "full_page_writes=off",
)


class PostgreSQL:
    """A server on a free port of the loopback interface.

    PostgreSQL refuses to run as root, so root runs it as the user `postgres`.
    """

    def __init__(self) -> None:
        """Starts it. Where PostgreSQL is not installed, the test is skipped; with CI=true it fails."""
        self._programs = _programs()
        self._user = "postgres" if os.getuid() == 0 else None
        self._folder = Path(
            tempfile.mkdtemp(prefix="separatrix-postgres-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
        )
        if self._user:
            shutil.chown(self._folder, self._user)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._names = count(1)
        data = str(self._folder / "data")
        subprocess.run(
            [self._programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self._user,
        )
        self.start()

    def start(self) -> None:
        """Starts the server again after `kill`. Returns when it answers."""
        options = [part for option in OPTIONS for part in ("-c", option)]
        with (self._folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [self._programs / "postgres", "-D", str(self._folder / "data"), "-p", str(self.port), *options],
                stdout=subprocess.DEVNULL,
                stderr=log,
                user=self._user,
            )
        wait_until(self._answers)

    def kill(self) -> None:
        """Kills the server with all its processes."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """The server does not answer for the duration of the block, but keeps its connections."""
        frozen = self._processes()
        for process in frozen:
            process.suspend()
        try:
            yield
        finally:
            for process in frozen:
                process.resume()

    def _processes(self) -> list[psutil.Process]:
        own = psutil.Process(self.process.pid)
        return [own, *own.children()]

    def close(self) -> None:
        """Stops the server and deletes its files."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()
        shutil.rmtree(self._folder)

    def new_database(self, template: str = "template1") -> str:
        """The URL of a new copy of a database, by default of an empty one."""
        name = f"test_{next(self._names)}"
        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")  # type: ignore[arg-type]
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def new_migrated_database(self) -> str:
        """The URL of a new database with all tables and no rows."""
        return self.new_database(self._migrated)

    @cached_property
    def _migrated(self) -> str:
        url = self.new_database()
        Store(url).close()
        return url.rpartition("/")[2]

    @property
    def _address(self) -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres connect_timeout=2"

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self._folder / "log").read_text()
        try:
            psycopg.connect(self._address).close()
        except psycopg.OperationalError:
            return False
        return True


def _programs() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not folders:
        lacks("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return folders[-1].parent
