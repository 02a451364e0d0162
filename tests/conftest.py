import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import settings

from service.processes.fork_server import helper_processes
from service.store.database import sqlite_url
from service.store.store import Store
from tests.postgres import PostgreSQL
from tests.serving import running, train

MEMORY = Path("/dev/shm")  # a file system in memory, on Linux
MEMORY_BYTES = 4 * 2**30  # each worker has a PostgreSQL server with some forty databases of 13 MB


def pytest_configure() -> None:
    """Configures torch, pytest and hypothesis before their first use. Processes of tests inherit that of torch."""
    # One thread of torch for each process: they share the processor, and a thread that waits for another one spins.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Temporary folders in memory, if there is room: on a disk, every commit waits.
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    gc.disable()  # until everything is imported
    settings.register_profile("no deadline", deadline=None)  # an example may take long on a busy machine
    settings.load_profile("no deadline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that use a PostgreSQL server. Tests that start processes come first: they are long, and wait.

    At the end of the run, one of them alone would leave the other worker without work.
    """
    for item in items:
        if isinstance(item, pytest.Function) and {"postgresql", "mortal_postgresql"} & set(item.fixturenames):
            item.add_marker(pytest.mark.postgres)
    items.sort(key=lambda item: item.get_closest_marker("processes") is None)


def pytest_collection_finish() -> None:
    """Exempts what is imported by now from garbage collection: a pass over torch's objects takes 0.2 s."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _helper_processes() -> Iterator[None]:
    """Keeps the fork server of this process for all engines: a new one imports torch, which takes seconds."""
    helper_processes.acquire()
    yield
    helper_processes.release()


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A running service with a few models, shared by the tests that do not change them.

    `plane` has two classes of points in the plane, `trio` three, `line` points of one coordinate and integer labels.
    """
    with running(tmp_path_factory.mktemp("data")) as client:
        train(client, "plane", training={"epochs": 300})
        train(client, "trio", data={"dataset": "gaussians", "n_classes": 3, "n": 90})
        train(client, "line", data={"points": [[0], [1], [2], [3]], "labels": [7, 7, -1, -1]})
        yield client


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server, shared by the tests that do not stop it."""
    server = PostgreSQL()
    yield server
    server.close()


@pytest.fixture(scope="session")
def mortal_postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server that tests may kill and start again."""
    server = PostgreSQL()
    yield server
    server.close()


KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database. A test that uses it runs on both kinds of database."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "rows.db")
    url: str = request.getfixturevalue("postgresql").new_database()
    return url


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables and no rows, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "rows.db"
    Store(sqlite_url(path)).close()
    return path


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with all tables and no rows: a copy, since the migrations take 50 ms."""
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("migrated"), tmp_path / "rows.db")
        return sqlite_url(tmp_path / "rows.db")
    url: str = request.getfixturevalue("postgresql").new_migrated_database()
    return url
