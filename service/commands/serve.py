"""`separatrix serve`: runs the application in uvicorn, in one process or several."""

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from threadpoolctl import threadpool_limits
from uvicorn.supervisors import Multiprocess

from models.specs import InvalidInput
from service import logs, tracing
from service.access.keys import KeyFile
from service.app import create_app
from service.http import connections
from service.live.background import wait_with_timeout
from service.processes.fork_server import helper_processes
from service.settings import Settings
from service.store.files import Files
from service.store.store import Store

SLOW_START_S = 60
"""How long a serving process may take to answer its parent: imports are slow on a fraction of a core."""

END_S = 4.0
"""How long training processes and the database may delay a shutdown after the last request, in seconds."""

COLLECTED_OBJECTS, COLLECTED_SHARES = 50_000, (5, 5)
"""How many new objects start a search for cyclic garbage (Python's default is 700), and how many searches of each
generation start one of the next.

A large JSON body becomes 100,000 lists. With Python's values, searching them takes longer than parsing them. All that
came after the start is searched every 1.25 million objects, because garbage may hold pipes and memory.
"""

TICK_S = 1.0
"""How often the server wakes up while nothing happens. Waking ten times a second takes 0.2 % of a core."""

SWITCH_INTERVAL_S = 0.0005
"""A tenth of Python's default. A small request waits up to this long whenever a large one holds the interpreter."""


def run(settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM.

    Raises:
        InvalidInput: other machines can reach the address and there is no key, or the file of keys is damaged; or
            `tracing` is on and OpenTelemetry is not installed.
        OSError: the address is not available, or the data folder cannot be created.
        StoreUnavailable: the database cannot be opened.
    """
    logs.set_up("serving", settings.log_level, settings.log_format)
    _require_key(settings)
    if settings.tracing:
        tracing.require_installed()
    Store.of(settings, Files(settings.data_dir)).close()  # an error here is one line, within uvicorn a long traceback
    _require_free(settings.host, settings.port)
    if settings.workers == 1:
        _Server(uvicorn_config(settings)).run()
        return
    helper_processes.acquire()
    with tempfile.TemporaryDirectory(prefix="separatrix-") as folder:
        config = uvicorn_config(settings, Path(folder))
        Multiprocess(config, [config.bind_socket()]).run()
    helper_processes.release()


class _Server(uvicorn.Server):
    """A server that wakes up once a second, to update the header `Date`. uvicorn's own wakes up ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._wake: Callable[[], object] = lambda: None

    async def main_loop(self) -> None:
        """Waits for a signal, which wakes the server at once."""
        signalled = asyncio.Event()
        self._wake = partial(asyncio.get_running_loop().call_soon_threadsafe, signalled.set)
        while not await self.on_tick(0):
            await wait_with_timeout(signalled, TICK_S)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handles a signal: the server ends."""
        super().handle_exit(sig, frame)
        with suppress(RuntimeError):  # the event loop is closed already
            self._wake()


def _require_key(settings: Settings) -> None:
    """Checks that strangers cannot use the service, after making its first key if the settings say so.

    Raises:
        InvalidInput: other machines can reach the address and there is no key, or the file of keys is damaged.
        OSError: the file of keys cannot be read or written.
    """
    file = KeyFile(settings.keys_path)
    has_file = file.read() is not None
    if settings.first_key and not has_file:
        print(f"The first key, with the role admin. It is not shown again: {file.add('first', 'admin')}", flush=True)
    elif not has_file and not settings.is_on_loopback and not settings.insecure:
        raise InvalidInput(
            "host",
            "other machines can reach it, and there is no key: add one with `separatrix keys add NAME --role admin`, "
            "or, if you trust that network, add --insecure (SEPARATRIX_INSECURE=true)",
        )


def uvicorn_config(settings: Settings, shared_folder: Path | None = None) -> uvicorn.Config:
    """How uvicorn runs the application. Several processes share metrics and rates through files in a folder."""
    return uvicorn.Config(
        partial(application, settings, shared_folder),
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_config=None,  # its messages go through `service.logs`, as all others
        log_level=settings.log_level,
        access_log=settings.log_level == "debug",
        http=connections.protocol(settings),
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
        timeout_worker_healthcheck=SLOW_START_S,
        server_header=False,
        ws="none",
        proxy_headers=False,  # the application reads them itself, if the settings name proxies that it may trust
    )


def application(settings: Settings, shared_folder: Path | None = None) -> ASGIApp:
    """The application of one serving process. uvicorn calls this in that process, after it has installed its handlers.

    Besides making the application, it sets up the process: logging, threads, signals, and an end when the parent ends.
    """
    logs.set_up("serving", settings.log_level, settings.log_format)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    threadpool_limits(1)  # small matrix products are slower on several threads, and other requests need the cores
    stopping = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        _on_signal_also(number, stopping.set)
    within_s = settings.shutdown_timeout_s + END_S
    threading.Thread(target=_end_in_time, args=(stopping, within_s), name="end-in-time", daemon=True).start()
    parent = multiprocessing.parent_process()
    if parent is not None:  # one of several serving processes: none may outlive the parent
        threading.Thread(target=_end_after, args=(parent.join,), daemon=True).start()
    made = create_app(settings, stopping=stopping, shared_folder=shared_folder)
    gc.set_threshold(COLLECTED_OBJECTS, *COLLECTED_SHARES)
    gc.freeze()  # what is loaded stays: looking for garbage in it would delay requests, and the end of the process
    return made


def _end_in_time(stopping: Event, within_s: float) -> None:
    """Ends this process if a shutdown takes too long: a database that does not answer could delay it forever."""
    stopping.wait()
    time.sleep(within_s)
    logging.getLogger(__name__).error("the shutdown took longer than %g s; exiting without waiting any more", within_s)
    os._exit(1)


def _on_signal_also(number: int, act: Callable[[], object]) -> None:
    """Calls `act` when a signal arrives, then the handler that was installed before."""
    before = signal.getsignal(number)

    def handle(number: int, frame: FrameType | None) -> None:
        act()
        if callable(before):
            before(number, frame)

    signal.signal(number, handle)


def _end_after(wait: Callable[[], object]) -> None:
    wait()
    os.kill(os.getpid(), signal.SIGTERM)


def _require_free(host: str, port: int) -> None:
    """Checks that the address is available before any work begins; uvicorn checks it last.

    Raises:
        OSError: it is not.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        reason = f"{os.strerror(error.errno)}; choose another with --port" if error.errno else str(error)
        raise OSError(error.errno, reason, f"{host}:{port}") from None
