"""`separatrix serve`."""

import logging
import os
import socket
import sys
from threading import Event
from types import FrameType

import uvicorn
from threadpoolctl import threadpool_limits

from service.app import create_app
from service.settings import Settings
from service.store.files import Files
from service.store.store import Store

SWITCH_INTERVAL_S = 0.0005
"""A tenth of Python's own: what a small request may have to wait for each time that a large one is in work."""


def run(settings: Settings) -> None:
    """Serves until it is told to stop."""
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s:     %(message)s")
    Store(Files(settings.data_dir).database).close()  # says what is wrong with the folder in one line, uvicorn in fifty
    _require_free(settings.host, settings.port)
    stopping = Event()
    config = uvicorn.Config(
        create_app(settings, stopping=stopping),
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        access_log=settings.log_level == "debug",
        http="httptools",  # uvicorn's other parser, h11, lets Content-Length beside Transfer-Encoding through
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
        server_header=False,
        proxy_headers=False,  # nobody asks where a request came from, and to find out costs a tenth of a small one
    )
    # how long a thread may keep the interpreter from the event loop; large answers take that long and more
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # small products are slower on more threads, and a request must not take the cores of its neighbours
    with threadpool_limits(1):
        _Server(config, stopping).run()


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


class _Server(uvicorn.Server):
    """Says that it is stopping when it is told to, not only when the requests in flight are done."""

    def __init__(self, config: uvicorn.Config, stopping: Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stopping.set()
        super().handle_exit(sig, frame)
