"""`separatrix serve`."""

import logging

import uvicorn
from threadpoolctl import threadpool_limits

from service.app import create_app
from service.settings import Settings


def run(settings: Settings) -> None:
    """Serves until it is told to stop."""
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s:     %(message)s")
    # small products are slower on more threads, and a request must not take the cores of its neighbours
    with threadpool_limits(1):
        uvicorn.run(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            log_level=settings.log_level,
            access_log=settings.log_level == "debug",
            http="httptools",  # uvicorn's other parser, h11, lets Content-Length beside Transfer-Encoding through
            timeout_graceful_shutdown=settings.shutdown_timeout_s,
            server_header=False,
        )
