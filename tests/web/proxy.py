"""A connection that a test can cut."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Passes bytes between clients and a service, until it is cut.

    Attributes:
        address: where clients connect, such as `http://127.0.0.1:4711`.
    """

    def __init__(self, service: str) -> None:
        self._target = urlsplit(service)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._streams: set[socket.socket] = set()
        self._silent: set[socket.socket] = set()
        self._is_cut = False
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Ends all connections. New ones end at once, until `restore`."""
        self._is_cut = True
        while self._open:
            with suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        """Lets new connections through again."""
        self._is_cut = False

    def silence(self) -> None:
        """Forwards no more data of the event streams that are open, and keeps their connections."""
        self._silent |= self._streams

    def run(self) -> None:
        """Accepts clients until the proxy is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._is_cut:
                    client.close()
                    continue
                service = socket.create_connection((self._target.hostname, self._target.port))
                self._open += [client, service]
                for one, other in ((client, service), (service, client)):
                    threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    def _copy(self, one: socket.socket, other: socket.socket) -> None:
        """Passes what arrives at one end to the other, until either is closed."""
        with one:
            with suppress(OSError):
                while sent := one.recv(65_536):
                    if b"/events?" in sent:
                        self._streams.add(other)
                    if one not in self._silent:
                        other.sendall(sent)
            with suppress(OSError):
                other.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends all connections and the proxy."""
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def proxy_of(service: str) -> Iterator[Proxy]:
    """A running proxy of the service at this address."""
    proxy = Proxy(service)
    thread = threading.Thread(target=proxy.run, daemon=True)
    thread.start()
    yield proxy
    proxy.close()
    thread.join()
