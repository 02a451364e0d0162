"""`separatrix serve`."""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from threading import Event
from types import FrameType

import uvicorn
from threadpoolctl import threadpool_limits
from uvicorn.supervisors import Multiprocess

from service.app import create_app
from service.http.middleware import Middleware
from service.settings import Settings
from service.store.files import Files
from service.store.store import Store

SLOW_START_S = 60
"""How long one of several serving processes may take to answer its parent: on a share of a core imports take long."""

END_S = 4.0
"""How long training processes and database may hold up a shutdown, after the requests in flight, in seconds."""

SWITCH_INTERVAL_S = 0.0005
"""A tenth of Python's own: what a small request may have to wait for each time that a large one is in work."""


def run(settings: Settings) -> None:
    """Serves until it is told to stop."""
    _log(settings)
    Store.of(settings, Files(settings.data_dir)).close()  # says what is wrong in one line, uvicorn in fifty
    _require_free(settings.host, settings.port)
    config = uvicorn.Config(
        partial(application, settings),
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_level=settings.log_level,
        access_log=settings.log_level == "debug",
        http="httptools",  # uvicorn's other parser, h11, lets Content-Length beside Transfer-Encoding through
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
        timeout_worker_healthcheck=SLOW_START_S,
        server_header=False,
        ws="none",
        proxy_headers=False,  # nobody asks where a request came from, and to find out costs a tenth of a small one
    )
    if settings.workers == 1:
        uvicorn.Server(config).run()
    else:
        Multiprocess(config, [config.bind_socket()]).run()


def application(settings: Settings) -> Middleware:
    """The application as one serving process runs it. Called in that process, once uvicorn handles the signals."""
    _log(settings)
    # how long a thread may keep the interpreter from the event loop; large answers take that long and more
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # small products are slower on more threads, and a request must not take the cores of its neighbours
    threadpool_limits(1)
    stopping = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        _on_signal_also(number, stopping.set)
    within_s = settings.shutdown_timeout_s + END_S
    threading.Thread(target=_end_in_time, args=(stopping, within_s), name="end-in-time", daemon=True).start()
    parent = multiprocessing.parent_process()
    if parent is not None:  # one of several processes, none of which is to outlive their parent
        threading.Thread(target=_end_after, args=(parent.join,), daemon=True).start()
    return create_app(settings, stopping=stopping)


def _end_in_time(stopping: Event, within_s: float) -> None:
    """Ends this process when it was told to stop and has not: a database that is silent may hold it up for ever."""
    stopping.wait()
    time.sleep(within_s)
    logging.getLogger(__name__).error("not everything ended in time; ending all the same")
    os._exit(1)


def _log(settings: Settings) -> None:
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s:     %(message)s")
    logging.getLogger("uvicorn.error").addFilter(lambda record: "uvicorn[standard]" not in record.getMessage())


def _on_signal_also(number: int, act: Callable[[], object]) -> None:
    """Acts when a signal comes, before whoever handles it already."""
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
    """Looks whether the address can be had before any work begins; uvicorn itself looks last.

    Raises:
        OSError: it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        reason = f"{os.strerror(error.errno)}; choose another with --port" if error.errno else str(error)
        raise OSError(error.errno, reason, f"{host}:{port}") from None
